"""What the journals of two nodes must hold after kills, judged from outside both.

It trusts what apps were told, what the service saw, and what the witness cosigned; the rest it
reads from the rows, and `verify` besides. The steps:

    1 whole        each journal passes `simpul journal verify`
    2 told         each call that an app was told of is in its node's journal once, and ended so
    3 answered     a call whose answer an app got is in the provider's journal too, closed likewise,
                   and was served once
    4 served       what the service saw is in its node's journal; it saw no call and no question
                   twice
    5 not begun    a call that its app may make again, because it never began, was never served
    6 once         no call is twice in a journal
    7 said         an answer that one journal holds is in its sender's too
    8 received     a parcel that a receipt speaks of is in the journal of whoever gave it
    9 same         both hold the same under one number
    10 witnessed   every checkpoint that was ever cosigned is a part of the tree

What step 7 doesn't ask: that a consumer's node holds each question that its provider's holds. A
question may travel while its own commit runs (docs/explanation/journal.md, "Which journal may hold
more").
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from sqlalchemy import text

from node.journal.place import Place
from node.journal.readonly import ReadOnly
from node.journal.tables import DIRECTIONS, ENDS, OUTCOMES, ROLES
from node.journal.verify import verify
from security.checkpoint import parse_checkpoint
from security.merkle import Frontier
from security.parcel import Received, parse_header
from tests.chaos.federation import Told

# The node doesn't know whether such a call was served, or stopped while it was.
MAY_BE_SERVED = frozenset({"OUTCOME_UNKNOWN", "DEADLINE_EXCEEDED", "CANCELLED"})
MAX_NAMED = 5

_PARCELS = """
    SELECT p.slot, p.idx, p.direction, p.number, p.leaf_hash, p.header_hash, p.header, l.link_id,
    l."end" FROM parcels p JOIN links l ON l.id = p.link ORDER BY p.slot, p.idx
"""
_CALLS = """
    SELECT c.call_id, c.role, c.outcome, c.status, n.text AS code
    FROM calls c LEFT JOIN names n ON n.id = c.code
