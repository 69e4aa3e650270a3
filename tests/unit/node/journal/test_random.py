"""Random appends against a model: what was acknowledged, once, in order, and nothing else."""

import tempfile
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from node.journal.leaves import make_leaf
from node.journal.model import CallFilter, Outcome, ParcelRecord
from node.journal.reader import JournalReader
from node.journal.sqlite_store import SqliteJournalStore
from node.journal.store import Append
from node.journal.verify import verify
from security.merkle import root
from tests.unit.node.journal.builder import (
    NOW_MS,
    Link,
    call_id,
    close_entry,
    message_entry,
    open_entry,
    refuse_entry,
)

# One step: what to do with which call of which link; or to give again what was given.
STEP = st.tuples(
    st.sampled_from(["open", "close", "refuse", "message", "again"]),
    st.integers(0, 2),
    st.integers(0, 5),
)
GROUPS = st.lists(st.lists(STEP, min_size=1, max_size=5), min_size=1, max_size=8)


# Of a lost call more may be heard after all: what comes is recorded, and says more.
UNENDED = (Outcome.OPEN, Outcome.LOST)


class Model:
    """What a journal must hold after the same appends."""

    def __init__(self) -> None:
        self.links = [Link(f"{number}") for number in range(3)]
        self.recorded: list[ParcelRecord] = []
        self.calls: dict[tuple[int, int], Outcome] = {}

    def step(self, what: str, link: int, call: int) -> ParcelRecord | None:
        """The record of a step, or None where no honest node would take it."""
        key, number = (link, call), link * 100 + call
        state = self.calls.get(key)
        if what == "again":
            return self.recorded[call % len(self.recorded)] if self.recorded else None
        if (what == "open") != (state is None) or state not in {None, *UNENDED}:
            return None
        side = self.links[link]
        match what:
            case "open":
                self.calls[key] = Outcome.OPEN
                record = side.sent(open_entry(number))
            case "close":
                self.calls[key] = Outcome.CLOSED
                record = side.received(close_entry(number))
            case "refuse":
                self.calls[key] = Outcome.REFUSED
                record = side.received(refuse_entry(number))
            case _:
                record = side.received(message_entry(number, len(self.recorded)))
        self.recorded.append(record)
        return record

    def reopened(self) -> None:
        """The slot has a new holder."""
        lost = [key for key, outcome in self.calls.items() if outcome is Outcome.OPEN]
        self.calls.update(dict.fromkeys(lost, Outcome.LOST))


@settings(max_examples=40)
@given(groups=GROUPS, reopen_after=st.integers(0, 7))
def test_random_appends(groups: list[list[tuple[str, int, int]]], reopen_after: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        model = Model()
        store = SqliteJournalStore.open(path)
        lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
        for place, group in enumerate(groups):
            steps = [model.step(*step) for step in group]
            appends = [Append((record,)) for record in steps if record is not None]
            done = store.append(lease, head, appends, now_ms=NOW_MS)
            assert done.refused == {}
            head = done.head
            if place == reopen_after:
                # As after a crash: the slot isn't given back.
                store.close()
                store = SqliteJournalStore.open(path)
                lease, found = store.take(0, "test", now_ms=NOW_MS, lease_ms=10_000)
                assert found == head
                model.reopened()
        store.close()
        leaves = [make_leaf(record).leaf_hash for record in model.recorded]
        assert (head.size, head.root()) == (len(leaves), root(leaves))
        report = verify(path)
        assert report.problems == ()
        with JournalReader(path) as reader:
            rows = reader.list_calls(CallFilter())
        wanted = {call_id(link * 100 + call): how for (link, call), how in model.calls.items()}
        assert {row.call_id: row.outcome for row in rows} == wanted
        assert len(rows) == len(wanted)
