"""More regencies behind the pair's provider, each a member of its own with an agreement."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from node.calls import OutboundRequest
from node.model import Snapshot
from node.policy.apps import AppBook
from node.policy.rules import AgreementBook
from security.agreement import Party, ServiceTerm
from security.hashing import sha256
from security.identifiers import ServiceId, SubsystemId
from simpul.v1 import agreement_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import agreements, directories
from tests.support.pair import ALL_METHODS, TARGET, Pair


def tourism(code: str) -> SubsystemId:
    """The subsystem of the regency of this code."""
    return SubsystemId.parse(f"ID/DAERAH/{code}/pariwisata")


def host(two: Pair, codes: Iterable[str], *, without: Iterable[str] = ()) -> dict[str, str]:
    """Have these regencies on the provider's node, in place of its own; `without` an agreement.

    Returns:
        Each agreement's hash in hex, with the code of the region that it is for.
    """
    codes = tuple(codes)
    at = two.provider.current.snapshot.directory
    records = [_record(code) for code in codes]
    # The node belongs to one of them only.
    records[0].nodes[0].link_address = at.node(fixed.REGENCY_NODE).link_address
    for record in records[1:]:
        record.ClearField("nodes")
    ministry = directories.ministry_record()
    ministry.nodes[0].link_address = at.node(fixed.MINISTRY_NODE).link_address
    view = directories.directory(*records, ministry)
    signed = {code: _agreement(code) for code in codes if code not in set(without)}
    book = AgreementBook(item.agreement for item in signed.values())
    targets = {ServiceId(tourism(code), fixed.SERVICE): TARGET for code in codes}
    for half in (two.provider, two.consumer):
        loopback = fixed.SUPER_APP if half is two.consumer else None
        half.current.replace(Snapshot(view, book, AppBook((), loopback), targets))
    for code in codes:
        member = tourism(code).member
        two.provider.seal_keys[member] = fixed.key(f"{member} seal")
    return {sha256_of(item): code for code, item in signed.items()}


def sha256_of(signed: agreement_pb2.SignedAgreement) -> str:
    """An agreement's hash, as a service sees it."""
    return next(iter(AgreementBook([signed.agreement]).by_hash)).hex()


def asked_as(request: OutboundRequest, by_agreement: dict[str, str]) -> str:
    """Which region a service was asked as."""
    return by_agreement[dict(request.metadata)["simpul-agreement"].decode()]


def _record(code: str) -> directory_pb2.MemberRecord:
    subsystem = tourism(code)
    record = directories.member_record(subsystem.member, fixed.REGENCY_NODE)
    record.regions.add(code=code, valid_from_ms=1)
    record.subsystems.add(id=str(subsystem), name="Pariwisata", state=1)
    contract = sha256(directories.contract_file()[1])
    record.services.add(id=f"{subsystem}/{fixed.SERVICE}", contract=contract)
    return record


def _agreement(code: str) -> agreement_pb2.SignedAgreement:
    subsystem = tourism(code)
    identity = fixed.key(f"{subsystem.member} identity")
    terms = replace(
        agreements.TERMS,
        provider=Party(subsystem.member, identity.public.key_id),
        provider_subsystem=subsystem,
        services=(ServiceTerm(fixed.SERVICE, ALL_METHODS),),
    )
    return agreements.signed(terms, identity)