"""


@dataclass(frozen=True)
class Parcel:
    """A parcel in a journal."""

    header_hash: bytes
    entries: int
    received: Received | None


@dataclass(frozen=True)
class Call:
    """A call in a journal."""

    call_id: str
    role: str
    outcome: str
    status: int | None
    code: str


# Link id; whether the link's dialler sealed it; its number.
Position = tuple[bytes, bool, int]


@dataclass(frozen=True)
class Held:
    """What one journal holds."""

    sent: Mapping[Position, Parcel]
    received: Mapping[Position, Parcel]
    calls: Sequence[Call]
    # Of each slot.
    leaves: Mapping[int, Sequence[bytes]]
    wrong: Sequence[str]

    def named(self, role: str) -> Mapping[str, Call]:
        return {call.call_id: call for call in self.calls if call.role == role}


def read(journal: Place) -> Held:
    """Reads a journal, whether or not its node runs."""
    reading = ReadOnly(journal)
    by_direction: dict[str, dict[Position, Parcel]] = {"sent": {}, "received": {}}
    leaves: dict[int, list[bytes]] = {}
    try:
        with reading.snapshot() as connection:
            for row in connection.execute(text(_PARCELS)):
                direction, end = DIRECTIONS[row.direction], ENDS[row.end]
                fields = parse_header(bytes(row.header))
                place = (
                    bytes(row.link_id),
                    (end == "dialler") == (direction == "sent"),
                    row.number,
                )
                by_direction[direction][place] = Parcel(
                    bytes(row.header_hash), fields.entry_count, fields.received
                )
                leaves.setdefault(row.slot, []).append(bytes(row.leaf_hash))
            calls = [
                Call(bytes(row.call_id).hex(), ROLES[row.role], OUTCOMES[row.outcome], row.status,
                     row.code or "")
                for row in connection.execute(text(_CALLS))
            ]  # fmt: skip
    finally:
        reading.close()
    wrong = [f"1 whole: {problem}" for problem in verify(journal).problems]
    return Held(by_direction["sent"], by_direction["received"], calls, leaves, wrong)


@dataclass(frozen=True)
class Journal:
    """Where one is, and how the origins of its logs begin."""

    place: Place
    origin: str


@dataclass(frozen=True)
class Heard:
    """What is known outside the nodes. Taken before the journals are read."""

    told: Sequence[Told]
    served: Sequence[tuple[str, str]]
    notes: Iterable[bytes]


@dataclass
class Findings:
    """What is wrong, and what may be and was."""

    wrong: list[str]
    # Questions that travelled while their own commit ran, and were never durable there.
    ahead: int = 0
    checkpoints: int = 0


def judge(heard: Heard, consumer: Journal, provider: Journal) -> Findings:
    """Judges both journals, whether or not their nodes run."""
    asking, answering = read(consumer.place), read(provider.place)
    # What the provider holds of the consumer may be later than the first look.
    asking_later = read(consumer.place)
    found = Findings([*asking_later.wrong, *answering.wrong])
    found.wrong += _many("2 told", _told(heard, asking))
    found.wrong += _many("3 answered", _answered(heard, answering))
    found.wrong += _many("4 served", _served(heard, answering))
    found.wrong += _many("5 not begun", _not_begun(heard))
    for held in (asking, answering):
        found.wrong += _many("6 once", _twice((call.call_id, call.role) for call in held.calls))
    for sender, receiver in ((answering, asking), (asking_later, answering)):
        found.wrong += _many("7 said", _said(sender, receiver))
        found.wrong += _many("9 same", _differ(sender, receiver))
    for of, by in ((answering, asking), (asking_later, answering)):
        found.wrong += _many("8 received", _not_received(of, by))
    for journal, held in ((consumer, asking_later), (provider, answering)):
        count, wrong = _witnessed(heard.notes, journal.origin, held)
        found.checkpoints += count
        found.wrong += _many("10 witnessed", wrong)
    found.ahead = len(set(answering.named("provider")) - set(asking_later.named("consumer")))
    return found


def _witnessed(notes: Iterable[bytes], origin: str, held: Held) -> tuple[int, list[str]]:
    """Checkpoints of the logs whose origin begins so: how many there are, and what is wrong."""
    signed = [parse_checkpoint(note).checkpoint for note in notes]
    wanted: dict[int, dict[int, set[bytes]]] = {}
    count = 0
    for each in signed:
        if each.origin.startswith(origin):
            slot = int(each.origin.rpartition("/")[2])
            wanted.setdefault(slot, {}).setdefault(each.size, set()).add(each.root)
            count += 1
    wrong = []
    for slot, by_size in wanted.items():
        tree, roots = Frontier(), {0: Frontier().root()}
        for leaf in held.leaves.get(slot, ()):
            tree = tree.append(leaf)
            if tree.size in by_size:
                roots[tree.size] = tree.root()
        wrong += [
            f"{origin}{slot}: the tree of size {size} that was cosigned isn't a part of this one"
            for size, found in by_size.items()
            if found != {roots.get(size)}
        ]
    return count, wrong


def _told(heard: Heard, asking: Held) -> Iterator[str]:
    calls = asking.named("consumer")
    for told in heard.told:
        if told.call_id:
            call = calls.get(told.call_id)
            if call is None:
                yield f"{told} is missing"
            elif told.code != call.code or told.ok != _is_ok(call):
                yield f"{told} is {call}"


def _answered(heard: Heard, answering: Held) -> Iterator[str]:
    calls, served = answering.named("provider"), {call_id for call_id, _ in heard.served}
    for told in heard.told:
        if told.ok:
            call = calls.get(told.call_id)
            if call is None or not _is_ok(call):
                yield f"{told} is {call}"
            if told.call_id not in served:
                yield f"{told} was never served"


def _served(heard: Heard, answering: Held) -> Iterator[str]:
    calls = answering.named("provider")
    yield from (f"{each} isn't recorded" for each in heard.served if each[0] not in calls)
    yield from _twice(call_id for call_id, _ in heard.served)
    yield from _twice(question for _, question in heard.served)


def _not_begun(heard: Heard) -> Iterator[str]:
    served = {call_id for call_id, _ in heard.served}
    for told in heard.told:
        again = not told.ok and told.code and told.code not in MAY_BE_SERVED
        if again and told.call_id in served:
            yield f"{told} was served"


def _said(sender: Held, receiver: Held) -> Iterator[str]:
    """Of the acceptor of a link, which answers on it."""
    for place, parcel in receiver.received.items():
        _, by_dialler, _ = place
        if not by_dialler and parcel.entries and place not in sender.sent:
            yield f"parcel {_shown(place)} is its receiver's alone"


def _differ(sender: Held, receiver: Held) -> Iterator[str]:
    for place in sender.sent.keys() & receiver.received.keys():
        if sender.sent[place] != receiver.received[place]:
            yield f"parcel {_shown(place)}"


def _not_received(of: Held, by: Held) -> Iterator[str]:
    """Receipts that `of` gave, as either journal holds them."""
    for parcels in (of.sent, by.received):
        for (link, by_dialler, _), parcel in parcels.items():
            if parcel.received is not None:
                place = (link, not by_dialler, parcel.received.number)
                there = of.received.get(place)
                if there is None or there.header_hash != parcel.received.header_hash:
                    yield f"parcel {_shown(place)} was acknowledged"


def _is_ok(call: Call) -> bool:
    return (call.outcome, call.status) == ("closed", 0)


def _twice(of: Iterable[object]) -> Iterator[str]:
    yield from (f"{each} {times} times" for each, times in Counter(of).items() if times > 1)


def _shown(place: Position) -> str:
    link, by_dialler, number = place
    return f"{number} of the {'dialler' if by_dialler else 'acceptor'} of {link.hex()[:8]}"


def _many(step: str, found: Iterable[str]) -> list[str]:
    lines = list(found)
    more = [f"{step}: and {len(lines) - MAX_NAMED} more"] if len(lines) > MAX_NAMED else []
    return [f"{step}: {line}" for line in lines[:MAX_NAMED]] + more
