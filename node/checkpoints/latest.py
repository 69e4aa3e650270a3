"""The newest checkpoint of each slot, in a file of its own: outside the journal's database.

    HOME/checkpoints/slot-N          the signed checkpoint
    HOME/checkpoints/stamps-failing  since when no authority has stamped, in ms; absent: they do

Compare and swap: a newer checkpoint takes the place of exactly the one that was looked at, and
never of a larger one. When `swap` returns it's on the disk; only then may the signature leave.

What its thief can do: nothing with what is here. Whoever takes it away together with a part of the
journal is found out by the witnesses.

One program at a time (the home's lock), one thread at a time.
"""

from pathlib import Path
from typing import Final

from runtime.files import make_private_folder, sync_folder, write_private
from security.checkpoint import SignedCheckpoint, parse_checkpoint
from security.errors import Code, SimpulError

_FAILING: Final = "stamps-failing"


class LatestStore:
    """See the module's text."""

    def __init__(self, folder: Path) -> None:
        """`folder` is made where it's missing.

        Raises:
            SimpulError: JOURNAL_FAILED.
        """
        self._folder = folder
        try:
            make_private_folder(folder)
        except OSError as error:
            raise self._failed(error) from error

    def load(self, slot: int) -> SignedCheckpoint | None:
        """Returns the slot's newest checkpoint, or None before the first.

        Raises:
            SimpulError: JOURNAL_FAILED, where it can't be read or is none.
        """
        data = self._read(self._file(slot))
        if data is None:
            return None
        try:
            return parse_checkpoint(data)
        except SimpulError as error:
            raise SimpulError(
                Code.JOURNAL_FAILED,
                f"{self._file(slot)} is no checkpoint: put it back from the newest backup; without "
                "it, take it away, and the witnesses say what was signed",
            ) from error

    def swap(self, slot: int, old: SignedCheckpoint | None, new: SignedCheckpoint) -> None:
        """Puts `new` in the place of `old`, durably.

        Raises:
            SimpulError: CONFLICT: it isn't `old` that is there, or `new` is no larger.
                JOURNAL_FAILED.
        """
        there = self.load(slot)
        if there != old or (old is not None and new.checkpoint.size <= old.checkpoint.size):
            raise SimpulError(
                Code.CONFLICT, f"slot {slot} has another newest checkpoint; look at it again"
            )
        self._write(self._file(slot), new.note.to_bytes())

    def stamps_failing_since(self) -> int | None:
        """Returns since when no authority has stamped, in ms; None while they do.

        Raises:
            SimpulError: JOURNAL_FAILED.
        """
        data = self._read(self._folder / _FAILING)
        try:
            return None if data is None else int(data)
        except ValueError as error:
            raise SimpulError(
                Code.JOURNAL_FAILED, f"{self._folder / _FAILING} holds no time: take it away"
            ) from error

    def set_stamps_failing(self, since_ms: int | None) -> None:
        """Keeps since when no authority has stamped; None: they do.

        Raises:
            SimpulError: JOURNAL_FAILED.
        """
        file = self._folder / _FAILING
        if since_ms is not None:
            self._write(file, b"%d\n" % since_ms)
            return
        try:
            file.unlink(missing_ok=True)
            sync_folder(self._folder)
        except OSError as error:
            raise self._failed(error) from error

    def _file(self, slot: int) -> Path:
        return self._folder / f"slot-{slot}"

    def _read(self, file: Path) -> bytes | None:
        try:
            return file.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise self._failed(error) from error

    def _write(self, file: Path, data: bytes) -> None:
        try:
            write_private(file, data)
        except OSError as error:
            raise self._failed(error) from error

    def _failed(self, error: OSError) -> SimpulError:
        reason = (error.strerror or "unknown error").lower()
        return SimpulError(
            Code.JOURNAL_FAILED,
            f"{self._folder} can't be used ({reason}): mend that; nothing is signed meanwhile",
        )
