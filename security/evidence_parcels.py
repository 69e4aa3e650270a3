"""Evidence, steps 2 to 7: from the root metadata that is given to who sealed what.

    2  roots        3  directories        4  records
    5  headers      6  entries            7  seals

Source: docs/spec, "Evidence: steps".
"""

from datetime import UTC, datetime
from typing import Final

from security import merkle
from security.entry_format import parse_entry
from security.errors import SimpulError
from security.evidence_case import Case, EntryCase, ParcelCase, SealedBy
from security.evidence_directory import DirectoryVerifier, read_records, verify_roots
from security.evidence_report import Outcome, proven, refused
from security.parcel import header_hash, parse_header
from security.seal import parse_seal, verify_seal
from security.statement import MAX_TIME_MS

_MS_PER_S: Final = 1000


def roots(case: Case) -> Outcome:
    """2. The root given leads to the roots in the file."""
    trusted = verify_roots(case.root, case.evidence.roots)
    case.trusted_roots = trusted
    newest = max(trusted)
    first = min(trusted)
    return proven(f"from root {first}" + ("" if newest == first else f" to root {newest}"))


def directories(case: Case) -> Outcome:
    """3. Each directory is the registry's, role by role; nothing else is in the file."""
    verifier = DirectoryVerifier(case.trusted_roots, case.evidence.files)
    if len(case.evidence.directories) == 0:
        raise refused("it holds no directory: nothing says whose the keys are")
    found = [verifier.verify(shown) for shown in case.evidence.directories]
    verifier.check_nothing_left()
    found.sort(key=lambda item: item.version)
    versions = [item.version for item in found]
    if len(set(versions)) != len(versions):
        raise refused("two directories have one version: the registry showed different ones")
    case.verified = tuple(found)
    return proven(
        *(
            f"directory {item.version} ({item.hash.hex()[:16]}), issued {moment(item.issued_at_ms)}"
            for item in found
        )
    )


def records(case: Case) -> Outcome:
    """4. Policy and members are of this federation; statements are signed by their own keys."""
    federation = case.evidence.federation
    case.directories = tuple(read_records(item, federation) for item in case.verified)
    newest = case.directories[-1]
    return proven(
        *(
            f"{record.id}: {record.legal_name}, {record.state.name.lower()}"
            + (
                ""
                if record.statement is None
                else f", identity key {record.statement.identity_key.key_id.hex()[:16]}"
            )
            for record in newest.members.values()
        )
    )


def headers(case: Case) -> Outcome:
    """5. Each header is well-formed and of this federation."""
    by_hash = {item.directory.hash: item for item in case.directories}
    for shown in case.evidence.parcels:
        header = parse_header(shown.header)
        if header.federation != case.evidence.federation:
            raise refused(f"a header is of federation {header.federation}")
        case.parcels.append(
            ParcelCase(shown, shown.hash, header, named=by_hash.get(header.directory_hash))
        )
    known = {parcel.hash for parcel in case.parcels}
    for data in case.evidence.chain:
        hashed = header_hash(data)
        if hashed in known:
            raise refused("a header stands both in a parcel and in the chain")
        case.chain[hashed] = parse_header(data)
    if not case.parcels:
        raise refused("it holds no parcel")
    return proven(f"{len(case.parcels)} parcels, {len(case.chain)} headers between them")


def entries(case: Case) -> Outcome:
    """6. Each entry stands in its parcel at its index; the call's are all on one link."""
    for parcel in case.parcels:
        for shown in parcel.shown.entries:
            merkle.verify_inclusion(
                merkle.leaf_hash(shown.entry),
                shown.index,
                parcel.header.entry_count,
                shown.path,
                parcel.header.entries_root,
            )
            parsed = parse_entry(shown.entry)
            if parsed.call_id == case.evidence.call_id:
                parcel.entries.append(EntryCase(shown, parsed))
            elif parsed.call_id == case.evidence.offer_call_id:
                parcel.offers.append(EntryCase(shown, parsed))
            elif parsed.call_id == case.evidence.decide_call_id:
                parcel.decisions.append(EntryCase(shown, parsed))
            else:
                raise refused(f"an entry is of call {parsed.call_id.hex()}")
    if len(case.call_parcels) == 0:
        raise refused("it holds no entry of the call")
    if len({parcel.header.link_id for parcel in case.call_parcels}) != 1:
        raise refused("the call's entries are of several links")
    count = sum(len(parcel.entries) for parcel in case.parcels)
    return proven(f"{count} entries of the call in {len(case.call_parcels)} parcels")


def seals(case: Case) -> Outcome:
    """7. Each parcel was sealed with a key that its member's statement lists for one node."""
    for parcel in case.parcels:
        parcel.sealed = _sealed(case, parcel)
        try:
            verify_seal(parse_seal(parcel.shown.seal), parcel.hash, parcel.sealed.key.key)
        except SimpulError as error:
            raise refused(f"{parcel.title}: {error.message}") from None
    warnings = tuple(
        dict.fromkeys(
            f"{item.sealed.record.id} was {item.sealed.record.state.name.lower()} by directory "
            f"{item.sealed.records.directory.version}"
            for item in case.parcels
            if item.sealed is not None and item.sealed.record.state.name != "ACTIVE"
        )
    )
    return proven(
        *dict.fromkeys(
            f"{item.header.member} sealed with key {item.header.seal_key_id.hex()[:16]} on "
            f"{item.sender}, for {item.header.node}"
            for item in case.parcels
        ),
        warnings=warnings,
    )


def moment(at_ms: int) -> str:
    """A time for findings: UTC, in whole seconds."""
    if not 0 <= at_ms <= MAX_TIME_MS:
        return f"{at_ms} ms"
    return datetime.fromtimestamp(at_ms // _MS_PER_S, tz=UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _sealed(case: Case, parcel: ParcelCase) -> SealedBy:
    header = parcel.header
    for item in case.directories_for(parcel):
        record = item.members.get(header.member)
        statement = None if record is None else record.statement
        if record is None or statement is None:
            continue
        for key in statement.seal_keys:
            if key.key.key_id != header.seal_key_id:
                continue
            if not key.valid_from_ms <= header.sealed_at_ms < key.valid_until_ms:
                raise refused(f"{parcel.title}: its key wasn't valid when it says it was sealed")
            return SealedBy(item, record, key, statement.identity_key)
    raise refused(
        f"{parcel.title}: no directory in the file lists key {header.seal_key_id.hex()[:16]} of "
        f"{header.member}"
    )
