"""Makes archives of what is due, one after the other, and remembers each once it's safe.

    1  write    the range to a file of this machine, compressed, on the disk
    2  put      that file to the place, durably under its name
    3  read     back from the place, and judged as anyone would (`security.archive_check`)
    4  remember in the journal: only then may its parcels be dropped

A run that is killed before step 2 is done leaves nothing that anyone takes for an archive. After
it the next run finds the archive, judges it, and goes on with step 4: it goes on where it stopped.

Memory is constant. It asks no clock.

Source: docs/spec, "Archives".
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote

from node.journal.archive.files import SUFFIX, ArchiveFile, read_file, unpacked
from node.journal.archive.places import ArchivePlace
from node.journal.archive.store import Archived, ArchiveStore, Range
from runtime.files import make_private_folder
from security.archive import ArchivePrinter, Checkpoint, Directories, Parcel
from security.archive_check import ArchiveReport, Expected, Trust, check_archive
from security.errors import Code, SimpulError

# About 50 MB, as a rule; more where that many stand between two checkpoints.
MAX_PARCELS: Final = 65_536
INDEX_DIGITS: Final = 12

_NAME: Final = re.compile(r"([0-9]{12,19})-([0-9]{12,19})\.simpul\.zst")
_STAGED: Final = "archive.part"

# Told how many parcels are archived, of how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Run:
    """What one run is made with. `staging` is a folder here, with room for one archive."""

    store: ArchiveStore
    place: ArchivePlace
    staging: Path
    now_ms: Callable[[], int]
    max_parcels: int = MAX_PARCELS
    # Looked at before each archive.
    stopped: Callable[[], bool] = lambda: False
    # Shows who signed and cosigned these checkpoints; None: this node has nothing to show it by.
    directories: Callable[[Iterable[Checkpoint]], Directories | None] = lambda _: None


def archive_due(run: Run, before_ms: int, progress: Progress | None = None) -> tuple[Archived, ...]:
    """Archives all parcels that were recorded before this time and that a checkpoint covers.

    Returns:
        The new archives. What was made before an error stays, and is remembered.

    Raises:
        SimpulError: ARCHIVE_FAILED, where the place doesn't take it or gives back something else;
            JOURNAL_CORRUPT, where the journal itself isn't in order; those of the journal.
    """
    made: list[Archived] = []
    slots = run.store.slots()
    due = {item.slot: run.store.older_than(item.slot, before_ms) for item in slots}
    total = sum(max(0, due[item.slot] - max(item.archived, item.dropped)) for item in slots)
    done = 0
    for item in slots:
        while (
            not run.stopped()
            and (wanted := run.store.next_range(item.slot, due[item.slot], run.max_parcels))
            is not None
        ):
            made.append(_archive(run, wanted, progress, (done, total)))
            done += wanted.head.count
    if progress is not None:
        progress(total, total)
    return tuple(made)


def name_of(origin: str, first: int, end: int) -> str:
    """Returns the name under which an archive is kept, below its log's own folder."""
    parts = [quote(part, safe="~") if part.strip(".") else "%2E" for part in origin.split("/")]
    return f"{'/'.join(parts)}/{first:0{INDEX_DIGITS}}-{end:0{INDEX_DIGITS}}{SUFFIX}"


def first_of(name: str) -> int | None:
    """Returns the first leaf that an archive's name states; None for a name of another kind."""
    found = _NAME.fullmatch(name.rsplit("/", 1)[-1])
    return None if found is None else int(found[1])


def _archive(run: Run, wanted: Range, progress: Progress | None, at: tuple[int, int]) -> Archived:
    found = _left_behind(run, wanted)
    if found is not None:
        return found
    head = wanted.head
    name = name_of(head.origin, head.first, head.end)
    make_private_folder(run.staging)
    staged = run.staging / _STAGED
    try:
        size_bytes = _write(run, wanted, staged, progress, at)
        run.place.put(name, staged)
        report = _read_back(run, wanted, name, staged)
    finally:
        staged.unlink(missing_ok=True)
    return _remember(run, report, name, size_bytes)


