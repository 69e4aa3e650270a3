"""Lists calls and shows one, from the index, for the command line and for tests.

It judges nothing: `verify` does. It works while the node writes and when it's stopped.

Source: docs/spec, "Journal: the index of calls".
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from heapq import nlargest
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, bindparam, exists, func, select, tuple_

from node.journal.blobs import unpack_entries
from node.journal.kept.tables import PERSONS
from node.journal.model import (
    CallDetail,
    CallEntry,
    CallFilter,
    CallRow,
    Direction,
    GatheredCall,
    Outcome,
    Role,
    Settlement,
)
from node.journal.readonly import JournalReading
from node.journal.tables import (
    CALL_ENTRIES,
    CALLS,
    DIRECTIONS,
    HAS_CODE,
    HAS_FAILED,
    HAS_STATUS,
    IN_GATHER,
    IS_OPEN,
    KINDS,
    LINKS,
    NAMES,
    OUTCOMES,
    PARCELS,
    ROLES,
    SETTLEMENTS,
    SLOTS,
    TERMS,
    TERMS_COLUMNS,
)
from security.commitment import ROUND_BYTES
from security.errors import Code, SimpulError

MAX_LIMIT: Final = 10_000
# One call's entries, past which the rest isn't shown.
MAX_SHOWN_ENTRIES: Final = 100_000

# The fields of a filter that are names, and columns of `terms` of the same name.
_NAMED: Final = (
    "consumer", "provider", "service", "method", "purpose", "on_behalf_of", "peer",
)  # fmt: skip
_NEWEST_FIRST: Final = (CALLS.c.opened_at_ms.desc(), CALLS.c.id.desc())

_Row = Row[Any]


class JournalReader(JournalReading):
    """Reads the index of calls. A context manager; for one thread.

    Raises:
        SimpulError: from every method, as node.journal.readonly.ReadOnly says.
    """

    def list_calls(self, wanted: CallFilter) -> list[CallRow]:
        """Returns the newest calls that match, at most `wanted.limit` (itself at most 10,000).

        Raises:
            SimpulError: REQUEST_MALFORMED, where the limit is out of bounds.
        """
        if not 0 < wanted.limit <= MAX_LIMIT:
            raise SimpulError(
                Code.REQUEST_MALFORMED, f"give a limit from 1 to {MAX_LIMIT}, not {wanted.limit}"
            )
        with self._journal.snapshot() as connection:
            try:
                terms = _terms(connection, wanted)
                conditions = _conditions(connection, wanted)
            except _NoSuchNameError:
                return []
            if len(wanted.persons) > 0:
                found = _concerning(connection, wanted, [*terms, *conditions])
            else:
                found = _newest(connection, wanted, terms, conditions)
            return _call_rows(connection, found)

    def answered(self, *, since_ms: int, limit: int) -> list[tuple[str, bytes, int]]:
        """The newest calls that were begun for others here: consumer, call id, time.

        At most `limit`, begun at `since_ms` or later; the oldest first. Those that were refused are
        left out.
        """
        query = (
            select(NAMES.c.text, CALLS.c.call_id, CALLS.c.opened_at_ms)
            .join(TERMS, TERMS.c.id == CALLS.c.terms)
            .join(NAMES, NAMES.c.id == TERMS.c.consumer)
            .where(
                CALLS.c.opened_at_ms >= since_ms,
                CALLS.c.role == ROLES.index(Role.PROVIDER),
                CALLS.c.outcome != OUTCOMES.index(Outcome.REFUSED),
            )
            .order_by(CALLS.c.opened_at_ms.desc(), CALLS.c.id.desc())
            .limit(limit)
        )
        with self._journal.snapshot() as connection:
            rows = connection.execute(query).all()
        return [(row.text, bytes(row.call_id), row.opened_at_ms) for row in reversed(rows)]

    def opened_again(self, call_ids: Sequence[bytes]) -> list[tuple[str, bytes]]:
        """Of these ids, those with which calls came from others here more than once.

        Each as often as it came, whatever became of it and whichever slot has it, with its
        consumer.
        """
        came = (CALLS.c.call_id.in_(call_ids), CALLS.c.role == ROLES.index(Role.PROVIDER))
        again = select(CALLS.c.call_id).where(*came).group_by(CALLS.c.call_id)
        with self._journal.snapshot() as connection:
            # Nearly always there is none, and so no row is read.
            found = connection.execute(again.having(func.count() > 1)).scalars().all()
            if len(found) == 0:
                return []
            query = (
                select(NAMES.c.text, CALLS.c.call_id)
                .join(TERMS, TERMS.c.id == CALLS.c.terms)
                .join(NAMES, NAMES.c.id == TERMS.c.consumer)
                .where(CALLS.c.call_id.in_(found), came[1])
            )
            return [(row.text, bytes(row.call_id)) for row in connection.execute(query)]

    def gathered(self, gather_id: bytes) -> list[GatheredCall]:
        """Every call that this node made for a gather, the oldest first; none is no error.

        A part that was tried at several nodes or providers has a call for each try.
        """
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(CALLS)
                .where(
                    CALLS.c.gather == gather_id,
                    IN_GATHER,
                    CALLS.c.role == ROLES.index(Role.CONSUMER),
                )
                .order_by(CALLS.c.id)
            ).all()
            answers = _answers(connection, [int(row.id) for row in rows])
            calls = _call_rows(connection, rows)
        return [
            GatheredCall(call, answers.get(int(row.id), 0))
            for call, row in zip(calls, rows, strict=True)
        ]

    def slot_sizes(self) -> dict[int, int]:
        """How many parcels each slot's tree has."""
        with self._journal.snapshot() as connection:
            return {row.number: row.size for row in connection.execute(select(SLOTS))}

    def show_call(self, call_id: bytes) -> list[CallDetail]:
        """Returns the calls of this id, the oldest first, with their entries; none is no error.

        More than one: where both ends are hosted here, or a peer used an id again.
        """
        with self._journal.snapshot() as connection:
            rows = connection.execute(
                select(CALLS).where(CALLS.c.call_id == call_id).order_by(CALLS.c.id)
            ).all()
            calls = _call_rows(connection, rows)
            return [
                CallDetail(call, tuple(_entries(connection, int(row.id))))
                for call, row in zip(calls, rows, strict=True)
            ]


