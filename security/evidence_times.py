"""Evidence, steps 8 to 12: when each parcel existed, and whether its key was good then.

    8  journals       9  cosignatures      10  time stamps
    11 times          12 revocations

Three times of a parcel: *claimed* (its sealed-at), *not before* (when the directory was issued that
its header names), *not after* (by when a quorum of witnesses had cosigned a checkpoint over it).
The expiry of a directory and the revocation of a key are judged at *not after*: a signature made
while its key was good stays good, and revocation never reaches back.

Source: docs/spec, "Evidence: times"; c2sp.org/tlog-checkpoint, tlog-cosignature; RFC 3161.
"""

from collections.abc import Iterator
from typing import Final

from security import merkle
from security.checkpoint import SignedCheckpoint, parse_checkpoint, verify_checkpoint
from security.cosignature import quorum_time_ms, verified_cosignatures
from security.directory_records import NodeView, RevokedKeyView
from security.errors import SimpulError
from security.evidence_case import Case, CheckpointCase, ParcelCase, share
from security.evidence_directory import Records
from security.evidence_format import ShownCheckpoint, ShownParcel
from security.evidence_parcels import moment
from security.evidence_report import Outcome, not_present, not_proven, proven, refused
from security.hashing import JOURNAL_LEAF, digest
from security.timestamp import verify_timestamp

# How far the clocks of honest nodes, witnesses and the registry may differ.
MAX_SKEW_MS: Final = 60_000


def journals(case: Case) -> Outcome:
    """8. Each parcel stands in a journal's tree, under a checkpoint that its node signed."""
    signed = {shown.hash: _checkpoint(case, shown) for shown in case.evidence.checkpoints}
    used = set()
    for parcel in case.parcels:
        hashed = leaf(parcel.shown)
        for shown in parcel.shown.leaves:
            found = signed.get(shown.checkpoint)
            if found is None:
                raise refused(f"{parcel.title} stands under a checkpoint that isn't in the file")
            tree, checkpoint = found
            merkle.verify_inclusion(
                hashed, shown.index, tree.checkpoint.size, shown.path, tree.checkpoint.root
            )
            parcel.checkpoints.append(checkpoint)
            used.add(shown.checkpoint)
    if used != signed.keys():
        raise refused("a checkpoint in it has no parcel under it")
    covered = [parcel for parcel in case.call_parcels if parcel.checkpoints]
    findings = sorted({f"{item.origin} of {item.node.id}" for _, item in signed.values()})
    return _over(case.call_parcels, covered, *findings)


def cosignatures(case: Case) -> Outcome:
    """9. A quorum of the witnesses that the policy names had cosigned the checkpoint."""
    findings = []
    for checkpoint in _checkpoints(case):
        checkpoint.quorum_ms, names = _quorum(case, checkpoint)
        if checkpoint.quorum_ms is not None:
            findings.append(f"{checkpoint.origin}: {names}, by {moment(checkpoint.quorum_ms)}")
    covered = [
        parcel
        for parcel in case.call_parcels
        if any(item.quorum_ms is not None for item in parcel.checkpoints)
    ]
    return _over(case.call_parcels, covered, *findings)


def stamps(case: Case) -> Outcome:
    """10. Authorities that the policy names stamped the checkpoint's text."""
    findings = []
    for checkpoint in _checkpoints(case):
        for stamp in checkpoint.shown.stamps:
            at_ms = _stamped_ms(case, checkpoint, stamp.authority, stamp.response)
            findings.append(f"{checkpoint.origin}: {stamp.authority}, at {moment(at_ms)}")
            if checkpoint.stamp is None or at_ms < checkpoint.stamp[0]:
                checkpoint.stamp = (at_ms, stamp.authority)
    covered = [parcel for parcel in case.call_parcels if parcel.stamped_ms is not None]
    return _over(case.call_parcels, covered, *findings)


