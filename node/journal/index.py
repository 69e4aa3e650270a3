"""The index of calls, kept beside the tree: which calls there were, and where their entries are.

It's derived from the entries, so it can be checked against them (`verify`) and made anew. It
refuses nothing: an entry of a call that was never opened here is recorded under no call, because
the parcel is a fact whatever it says; `verify` names it.

A call is known by its link and id; where a peer uses an id again on one link, the newest is meant.
Names, links and open calls are remembered between groups, up to a bound. What a group adds is kept
only when its transaction is (`CallIndex.keep`).

Source: docs/spec, "Journal: the index of calls".
"""

from collections.abc import Iterator, Mapping
from itertools import count
from typing import Final, TypeVar

from sqlalchemy import (
    Connection,
    Dialect,
    Table,
    and_,
    bindparam,
    func,
    insert,
    select,
    text,
    update,
)

from node.journal.leaves import CLOSE, REFUSE, Leaf, Terms
from node.journal.model import (
    CallNote,
    Direction,
    LinkEnd,
    LinkNote,
    Note,
    Outcome,
    Role,
    SettledNote,
)
from node.journal.statements import BulkInsert, Statement
from node.journal.tables import (
    CALL_ENTRIES,
    CALLS,
    DIRECTIONS,
    ENDS,
    IS_OPEN,
    LINKS,
    NAMES,
    NO_CALL,
    NO_LINK,
    NO_NAME,
    OUTCOMES,
    ROLES,
    SETTLEMENTS,
    SIDE_COLUMNS,
    TERMS,
    TERMS_COLUMNS,
)
from security.errors import Code, SimpulError

# Past these the oldest are looked up in the database again.
MAX_NAMES: Final = 20_000
MAX_LINKS: Final = 20_000
MAX_TERMS: Final = 20_000
MAX_OPEN_CALLS: Final = 100_000

_DIRECTIONS: Final = {direction: number for number, direction in enumerate(DIRECTIONS)}
_ENDS: Final = {end: number for number, end in enumerate(ENDS)}
_OPEN: Final = OUTCOMES.index(Outcome.OPEN)
_CLOSED: Final = OUTCOMES.index(Outcome.CLOSED)
_REFUSED: Final = OUTCOMES.index(Outcome.REFUSED)
_LOST: Final = OUTCOMES.index(Outcome.LOST)
_ASKING: Final = ROLES.index(Role.CONSUMER)
_ANSWERING: Final = ROLES.index(Role.PROVIDER)

# What an end writes into a call's row, and where in the row (see tables.CALLS) it stands.
_END_COLUMNS: Final = ("outcome", "status", "code", "closed_at_ms")
_OUTCOME, _STATUS, _CODE, _CLOSED_AT = (
    list(CALLS.columns.keys()).index(name) for name in _END_COLUMNS
)
_REGION: Final = list(CALLS.columns.keys()).index("region")

# Numbers of calls that a store takes at once, where several write at the same time.
CALL_BLOCK: Final = 4096
_NEXT_BLOCK: Final = text("SELECT nextval('calls_id_seq')")
# The key of the lock under which rows that all slots share are added; any number of our own.
SHARED_LOCK: Final = 0x51_4D_50_4C

_CallKey = tuple[int, bytes]
# What an open says, the side of the call that this node is on, and the peer, a name.
_TermsKey = tuple[Terms, int, int]
_Any = TypeVar("_Any")


