"""Joins two evidence files of one call: what each side's node keeps of it.

The result has every part that either has, once. Nothing is verified here and nothing is lost that
`evidence` would need; where the two contradict each other, verifying the result says how.

Source: docs/spec, "Evidence: joining".
"""

from collections.abc import Callable, Collection, Hashable, Iterable
from dataclasses import replace
from typing import NoReturn, TypeVar

from security.entry_format import parse_entry
from security.errors import Code, SimpulError
from security.evidence_directory import timestamp_version
from security.evidence_format import (
    Evidence,
    ShownAgreement,
    ShownCheckpoint,
    ShownDirectory,
    ShownEntry,
    ShownParcel,
)
from security.hashing import sha256
from security.parcel import header_hash, parse_header

ItemT = TypeVar("ItemT")


def join_evidence(first: Evidence, second: Evidence) -> Evidence:
    """Join two files.

    Raises:
        SimpulError: EVIDENCE_INVALID, where they are of two calls, or differ in what can't differ:
            the roots of one version, the agreement's bytes, a parcel's seal.
    """
    if (first.federation, first.call_id) != (second.federation, second.call_id):
        _refuse("they are of two different calls")
    first, second = _of_one_making(first, second)
    parcels = _merge((*first.parcels, *second.parcels), lambda item: item.hash, _parcel)
    known = {item.hash for item in parcels}
    chain = _merge((*first.chain, *second.chain), header_hash, _same)
    return Evidence(
        federation=first.federation,
        call_id=first.call_id,
        roots=_roots(first.roots, second.roots),
        files=_merge((*first.files, *second.files), sha256, _same),
        directories=_merge(
            (*first.directories, *second.directories), lambda item: item.snapshot, _directory
        ),
        parcels=parcels,
        chain=tuple(item for item in chain if header_hash(item) not in known),
        checkpoints=_merge(
            (*first.checkpoints, *second.checkpoints), lambda item: item.hash, _checkpoint
        ),
        agreement=_agreement(first.agreement, second.agreement),
        identity_keys=_merge(
            (*first.identity_keys, *second.identity_keys), lambda item: item.key_id, _same
        ),
        # One that is in a single file stays.
        offer_call_id=first.offer_call_id or second.offer_call_id,
        decide_call_id=first.decide_call_id or second.decide_call_id,
    )


def _of_one_making(first: Evidence, second: Evidence) -> tuple[Evidence, Evidence]:
    """Of two calls that proposed, or accepted, the agreement the one with the lower id stays.

    A party of several nodes is told at each, and each side's node may show another of these calls.
    """
    for one, two in (
        (first.offer_call_id, second.offer_call_id),
        (first.decide_call_id, second.decide_call_id),
    ):
        if one is not None and two is not None and one != two:
            first, second = (_without(item, max(one, two)) for item in (first, second))
    return first, second


def _without(evidence: Evidence, call_id: bytes) -> Evidence:
    """Without the entries of a call, and the parcels that were there for nothing else."""
    if call_id not in {evidence.offer_call_id, evidence.decide_call_id}:
        return evidence
    shown = [
        replace(
            parcel,
            entries=tuple(
                item for item in parcel.entries if parse_entry(item.entry).call_id != call_id
            ),
        )
        for parcel in evidence.parcels
    ]
    bare = {parcel.hash for parcel, before in zip(shown, evidence.parcels, strict=True)
            if before.entries and not parcel.entries}  # fmt: skip
    known = {parcel.hash for parcel in shown} - bare | set(map(header_hash, evidence.chain))
    kept = tuple(
        parcel for parcel in shown if parcel.hash not in bare or _acknowledges(parcel, known)
    )
    used = {leaf.checkpoint for parcel in kept for leaf in parcel.leaves}
    return replace(
        evidence,
        parcels=kept,
        checkpoints=tuple(item for item in evidence.checkpoints if item.hash in used),
        offer_call_id=None if evidence.offer_call_id == call_id else evidence.offer_call_id,
        decide_call_id=None if evidence.decide_call_id == call_id else evidence.decide_call_id,
    )


def _acknowledges(parcel: ShownParcel, known: Collection[bytes]) -> bool:
    received = parse_header(parcel.header).received
    return received is not None and received.header_hash in known


def _merge(
    items: Iterable[ItemT],
    key: Callable[[ItemT], Hashable],
    both: Callable[[ItemT, ItemT], ItemT],
) -> tuple[ItemT, ...]:
    found: dict[Hashable, ItemT] = {}
    for item in items:
        before = found.get(key(item))
        found[key(item)] = item if before is None else both(before, item)
    return tuple(found.values())


def _same(first: ItemT, _second: ItemT) -> ItemT:
    return first


def _roots(first: tuple[bytes, ...], second: tuple[bytes, ...]) -> tuple[bytes, ...]:
    """Of two runs of roots that overlap, or follow each other, the whole run.

    Which version a root has is for the verifier; here equal bytes show where the runs meet.
    """
    if not first or not second:
        return first or second
    for start, other in ((first, second), (second, first)):
        if other[0] in start:
            at = start.index(other[0])
            common = min(len(start) - at, len(other))
            if start[at : at + common] != other[:common]:
                break
            return (*start[:at], *max(start[at:], other, key=len))
    return _refuse("they don't rest on the same roots")


def _parcel(first: ShownParcel, second: ShownParcel) -> ShownParcel:
    if first.seal != second.seal:
        _refuse("a parcel has two seals")
    return ShownParcel(
        first.header,
        first.seal,
        _merge((*first.entries, *second.entries), lambda item: item.index, _entry),
        _merge((*first.leaves, *second.leaves), lambda item: item.checkpoint, _same),
    )


def _entry(first: ShownEntry, second: ShownEntry) -> ShownEntry:
    """What one side kept beside an entry, and the other didn't."""
    payload, private = first, first
    if first.payload is None and (second.payload is not None or not first.payload_salt):
        payload = second
    if first.private is None and (second.private is not None or not first.private_salt):
        private = second
    return ShownEntry(
        first.index,
        first.entry,
        first.path,
        payload.payload,
        payload.payload_salt,
        private.private,
        private.private_salt,
    )


def _directory(first: ShownDirectory, second: ShownDirectory) -> ShownDirectory:
    """The earliest and the latest timestamp that either side saw: by what they say is the issue."""
    timestamps = sorted({*first.timestamps, *second.timestamps}, key=timestamp_version)
    ends = (timestamps[0], timestamps[-1]) if len(timestamps) > 1 else tuple(timestamps)
    return ShownDirectory(first.snapshot, max(first.root, second.root), ends)


def _checkpoint(first: ShownCheckpoint, second: ShownCheckpoint) -> ShownCheckpoint:
    stamps = _merge((*first.stamps, *second.stamps), lambda item: item.authority, _same)
    return ShownCheckpoint(first.note, stamps)


def _agreement(
    first: ShownAgreement | None, second: ShownAgreement | None
) -> ShownAgreement | None:
    if first is None or second is None:
        return first or second
    if first.agreement != second.agreement:
        _refuse("they hold different agreements")
    return ShownAgreement(
        first.agreement,
        first.provider_signature or second.provider_signature,
        first.consumer_signature or second.consumer_signature,
        first.delegator_signature or second.delegator_signature,
        first.delegation or second.delegation,
    )


def _refuse(what: str) -> NoReturn:
    raise SimpulError(
        Code.EVIDENCE_INVALID, f"the files can't be joined: {what}; give both sides' of one call"
    )
