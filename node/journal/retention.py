"""Keeps a journal small: archives what is due, drops what is old enough, gives the disk back.

    1 archive   what was recorded before `archive_after` and is covered by a checkpoint
    2 content   payloads and private blocks of what is older than `retention`; and of calls that
                this node made, when the agreement's `consumer_retention_days` are over
    3 parcels   older than `retention`, and archived; or not archived, where that is wanted
    4 notes     calls that never had a parcel, older than `retention`
    5 salts     older than `salts`, of what was archived
    6 disk      what became free goes back to the system

Each is done in steps of some milliseconds with a rest after each: appends are never held up long.
What goes wrong in 1 keeps nothing else from being done: what isn't archived isn't dropped.

Rules: nothing that is younger than a day is dropped, because its link and its calls may go on.
Nothing is dropped that no checkpoint covers.

Source: docs/explanation, "The journal: keeping it small".
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from time import monotonic
from typing import Final

from node.journal.archive.dropping import LIVE_MS, Dropper, Mark
from node.journal.archive.run import Progress, Run, archive_due
from node.journal.archive.store import Archived, ArchiveStore, SlotState
from security.errors import SimpulError

# After a step three times as long as it took goes to others, and at least this.
REST_PARTS: Final = 3
LEAST_REST_S: Final = 0.002
# As often SQLite's log is written back meanwhile.
WRITE_BACK_STEPS: Final = 64


@dataclass(frozen=True, slots=True)
class Rules:
    """How long what is kept; None: for good. Milliseconds."""

    archive_after_ms: int | None = None
    retention_ms: int | None = None
    salts_ms: int | None = None
    # By agreement: how long the consumer may keep what it was answered.
    consumed_ms: Mapping[bytes, int] = field(default_factory=dict)
    # Whether what isn't archived is dropped too; heard only where nothing is archived at all, so
    # that a place that fails costs nothing.
    drop_unarchived: bool = False


@dataclass(slots=True)
class Done:
    """What one round did."""

    archived: list[Archived] = field(default_factory=list)
    dropped: int = 0
    notes: int = 0
    salts: int = 0
    # Why archives couldn't be made, if so.
    failure: SimpulError | None = None


class Retention:
    """See the module's text. For one thread; `rest` sleeps, and says whether to stop."""

    def __init__(
        self,
        rules: Rules,
        store: ArchiveStore,
        dropper: Dropper,
        run: Run | None,
        rest: Callable[[float], bool],
        marks: dict[int, Mark] | None = None,
    ) -> None:
        """`run` says where archives go; None: there are none.

        `marks` remembers between rounds, by terms, whose content was looked at already.
        """
        self._rules = rules
        self._store = store
        self._dropper = dropper
        self._run = run
        self._rest = rest
        self._marks = {} if marks is None else marks
        self._steps = 0
        self._stopped = False

    def round(self, now_ms: int, progress: Progress | None = None) -> Done:
        """Does all that is due.

        Raises:
            SimpulError: those of the journal. What was done before stays done.
        """
        done = Done()
        self.archive(now_ms, done, progress)
        self.drop(now_ms, done)
        return done

    def archive(self, now_ms: int, done: Done, progress: Progress | None = None) -> None:
        """Step 1."""
        after_ms = self._rules.archive_after_ms
        if self._run is None or after_ms is None:
            return
        try:
            done.archived += archive_due(self._run, now_ms - after_ms, progress)
        except SimpulError as error:
            done.failure = error

    def drop(self, now_ms: int, done: Done, progress: Progress | None = None) -> None:
        """Steps 2 to 6."""
        for agreement, period_ms in self._rules.consumed_ms.items():
            self._drop_consumed(agreement, now_ms - max(period_ms, LIVE_MS))
        retention_ms = self._rules.retention_ms
        if retention_ms is not None:
            before_ms = now_ms - max(retention_ms, LIVE_MS)
            self._drop_parcels(before_ms, done, progress)
            done.notes += self._all(lambda: self._dropper.drop_notes(before_ms))
        if self._rules.salts_ms is not None:
            self._drop_salts(now_ms - max(self._rules.salts_ms, LIVE_MS), done)
        self._all(self._dropper.free_some)
        self._dropper.write_back()

    def _drop_consumed(self, agreement: bytes, before_ms: int) -> None:
        for terms in self._dropper.terms_of(agreement):
            self._all(partial(self._drop_consumed_some, terms, before_ms))

    def _drop_consumed_some(self, terms: int, before_ms: int) -> int:
        mark = self._dropper.drop_consumed(terms, self._marks.get(terms, (0, 0)), before_ms)
        if mark is None:
            return 0
        self._marks[terms] = mark
        return 1

    def _drop_parcels(self, before_ms: int, done: Done, progress: Progress | None) -> None:
        # Without archives nobody could prove anything by the salts.
        salts = self._drops_unarchived
        slots = self._store.slots()
        due = {item.slot: self._due(item, before_ms) for item in slots}
        total = sum(max(0, due[item.slot] - item.dropped) for item in slots)
        for item in slots:
            slot, upto = item.slot, due[item.slot]
            old = self._store.older_than(slot, before_ms)
            self._all(partial(self._dropper.drop_content, slot, old))
            step = partial(self._dropper.drop_some, slot, upto, before_ms, salts=salts)
            done.dropped += self._all(step, (done.dropped, total), progress)

    def _due(self, item: SlotState, before_ms: int) -> int:
        """How many of a slot's first parcels may go."""
        old = self._store.older_than(item.slot, before_ms)
        if not self._drops_unarchived:
            return min(old, item.archived)
        newest = self._store.checkpoints.newest(item.slot)
        return min(old, 0 if newest is None else newest.size)

    @property
    def _drops_unarchived(self) -> bool:
        return self._rules.drop_unarchived and self._run is None

    def _drop_salts(self, before_ms: int, done: Done) -> None:
        for item in self._store.archived():
            if item.last_at_ms < before_ms:
                step = partial(self._dropper.drop_salts, item.slot, item.first, item.end)
                done.salts += self._all(step)

    def _all(
        self,
        work: Callable[[], int],
        at: tuple[int, int] = (0, 0),
        progress: Progress | None = None,
    ) -> int:
        """Does a step until it finds no more, or it's time to stop; returns how much was done."""
        total = 0
        while not self._stopped:
            began = monotonic()
            count = work()
            total += count
            if count == 0:
                break
            self._steps += 1
            if self._steps % WRITE_BACK_STEPS == 0:
                self._dropper.write_back()
            if progress is not None:
                progress(at[0] + total, at[1])
            self._stopped = self._rest(max(LEAST_REST_S, (monotonic() - began) * REST_PARTS))
        return total