class CallIndex:
    """What is remembered between groups, and the statements that write the index."""

    def __init__(self, dialect: Dialect) -> None:
        self._dialect = dialect
        self._block: Iterator[int] = iter(())
        self.names: dict[str, int] = {}
        self.links: dict[tuple[bytes, int], int] = {}
        self.terms: dict[_TermsKey, int] = {}
        self.open_calls: dict[_CallKey, int] = {}
        self.insert_calls = BulkInsert(CALLS, dialect)
        self.insert_entries = BulkInsert(CALL_ENTRIES, dialect)
        self.end_calls = Statement(
            update(CALLS)
            .where(CALLS.c.id == bindparam("call"))
            .values({name: bindparam(f"new_{name}") for name in _END_COLUMNS}),
            (*(f"new_{name}" for name in _END_COLUMNS), "call"),
            dialect,
        )
        self.settle_calls = Statement(
            update(CALLS)
            .where(
                CALLS.c.call_id == bindparam("of_call"),
                CALLS.c.link == bindparam("on_link"),
                # What both ends said once stays.
                CALLS.c.settled.is_(None),
            )
            .values(settled=bindparam("new_settled")),
            ("new_settled", "of_call", "on_link"),
            dialect,
        )

    def call_ids(self, connection: Connection) -> Iterator[int]:
        """Numbers for new calls, that no other transaction gives."""
        if self._dialect.name == "postgresql":
            return self._from_blocks(connection)
        # One transaction at a time: what follows the greatest is free.
        cursor = connection.connection.cursor()
        (top,) = cursor.execute("SELECT max(id) FROM calls").fetchone()
        cursor.close()
        return count(NO_CALL + 1 if top is None else int(top) + 1)

    def lock_shared(self, connection: Connection) -> bool:
        """Before a name, a link or terms are added: nobody else adds any until this is durable.

        Returns:
            Whether it had to be asked for: then another may have had it until now.
        """
        if self._dialect.name != "postgresql":
            return False
        connection.execute(select(func.pg_advisory_xact_lock(SHARED_LOCK)))
        return True

    def _from_blocks(self, connection: Connection) -> Iterator[int]:
        """A block for each number of the sequence, which gives none twice, come what may."""
        while True:
            yield from self._block
            first = int(connection.execute(_NEXT_BLOCK).scalar_one()) * CALL_BLOCK
            self._block = iter(range(first, first + CALL_BLOCK))

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
        self._call_ids: Iterator[int] | None = None
        self._new_calls: dict[int, list[object]] = {}
        self._ends: list[tuple[object, ...]] = []
        self._settled: list[tuple[object, ...]] = []
        self._entries: list[tuple[int, ...]] = []
        self.names: dict[str, int] = {}
        self.links: dict[tuple[bytes, int], int] = {}
        self.terms: dict[_TermsKey, int] = {}
        self.opened: dict[_CallKey, int] = {}
        self.ended: dict[_CallKey, None] = {}

    def name(self, text: str) -> int:
        """Returns the number of a text; the empty text has none."""
        if text == "":
            return NO_NAME
        found = self._index.names.get(text) or self.names.get(text)
        if found is None:
            found = self._shared(NAMES, {"text": text})
            self.names[text] = found
        return found

    def link(self, link_id: bytes, end: LinkEnd, peer: str | None = None) -> int:
        """Returns the number of a link's end. Without `peer` an unknown one has none."""
        key = (link_id, _ENDS[end])
        found = self._index.links.get(key) or self.links.get(key)
        if found is None:
            known = {"link_id": link_id, "end": key[1]}
            found = self._number(LINKS, known)
            if found is None and peer is None:
                return NO_LINK
            if found is None:
                found = self._shared(LINKS, known, {"peer": self.name(peer or "")})
            self.links[key] = found
        return found

    def add(self, leaf: Leaf, place: tuple[int, int], link: int, peer: int) -> None:
        """Takes up the entries of a parcel, which is at `place`; `link` and `peer` are numbers."""
        slot, idx = place
        direction = _DIRECTIONS[leaf.record.direction]
        role = _ASKING if leaf.record.direction is Direction.SENT else _ANSWERING
        opened, remembered = self.opened, self._index.open_calls
        for number, (kind, call_id, blocks, terms, status, code, gather) in enumerate(leaf.said):
            key = (link, call_id)
            if terms is not None:
                call = self._open(key, (terms, role, peer), gather)
            else:
                call = opened.get(key) or remembered.get(key) or self._look_up(key)
                if kind == CLOSE:
                    self._end(key, call, (_CLOSED, status, NO_NAME, self._now_ms))
                elif kind == REFUSE:
                    self._end(key, call, (_REFUSED, status, self.name(code), self._now_ms))
            self._entries.append((slot, idx, number, call, direction, kind, blocks))

    def note(self, note: Note) -> None:
        """Takes up what no entry says."""
        match note:
            case CallNote():
                self._refused(note)
            case LinkNote():
                self._link_ended(note)
            case SettledNote():
                self._settle(note)

    def _refused(self, note: CallNote) -> None:
        """Takes up a call that our own node refused, before there was a link."""
        parties = (note.consumer, note.provider, note.service, note.method)
        said = (*parties, note.agreement or b"", note.purpose or "", note.on_behalf_of)
        terms = self._terms((said, _ASKING, NO_NAME))
        key = (NO_LINK, note.call_id)
        call = self._insert(key, _ASKING, note.at_ms, terms, note.gather_id or b"")
        row = self._new_calls[call]
        row[_REGION] = self.name(note.region)
        row[_OUTCOME], row[_STATUS], row[_CODE], row[_CLOSED_AT] = (
            _REFUSED, note.status, self.name(note.code), note.at_ms
        )  # fmt: skip

    def _link_ended(self, note: LinkNote) -> None:
        """Marks the calls that are still open on a link's end. A close that came says more."""
        link = self.link(note.link_id, note.end)
        if link == NO_LINK:
            # Nothing of it was ever recorded.
            return
        lost = (_LOST, note.status, self.name(note.code), note.at_ms)
        here = [
            (key, call)
            for key, call in self.opened.items()
            if key[0] == link and key not in self.ended
        ]
        rows = self._connection.execute(
            select(CALLS.c.id, CALLS.c.call_id).where(CALLS.c.link == link, IS_OPEN)
        )
        before = [((link, bytes(row.call_id)), int(row.id)) for row in rows]
        for key, call in (*before, *here):
            # What this very group ends isn't written yet, and so is still found open.
            if key not in self.ended:
                self._end(key, call, lost)

    def _settle(self, note: SettledNote) -> None:
        link = self.link(note.link_id, note.end)
        if link == NO_LINK:
            # Nothing of it was ever recorded; and what was refused here has no link either.
            return
        self._settled += [(SETTLEMENTS.index(what), call_id, link) for call_id, what in note.calls]

    def slot_taken(self, slot: int, status: int, code: str) -> None:
        """Marks the calls that the slot's last holder left open: their links died with it."""
        entries = select(CALL_ENTRIES.c.call).where(
            CALL_ENTRIES.c.call == CALLS.c.id, CALL_ENTRIES.c.slot == slot
        )
        rows = self._connection.execute(select(CALLS.c.id).where(IS_OPEN, entries.exists()))
        calls = [int(row.id) for row in rows]
        if len(calls) > 0:
            lost = (_LOST, status, self.name(code), self._now_ms)
            self._ends += [(*lost, call) for call in calls]

    def write(self) -> None:
        """Writes all that was taken up."""
        self._index.insert_calls.run(self._connection, list(self._new_calls.values()))
        self._index.end_calls.run(self._connection, self._ends)
        self._index.settle_calls.run(self._connection, self._settled)
        self._index.insert_entries.run(self._connection, self._entries)

    def _open(self, key: _CallKey, terms: _TermsKey, gather: bytes) -> int:
        known = self._index.terms.get(terms) or self._terms(terms)
        call = self._insert(key, terms[1], self._now_ms, known, gather)
        self.opened[key] = call
        if len(self.ended) > 0:
            self.ended.pop(key, None)
        return call

    def _terms(self, terms: _TermsKey) -> int:
        found = self._index.terms.get(terms) or self.terms.get(terms)
        if found is None:
            (*texts, agreement, purpose, on_behalf_of), *side = terms
            names = map(self.name, (*texts, agreement.hex(), purpose, on_behalf_of))
            values = dict(zip((*TERMS_COLUMNS, *SIDE_COLUMNS), (*names, *side), strict=True))
            found = self._shared(TERMS, values)
            self.terms[terms] = found
        return found

    def _insert(self, key: _CallKey, role: int, at_ms: int, terms: int, gather: bytes) -> int:
        if self._call_ids is None:
            self._call_ids = self._index.call_ids(self._connection)
        call = next(self._call_ids)
        link, call_id = key
        self._new_calls[call] = [
            call, call_id, link, role, _OPEN, terms, None, NO_NAME, at_ms, None, None,
            gather or None, NO_NAME,
        ]  # fmt: skip
        return call

    def _look_up(self, key: _CallKey) -> int:
        row = self._connection.execute(
            select(CALLS.c.id)
            .where(CALLS.c.call_id == key[1], CALLS.c.link == key[0])
            .order_by(CALLS.c.id.desc())
            .limit(1)
        ).first()
        return NO_CALL if row is None else int(row.id)

    def _end(self, key: _CallKey, call: int, values: tuple[object, ...]) -> None:
        if call == NO_CALL:
            return
        self.ended[key] = None
        row = self._new_calls.get(call)
        if row is None:
            self._ends.append((*values, call))
            return
        # Opened in this very transaction: one row is written instead of two.
        row[_OUTCOME], row[_STATUS], row[_CODE], row[_CLOSED_AT] = values

    def _shared(
        self, table: Table, known: Mapping[str, object], more: Mapping[str, object] | None = None
    ) -> int:
        """The number of a row that all slots share, known by `known`; added where it's missing."""
        found = self._number(table, known)
        if found is None and self._index.lock_shared(self._connection):
            # Another may have added it before it let the lock go.
            found = self._number(table, known)
        if found is None:
            values = {**known, **(more or {})}
            key = self._connection.execute(insert(table), values).inserted_primary_key
            if key is None:
                raise SimpulError(
                    Code.INTERNAL, f"the database gave no key for a row of {table.name}"
                )
            found = int(key[0])
        return found

    def _number(self, table: Table, known: Mapping[str, object]) -> int | None:
        wanted = and_(*(table.c[name] == value for name, value in known.items()))
        row = self._connection.execute(select(table.c.id).where(wanted)).first()
        return None if row is None else int(row.id)


def _drop_oldest(remembered: dict[_Any, int], limit: int) -> None:
    while len(remembered) > limit:
        del remembered[next(iter(remembered))]