def times(case: Case) -> Outcome:
    """11. Each parcel was made between *not before* and *not after*, by a directory in force."""
    bounded, warnings = [], []
    for parcel in case.parcels:
        before, after = parcel.not_before_ms, parcel.not_after_ms
        claimed = parcel.header.sealed_at_ms
        if before is not None and after is not None and before > after + MAX_SKEW_MS:
            raise refused(
                f"{parcel.title} names a directory of {moment(before)}, and stood in a journal by "
                f"{moment(after)}"
            )
        if parcel.sealed is not None and after is not None:
            _check_in_force(parcel, parcel.sealed.records, after)
        early = before is not None and claimed < before - MAX_SKEW_MS
        late = after is not None and claimed > after + MAX_SKEW_MS
        if early or late:
            warnings.append(f"{parcel.title} claims {moment(claimed)}, which can't be: its clock")
        elif before is not None and after is not None:
            bounded.append(parcel)
    found = [parcel for parcel in bounded if parcel.entries]
    if len(found) == len(case.call_parcels):
        return proven(*_bounds(case.call_parcels), warnings=tuple(warnings))
    return not_proven(
        f"{share(case.call_parcels, found)} have both bounds",
        *_bounds(case.call_parcels),
        warnings=tuple(warnings),
    )


def revocations(case: Case) -> Outcome:
    """12. No seal rests on a key that was published as revoked by *not after*."""
    open_ended, findings, warnings = [], [], []
    for parcel in case.parcels:
        for revoked, records in _revoked(case, parcel):
            _check_before(case, parcel, revoked)
            since = revoked.suspected_since_ms
            shown = revoked.key_id.hex()[:16]
            findings.append(f"key {shown} was revoked later, on {moment(revoked.revoked_at_ms)}")
            if since is not None:
                warnings.append(
                    f"key {shown} of {parcel.header.member} is suspected since {moment(since)}, by "
                    f"directory {records.directory.version}"
                )
        newest = _newest(case, parcel)
        after = parcel.not_after_ms
        if newest is None or after is None or newest.directory.last_issued_at_ms < after:
            open_ended.append(parcel)
        if newest is not None:
            at = moment(newest.directory.last_issued_at_ms)
            findings.append(f"keys of {parcel.header.member}: known as of {at}")
    found = tuple(dict.fromkeys(findings))
    told = tuple(dict.fromkeys(warnings))
    if open_ended:
        return not_proven(
            "the file shows no directory that was in force after *not after*", *found, warnings=told
        )
    return proven(*found, warnings=told)


def leaf(shown: ShownParcel) -> bytes:
    """The hash of a parcel's leaf in a journal."""
    return merkle.leaf_hash(digest(JOURNAL_LEAF, shown.header, shown.seal))


def _over(parcels: list[ParcelCase], covered: list[ParcelCase], *findings: str) -> Outcome:
    if len(covered) == 0:
        return not_present()
    if len(covered) < len(parcels):
        return not_proven(f"{share(parcels, covered)}", *findings)
    return proven(*findings)


def _checkpoints(case: Case) -> list[CheckpointCase]:
    """Each once, in the order of the parcels."""
    return list({id(item): item for one in case.parcels for item in one.checkpoints}.values())


def _checkpoint(case: Case, shown: ShownCheckpoint) -> tuple[SignedCheckpoint, CheckpointCase]:
    signed = parse_checkpoint(shown.note)
    origin = signed.checkpoint.origin
    fault: SimpulError | None = None
    for node in _nodes(case, origin):
        try:
            verify_checkpoint(signed, origin, node.node_key)
        except SimpulError as error:
            fault = error
            continue
        return signed, CheckpointCase(shown, signed.note, node, origin)
    raise fault or refused(f"no node that the file shows has a journal {origin[:100]!a}")


def _nodes(case: Case, origin: str) -> Iterator[NodeView]:
    """The nodes with this journal, as the newest directory has them first."""
    for records in reversed(case.directories):
        for record in records.members.values():
            for node in record.nodes:
                if any(slot.origin == origin for slot in node.slots):
                    yield node