class _NoSuchNameError(Exception):
    """The filter asks for a name that no row has: nothing matches."""


def _terms(connection: Connection, wanted: CallFilter) -> list[ColumnElement[bool]]:
    """What the filter asks of a call's terms; nothing where it asks for none in particular."""
    texts = {name: getattr(wanted, name) for name in _NAMED}
    texts["agreement"] = None if wanted.agreement is None else wanted.agreement.hex()
    found = [
        TERMS.c[column] == _name(connection, text)
        for column, text in texts.items()
        if text is not None
    ]
    if wanted.role is not None:
        found.append(TERMS.c.role == ROLES.index(wanted.role))
    return found


def _newest(
    connection: Connection,
    wanted: CallFilter,
    terms: list[ColumnElement[bool]],
    conditions: list[ColumnElement[bool]],
) -> Sequence[_Row]:
    """The newest calls under any of the terms."""
    query = select(CALLS).where(*conditions).limit(wanted.limit)
    few = _is_of_few(wanted)
    if len(terms) > 0 and not few:
        return _by_terms(connection, terms, conditions, wanted.limit)
    if len(terms) > 0:
        # Added to nothing, so that the index of calls by terms can't look better.
        query = query.where((CALLS.c.terms + 0).in_(select(TERMS.c.id).where(*terms)))
    order = _NEWEST_FIRST
    if wanted.outcome is Outcome.OPEN:
        # Open calls are few and have an index, but not by time: the index of all calls by time
        # must not look better.
        order = ((CALLS.c.opened_at_ms + 0).desc(), CALLS.c.id.desc())
    return connection.execute(query.order_by(*order)).all()


