"""Verifies a whole journal from its file alone, in constant memory.

It reads every parcel and makes the numbered checks of `checks`. It finds all problems and stops at
none. What it can't know: whether a seal's key was valid, unless the caller brings a check for that;
and whether the whole journal was replaced, which witnesses' checkpoints show.

It may run while the node writes: it verifies what was there when it began, in short transactions.

Source: docs/spec, "Journal: verification".
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from sqlalchemy import Connection, Row, Select, and_, bindparam, func, select

from node.journal.archive.leaves import first_kept
from node.journal.archive.tables import CUT_CALLS, LINK_TAILS
from node.journal.checks import (
    SealCheck,
    Step,
    StoredCall,
    StoredParcel,
    StoredPlace,
    check_call,
    check_parcel,
    erased_entries,
)
from node.journal.model import JournalReport, Outcome, Problem, Role, SlotSummary
from node.journal.place import Place
from node.journal.readonly import ReadOnly
from node.journal.tables import (
    CALL_ENTRIES,
    CALLS,
    DIRECTIONS,
    KINDS,
    LINKS,
    NAMES,
    NO_CALL,
    NO_LINK,
    NO_NAME,
    OUTCOMES,
    PARCELS,
    ROLES,
    SALTS,
    SLOTS,
    TERMS,
    TERMS_COLUMNS,
)
from node.journal.tree_checks import TreeCheck
from security.errors import SimpulError
from security.merkle import Frontier

MAX_PROBLEMS: Final = 1000
MAX_UNFINISHED: Final = 1000
# Read in one transaction. A parcel has at most 256 entries.
PAGE_PARCELS: Final = 64
PAGE_CALLS: Final = 1024
# Names kept in memory; the rest is looked up again.
MAX_NAMES: Final = 20_000

# Called with how many parcels are done, and how many there are.
Progress = Callable[[int, int], None]

_PREVIOUS: Final = PARCELS.alias("previous")
_MEMBER: Final = NAMES.alias("member")
_PEER: Final = NAMES.alias("peer")
_NAMED: Final = (*TERMS_COLUMNS, "code")
_Meant = TypeVar("_Meant")


@dataclass(frozen=True, slots=True)
class _Slot:
    """A slot as it was when the verification began."""

    number: int
    # Its row: size and frontier; None where parcels name a slot that has no row.
    stated: tuple[int, bytes] | None
    # The greatest index of its parcels; one less than `first` where there are none.
    last: int
    # How many of its first parcels were dropped.
    first: int = 0


@dataclass(slots=True)
class _Tally:
    """What is gathered on the way."""

    problems: list[Problem] = field(default_factory=list)
    problem_count: int = 0
    parcels: int = 0
    dropped: int = 0
    entries: int = 0
    erased: int = 0
    calls: int = 0
    unfinished: int = 0
    unfinished_calls: list[bytes] = field(default_factory=list)
    names: dict[int, str] = field(default_factory=dict)

    def report(self, where: str, step: Step, message: str) -> None:
        self.problem_count += 1
        if len(self.problems) < MAX_PROBLEMS:
            self.problems.append(Problem(int(step), step.name.lower(), where, message))


def verify(
    place: Place, *, progress: Progress | None = None, verify_seal: SealCheck | None = None
) -> JournalReport:
    """Verifies the journal at `place`.

    Args:
        place: The database, of a node that runs or not.
        progress: Told after each page.
        verify_seal: Judges a seal (step 9); without it seals are not judged.

    Raises:
        SimpulError: only where nothing can be read: NOT_FOUND, CONFIG_INVALID, JOURNAL_CORRUPT,
            JOURNAL_FAILED. What is wrong with the records is in the report.
    """
    journal = ReadOnly(place)
    try:
        with journal.snapshot() as connection:
            slots = _slots(connection)
        total = sum(slot.last + 1 - slot.first for slot in slots)
        tally = _Tally()
        summaries = [
            _verify_slot(journal, slot, tally, verify_seal, progress, total) for slot in slots
        ]
        _verify_calls(journal, tally)
    finally:
        journal.close()
    return JournalReport(
        slots=tuple(summaries),
        parcels=tally.parcels,
        entries=tally.entries,
        calls=tally.calls,
        unfinished=tally.unfinished,
        problem_count=tally.problem_count,
        problems=tuple(tally.problems),
        unfinished_calls=tuple(tally.unfinished_calls),
        erased=tally.erased,
        dropped=tally.dropped,
    )


def _slots(connection: Connection) -> list[_Slot]:
    stated = {
        row.number: (row.size, row.frontier)
        for row in connection.execute(select(SLOTS).order_by(SLOTS.c.number))
    }
    numbers = set(stated)
    # One step of the key for each slot, and not a walk over every parcel.
    after = select(func.min(PARCELS.c.slot))
    number = connection.execute(after).scalar()
    while number is not None:
        numbers.add(number)
        number = connection.execute(after.where(PARCELS.c.slot > number)).scalar()
    return [_slot(connection, number, stated.get(number)) for number in sorted(numbers)]


def _slot(connection: Connection, number: int, stated: tuple[int, bytes] | None) -> _Slot:
    first = first_kept(connection, number)
    last = connection.execute(
        select(func.max(PARCELS.c.idx)).where(PARCELS.c.slot == number)
    ).scalar()
    return _Slot(number, stated, first - 1 if last is None else int(last), first)


def _verify_slot(
    journal: ReadOnly,
    slot: _Slot,
    tally: _Tally,
    verify_seal: SealCheck | None,
    progress: Progress | None,
    total: int,
) -> SlotSummary:
    check = _tree_check(journal, slot, tally)
    expected = slot.first
    while expected <= slot.last:
        with journal.snapshot() as connection:
            page = _parcels(connection, slot, expected)
            upto = slot.last if len(page) == 0 else page[-1].idx
            places = _places(connection, slot.number, (expected, upto), tally)
        leaves: list[bytes] = []
        for parcel in page:
            where = f"slot {slot.number}, parcel {parcel.idx}"
            if parcel.idx != expected:
                tally.report(where, Step.INDEX, f"parcel {expected} should stand here")
            leaf, entries, found = check_parcel(parcel, places.pop(parcel.idx, {}), verify_seal)
            for step, message in found:
                tally.report(where, step, message)
            leaves.append(leaf)
            tally.parcels += 1
            tally.entries += entries
            tally.erased += erased_entries(parcel, entries)
            expected = parcel.idx + 1
        check.take(leaves)
        for idx in places:
            _report_no_parcel(tally, slot.number, idx)
        expected = max(expected, upto + 1)
        if progress is not None:
            progress(tally.parcels, total)
    with journal.snapshot() as connection:
        for idx in _places_without_parcel(connection, slot):
            _report_no_parcel(tally, slot.number, idx)
    check.finish()
    for message in _tree_problems(slot, check.tree):
        tally.report(f"slot {slot.number}", Step.TREE, message)
    return SlotSummary(slot.number, check.tree.size, check.tree.root())


def _tree_check(journal: ReadOnly, slot: _Slot, tally: _Tally) -> TreeCheck:
    """What follows the slot's tree, from what stayed of dropped parcels on."""

    def on(step: Step) -> Callable[[str, str], None]:
        return lambda where, what: tally.report(f"slot {slot.number}, {where}", step, what)

    check = TreeCheck(journal, slot.number, on(Step.NODE), on(Step.CHECKPOINT))
    there = check.take_dropped(slot.first)
    tally.dropped += slot.first
    if there != slot.first:
        tally.report(
            f"slot {slot.number}",
            Step.TREE,
            f"{slot.first} parcels were dropped, and the leaves of {there} stayed",
        )
    return check