def _quorum(case: Case, checkpoint: CheckpointCase) -> tuple[int | None, str]:
    """By the newest policy under which there is a quorum. A false cosignature fails in any case."""
    fault: SimpulError | None = None
    for records in reversed(case.directories):
        oversight = records.policy.oversight
        if oversight.quorum == 0:
            continue
        witnesses = [item.key for item in oversight.witnesses]
        found = verified_cosignatures(checkpoint.note, witnesses)
        try:
            at_ms = quorum_time_ms(found, oversight.quorum)
        except SimpulError as error:
            fault = error
            continue
        names = ", ".join(item.witness.name for item in found)
        return at_ms, f"{names} ({oversight.quorum} of {len(witnesses)} asked for)"
    if fault is not None and len(checkpoint.shown.stamps) == 0:
        raise refused(f"{checkpoint.origin}: {fault.message}")
    return None, ""


def _stamped_ms(case: Case, checkpoint: CheckpointCase, name: str, response: bytes) -> int:
    fault = refused(f"the policy names no time-stamp authority {name[:100]!a}")
    for records in reversed(case.directories):
        time = records.policy.oversight.time
        for authority in () if time is None else time.authorities:
            if authority.name != name:
                continue
            try:
                text = checkpoint.note.text.encode()
                return verify_timestamp(response, text, authority.certificate)
            except SimpulError as error:
                fault = error
    raise fault


def _check_in_force(parcel: ParcelCase, records: Records, after: int) -> None:
    expired = records.directory.expires_at_ms
    if after >= expired:
        raise refused(
            f"{parcel.title} is proven to have existed by {moment(after)}, when directory "
            f"{records.directory.version}, which lists its key, had expired ({moment(expired)})"
        )


def _revoked(case: Case, parcel: ParcelCase) -> Iterator[tuple[RevokedKeyView, Records]]:
    """Each of the parcel's keys that any directory lists as revoked, as it was listed first."""
    sealed = parcel.sealed
    if sealed is None:
        return
    for key_id in (sealed.key.key.key_id, sealed.identity.key_id):
        for records in case.directories:
            record = records.members.get(parcel.header.member)
            revoked = None if record is None else record.revoked.get(key_id)
            if revoked is not None:
                yield revoked, records
                break


def _check_before(case: Case, parcel: ParcelCase, revoked: RevokedKeyView) -> None:
    """A date of revocation is the registry's word; a directory in force without it is stronger."""
    after = parcel.not_after_ms
    if after is not None and after < revoked.revoked_at_ms:
        return
    for records in case.directories:
        record = records.members.get(parcel.header.member)
        if after is None or record is None or revoked.key_id in record.revoked:
            continue
        if records.directory.last_issued_at_ms >= after:
            return
    shown = revoked.key_id.hex()[:16]
    raise refused(
        f"{parcel.title}: key {shown} was revoked on {moment(revoked.revoked_at_ms)}, and "
        + (
            "nothing shows that the parcel existed before"
            if after is None
            else f"the parcel is proven to have existed only by {moment(after)}"
        )
    )


def _newest(case: Case, parcel: ParcelCase) -> Records | None:
    """The newest directory that shows what it says of the parcel's member."""
    member = parcel.header.member
    known = [item for item in case.directories if item.directory.knows(member)]
    return known[-1] if known else None


def _bounds(parcels: list[ParcelCase]) -> tuple[str, ...]:
    """The widest bounds of all parcels; each one's own are among the facts."""
    befores = [item.not_before_ms for item in parcels if item.not_before_ms is not None]
    afters = [item.not_after_ms for item in parcels if item.not_after_ms is not None]
    return (
        *((f"not before {moment(min(befores))}",) if befores else ()),
        *((f"not after {moment(max(afters))}",) if afters else ()),
    )