def _write(
    run: Run, wanted: Range, staged: Path, progress: Progress | None, at: tuple[int, int]
) -> int:
    """Step 1."""
    printer = ArchivePrinter()
    done, total = at
    try:
        with ArchiveFile(staged) as file:
            file.write(printer.head(wanted.head))
            shown = run.directories(run.store.checkpoints_of(wanted))
            if shown is not None:
                file.write(printer.directories(shown))
            for content in run.store.contents(wanted):
                if isinstance(content, Checkpoint):
                    file.write(printer.checkpoint(content))
                    continue
                file.write(printer.parcel(content))
                done = _told(content, done, total, progress)
            file.write(printer.end())
            file.finish()
    except OSError as error:
        raise SimpulError(
            Code.ARCHIVE_FAILED,
            f"{staged} can't be written ({(error.strerror or 'unknown error').lower()}): make room "
            "for one archive there; nothing was dropped",
            path=str(staged),
        ) from error
    return file.size_bytes


def _told(_parcel: Parcel, done: int, total: int, progress: Progress | None) -> int:
    if progress is not None and done % 256 == 0:
        progress(done, max(total, done))
    return done + 1


def _read_back(run: Run, wanted: Range, name: str, staged: Path) -> ArchiveReport:
    """Step 3."""
    expected = Expected(wanted.head.origin, wanted.head.frontier, wanted.head.previous)
    try:
        return check_archive(unpacked(run.place.read(name)), expected=expected)
    except SimpulError as error:
        if error.code is not Code.ARCHIVE_INVALID:
            raise
        try:
            check_archive(unpacked(read_file(staged)), expected=expected)
        except SimpulError as own:
            raise SimpulError(
                Code.JOURNAL_CORRUPT,
                f"{run.store.place}: slot {wanted.head.slot} makes no archive that holds "
                f"({own.message}): run simpul journal verify; nothing was dropped",
                path=str(run.store.place),
            ) from error
        raise SimpulError(
            Code.ARCHIVE_FAILED,
            f"{run.place} gave back another archive than it was given, {name}: look at its disk; "
            "nothing was dropped",
            place=str(run.place),
        ) from error


def _remember(run: Run, report: ArchiveReport, name: str, size_bytes: int) -> Archived:
    """Step 4."""
    head = report.head
    item = Archived(
        head.slot,
        head.first,
        head.end,
        report.digest,
        str(run.place),
        name,
        size_bytes,
        report.first_at_ms,
        report.last_at_ms,
        run.now_ms(),
    )
    run.store.remember(item)
    return item


def _left_behind(run: Run, wanted: Range) -> Archived | None:
    """An archive that an earlier run put and didn't live to remember.

    Raises:
        SimpulError: CONFLICT, where there is one of this log and place that isn't this journal's.
    """
    head = wanted.head
    folder = name_of(head.origin, head.first, head.end).rsplit("/", 1)[0]
    for name in run.place.names(folder):
        if first_of(name) != head.first:
            continue
        expected = Expected(head.origin, head.frontier, head.previous)
        try:
            size_bytes = 0
            for piece in run.place.read(name):
                size_bytes += len(piece)
            report = check_archive(unpacked(run.place.read(name)), Trust(), expected)
            is_ours = report.tree == run.store.root_at(head.slot, report.head.end)
        except SimpulError as error:
            if error.code is Code.ARCHIVE_FAILED:
                raise
            is_ours = False
        if not is_ours:
            raise SimpulError(
                Code.CONFLICT,
                f"{run.place} has {name}, and that isn't what this journal holds from leaf "
                f"{head.first} on: move it away, or give another place",
                place=str(run.place),
            )
        return _remember(run, report, name, size_bytes)
    return None
