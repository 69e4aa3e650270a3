"""The index of calls, kept beside the tree: which calls there were, and where their entries are.

It's derived from the entries, so it can be checked against them (`verify`) and made anew. It
refuses nothing: an entry of a call that was never opened here is recorded under no call, because
the parcel is a fact whatever it says; `verify` names it.

A call is known by its link and id; where a peer uses an id again on one link, the newest is meant.
Names, links and open calls are remembered between groups, up to a bound. What a group adds is kept
only when its transaction is (`CallIndex.keep`).

Source: docs/spec, "Journal: the index of calls".
"""

from collections.abc import Mapping
from typing import Final, TypeVar

from sqlalchemy import Connection, Dialect, Table, and_, bindparam, func, insert, select, update

from node.journal.leaves import Leaf, payload_blocks
from node.journal.model import CallNote, Direction, LinkEnd, Outcome, Role
from node.journal.statements import Statement, bulk_insert
from node.journal.tables import (
    CALL_ENTRIES,
    CALLS,
    DIRECTIONS,
    ENDS,
    KINDS,
    LINKS,
    NAMES,
    NO_CALL,
    NO_LINK,
    NO_NAME,
    OUTCOMES,
    ROLES,
    TERMS,
    TERMS_COLUMNS,
)
from security.errors import Code, SimpulError
from simpul.v1 import parcel_pb2

# Past these the oldest are looked up in the database again.
MAX_NAMES: Final = 20_000
MAX_LINKS: Final = 20_000
MAX_TERMS: Final = 20_000
MAX_OPEN_CALLS: Final = 100_000

_KINDS: Final = {name: number for number, name in enumerate(KINDS)}
_ENDS: Final = {end: number for number, end in enumerate(ENDS)}
_OPEN: Final = OUTCOMES.index(Outcome.OPEN)
_CLOSED: Final = OUTCOMES.index(Outcome.CLOSED)
_REFUSED: Final = OUTCOMES.index(Outcome.REFUSED)

# What an end writes into a call's row, and where in the row (see tables.CallTableRow) it stands.
_END_COLUMNS: Final = ("outcome", "status", "code", "closed_at_ms")
_END_PLACES: Final = tuple(list(CALLS.columns.keys()).index(name) for name in _END_COLUMNS)

_CallKey = tuple[int, bytes]
# As TERMS_COLUMNS; the agreement's hash is still bytes, because hex costs.
_Terms = tuple[str, str, str, str, bytes, str]
_Any = TypeVar("_Any")


def check_note(note: CallNote) -> None:
    """Checks that a note says what a note may: REFUSED before there was a link, LOST with one.

    Raises:
        SimpulError: INTERNAL; a caller of ours is wrong.
    """
    wanted = Outcome.REFUSED if note.link_id is None else Outcome.LOST
    if note.outcome is not wanted:
        raise SimpulError(
            Code.INTERNAL, f"a note can't say {note.outcome} of this call; report this"
        )


class CallIndex:
    """What is remembered between groups, and the statements that write the index."""

    def __init__(self, dialect: Dialect) -> None:
        self.names: dict[str, int] = {}
        self.links: dict[tuple[bytes, int], int] = {}
        self.terms: dict[_Terms, int] = {}
        self.open_calls: dict[_CallKey, int] = {}
        self.insert_calls = bulk_insert(CALLS, dialect)
        self.insert_entries = bulk_insert(CALL_ENTRIES, dialect)
        self.end_calls = Statement(
            update(CALLS)
            .where(CALLS.c.id == bindparam("call"))
            .values({name: bindparam(f"new_{name}") for name in _END_COLUMNS}),
            (*(f"new_{name}" for name in _END_COLUMNS), "call"),
            dialect,
        )

    def keep(self, group: "IndexGroup") -> None:
        """Remembers what a group added, once its transaction is durable."""
        self.names.update(group.names)
        self.links.update(group.links)
        self.terms.update(group.terms)
        self.open_calls.update(group.opened)
        for key in group.ended:
            self.open_calls.pop(key, None)
        _drop_oldest(self.names, MAX_NAMES)
        _drop_oldest(self.links, MAX_LINKS)
        _drop_oldest(self.terms, MAX_TERMS)
        _drop_oldest(self.open_calls, MAX_OPEN_CALLS)