def _is_of_few(wanted: CallFilter) -> bool:
    """Whether what is asked of a call's own row has an index, which only few calls are in."""
    return (
        wanted.call_id is not None
        or wanted.gather_id is not None
        or wanted.code is not None
        or wanted.status not in {None, 0}
        or wanted.outcome not in {None, Outcome.CLOSED}
    )


def _by_terms(
    connection: Connection,
    terms: list[ColumnElement[bool]],
    conditions: list[ColumnElement[bool]],
    limit: int,
) -> Sequence[_Row]:
    """An index serves the newest calls of each terms, and none those of several.

    So the newest call of each is looked for first, and then those of one terms after the other are
    taken, as far back as the ones taken so far leave room. What is read is little more than what is
    returned, and of the table itself no more.
    """
    newest = (
        select(CALLS.c.opened_at_ms)
        .where(CALLS.c.terms == TERMS.c.id, *conditions)
        .order_by(*_NEWEST_FIRST)
        .limit(1)
        .correlate(TERMS)
        .scalar_subquery()
    )
    heads = [
        (int(row.newest), int(row.id))
        for row in connection.execute(select(TERMS.c.id, newest.label("newest")).where(*terms))
        if row.newest is not None
    ]
    heads.sort(reverse=True)
    # The newest of so many terms are enough already.
    oldest = heads[limit - 1][0] if len(heads) >= limit else 0
    one = (
        select(CALLS.c.opened_at_ms, CALLS.c.id)
        .where(
            CALLS.c.terms == bindparam("term"),
            CALLS.c.opened_at_ms >= bindparam("oldest"),
            *conditions,
        )
        .order_by(*_NEWEST_FIRST)
        .limit(limit)
    )
    taken: list[tuple[int, int]] = []
    for at_ms, term in heads:
        if at_ms < oldest:
            break
        more = connection.execute(one, {"term": term, "oldest": oldest})
        taken = nlargest(limit, [*taken, *((row[0], row[1]) for row in more)])
        if len(taken) == limit:
            oldest = max(oldest, taken[-1][0])
    rows = connection.execute(select(CALLS).where(CALLS.c.id.in_([key for _, key in taken]))).all()
    return sorted(rows, key=lambda row: (row.opened_at_ms, row.id), reverse=True)


def _some_calls(connection: Connection, tags: tuple[bytes, ...]) -> int:
    """How many calls a person has, counted up to `MAX_LIMIT`."""
    some = select(PERSONS.c.call).where(PERSONS.c.tag.in_(tags)).limit(MAX_LIMIT).subquery()
    return int(connection.execute(select(func.count()).select_from(some)).scalar_one())


def _concerning(
    connection: Connection, wanted: CallFilter, conditions: list[ColumnElement[bool]]
) -> Sequence[_Row]:
    """The newest calls that concern a person, under each tag that he may have.

    His calls are read by time; what else is asked is looked at in each.
    """
    # The one with the fewest calls leads: another may be a clerk who made a million.
    first, *others = sorted(wanted.persons, key=lambda tags: _some_calls(connection, tags))
    for tags in others:
        also = PERSONS.alias()
        conditions.append(exists().where(also.c.call == CALLS.c.id, also.c.tag.in_(tags)))
    query = (
        select(CALLS)
        .join(PERSONS, PERSONS.c.call == CALLS.c.id)
        .join(TERMS, TERMS.c.id == CALLS.c.terms)
        .where(PERSONS.c.tag == bindparam("tag"), *conditions)
        .order_by(PERSONS.c.opened_at_ms.desc(), PERSONS.c.call.desc())
        .limit(wanted.limit)
    )
    rows = {row.id: row for tag in first for row in connection.execute(query, {"tag": tag})}
    return nlargest(wanted.limit, rows.values(), key=lambda row: (row.opened_at_ms, row.id))


