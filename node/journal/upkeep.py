"""Keeps a running node's journal small, on a thread of its own: a round, a rest, and so on.

A round that fails is told and tried again with the next. After JOURNAL_FAILED none is tried: what
the disk holds is known again only after a start.

It's a wiring module: it opens what a round needs, and closes it again.
"""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import structlog
from sqlalchemy import text

from node.config import NodeConfig, journal_place
from node.evidence.directories import directories_of_log
from node.home import NodeHome
from node.journal.archive.dropping import Dropper, Mark
from node.journal.archive.places import parse_archive_place
from node.journal.archive.run import Run
from node.journal.archive.store import ArchiveStore
from node.journal.period import parse_period
from node.journal.place import Place, PostgresPlace
from node.journal.retention import Done, Retention, Rules
from node.journal.watch import JournalMetrics
from node.store.agreements import list_agreements
from node.store.engine import Store
from security.agreement_terms import parse_agreement
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

DAY_MS: Final = 24 * 3600 * 1000
# Below the home: where an archive is written before it's put in its place.
STAGING: Final = "archiving"
# After a start others have more to do.
FIRST_AFTER_S: Final = 20.0


@dataclass(frozen=True, slots=True)
class Settings:
    """What a node's configuration says of it. `archive` is a place's text, or empty."""

    place: Place
    archive: str
    staging: Path
    rules: Rules
    every_s: float
    # Whose directory archives show.
    home: NodeHome


def upkeep_settings(home: NodeHome, config: NodeConfig) -> Settings:
    """What a node's configuration says.

    Raises:
        SimpulError: CONFIG_INVALID.
    """
    journal = config.journal
    return Settings(
        journal_place(config, home),
        journal.archive,
        home.path / STAGING,
        Rules(
            archive_after_ms=_period_ms(journal.archive_after),
            retention_ms=_period_ms(journal.retention),
            salts_ms=_period_ms(journal.salts_retention),
            drop_unarchived=journal.drop_unarchived,
        ),
        journal.upkeep_s,
        home,
    )


class Upkeep:
    """See the module's text."""

    def __init__(
        self,
        settings: Settings,
        metrics: JournalMetrics,
        now_ms: Callable[[], int],
        consumed_ms: Callable[[], Mapping[bytes, int]] = dict,
    ) -> None:
        """`consumed_ms` gives, by agreement, how long what was answered may be kept here."""
        self._settings = settings
        self._consumed_ms = consumed_ms
        self._marks: dict[int, Mark] = {}
        self._metrics = metrics
        self._now_ms = now_ms
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="journal-upkeep", daemon=True)

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends it; what is under way ends with its present step, or with its present archive."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join()

    def round(self) -> Done:
        """Does all that is due, and shows how the journal stands.

        Raises:
            SimpulError: those of the journal, and CONFIG_INVALID.
        """
        settings, now_ms = self._settings, self._now_ms()
        with (
            closing(ArchiveStore.open(settings.place)) as store,
            closing(Dropper(settings.place)) as dropper,
        ):
            run = make_run(settings, store, os.environ, self._now_ms, self._stopping.is_set)
            rules = replace(settings.rules, consumed_ms=self._consumed_ms())
            retention = Retention(rules, store, dropper, run, self._stopping.wait, self._marks)
            done = retention.round(now_ms)
            self._show(store, done, now_ms)
        return done

    def _run(self) -> None:
        wait_s = min(FIRST_AFTER_S, self._settings.every_s)
        while not self._stopping.wait(wait_s):
            wait_s = self._settings.every_s
            try:
                self._tell(self.round())
            except SimpulError as error:
                self._metrics.failed(error.code)
                _log.error("journal upkeep failed", code=error.code, why=error.message)
                if error.code is Code.JOURNAL_FAILED:
                    return
            except Exception:  # noqa: BLE001 - logged; the next round goes on
                self._metrics.failed(Code.INTERNAL)
                _log.exception("journal upkeep failed")

    def _tell(self, done: Done) -> None:
        if done.failure is not None:
            self._metrics.failed(done.failure.code)
            _log.error("archiving failed", code=done.failure.code, why=done.failure.message)
        for item in done.archived:
            _log.info(
                "archived", slot=item.slot, first=item.first, end=item.end, name=item.name,
                place=item.place,
            )  # fmt: skip
        if done.dropped > 0:
            _log.info("parcels dropped", parcels=done.dropped)

    def _show(self, store: ArchiveStore, done: Done, now_ms: int) -> None:
        self._metrics.sized(size_of(store))
        self._metrics.dropped(done.dropped)
        after_ms = self._settings.rules.archive_after_ms
        lag_ms = 0
        for item in store.slots():
            self._metrics.slot(item.slot, parcels=item.size - item.dropped, archived=item.archived)
            if self._settings.archive != "" and after_ms is not None:
                oldest_ms = store.recorded_at(item.slot, max(item.archived, item.dropped))
                if oldest_ms is not None:
                    lag_ms = max(lag_ms, now_ms - after_ms - oldest_ms)
        self._metrics.lagging(lag_ms)


def consumed_ms(store: Store) -> dict[bytes, int]:
    """Returns, by agreement, how long a consumer may keep what it was answered, where that's said.

    An agreement that isn't understood permits nothing, and so nothing of it is kept.
    """
    found: dict[bytes, int] = {}
    for stored in list_agreements(store):
        try:
            days = parse_agreement(stored.agreement).consumer_retention_days
        except SimpulError:
            continue
        if days is not None:
            found[stored.hash] = days * DAY_MS
    return found


def _period_ms(text_: str) -> int | None:
    return None if text_ == "" else parse_period(text_)


def make_run(
    settings: Settings,
    store: ArchiveStore,
    env: Mapping[str, str],
    now_ms: Callable[[], int],
    stopped: Callable[[], bool],
) -> Run | None:
    """Returns what archives are made with; None where none are kept.

    Raises:
        SimpulError: CONFIG_INVALID.
    """
    if settings.archive == "":
        return None
    place = parse_archive_place(settings.archive, env)
    return Run(
        store,
        place,
        settings.staging,
        now_ms,
        stopped=stopped,
        directories=partial(directories_of_log, settings.home),
    )


def size_of(store: ArchiveStore) -> int:
    """Returns how many bytes the journal's database takes."""
    if isinstance(store.place, PostgresPlace):
        with store.journal.snapshot() as connection:
            query = text("SELECT pg_database_size(current_database())")
            return int(connection.execute(query).scalar_one())
    files = (store.place.with_name(store.place.name + suffix) for suffix in ("", "-wal", "-shm"))
    return sum(file.stat().st_size for file in files if file.exists())