def _report_no_parcel(tally: _Tally, slot: int, idx: int) -> None:
    where = f"slot {slot}, parcel {idx}"
    tally.report(where, Step.PLACE, "the index names entries of it, and there is no such parcel")


def _tree_problems(slot: _Slot, tree: Frontier) -> Iterator[str]:
    if slot.stated is None:
        yield "parcels name this slot, and there is no such slot"
        return
    size, frontier = slot.stated
    try:
        stated = Frontier.from_bytes(frontier)
    except SimpulError as error:
        yield f"the slot's frontier doesn't parse: {error.message}"
        return
    if not size == stated.size == tree.size:
        yield f"the slot states {size} leaves, and there are {tree.size}"
    elif stated.root() != tree.root():
        yield "the root of the parcels' leaves isn't the root that the slot states"


def _parcels(connection: Connection, slot: _Slot, first: int) -> list[StoredParcel]:
    rows = connection.execute(
        _PARCEL_PAGE, {"slot": slot.number, "first": first, "last": slot.last}
    )
    return [
        StoredParcel(
            slot=row.slot,
            idx=row.idx,
            direction=_meant(DIRECTIONS, row.direction),
            link_id=row.link_id or b"",
            peer=row.peer_text or "",
            is_under_peer=row.peer == row.link_peer,
            member=row.member_text or "",
            number=row.number,
            sealed_at_ms=row.sealed_at_ms,
            leaf_hash=row.leaf_hash,
            header_hash=row.header_hash,
            entry_count=row.entry_count,
            header=row.header,
            seal=row.seal,
            entries=row.entries,
            salts=row.salts,
            previous=row.previous,
        )
        for row in rows
    ]