def _conditions(connection: Connection, wanted: CallFilter) -> list[ColumnElement[bool]]:
    """What the filter asks of a call's own row."""
    found: list[ColumnElement[bool]] = []
    if wanted.code is not None:
        found += [CALLS.c.code == _name(connection, wanted.code), HAS_CODE]
    if wanted.status is not None:
        found.append(CALLS.c.status == wanted.status)
        if wanted.status != 0:
            found.append(HAS_STATUS)
    if wanted.outcome is not None:
        found += _standing(wanted.outcome)
    if wanted.call_id is not None:
        found.append(CALLS.c.call_id == wanted.call_id)
    if wanted.gather_id is not None:
        found += [CALLS.c.gather == wanted.gather_id, IN_GATHER]
    return found + _times(wanted)


def _standing(outcome: Outcome) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = [CALLS.c.outcome == OUTCOMES.index(outcome)]
    if outcome is Outcome.OPEN:
        found.append(IS_OPEN)
    elif outcome is not Outcome.CLOSED:
        found.append(HAS_FAILED)
    return found


def _times(wanted: CallFilter) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if wanted.since_ms is not None:
        found.append(CALLS.c.opened_at_ms >= wanted.since_ms)
    if wanted.until_ms is not None:
        found.append(CALLS.c.opened_at_ms < wanted.until_ms)
    if wanted.below is not None:
        found.append(tuple_(CALLS.c.opened_at_ms, CALLS.c.id) < tuple_(*wanted.below))
    return found


def _name(connection: Connection, text: str) -> int:
    row = connection.execute(select(NAMES.c.id).where(NAMES.c.text == text)).first()
    if row is None:
        raise _NoSuchNameError
    return int(row.id)


def _call_rows(connection: Connection, rows: Sequence[_Row]) -> list[CallRow]:
    links = {
        row.id: row
        for row in connection.execute(
            select(LINKS).where(LINKS.c.id.in_({row.link for row in rows}))
        )
    }
    terms = {
        row.id: row
        for row in connection.execute(
            select(TERMS).where(TERMS.c.id.in_({row.terms for row in rows}))
        )
    }
    ids = {getattr(row, column) for row in terms.values() for column in TERMS_COLUMNS}
    ids |= (
        {row.code for row in rows}
        | {row.region for row in rows}
        | {link.peer for link in links.values()}
    )
    names = _texts(connection, ids)
    sizes = _sizes(connection, [int(row.id) for row in rows])
    return [
        _call_row(row, (terms[row.terms], links.get(row.link)), names, sizes[int(row.id)])
        for row in rows
    ]


def _call_row(
    row: _Row,
    beside: tuple[_Row, _Row | None],
    names: dict[int, str],
    sizes: dict[Direction, int],
) -> CallRow:
    role = ROLES[row.role]
    terms, link = beside
    asked, answered = Direction.SENT, Direction.RECEIVED
    if role is Role.PROVIDER:
        asked, answered = answered, asked
    return CallRow(
        key=(row.opened_at_ms, row.id),
        call_id=row.call_id,
        role=role,
        outcome=OUTCOMES[row.outcome],
        peer=None if link is None else names[link.peer],
        link_id=None if link is None else link.link_id,
        consumer=names.get(terms.consumer, ""),
        provider=names.get(terms.provider, ""),
        service=names.get(terms.service, ""),
        method=names.get(terms.method, ""),
        agreement=_agreement(names.get(terms.agreement)),
        purpose=names.get(terms.purpose),
        status=row.status,
        code=names.get(row.code),
        opened_at_ms=row.opened_at_ms,
        closed_at_ms=row.closed_at_ms,
        request_bytes=sizes[asked],
        response_bytes=sizes[answered],
        settled=_settled(row),
        gather_id=row.gather,
        region=names.get(row.region),
        on_behalf_of=names.get(terms.on_behalf_of),
    )


