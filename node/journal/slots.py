"""Who may append to a slot: the lease's rules, and the lock that tells whether its holder lives.

A lease is a row: holder, fencing number, and until when. Time alone decides between machines. On
one machine a lock that the system drops with its process says at once that a holder is dead, so a
worker that was killed is replaced without waiting for its lease to run out. The lock never decides
that a slot is safe to write to: that is the fencing number's part, checked by every transaction.

    lease given back or run out   -> free
    its holder's process is dead  -> free (only where a lock can tell)
    otherwise                     -> JOURNAL_LOCKED, naming the holder

Source: docs/spec, "Journal: slots".
"""

import errno
import fcntl
import os
from pathlib import Path

from runtime.files import PRIVATE_MODE
from security.errors import Code, SimpulError


def require_free(slot: int, holder: str, lease_until_ms: int, now_ms: int) -> None:
    """Checks that a slot whose holder may be alive can be taken now.

    Raises:
        SimpulError: JOURNAL_LOCKED.
    """
    if now_ms < lease_until_ms:
        raise held_by(slot, holder)


def held_by(slot: int, holder: str) -> SimpulError:
    """Returns the error that says who holds a slot."""
    return SimpulError(
        Code.JOURNAL_LOCKED,
        f"slot {slot} of the journal is held by {holder}: stop it, or wait for its lease to end",
        slot=str(slot),
        holder=holder,
    )


class SlotLock:
    """The lock of one holding of a slot: a file beside the database, named by fencing number.

    Each holding has its own, so that the end of one long overtaken says nothing about the next.
    """

    def __init__(self, database: Path, slot: int, fencing: int) -> None:
        self._path = database.with_name(f"{database.name}.slot-{slot}.{fencing}.lock")
        self._handle: int | None = None

    def is_free(self) -> bool:
        """Whether no living process holds it."""
        try:
            handle = os.open(self._path, os.O_RDWR | os.O_CLOEXEC)
        except FileNotFoundError:
            return True
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in {errno.EAGAIN, errno.EACCES}:
                return False
            raise
        finally:
            os.close(handle)
        return True

    def hold(self) -> None:
        """Takes the lock until `let_go`, or until the process ends, however it does.

        Raises:
            OSError: as it comes; also where a living process holds it.
        """
        handle = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            raise
        self._handle = handle

    def let_go(self) -> None:
        """Drops the lock and its file."""
        if self._handle is not None:
            self.remove()
            os.close(self._handle)
            self._handle = None

    def remove(self) -> None:
        """Removes the file; a holding that was overtaken leaves it behind."""
        self._path.unlink(missing_ok=True)