def _parcel_page() -> Select[tuple[object, ...]]:
    """Parcels of a slot in order, each with what stands beside it and the one before it."""
    before = and_(
        _PREVIOUS.c.link == PARCELS.c.link,
        _PREVIOUS.c.direction == PARCELS.c.direction,
        _PREVIOUS.c.number == PARCELS.c.number - 1,
        _PREVIOUS.c.slot == PARCELS.c.slot,
        _PREVIOUS.c.idx < PARCELS.c.idx,
    )
    dropped = and_(
        LINK_TAILS.c.link == PARCELS.c.link,
        LINK_TAILS.c.direction == PARCELS.c.direction,
        LINK_TAILS.c.number == PARCELS.c.number - 1,
    )
    return (
        select(
            PARCELS,
            LINKS.c.link_id,
            _PEER.c.text.label("peer_text"),
            LINKS.c.peer.label("link_peer"),
            _MEMBER.c.text.label("member_text"),
            SALTS.c.salts,
            func.coalesce(_PREVIOUS.c.header_hash, LINK_TAILS.c.header_hash).label("previous"),
        )
        .outerjoin(LINKS, LINKS.c.id == PARCELS.c.link)
        .outerjoin(_PEER, _PEER.c.id == LINKS.c.peer)
        .outerjoin(_MEMBER, _MEMBER.c.id == PARCELS.c.member)
        .outerjoin(SALTS, and_(SALTS.c.slot == PARCELS.c.slot, SALTS.c.idx == PARCELS.c.idx))
        .outerjoin(_PREVIOUS, before)
        .outerjoin(LINK_TAILS, dropped)
        .where(
            PARCELS.c.slot == bindparam("slot"),
            PARCELS.c.idx.between(bindparam("first"), bindparam("last")),
        )
        .order_by(PARCELS.c.idx)
        .limit(PAGE_PARCELS)
    )


_PARCEL_PAGE: Final = _parcel_page()


def _places(
    connection: Connection, slot: int, span: tuple[int, int], tally: _Tally
) -> dict[int, dict[int, StoredPlace]]:
    """What the index says of the entries of these parcels, by parcel and entry number."""
    rows = connection.execute(
        select(
            CALL_ENTRIES,
            CALLS.c.call_id,
            CALLS.c.role,
            CALLS.c.status,
            CALLS.c.code,
            CALLS.c.gather,
            *(TERMS.c[name] for name in TERMS_COLUMNS),
            TERMS.c.role.label("terms_role"),
            TERMS.c.peer.label("terms_peer"),
            LINKS.c.peer.label("link_peer"),
        )
        .outerjoin(CALLS, CALLS.c.id == CALL_ENTRIES.c.call)
        .outerjoin(TERMS, TERMS.c.id == CALLS.c.terms)
        .outerjoin(LINKS, LINKS.c.id == CALLS.c.link)
        .where(CALL_ENTRIES.c.slot == slot, CALL_ENTRIES.c.idx.between(*span))
    ).all()
    _learn_names(connection, {getattr(row, name) for row in rows for name in _NAMED}, tally.names)
    found: dict[int, dict[int, StoredPlace]] = defaultdict(dict)
    for row in rows:
        found[row.idx][row.entry_no] = StoredPlace(
            direction=_meant(DIRECTIONS, row.direction),
            kind=_meant(KINDS, row.kind),
            blocks=row.blocks,
            call_id=row.call_id,
            role=_role(row),
            status=row.status,
            gather=row.gather,
            names=tuple(tally.names.get(getattr(row, name), "") for name in _NAMED),
        )
    return found


