"""What may follow what: the checks that python-tuf leaves to its user. Pure.

python-tuf protects against older metadata as long as the files beside it are whole. These floors
are kept elsewhere, so a damaged or emptied folder forgets nothing. Rules, each a numbered check of
`check_floors`; the clock is judged by `check_clock`.

Source: TUF specification 1.0, sections 5.3 to 5.6; wire standard, "Directory".
"""

from node.directory.floors import Floors
from security.errors import Code, SimpulError

# How far this machine's clock may be behind the registry's.
MAX_CLOCK_LAG_MS = 60_000


def check_floors(old: Floors | None, new: Floors) -> None:
    """Passes where `new` may follow `old`.

    Raises:
        SimpulError: DIRECTORY_ROLLBACK, when it is older in any part; DIRECTORY_SPLIT, when it is
            another state under the same number.
    """
    if old is None:
        return
    # 1. Root never goes back, whatever the keys.
    _check_version("root", old.versions["root"], new.versions["root"])
    # 2. A root that was verified and renewed both online keys starts all other counts anew: that is
    #    how a federation recovers from stolen keys that had counted far ahead.
    if begins_anew(old, new):
        return
    # 3. No role goes back, and none disappears.
    for role, version in sorted(old.versions.items()):
        _check_version(role, version, new.versions.get(role))
    # 4. Nor does the time of issue.
    if new.issued_at_ms < old.issued_at_ms:
        raise SimpulError(
            Code.DIRECTORY_ROLLBACK,
            f"this directory was issued {old.issued_at_ms - new.issued_at_ms} ms before the one "
            "that is held: the last good copy stays in use; tell the registry's operator",
        )
    # 5. One number, one content.
    check_same(old.snapshot_version, old.snapshot_hash, new.snapshot_version, new.snapshot_hash)


def begins_anew(old: Floors, new: Floors) -> bool:
    """Whether a verified root replaced the keys of both timestamp and snapshot."""
    return old.timestamp_keys != new.timestamp_keys and old.snapshot_keys != new.snapshot_keys


def check_same(version: int, snapshot_hash: bytes, other_version: int, other_hash: bytes) -> None:
    """Passes where two directories have different numbers, or are the same.

    Also for what a peer names in its greeting or header.

    Raises:
        SimpulError: DIRECTORY_SPLIT.
    """
    if version == other_version and snapshot_hash != other_hash:
        raise SimpulError(
            Code.DIRECTORY_SPLIT,
            f"two different directories bear the version {version}: somebody shows different nodes "
            "different directories; compare with the registry's operator by voice",
            version=str(version),
            mine=snapshot_hash.hex(),
            other=other_hash.hex(),
        )


def check_clock(issued_at_ms: int, now_ms: int) -> None:
    """Passes where the directory was not issued in this machine's future.

    A clock that is behind would take what expired for valid.

    Raises:
        SimpulError: DIRECTORY_UNTRUSTED.
    """
    lag_ms = issued_at_ms - now_ms
    if lag_ms > MAX_CLOCK_LAG_MS:
        raise SimpulError(
            Code.DIRECTORY_UNTRUSTED,
            f"this machine's clock is at least {lag_ms // 1000} s behind the directory's: set it "
            "right, because expiry can't be judged by it",
            lag_ms=str(lag_ms),
        )


def check_record_number(path: str, old: int, new: int) -> None:
    """Passes where a member's changed record has a higher number than the one before.

    Raises:
        SimpulError: DIRECTORY_ROLLBACK: old content under a new version of its role.
    """
    if new <= old:
        raise SimpulError(
            Code.DIRECTORY_ROLLBACK,
            f"{path} went from record {old} to another record {new}: the last good copy stays in "
            "use; tell the registry's operator",
            path=path,
        )


def _check_version(role: str, old: int, new: int | None) -> None:
    if new is None or new < old:
        shown = "nothing" if new is None else f"version {new}"
        raise SimpulError(
            Code.DIRECTORY_ROLLBACK,
            f"{role} went back from version {old} to {shown}: the last good copy stays in use; "
            "tell the registry's operator",
            role=role,
        )
