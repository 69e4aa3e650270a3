"""Evidence: one file that proves one call to anyone, years later, from the root metadata alone.

`verify` runs the numbered steps below over the bytes of a file. It needs no network, no database
and no clock, and nothing of a node: this room, the wire standard's messages and the root metadata
are enough.

    1  container      the file is whole, and of one spelling
    2  roots          the root given leads to every root in the file
    3  directories    each directory is the registry's, signed role by role
    4  records        members and policy are this federation's; statements bear their own signature
    5  headers        each parcel's header is well-formed
    6  entries        each entry stands in its parcel, and is of this call
    7  seals          each parcel was sealed with its member's key for its node
    8  journals       each parcel stands in a journal's tree, as its node signed it
    9  cosignatures   a quorum of witnesses had seen that tree: *not after*
    10 time stamps    time-stamp authorities had, too
    11 times          claimed, between not before and not after, by a directory in force
    12 revocations    no key was published as revoked by then
    13 order          the entries are one call, complete and in order
    14 parties        each side's entries are of the member on that side
    15 receipts       the other side had each parcel
    16 agreement      both parties signed the agreement that the call names
    17 permission     the agreement permits the call
    18 offer          how the agreement was proposed and accepted
    19 registry's log the directories are in the public log
    20 payloads       the messages are those that were sealed
    21 private blocks users, metadata and status texts likewise

Source: docs/spec, "Evidence".
"""

from collections.abc import Callable
from typing import Final

from security import (
    evidence_agreement,
    evidence_call,
    evidence_offer,
    evidence_parcels,
    evidence_times,
)
from security.errors import SimpulError
from security.evidence_case import Case, ParcelCase
from security.evidence_format import Evidence, parse_evidence, print_evidence
from security.evidence_report import (
    CallFacts,
    Outcome,
    ParcelFacts,
    Report,
    Result,
    Step,
    proven,
)

__all__ = [
    "STEPS",
    "CallFacts",
    "Evidence",
    "ParcelFacts",
    "Report",
    "Result",
    "Step",
    "parse_evidence",
    "print_evidence",
    "verify",
]


def _container(case: Case) -> Outcome:
    """1. The file is whole, and of one spelling."""
    case.evidence = parse_evidence(case.data)
    return proven(f"{len(case.data)} bytes")


STEPS: Final[tuple[tuple[int, str, str, Callable[[Case], Outcome]], ...]] = (
    (1, "container", "the file is whole, and of one spelling", _container),
    (2, "roots", "the root given leads to every root in it", evidence_parcels.roots),
    (3, "directories", "the directories are the registry's", evidence_parcels.directories),
    (4, "records", "policy and members, as the registry listed them", evidence_parcels.records),
    (5, "headers", "the parcels' headers are well-formed", evidence_parcels.headers),
    (6, "entries", "the call's entries stand in these parcels", evidence_parcels.entries),
    (7, "seals", "whose keys sealed the parcels", evidence_parcels.seals),
    (8, "journals", "the parcels stand in a journal's tree", evidence_times.journals),
    (9, "cosignatures", "a quorum of witnesses had seen the tree", evidence_times.cosignatures),
    (10, "time stamps", "time-stamp authorities had seen the tree", evidence_times.stamps),
    (11, "times", "the parcels were made within these bounds", evidence_times.times),
    (12, "revocations", "no key was revoked by then", evidence_times.revocations),
    (13, "order", "the entries are one call, complete and in order", evidence_call.order),
    (14, "parties", "the members are those that the call names", evidence_call.parties),
    (15, "receipts", "the other side had each parcel", evidence_call.receipts),
    (16, "agreement", "both parties signed the agreement", evidence_agreement.agreement),
    (17, "permission", "the agreement permits the call", evidence_agreement.permission),
    (18, "offer", "how the agreement was made", evidence_offer.offer),
    (19, "registry's log", "the public saw the directories", evidence_agreement.registry_log),
    (20, "payloads", "what the messages said", evidence_agreement.payloads),
    (21, "private blocks", "users, metadata, status texts", evidence_agreement.private_blocks),
)


def verify(data: bytes, root: bytes) -> Report:
    """Verify an evidence file.

    Nothing in it makes this raise: what is wrong is a step that failed, after which none is judged.
    `Report.require_sound` raises for it.

    Args:
        data: The file.
        root: The root metadata (`root.json`) that the reader trusts; any version from which the
            roots in the file follow.
    """
    case = Case(data, root)
    steps: list[Step] = []
    warnings: list[str] = []
    failed = False
    for number, name, proves, run in STEPS:
        if failed:
            steps.append(Step(number, name, proves, Result.NOT_JUDGED, ()))
            continue
        try:
            outcome = run(case)
        except SimpulError as error:
            outcome, failed = Outcome(Result.FAILED, (error.message,)), True
        steps.append(Step(number, name, proves, outcome.result, outcome.findings))
        warnings.extend(outcome.warnings)
    parcels = sorted(case.parcels, key=lambda item: (item.header.sealed_at_ms, item.header.number))
    facts = tuple(_facts(item) for item in parcels if item.sealed is not None)
    return Report(tuple(steps), case.call, facts, tuple(dict.fromkeys(warnings)))


def _facts(parcel: ParcelCase) -> ParcelFacts:
    sealed = parcel.sealed
    return ParcelFacts(
        header_hash=parcel.hash,
        member=str(parcel.header.member),
        node="" if sealed is None else str(sealed.key.node),
        to_node=str(parcel.header.node),
        number=parcel.header.number,
        seal_key_id=parcel.header.seal_key_id,
        identity_key_id=b"" if sealed is None else sealed.identity.key_id,
        entries=tuple(item.parsed.kind.kind.value for item in parcel.entries),
        offers=tuple(item.parsed.kind.kind.value for item in parcel.offers),
        decisions=tuple(item.parsed.kind.kind.value for item in parcel.decisions),
        claimed_ms=parcel.header.sealed_at_ms,
        not_before_ms=parcel.not_before_ms,
        not_after_ms=parcel.not_after_ms,
        stamped_ms=parcel.stamped_ms,
        journals=tuple(sorted({item.origin for item in parcel.checkpoints})),
        received=parcel.received,
    )
