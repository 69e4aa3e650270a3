"""Erasing in SQL, the same for SQLite and PostgreSQL but for how bytes are got rid of.

A connection for each transaction: erasures are few, and come from any thread.

SQLite: keys and salts are overwritten where they lie, and what is deleted is overwritten by the
database (`secure_delete`); the write-ahead log, which has older pages, is written back and cut to
nothing by `scrub`. PostgreSQL: `scrub` vacuums the tables.

Source: node.journal.kept.store, which is the contract.
"""

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, Self

from sqlalchemy import (
    Connection,
    Engine,
    Row,
    bindparam,
    delete,
    event,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import ConnectionPoolEntry

from node.journal.blobs import erase_salts
from node.journal.kept.keys import KeptKeys
from node.journal.kept.model import (
    Erased,
    Erasure,
    ErasureOrder,
    Notice,
    Settled,
    Telling,
)
from node.journal.kept.recording import record_erasure, record_telling
from node.journal.kept.rows import KEPT_LOCK
from node.journal.kept.store import KeptStore
from node.journal.kept.tables import (
    ERASURES,
    KEPT_KEYS,
    KEPT_PARTS,
    NOTICES,
    PERSONS,
    TELLINGS,
)
from node.journal.model import Outcome, Role
from node.journal.place import Place
from node.journal.tables import (
    CALL_ENTRIES,
    CALLS,
    LINKS,
    NAMES,
    OUTCOMES,
    ROLES,
    SALTS,
    TERMS,
)
from node.journal.writable import make_and_open
from security.errors import Code, SimpulError
from security.kept import WRAPPED_BYTES, wrap_key
from security.limits import Limits
from security.secret_key import SECRET_ID_BYTES

# No call lasts longer, by any federation's policy that our own limits allow.
MAX_CALL_MS: Final = Limits().max_call_ms
# A scrub keeps appends waiting while it waits for readers: not for long, it is tried again.
SCRUB_WAIT_MS: Final = 1_000

_CONSUMER: Final = NAMES.alias("consumer")
_PROVIDER: Final = NAMES.alias("provider")
_PEER: Final = NAMES.alias("peer")
_OPEN: Final = OUTCOMES.index(Outcome.OPEN)
# What stands in the place of a key that was erased, and the least that a key's id may be.
_NO_SECRET: Final = bytes(SECRET_ID_BYTES)
_FIRST_SECRET: Final = bytes(SECRET_ID_BYTES - 1) + b"\x01"
_CHANGED: Final = (KEPT_KEYS, KEPT_PARTS, SALTS, PERSONS)

_Row = Row[Any]


class SqlKeptStore(KeptStore):
    """See `KeptStore`."""

    def __init__(self, engine: Engine, told: Callable[[BaseException | None], SimpulError]) -> None:
        """`told` says what a driver's error means."""
        self._engine = engine
        self._told = told
        self._is_sqlite = engine.dialect.name == "sqlite"

    @classmethod
    def open(cls, place: Place) -> Self:
        """Opens the journal at `place`; made and migrated as the journal itself does.

        Raises:
            SimpulError: as the journal's own opening does.
        """
        engine, told = make_and_open(place)
        if engine.dialect.name == "sqlite":
            event.listen(engine, "connect", _overwrite)
        return cls(engine, told)

    def erase(self, order: ErasureOrder, *, now_ms: int) -> Erased:
        """See the contract."""
        with self._transaction() as connection:
            calls = _calls(connection, order.call_id)
            if len(calls) == 0:
                raise SimpulError(
                    Code.NOT_FOUND, f"the journal knows no call {order.call_id.hex()}"
                )
            if any(
                row.outcome == _OPEN and now_ms < row.opened_at_ms + MAX_CALL_MS for row in calls
            ):
                raise SimpulError(
                    Code.CONFLICT,
                    f"call {order.call_id.hex()} is under way: erase it when it has ended, or an "
                    "hour after it began",
                )
            entries = _destroy(connection, [int(row.id) for row in calls])
            before = connection.execute(
                select(ERASURES.c.at_ms).where(ERASURES.c.call_id == order.call_id)
            ).first()
            self._settle(connection, order.call_id, Settled.ERASED, now_ms)
            if before is not None:
                return Erased(order.call_id, entries, int(before.at_ms), again=True, tells=())
            tells = _record(connection, order, calls, entries, now_ms)
        return Erased(order.call_id, entries, now_ms, again=False, tells=tells)

    def scrub(self) -> bool:
        """See the contract."""
        with self._told_errors(), self._engine.connect() as connection:
            if self._is_sqlite:
                return self._cut_log(connection)
            # Outside of any transaction: VACUUM refuses to be in one.
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            for table in _CHANGED:
                alone.exec_driver_sql(f"VACUUM {table.name}")
        return True

    def erasures(self, *, limit: int) -> list[Erasure]:
        """See the contract."""
        with self._transaction() as connection:
            return read_erasures(connection, limit)

    def due(self, now_ms: int, *, limit: int) -> list[Telling]:
        """See the contract."""
        wanted = (TELLINGS.c.told_at_ms.is_(None), TELLINGS.c.next_at_ms <= now_ms)
        with self._transaction() as connection:
            query = _tellings().where(*wanted).order_by(TELLINGS.c.next_at_ms, TELLINGS.c.id)
            return [_telling(row) for row in connection.execute(query.limit(limit))]

    def told(self, telling: int, *, now_ms: int, code: str = "") -> None:
        """See the contract."""
        self._change(telling, told_at_ms=now_ms, code=code)

    def postpone(self, telling: int, code: str, next_at_ms: int) -> None:
        """See the contract."""
        self._change(telling, tries=TELLINGS.c.tries + 1, code=code, next_at_ms=next_at_ms)

    def hear(self, notice: Notice, others: Collection[str] = ()) -> Notice:
        """See the contract."""
        known = (NOTICES.c.call_id == notice.call_id, NOTICES.c.member == notice.member)
        with self._transaction() as connection:
            there = connection.execute(select(NOTICES).where(*known)).first()
            if there is not None:
                return _notice(there)
            parties = [*map(_other, _calls(connection, notice.call_id)), *others]
            if not any(party.startswith(f"{notice.member}/") for party in parties):
                raise SimpulError(
                    Code.NOT_FOUND,
                    f"this node's journal has no call {notice.call_id.hex()} with {notice.member}",
                )
            erased = connection.execute(
                select(ERASURES.c.at_ms).where(ERASURES.c.call_id == notice.call_id)
            ).first()
            values = {
                "call_id": notice.call_id,
                "member": notice.member,
                "erased_at_ms": notice.erased_at_ms,
                "reason": notice.reason,
                "heard_at_ms": notice.heard_at_ms,
                "settled_at_ms": None if erased is None else notice.heard_at_ms,
                "settled": str(Settled.OPEN if erased is None else Settled.ERASED),
            }
            connection.execute(insert(NOTICES), values)
            return _notice(connection.execute(select(NOTICES).where(*known)).one())

    def notices(self, *, only_open: bool, limit: int) -> list[Notice]:
        """See the contract."""
        with self._transaction() as connection:
            return read_notices(connection, limit, only_open=only_open)

    def settle(self, call_id: bytes, how: Settled, *, now_ms: int) -> int:
        """See the contract."""
        with self._transaction() as connection:
            return self._settle(connection, call_id, how, now_ms)

    def wrapped_otherwise(self, keys: KeptKeys) -> int:
        """See the contract."""
        with self._transaction() as connection:
            query = select(func.count()).select_from(KEPT_KEYS).where(_otherwise(keys))
            return int(connection.execute(query).scalar_one())

    def rewrap(self, keys: KeptKeys, *, limit: int) -> int:
        """See the contract."""
        newest = keys.newest
        place = ("slot", "idx", "entry_no")
        with self._transaction() as connection:
            if not self._is_sqlite:
                connection.execute(select(func.pg_advisory_xact_lock(KEPT_LOCK)))
            rows = connection.execute(select(KEPT_KEYS).where(_otherwise(keys)).limit(limit)).all()
            values = [
                {
                    **{f"at_{name}": getattr(row, name) for name in place},
                    "new_wrapped": wrap_key(
                        newest, keys.unwrap(bytes(row.secret), bytes(row.wrapped))
                    ),
                }
                for row in rows
            ]
            if len(values) > 0:
                connection.execute(
                    update(KEPT_KEYS)
                    .where(*(KEPT_KEYS.c[name] == bindparam(f"at_{name}") for name in place))
                    .values(secret=newest.id, wrapped=bindparam("new_wrapped")),
                    values,
                )
            return len(rows)

    def _cut_log(self, connection: Connection) -> bool:
        driver = connection.connection.driver_connection
        if driver is None:
            raise SimpulError(Code.JOURNAL_FAILED, "the journal is closed; start again")
        try:
            driver.execute(f"PRAGMA busy_timeout={SCRUB_WAIT_MS}")
            busy, _, _ = driver.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
        except sqlite3.Error as error:
            raise self._told(error) from error
        return bool(busy == 0)

    def _change(self, telling: int, **values: object) -> None:
        with self._transaction() as connection:
            connection.execute(update(TELLINGS).where(TELLINGS.c.id == telling).values(**values))

    def _settle(self, connection: Connection, call_id: bytes, how: Settled, now_ms: int) -> int:
        done = connection.execute(
            update(NOTICES)
            .where(NOTICES.c.call_id == call_id, NOTICES.c.settled_at_ms.is_(None))
            .values(settled_at_ms=now_ms, settled=str(how))
        )
        return int(done.rowcount)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._told_errors(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _told_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._told(error.orig) from error


def read_erasures(connection: Connection, limit: int) -> list[Erasure]:
    """The newest erasures, each with what was told of it."""
    rows = connection.execute(select(ERASURES).order_by(ERASURES.c.id.desc()).limit(limit)).all()
    tellings: dict[int, list[Telling]] = defaultdict(list)
    query = _tellings().where(TELLINGS.c.erasure.in_([row.id for row in rows]))
    for row in connection.execute(query.order_by(TELLINGS.c.id)):
        tellings[int(row.erasure)].append(_telling(row))
    return [
        Erasure(
            int(row.id),
            bytes(row.call_id),
            int(row.at_ms),
            row.by,
            row.reason,
            int(row.entries),
            tuple(tellings[int(row.id)]),
        )
        for row in rows
    ]


def read_notices(connection: Connection, limit: int, *, only_open: bool) -> list[Notice]:
    """The notices, those that were heard last first."""
    query = select(NOTICES).order_by(NOTICES.c.id.desc()).limit(limit)
    if only_open:
        query = query.where(NOTICES.c.settled_at_ms.is_(None))
    return [_notice(row) for row in connection.execute(query)]


def _overwrite(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
    connection.execute("PRAGMA secure_delete=ON")


def _calls(connection: Connection, call_id: bytes) -> list[_Row]:
    """The calls of this id, with the names of who is party to them."""
    query = (
        select(
            CALLS.c.id,
            CALLS.c.role,
            CALLS.c.outcome,
            CALLS.c.opened_at_ms,
            LINKS.c.link_id,
            _CONSUMER.c.text.label("consumer"),
            _PROVIDER.c.text.label("provider"),
            _PEER.c.text.label("peer"),
        )
        .join(TERMS, TERMS.c.id == CALLS.c.terms)
        .outerjoin(_CONSUMER, _CONSUMER.c.id == TERMS.c.consumer)
        .outerjoin(_PROVIDER, _PROVIDER.c.id == TERMS.c.provider)
        .outerjoin(LINKS, LINKS.c.id == CALLS.c.link)
        .outerjoin(_PEER, _PEER.c.id == LINKS.c.peer)
        .where(CALLS.c.call_id == call_id)
    )
    return list(connection.execute(query))


def _is_consumer(row: _Row) -> bool:
    return ROLES[row.role] is Role.CONSUMER


def _other(row: _Row) -> str:
    """The other side's subsystem."""
    return str(row.provider if _is_consumer(row) else row.consumer)


def _destroy(connection: Connection, calls: list[int]) -> int:
    """Destroys the content of these calls; returns how many entries they have."""
    entries: dict[tuple[int, int], set[int]] = defaultdict(set)
    query = select(CALL_ENTRIES.c.slot, CALL_ENTRIES.c.idx, CALL_ENTRIES.c.entry_no)
    for slot, idx, number in connection.execute(query.where(CALL_ENTRIES.c.call.in_(calls))):
        entries[int(slot), int(idx)].add(int(number))
    for (slot, idx), numbers in entries.items():
        # Overwritten, so that the row moves nothing; the ciphertext may be moved, without its key.
        connection.execute(
            update(KEPT_KEYS)
            .where(
                KEPT_KEYS.c.slot == slot,
                KEPT_KEYS.c.idx == idx,
                KEPT_KEYS.c.entry_no.in_(numbers),
            )
            .values(secret=_NO_SECRET, wrapped=bytes(WRAPPED_BYTES))
        )
        connection.execute(
            delete(KEPT_PARTS).where(
                KEPT_PARTS.c.slot == slot,
                KEPT_PARTS.c.idx == idx,
                KEPT_PARTS.c.entry_no.in_(numbers),
            )
        )
        here = (SALTS.c.slot == slot, SALTS.c.idx == idx)
        salts = connection.execute(select(SALTS.c.salts).where(*here).with_for_update()).scalar()
        if salts is not None:
            left = erase_salts(bytes(salts), numbers)
            connection.execute(update(SALTS).where(*here).values(salts=left))
    connection.execute(delete(PERSONS).where(PERSONS.c.call.in_(calls)))
    return sum(map(len, entries.values()))


def _record(
    connection: Connection, order: ErasureOrder, calls: Sequence[_Row], entries: int, now_ms: int
) -> tuple[str, ...]:
    """Records an erasure and whom to tell of it; returns their nodes."""
    erasure = record_erasure(connection, order, entries, now_ms)
    ends: dict[bytes, set[int]] = defaultdict(set)
    for row in calls:
        if row.link_id is not None:
            ends[bytes(row.link_id)].add(int(row.role))
    tells = {
        (str(row.peer), str(row.consumer), str(row.provider))
        if _is_consumer(row)
        else (str(row.peer), str(row.provider), str(row.consumer))
        for row in calls
        # Both ends of a link within this node were erased together: there is nobody to tell.
        if row.link_id is not None and len(ends[bytes(row.link_id)]) == 1
    }
    for peer, sender, receiver in sorted(tells):
        record_telling(connection, erasure, peer, sender, receiver, now_ms)
    return tuple(sorted({peer for peer, _, _ in tells}))


def _otherwise(keys: KeptKeys) -> Any:  # noqa: ANN401  (a condition)
    # Two ranges of an index, which a plain <> would not use.
    newest, secret = keys.newest.id, KEPT_KEYS.c.secret
    return or_(secret.between(_FIRST_SECRET, newest) & (secret != newest), secret > newest)


def _tellings() -> Any:  # noqa: ANN401  (a query)
    return select(TELLINGS, ERASURES.c.call_id, ERASURES.c.at_ms, ERASURES.c.reason).join(
        ERASURES, ERASURES.c.id == TELLINGS.c.erasure
    )


def _telling(row: _Row) -> Telling:
    return Telling(
        int(row.id),
        bytes(row.call_id),
        int(row.at_ms),
        row.reason,
        row.peer,
        row.sender,
        row.receiver,
        int(row.tries),
        row.code,
        int(row.next_at_ms),
        row.told_at_ms,
    )


def _notice(row: _Row) -> Notice:
    return Notice(
        bytes(row.call_id),
        row.member,
        int(row.erased_at_ms),
        row.reason,
        int(row.heard_at_ms),
        row.settled_at_ms,
        Settled(row.settled),
    )
