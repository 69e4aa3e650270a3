"""Rounds of retention: what is due, in which order, and what a fault keeps from being done."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

from node.home import NodeHome
from node.journal.archive.dropping import LIVE_MS, Dropper
from node.journal.archive.places import FolderPlace
from node.journal.archive.run import Run
from node.journal.archive.store import ArchiveStore, SlotState
from node.journal.kept.tables import KEPT_KEYS, KEPT_PARTS, PERSONS
from node.journal.model import CallNote, ParcelRecord
from node.journal.period import parse_period
from node.journal.place import Place
from node.journal.retention import Done, Retention, Rules
from node.journal.store import Append
from node.journal.tables import CALLS, SALTS
from node.journal.upkeep import Settings, Upkeep
from node.journal.verify import verify
from node.journal.watch import JournalMetrics
from security.errors import Code, SimpulError
from tests.unit.node.journal.archive.support import DAY_MS, Written
from tests.unit.node.journal.archive.test_dropping import count
from tests.unit.node.journal.builder import (
    AGREEMENT,
    CONSUMER,
    NOW_MS,
    PROVIDER,
    SERVICE,
    Link,
    call_id,
    unary_call,
)
from tests.unit.node.journal.kept.support import answer, kept_call, open_store, question
from tests.unit.node.journal.support import open_place

YEAR_MS = 365 * DAY_MS


@pytest.fixture
def written(place: Place) -> Written:
    """Ten days, a call on each, cosigned each day."""
    journal, link = Written(place), Link()
    for day in range(10):
        journal.add(unary_call(link, day), at_ms=NOW_MS + day * DAY_MS)
    return journal


@contextmanager
def retention(
    place: Place, rules: Rules, archives: FolderPlace | None, staging: Path, steps: int = 10_000
) -> Iterator[Retention]:
    left = [steps]

    def rest(seconds: float) -> bool:
        assert seconds > 0
        left[0] -= 1
        return left[0] <= 0

    with closing(ArchiveStore.open(place)) as store, closing(Dropper(place)) as dropper:
        run = None
        if archives is not None:
            run = Run(store, archives, staging, lambda: NOW_MS)
        yield Retention(rules, store, dropper, run, rest)


def state(place: Place) -> SlotState:
    with closing(ArchiveStore.open(place)) as store:
        return store.slots()[0]


def test_what_is_archived_and_old_is_dropped(written: Written, tmp_path: Path) -> None:
    rules = Rules(archive_after_ms=2 * DAY_MS, retention_ms=5 * DAY_MS)
    archives = FolderPlace(tmp_path / "archives")
    with retention(written.place, rules, archives, tmp_path) as work:
        done = work.round(NOW_MS + 9 * DAY_MS)
    assert (done.failure, done.dropped) == (None, 8)
    assert state(written.place) == SlotState(0, 20, archived=14, dropped=8)
    report = verify(written.place)
    assert (report.problems, report.parcels, report.dropped) == ((), 12, 8)
    # Again at the same time, nothing is left to do.
    with retention(written.place, rules, archives, tmp_path) as work:
        assert work.round(NOW_MS + 9 * DAY_MS) == Done()


def test_without_archives_nothing_is_dropped_unless_it_is_wanted(
    written: Written, tmp_path: Path
) -> None:
    now_ms = NOW_MS + YEAR_MS
    with retention(written.place, Rules(retention_ms=DAY_MS), None, tmp_path) as work:
        assert work.round(now_ms).dropped == 0
    rules = Rules(retention_ms=DAY_MS, drop_unarchived=True)
    with retention(written.place, rules, None, tmp_path) as work:
        assert work.round(now_ms).dropped == 20
    assert count(written.place, SALTS) == 0
    assert verify(written.place).ok


def test_what_no_checkpoint_covers_is_never_dropped(place: Place, tmp_path: Path) -> None:
    journal, link = Written(place), Link()
    journal.add(unary_call(link, 1))
    store = open_place(place)
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
    store.append(lease, head, [Append(tuple(unary_call(link, 2)))], now_ms=NOW_MS)
    store.release(lease)
    store.close()
    rules = Rules(retention_ms=DAY_MS, drop_unarchived=True)
    with retention(place, rules, None, tmp_path) as work:
        assert work.round(NOW_MS + YEAR_MS).dropped == 2
    assert state(place).dropped == 2


class Broken(FolderPlace):
    """A place that takes nothing."""

    def put(self, name: str, staged: Path) -> None:
        raise SimpulError(Code.ARCHIVE_FAILED, "the place is gone")


def test_a_place_that_fails_costs_nothing(written: Written, tmp_path: Path) -> None:
    rules = Rules(archive_after_ms=0, retention_ms=DAY_MS, drop_unarchived=True)
    with retention(written.place, rules, Broken(tmp_path / "a"), tmp_path) as work:
        done = work.round(NOW_MS + YEAR_MS)
    assert done.failure is not None
    assert done.failure.code is Code.ARCHIVE_FAILED
    assert done.dropped == 0
    assert state(written.place) == SlotState(0, 20, archived=0, dropped=0)


def test_nothing_younger_than_a_day_is_dropped(written: Written, tmp_path: Path) -> None:
    rules = Rules(archive_after_ms=0, retention_ms=1)
    with retention(written.place, rules, FolderPlace(tmp_path / "a"), tmp_path) as work:
        done = work.round(NOW_MS + 9 * DAY_MS + DAY_MS // 2)
    assert LIVE_MS == DAY_MS
    assert done.dropped == 18


def test_notes_of_calls_without_a_parcel_go_by_their_age(place: Place, tmp_path: Path) -> None:
    Written(place).add(unary_call(Link(), 1))
    store = open_place(place)
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
    notes = [
        CallNote(
            call_id(number), CONSUMER, PROVIDER, SERVICE, "Get", None, None, 7,
            "ACCESS_NO_AGREEMENT", NOW_MS + number * DAY_MS,
        )
        for number in range(2, 6)
    ]  # fmt: skip
    store.append(lease, head, [Append(notes=tuple(notes))], now_ms=NOW_MS)
    store.release(lease)
    store.close()
    with retention(place, Rules(retention_ms=DAY_MS), None, tmp_path) as work:
        assert work.round(NOW_MS + 5 * DAY_MS).notes == 2
    assert count(place, CALLS) == 3
    assert verify(place).ok


def test_salts_of_what_was_archived_go_after_a_time_of_their_own(
    written: Written, tmp_path: Path
) -> None:
    archives = FolderPlace(tmp_path / "archives")
    rules = Rules(archive_after_ms=DAY_MS, retention_ms=5 * DAY_MS, salts_ms=YEAR_MS)
    for at_ms, left in ((NOW_MS + 9 * DAY_MS, 20), (NOW_MS + 300 * DAY_MS, 20)):
        with retention(written.place, rules, archives, tmp_path) as work:
            assert work.round(at_ms).salts == 0
        assert count(written.place, SALTS) == left
    with retention(written.place, rules, archives, tmp_path) as work:
        assert work.round(NOW_MS + 9 * DAY_MS + YEAR_MS).salts == 16
    # Those of the second archive: its last parcel is as old, and no older.
    assert count(written.place, SALTS) == 4


def test_it_stops_after_any_step_and_goes_on_later(written: Written, tmp_path: Path) -> None:
    archives = FolderPlace(tmp_path / "archives")
    rules = Rules(archive_after_ms=0, retention_ms=DAY_MS)
    dropped = 0
    for _ in range(20):
        with retention(written.place, rules, archives, tmp_path, steps=1) as work:
            dropped += work.round(NOW_MS + YEAR_MS).dropped
        assert verify(written.place).ok
    assert dropped == 20


def keep_at(place: Place, records: list[ParcelRecord], at_ms: int) -> None:
    store = open_store(place)
    lease, head = store.take(0, "test", now_ms=at_ms, lease_ms=10_000)
    assert store.append(lease, head, [Append(tuple(records))], now_ms=at_ms).refused == {}
    store.release(lease)
    store.close()


@pytest.fixture
def kept(place: Place) -> Place:
    """Kept contents: a call made here on each of three days, and one answered here on the first."""
    link = Link()
    answered = [
        replace(link.received(question(9)), kept=(0,)),
        replace(link.sent(answer(9)), kept=(0,)),
    ]
    keep_at(place, answered, NOW_MS)
    for day in range(3):
        keep_at(place, kept_call(link, day), NOW_MS + day * DAY_MS)
    assert (count(place, KEPT_KEYS), count(place, KEPT_PARTS)) == (8, 16)
    return place


def test_content_goes_by_its_age_whether_or_not_anything_is_archived(
    kept: Place, tmp_path: Path
) -> None:
    with retention(kept, Rules(retention_ms=DAY_MS), None, tmp_path) as work:
        assert work.round(NOW_MS + 2 * DAY_MS).dropped == 0
    assert (count(kept, KEPT_KEYS), count(kept, KEPT_PARTS)) == (4, 8)
    assert count(kept, SALTS) == 8
    assert verify(kept).ok


def test_a_consumer_keeps_content_for_as_long_as_the_agreement_says(
    kept: Place, tmp_path: Path
) -> None:
    rules = Rules(consumed_ms={AGREEMENT: 2 * DAY_MS, b"another": 0})
    with retention(kept, rules, None, tmp_path) as work:
        work.round(NOW_MS + 3 * DAY_MS)
    # What was answered here is the provider's own.
    assert count(kept, KEPT_KEYS) == 6
    with retention(kept, rules, None, tmp_path) as work:
        work.round(NOW_MS + YEAR_MS)
    assert (count(kept, KEPT_KEYS), count(kept, KEPT_PARTS)) == (2, 4)
    assert verify(kept).ok


def test_content_of_calls_that_were_looked_at_is_not_looked_at_again(
    kept: Place, tmp_path: Path
) -> None:
    rules = Rules(consumed_ms={AGREEMENT: DAY_MS})
    marks: dict[int, tuple[int, int]] = {}
    with closing(ArchiveStore.open(kept)) as store, closing(Dropper(kept)) as dropper:
        for at_ms in (NOW_MS + DAY_MS + 1, NOW_MS + YEAR_MS):
            Retention(rules, store, dropper, None, lambda _: False, marks).round(at_ms)
            (mark,) = marks.values()
            if at_ms < NOW_MS + 2 * DAY_MS:
                assert mark[0] == NOW_MS
    assert mark[0] == NOW_MS + 2 * DAY_MS
    assert count(kept, KEPT_KEYS) == 2


def test_dropped_parcels_take_their_content_and_persons_with_them(
    kept: Place, tmp_path: Path
) -> None:
    with closing(Dropper(kept)) as dropper:
        assert dropper.drop_some(0, 4, NOW_MS + YEAR_MS) == 4
    assert (count(kept, KEPT_KEYS), count(kept, PERSONS), count(kept, CALLS)) == (4, 2, 2)


class TestUpkeep:
    def settings(self, path: Path, tmp_path: Path, rules: Rules) -> Settings:
        return Settings(
            path,
            str(tmp_path / "archives"),
            tmp_path / "staging",
            rules,
            0.01,
            NodeHome(path.parent),
        )

    def test_a_round_shows_how_the_journal_stands(self, path: Path, tmp_path: Path) -> None:
        journal, link = Written(path), Link()
        for day in range(4):
            journal.add(unary_call(link, day), at_ms=NOW_MS + day * DAY_MS, cosigned=day < 3)
        registry = CollectorRegistry()
        settings = self.settings(path, tmp_path, Rules(0, retention_ms=2 * DAY_MS))
        upkeep = Upkeep(settings, JournalMetrics(registry), lambda: NOW_MS + 4 * DAY_MS)
        done = upkeep.round()
        assert done.dropped == 4

        def value(name: str, **labels: str) -> float | None:
            return registry.get_sample_value(name, labels)

        assert value("simpul_journal_parcels", slot="0") == 4
        assert value("simpul_journal_archived_parcels", slot="0") == 6
        # The last call isn't covered: it has been due since it was recorded.
        assert value("simpul_journal_archive_lag_seconds") == DAY_MS / 1000
        assert value("simpul_journal_dropped_parcels_total") == 4
        assert (value("simpul_journal_bytes") or 0) > 4096

    def test_its_thread_does_rounds_until_it_is_stopped(self, path: Path, tmp_path: Path) -> None:
        Written(path).add(unary_call(Link(), 1))
        settings = self.settings(path, tmp_path, Rules(0))
        registry = CollectorRegistry()
        upkeep = Upkeep(settings, JournalMetrics(registry), lambda: NOW_MS + DAY_MS)
        upkeep.start()
        try:
            while state(path).archived < 2:
                pass
        finally:
            upkeep.stop()

    def test_a_place_that_cannot_be_is_told_and_the_thread_goes_on(
        self, path: Path, tmp_path: Path
    ) -> None:
        Written(path).add(unary_call(Link(), 1))
        registry = CollectorRegistry()
        settings = Settings(
            path, "http://nowhere", tmp_path, Rules(archive_after_ms=0), 0.01, NodeHome(tmp_path)
        )
        upkeep = Upkeep(settings, JournalMetrics(registry), lambda: NOW_MS + DAY_MS)
        upkeep.start()
        name, labels = "simpul_journal_archive_failures_total", {"code": "CONFIG_INVALID"}
        try:
            while (registry.get_sample_value(name, labels) or 0) < 2:
                pass
        finally:
            upkeep.stop()


@pytest.mark.parametrize(
    ("text", "days"),
    [("400 days", 400), ("1 day", 1), ("2 weeks", 14), ("10 years", 3650), ("48 hours", 2)],
)
def test_periods_are_read(text: str, days: int) -> None:
    assert parse_period(text) == days * DAY_MS


@pytest.mark.parametrize(
    "text", ["", "400", "0 days", "3 months", "1.5 days", "400  days", "-1 day"]
)
def test_other_periods_are_refused(text: str) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_period(text)
    assert caught.value.code is Code.CONFIG_INVALID