def _settled(row: _Row) -> Settlement | None:
    """An answer that came after all says more than that the question arrived."""
    if row.settled is None or (
        row.role == ROLES.index(Role.CONSUMER)
        and OUTCOMES[row.outcome] not in {Outcome.OPEN, Outcome.LOST}
    ):
        return None
    found: Settlement = SETTLEMENTS[row.settled]
    return found


def _agreement(text: str | None) -> bytes | None:
    return None if text is None else bytes.fromhex(text)


def _texts(connection: Connection, ids: Iterable[int]) -> dict[int, str]:
    rows = connection.execute(select(NAMES).where(NAMES.c.id.in_(set(ids))))
    return {row.id: row.text for row in rows}


def _sizes(connection: Connection, calls: list[int]) -> dict[int, dict[Direction, int]]:
    """The payload bytes of each call and direction, as their commitments round them."""
    found: dict[int, dict[Direction, int]] = defaultdict(lambda: dict.fromkeys(DIRECTIONS, 0))
    rows = connection.execute(
        select(CALL_ENTRIES.c.call, CALL_ENTRIES.c.direction, func.sum(CALL_ENTRIES.c.blocks))
        .where(CALL_ENTRIES.c.call.in_(calls))
        .group_by(CALL_ENTRIES.c.call, CALL_ENTRIES.c.direction)
    )
    for call, direction, blocks in rows:
        found[call][DIRECTIONS[direction]] = int(blocks) * ROUND_BYTES
    return found


def _answers(connection: Connection, calls: list[int]) -> dict[int, int]:
    """How many messages each call was answered with: a unary answer stands in its close."""
    said = [KINDS.index("message"), KINDS.index("close")]
    rows = connection.execute(
        select(CALL_ENTRIES.c.call, func.count())
        .where(
            CALL_ENTRIES.c.call.in_(calls),
            CALL_ENTRIES.c.direction == DIRECTIONS.index(Direction.RECEIVED),
            CALL_ENTRIES.c.kind.in_(said),
            # A commitment to a message, even to an empty one, is of 256 bytes or more.
            CALL_ENTRIES.c.blocks > 0,
        )
        .group_by(CALL_ENTRIES.c.call)
    )
    return {int(call): int(count) for call, count in rows}


def _entries(connection: Connection, call: int) -> Iterable[CallEntry]:
    rows = connection.execute(
        select(CALL_ENTRIES, PARCELS, NAMES.c.text)
        .join(
            PARCELS,
            (PARCELS.c.slot == CALL_ENTRIES.c.slot) & (PARCELS.c.idx == CALL_ENTRIES.c.idx),
        )
        .outerjoin(NAMES, NAMES.c.id == PARCELS.c.member)
        .where(CALL_ENTRIES.c.call == call)
        .order_by(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no)
        .limit(MAX_SHOWN_ENTRIES)
    )
    for row in rows.mappings():
        entries = unpack_entries(row[PARCELS.c.entries])
        number = row[CALL_ENTRIES.c.entry_no]
        yield CallEntry(
            slot=row[PARCELS.c.slot],
            idx=row[PARCELS.c.idx],
            entry_no=number,
            kind=KINDS[row[CALL_ENTRIES.c.kind]],
            direction=DIRECTIONS[row[PARCELS.c.direction]],
            member=row[NAMES.c.text] or "",
            number=row[PARCELS.c.number],
            sealed_at_ms=row[PARCELS.c.sealed_at_ms],
            recorded_at_ms=row[PARCELS.c.recorded_at_ms],
            header_hash=row[PARCELS.c.header_hash],
            leaf_hash=row[PARCELS.c.leaf_hash],
            rounded_bytes=row[CALL_ENTRIES.c.blocks] * ROUND_BYTES,
            entry=entries[number] if number < len(entries) else b"",
        )
