"""Directories with several contracts: what tests of the catalogue search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from security.contract_card import card_path, documentation_path
from security.contract_comments import comments_of, without_comments
from security.directory import DirectoryView
from security.directory_records import contract_path, member_path
from security.hashing import sha256
from security.identifiers import MemberId, NodeId
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories


@dataclass(frozen=True)
class Contract:
    """One revision of a package, with its comments."""

    package: str
    descriptor_set: bytes
    owner: MemberId = fixed.REGENCY
    terms: directory_pb2.ContractTerms = field(
        default_factory=lambda: directory_pb2.ContractTerms(
            maturity=directory_pb2.CONTRACT_MATURITY_DRAFT
        )
    )

    @property
    def services(self) -> list[str]:
        """Full names."""
        files = FileDescriptorSet.FromString(self.descriptor_set).file
        own = (file for file in files if file.package == self.package)
        return [f"{self.package}.{service.name}" for file in own for service in file.service]


@dataclass(frozen=True)
class Offers:
    """A member that speaks for regions and implements services in one subsystem."""

    member: str
    regions: Sequence[str] = ()
    services: Sequence[str] = ()
    state: directory_pb2.MemberState.ValueType = directory_pb2.MEMBER_STATE_ACTIVE


def directory(
    contracts: Sequence[Contract], offers: Sequence[Offers] = (), *, version: int = 7
) -> DirectoryView:
    """The directory of these, under a hash of its own for each version."""
    files: dict[str, bytes] = {}
    hashes: dict[str, bytes] = {}
    for contract in contracts:
        _publish(contract, files, hashes)
    records = [
        directories.ministry_record(),
        directories.member_record(fixed.REGENCY, fixed.REGENCY_NODE),
    ]
    known = {record.member: record for record in records}
    for number, offer in enumerate(offers):
        record = known.get(offer.member)
        if record is None:
            node = NodeId.parse(f"ID/~n{number}")
            record = directories.member_record(MemberId.parse(offer.member), node)
            records.append(record)
        record.state = offer.state
        for code in offer.regions:
            record.regions.add(code=code, valid_from_ms=1)
        subsystem = f"{offer.member}/layanan"
        record.subsystems.add(id=subsystem, name="Layanan", state=1)
        for service in offer.services:
            record.services.add(id=f"{subsystem}/{service}", contract=hashes[service])
    made = {
        member_path(MemberId.parse(record.member)): record.SerializeToString(deterministic=True)
        for record in records
    }
    targets: Mapping[str, bytes] = directories.targets(changed={**files, **made})
    return DirectoryView.build(
        fixed.FEDERATION, version, sha256(bytes([version])), fixed.NOW_MS, targets
    )


def _publish(contract: Contract, files: dict[str, bytes], hashes: dict[str, bytes]) -> None:
    bare = without_comments(contract.descriptor_set)
    for service in contract.services:
        revision = directory_pb2.ContractRevision(
            version=1, federation=fixed.FEDERATION, service=service, descriptor_set=bare,
            publisher=str(contract.owner),
        ).SerializeToString(deterministic=True)  # fmt: skip
        files[contract_path(service, bare)] = revision
        hashes[service] = sha256(revision)
    docs = directory_pb2.ContractDocumentation(
        version=1, federation=fixed.FEDERATION, package=contract.package, revision=1,
        comments=[
            directory_pb2.ElementComment(
                element=each.element, leading=each.leading, trailing=each.trailing
            )
            for each in comments_of(contract.descriptor_set, contract.package)
        ],
    ).SerializeToString(deterministic=True)  # fmt: skip
    files[documentation_path(contract.package, 1)] = docs
    card = directory_pb2.ContractCard(
        version=1, federation=fixed.FEDERATION, package=contract.package, number=1,
        owner=str(contract.owner), terms=contract.terms,
        revisions=[
            directory_pb2.CardRevision(
                number=1, publisher=str(contract.owner), published_at_ms=fixed.NOW_MS,
                services=[
                    directory_pb2.CardService(service=name, contract=hashes[name])
                    for name in contract.services
                ],
                documentation=sha256(docs),
            )
        ],
    )  # fmt: skip
    files[card_path(contract.package)] = card.SerializeToString(deterministic=True)