def _role(row: Row[Any]) -> Role | None:
    """The call's, or none where its terms are of another side or peer than the call."""
    if (row.terms_role, row.terms_peer) != (row.role, row.link_peer):
        return None
    return _meant(ROLES, row.role)


def _learn_names(
    connection: Connection, wanted: Iterable[int | None], names: dict[int, str]
) -> None:
    missing = {name for name in wanted if name is not None and name not in names}
    missing.discard(NO_NAME)
    if len(missing) == 0:
        return
    if len(names) + len(missing) > MAX_NAMES:
        names.clear()
        missing = {name for name in wanted if name is not None}
    for row in connection.execute(select(NAMES).where(NAMES.c.id.in_(missing))):
        names[row.id] = row.text


def _places_without_parcel(connection: Connection, slot: _Slot) -> list[int]:
    """Parcels past the last that the index names. What came since the start has both."""
    rows = connection.execute(
        select(CALL_ENTRIES.c.idx)
        .distinct()
        .outerjoin(
            PARCELS,
            and_(PARCELS.c.slot == CALL_ENTRIES.c.slot, PARCELS.c.idx == CALL_ENTRIES.c.idx),
        )
        .where(
            CALL_ENTRIES.c.slot == slot.number,
            CALL_ENTRIES.c.idx > slot.last,
            PARCELS.c.idx.is_(None),
        )
        .limit(MAX_PROBLEMS)
    )
    return [row.idx for row in rows]


def _verify_calls(journal: ReadOnly, tally: _Tally) -> None:
    """Step 8, for every call of the index, a page at a time."""
    last = NO_CALL
    while True:
        with journal.snapshot() as connection:
            rows = connection.execute(
                select(
                    CALLS.c.id,
                    CALLS.c.call_id,
                    CALLS.c.link,
                    CALLS.c.outcome,
                    CUT_CALLS.c.call.label("cut"),
                )
                .outerjoin(CUT_CALLS, CUT_CALLS.c.call == CALLS.c.id)
                .where(CALLS.c.id > last)
                .order_by(CALLS.c.id)
                .limit(PAGE_CALLS)
            ).all()
            if len(rows) == 0:
                return
            kinds = _kinds(connection, rows[0].id, rows[-1].id)
        for row in rows:
            outcome = _meant(OUTCOMES, row.outcome)
            call = StoredCall(outcome, row.link != NO_LINK, kinds.get(row.id, {}))
            # What was dropped of a call isn't there to be counted.
            for step, message in () if row.cut is not None else check_call(call):
                tally.report(f"call {row.call_id.hex()}", step, message)
            tally.calls += 1
            if outcome is Outcome.OPEN:
                tally.unfinished += 1
                if len(tally.unfinished_calls) < MAX_UNFINISHED:
                    tally.unfinished_calls.append(row.call_id)
        last = rows[-1].id


def _kinds(connection: Connection, first: int, last: int) -> dict[int, dict[str, int]]:
    """How many entries of each kind the calls from `first` to `last` have."""
    rows = connection.execute(
        select(CALL_ENTRIES.c.call, CALL_ENTRIES.c.kind, func.count())
        .where(CALL_ENTRIES.c.call.between(first, last))
        .group_by(CALL_ENTRIES.c.call, CALL_ENTRIES.c.kind)
    )
    found: dict[int, dict[str, int]] = defaultdict(dict)
    for call, kind, count in rows:
        found[call][_meant(KINDS, kind) or str(kind)] = count
    return found


def _meant(values: Sequence[_Meant], number: int | None) -> _Meant | None:
    """What a stored number stands for, or None where it stands for nothing."""
    return values[number] if number is not None and 0 <= number < len(values) else None