class IndexGroup:
    """What one transaction adds to the index. Used within it, and once."""

    def __init__(self, index: CallIndex, connection: Connection, now_ms: int) -> None:
        self._index = index
        self._connection = connection
        self._now_ms = now_ms
        self._next_call: int | None = None
        self._new_calls: dict[int, list[object]] = {}
        self._ends: list[tuple[object, ...]] = []
        self._entries: list[tuple[int, ...]] = []
        self.names: dict[str, int] = {}
        self.links: dict[tuple[bytes, int], int] = {}
        self.terms: dict[_Terms, int] = {}
        self.opened: dict[_CallKey, int] = {}
        self.ended: dict[_CallKey, None] = {}

    def name(self, text: str) -> int:
        """Returns the number of a text; the empty text has none."""
        if text == "":
            return NO_NAME
        found = self._index.names.get(text) or self.names.get(text)
        if found is None:
            row = self._connection.execute(select(NAMES.c.id).where(NAMES.c.text == text)).first()
            found = self._inserted(NAMES, {"text": text}) if row is None else int(row.id)
            self.names[text] = found
        return found

    def link(self, link_id: bytes, end: LinkEnd, peer: str | None = None) -> int:
        """Returns the number of a link's end. Without `peer` an unknown one has none."""
        key = (link_id, _ENDS[end])
        found = self._index.links.get(key) or self.links.get(key)
        if found is None:
            wanted = (LINKS.c.link_id == link_id) & (LINKS.c.end == key[1])
            row = self._connection.execute(select(LINKS.c.id).where(wanted)).first()
            if row is not None:
                found = int(row.id)
            elif peer is None:
                return NO_LINK
            else:
                values = {"link_id": link_id, "end": key[1], "peer": self.name(peer)}
                found = self._inserted(LINKS, values)
            self.links[key] = found
        return found

    def add(self, leaf: Leaf, slot: int, idx: int, link: int) -> None:
        """Takes up the entries of a parcel."""
        direction = DIRECTIONS.index(leaf.record.direction)
        for number, entry in enumerate(leaf.entries):
            kind = entry.WhichOneof("kind") or ""
            if kind == "open":
                call = self._open(leaf, entry, link)
            else:
                key = (link, entry.call_id)
                call = self._find(key)
                if kind == "close":
                    self._end(key, call, (_CLOSED, entry.close.status, NO_NAME, self._now_ms))
                elif kind == "refuse":
                    code = self.name(entry.refuse.code)
                    self._end(key, call, (_REFUSED, entry.refuse.status, code, self._now_ms))
            what = (direction, _KINDS[kind], payload_blocks(entry))
            self._entries.append((slot, idx, number, call, *what))

    def note(self, note: CallNote) -> None:
        """Takes up an end that no entry says; `check_note` has passed it."""
        link = NO_LINK if note.link_id is None else self.link(note.link_id, note.end)
        end = (OUTCOMES.index(note.outcome), note.status, self.name(note.code), note.at_ms)
        key = (link, note.call_id)
        call = NO_CALL if link == NO_LINK else self._find(key)
        if call == NO_CALL:
            parties = (note.consumer, note.provider, note.service, note.method)
            terms = self._terms((*parties, note.agreement or b"", note.purpose or ""))
            call = self._insert(link, note.call_id, note.role, note.at_ms, terms)
        elif not self._is_open(key, call):
            # Its end came in a parcel after all: that says more.
            return
        self._end(key, call, end)

    def write(self) -> None:
        """Writes all that was taken up."""
        self._index.insert_calls.run(self._connection, list(self._new_calls.values()))
        self._index.end_calls.run(self._connection, self._ends)
        self._index.insert_entries.run(self._connection, self._entries)

    def _open(self, leaf: Leaf, entry: parcel_pb2.Entry, link: int) -> int:
        opened = entry.open
        role = Role.CONSUMER if leaf.record.direction is Direction.SENT else Role.PROVIDER
        terms = self._terms(
            (
                opened.consumer,
                opened.provider,
                opened.service,
                opened.method,
                opened.agreement,
                opened.purpose,
            )
        )
        call = self._insert(link, entry.call_id, role, self._now_ms, terms)
        key = (link, entry.call_id)
        self.opened[key] = call
        self.ended.pop(key, None)
        return call

    def _terms(self, terms: _Terms) -> int:
        found = self._index.terms.get(terms) or self.terms.get(terms)
        if found is None:
            *texts, agreement, purpose = terms
            names = map(self.name, (*texts, agreement.hex(), purpose))
            values = dict(zip(TERMS_COLUMNS, names, strict=True))
            wanted = and_(*(TERMS.c[name] == value for name, value in values.items()))
            row = self._connection.execute(select(TERMS.c.id).where(wanted)).first()
            found = self._inserted(TERMS, values) if row is None else int(row.id)
            self.terms[terms] = found
        return found

    def _insert(self, link: int, call_id: bytes, role: Role, at_ms: int, terms: int) -> int:
        if self._next_call is None:
            top = self._connection.execute(select(func.max(CALLS.c.id))).scalar()
            self._next_call = NO_CALL + 1 if top is None else int(top) + 1
        call = self._next_call
        self._next_call += 1
        state = (_OPEN, terms, None, NO_NAME, at_ms, None)
        self._new_calls[call] = [call, call_id, link, ROLES.index(role), *state]
        return call

    def _find(self, key: _CallKey) -> int:
        known = self.opened.get(key) or self._index.open_calls.get(key)
        if known is not None:
            return known
        row = self._connection.execute(
            select(CALLS.c.id)
            .where(CALLS.c.call_id == key[1], CALLS.c.link == key[0])
            .order_by(CALLS.c.id.desc())
            .limit(1)
        ).first()
        return NO_CALL if row is None else int(row.id)

    def _is_open(self, key: _CallKey, call: int) -> bool:
        if key in self.ended:
            return False
        if key in self.opened or key in self._index.open_calls:
            return True
        outcome = self._connection.execute(select(CALLS.c.outcome).where(CALLS.c.id == call))
        return outcome.scalar() == _OPEN

    def _end(self, key: _CallKey, call: int, values: tuple[object, ...]) -> None:
        if call == NO_CALL:
            return
        self.ended[key] = None
        row = self._new_calls.get(call)
        if row is None:
            self._ends.append((*values, call))
            return
        # Opened in this very transaction: one row is written instead of two.
        for place, value in zip(_END_PLACES, values, strict=True):
            row[place] = value

    def _inserted(self, table: Table, values: Mapping[str, object]) -> int:
        key = self._connection.execute(insert(table), dict(values)).inserted_primary_key
        if key is None:
            raise SimpulError(Code.INTERNAL, f"the database gave no key for a row of {table.name}")
        return int(key[0])


def _drop_oldest(remembered: dict[_Any, int], limit: int) -> None:
    while len(remembered) > limit:
        del remembered[next(iter(remembered))]
