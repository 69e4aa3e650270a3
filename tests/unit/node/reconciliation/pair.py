"""Two nodes' journals, and the asking side against the answering one, without a network."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from node.journal.model import Direction, LinkEnd, ParcelRecord
from node.reconciliation.answering import Answering
from node.reconciliation.asking import ComparedHour, Event, Reconciling, Summary
from node.reconciliation.sets import JournalSets
from security.identifiers import NodeId
from security.parcel import Received
from security.reconcile import HOUR_MS, Difference
from tests.unit.node.journal.builder import ME, NOW_MS, PEER, Link, close_entry, open_entry
from tests.unit.node.journal.support import tamper, write

HOUR = NOW_MS // HOUR_MS
AT_MS = HOUR * HOUR_MS
# When the two nodes compare: all that the tests seal is settled.
LATER_MS = AT_MS + 5 * HOUR_MS


def mirrored(record: ParcelRecord) -> ParcelRecord:
    """A parcel as the other node journals it."""
    other = Direction.RECEIVED if record.direction is Direction.SENT else Direction.SENT
    end = LinkEnd.ACCEPTOR if record.end is LinkEnd.DIALLER else LinkEnd.DIALLER
    return replace(record, direction=other, end=end, peer=ME)


def call(link: Link, number: int, at_ms: int) -> list[ParcelRecord]:
    """A call from here: its two parcels; the answer acknowledges, and so does the next question."""
    asked = link.sent(
        open_entry(number), sealed_at_ms=at_ms, received=last_of(link, Direction.RECEIVED)
    )
    answered = link.received(
        close_entry(number), sealed_at_ms=at_ms + 5, received=last_of(link, Direction.SENT)
    )
    return [asked, answered]


def last_of(link: Link, direction: Direction) -> Received | None:
    number = link.numbers.get(direction, 0)
    return None if number == 0 else Received(number - 1, link.previous[direction])


@dataclass
class Two:
    """Two nodes' journals. `here` asks as ME, `there` answers as PEER."""

    folder: Path
    now_ms: int = LATER_MS
    questions: list[tuple[str, bytes]] = field(default_factory=list)
    answer: Callable[[str, bytes], bytes] | None = None

    @property
    def here(self) -> Path:
        return self.folder / "here.db"

    @property
    def there(self) -> Path:
        return self.folder / "there.db"

    def record(self, *records: ParcelRecord, slots: tuple[int, int] = (0, 0)) -> None:
        write(self.here, records, slot=slots[0])
        write(self.there, [mirrored(record) for record in records], slot=slots[1])

    def forget(self, where: Path, record: ParcelRecord) -> None:
        tamper(where, ("DELETE FROM parcels WHERE header_hash = ?", (record.header_hash,)))

    async def compare(
        self, from_ms: int = AT_MS, until_ms: int = LATER_MS, *, other_way: bool = False
    ) -> list[Event]:
        mine, theirs = (self.there, self.here) if other_way else (self.here, self.there)
        asker, answerer = (PEER, ME) if other_way else (ME, PEER)
        answering = Answering(
            NodeId.parse(answerer), JournalSets(theirs, lambda: 0.0), lambda: self.now_ms
        )

        async def ask(method: str, question: bytes) -> bytes:
            self.questions.append((method, question))
            if self.answer is not None:
                return self.answer(method, question)
            return await answering.answer(NodeId.parse(asker), method, question)

        work = Reconciling(JournalSets(mine, lambda: 0.0), ask, answerer)
        return [event async for event in work.run(from_ms, until_ms, self.now_ms)]


def summary(events: Sequence[Event]) -> Summary:
    last = events[-1]
    assert isinstance(last, Summary)
    return last


def differences(events: Sequence[Event]) -> list[Difference]:
    hours = [event for event in events if isinstance(event, ComparedHour)]
    return [item for hour in hours for item in hour.differences]


def calls(count: int, link: Link, step_ms: int = 60_000) -> list[ParcelRecord]:
    """Calls on a link, the last parcel of which is acknowledged by a receipt."""
    found = [
        item for number in range(count) for item in call(link, number, AT_MS + number * step_ms)
    ]
    last = AT_MS + count * step_ms
    found.append(link.sent(sealed_at_ms=last, received=last_of(link, Direction.RECEIVED)))
    return found
