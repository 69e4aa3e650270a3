"""Checkpoints in SQL, the same for SQLite and PostgreSQL; opened here for SQLite.

A connection for each transaction: they are few, and come from any thread. What reads takes no lock
that an append would wait for.

Source: node.journal.checkpoints, which is the contract.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    delete,
    exists,
    insert,
    select,
    update,
)
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from node.journal.archive.leaves import dropped_leaves
from node.journal.checkpoints import CheckpointStore, KeptCheckpoint, KeptTimestamp, SlotHead
from node.journal.place import Place
from node.journal.readonly import ReadOnly, read_place
from node.journal.tables import CHECKPOINTS, PARCELS, SLOTS, TIMESTAMPS, TREE_NODES
from node.journal.writable import make_and_open
from security.checkpoint import parse_checkpoint
from security.errors import Code, SimpulError
from security.hashing import JOURNAL_LEAF, digest
from security.merkle import Frontier, leaf_hash

_Row = Row[Any]


class SqlCheckpointStore(CheckpointStore):
    """See `CheckpointStore`."""

    def __init__(
        self,
        read: Engine,
        write: Engine,
        where: str,
        told: Callable[[BaseException | None], SimpulError],
    ) -> None:
        """`where` names the database in errors; `told` says what a driver's error means."""
        self._read = read
        self._write = write
        self._where = where
        self._told = told

    @classmethod
    def open(cls, place: Place) -> Self:
        """Opens the journal at `place`; made and migrated as the journal itself does.

        Raises:
            SimpulError: as the journal's own opening does.
        """
        write, _ = make_and_open(place)
        read, told = read_place(place, NullPool)
        return cls(read, write, str(place), told)

    @classmethod
    def read(cls, place: Place) -> Self:
        """Opens the journal at `place` to read only; nothing is made or migrated.

        Raises:
            SimpulError: as node.journal.readonly.ReadOnly says.
        """
        ReadOnly(place).close()
        read, told = read_place(place, NullPool)
        return cls(read, read, str(place), told)

    def heads(self) -> tuple[SlotHead, ...]:
        """See the contract."""
        with self._transaction(self._read) as connection:
            rows = connection.execute(select(SLOTS).order_by(SLOTS.c.number)).all()
        try:
            heads = tuple(
                SlotHead(int(row.number), Frontier.from_bytes(bytes(row.frontier))) for row in rows
            )
        except SimpulError as error:
            raise self._corrupt("a slot's tree can't be read") from error
        if any(head.tree.size != int(row.size) for head, row in zip(heads, rows, strict=True)):
            raise self._corrupt("a slot's tree isn't of the size that it states")
        return heads

    @contextmanager
    def tree(self, slot: int) -> Iterator["SlotTree"]:
        """See the contract."""
        with self._transaction(self._read) as connection:
            yield SlotTree(connection, slot, self._corrupt)

    def save(self, kept: KeptCheckpoint) -> None:
        """See the contract."""
        with self._transaction(self._write) as connection:
            there = self._find(connection, kept.slot, kept.size)
            newest = self._largest(connection, CHECKPOINTS.c.slot == kept.slot)
            if there is not None:
                _require_same_root(there, kept)
                _replace(connection, there, kept)
            elif newest is not None and newest.size > kept.size and kept.quorum_at_ms is None:
                raise _back(kept, newest.size)
            else:
                connection.execute(insert(CHECKPOINTS), _values(kept))
            largest = kept.size if newest is None else max(kept.size, newest.size)
            connection.execute(_needless(kept.slot, largest))

    def save_timestamp(self, slot: int, size: int, stamp: KeptTimestamp) -> None:
        """See the contract."""
        key = {"slot": slot, "size": size, "authority": stamp.authority}
        with self._transaction(self._write) as connection:
            if self._find(connection, slot, size) is None:
                raise SimpulError(
                    Code.NOT_FOUND, f"slot {slot} keeps no checkpoint of size {size} to stamp"
                )
            where = [TIMESTAMPS.c[name] == value for name, value in key.items()]
            if connection.execute(select(TIMESTAMPS.c.size).where(*where)).first() is None:
                values = {"response": stamp.response, "stamped_at_ms": stamp.stamped_at_ms}
                connection.execute(insert(TIMESTAMPS), key | values)

    def at(self, slot: int, size: int) -> KeptCheckpoint | None:
        """See the contract."""
        with self._transaction(self._read) as connection:
            return self._find(connection, slot, size)

    def newest(self, slot: int) -> KeptCheckpoint | None:
        """See the contract."""
        with self._transaction(self._read) as connection:
            return self._largest(connection, CHECKPOINTS.c.slot == slot)

    def newest_stamped(self, slot: int) -> KeptCheckpoint | None:
        """See the contract."""
        with self._transaction(self._read) as connection:
            return self._largest(connection, CHECKPOINTS.c.slot == slot, _is_stamped())

    def first_covering(self, slot: int, idx: int) -> KeptCheckpoint | None:
        """See the contract."""
        return self._first(slot, idx, CHECKPOINTS.c.quorum_at_ms.is_not(None))

    def first_stamped(self, slot: int, idx: int) -> KeptCheckpoint | None:
        """See the contract."""
        return self._first(slot, idx, _is_stamped())

    def listed(self, slot: int | None = None, *, limit: int) -> tuple[KeptCheckpoint, ...]:
        """See the contract."""
        query = select(CHECKPOINTS).order_by(
            CHECKPOINTS.c.signed_at_ms.desc(), CHECKPOINTS.c.slot, CHECKPOINTS.c.size.desc()
        )
        if slot is not None:
            query = query.where(CHECKPOINTS.c.slot == slot)
        with self._transaction(self._read) as connection:
            rows = connection.execute(query.limit(limit)).all()
            return tuple(_kept(connection, row) for row in rows)

    def leaf_data(self, slot: int, start: int, count: int) -> tuple[bytes, ...]:
        """See the contract."""
        query = (
            select(PARCELS.c.header, PARCELS.c.seal)
            .where(PARCELS.c.slot == slot, PARCELS.c.idx >= start, PARCELS.c.idx < start + count)
            .order_by(PARCELS.c.idx)
        )
        with self._transaction(self._read) as connection:
            rows = connection.execute(query).all()
            dropped = dropped_leaves(connection, slot, start, count - len(rows))
        if len(dropped) + len(rows) != count:
            raise self._corrupt(f"slot {slot} lacks parcels from {start} on")
        there = (digest(JOURNAL_LEAF, bytes(row.header), bytes(row.seal)) for row in rows)
        return (*dropped, *there)

    def _first(self, slot: int, idx: int, what: ColumnElement[bool]) -> KeptCheckpoint | None:
        query = (
            select(CHECKPOINTS)
            .where(CHECKPOINTS.c.slot == slot, CHECKPOINTS.c.size > idx, what)
            .order_by(CHECKPOINTS.c.size)
            .limit(1)
        )
        with self._transaction(self._read) as connection:
            row = connection.execute(query).first()
            return None if row is None else _kept(connection, row)

    @contextmanager
    def _transaction(self, engine: Engine) -> Iterator[Connection]:
        try:
            with engine.begin() as connection:
                yield connection
        except DBAPIError as error:
            raise self._told(error.orig) from error

    def _largest(
        self, connection: Connection, *where: ColumnElement[bool]
    ) -> KeptCheckpoint | None:
        query = select(CHECKPOINTS).where(*where).order_by(CHECKPOINTS.c.size.desc()).limit(1)
        row = connection.execute(query).first()
        return None if row is None else _kept(connection, row)

    def _find(self, connection: Connection, slot: int, size: int) -> KeptCheckpoint | None:
        return self._largest(connection, CHECKPOINTS.c.slot == slot, CHECKPOINTS.c.size == size)

    def _corrupt(self, what: str) -> SimpulError:
        return SimpulError(
            Code.JOURNAL_CORRUPT,
            f"{self._where}: {what}: run simpul journal verify, and restore it from a backup",
            path=self._where,
        )


class SlotTree:
    """The hashes of one slot (`security.tiles.Hashes`), while its transaction lasts."""

    def __init__(
        self, connection: Connection, slot: int, corrupt: Callable[[str], SimpulError]
    ) -> None:
        self._connection = connection
        self._slot = slot
        self._corrupt = corrupt

    def hashes(self, level: int, start: int, count: int) -> Sequence[bytes]:
        """Returns stored hashes: the parcels' own at level 0, or what stayed of dropped ones.

        Raises:
            SimpulError: JOURNAL_CORRUPT, where they aren't all there.
        """
        if level == 0:
            query = select(PARCELS.c.leaf_hash).where(PARCELS.c.slot == self._slot)
            idx = PARCELS.c.idx
        else:
            query = select(TREE_NODES.c.hash).where(
                TREE_NODES.c.slot == self._slot, TREE_NODES.c.level == level
            )
            idx = TREE_NODES.c.idx
        query = query.where(idx >= start, idx < start + count).order_by(idx)
        found = [bytes(value) for value in self._connection.execute(query).scalars()]
        if level == 0 and len(found) < count:
            dropped = dropped_leaves(self._connection, self._slot, start, count - len(found))
            found = [*map(leaf_hash, dropped), *found]
        if len(found) != count:
            raise self._corrupt(f"slot {self._slot} lacks hashes of its tree, level {level}")
        return found


def _is_stamped() -> ColumnElement[bool]:
    return exists().where(
        TIMESTAMPS.c.slot == CHECKPOINTS.c.slot, TIMESTAMPS.c.size == CHECKPOINTS.c.size
    )


def _needless(slot: int, largest: int) -> Any:  # noqa: ANN401  (a statement)
    return delete(CHECKPOINTS).where(
        CHECKPOINTS.c.slot == slot,
        CHECKPOINTS.c.size < largest,
        CHECKPOINTS.c.quorum_at_ms.is_(None),
        ~_is_stamped(),
    )


def _require_same_root(there: KeptCheckpoint, kept: KeptCheckpoint) -> None:
    old, new = (parse_checkpoint(item.note).checkpoint for item in (there, kept))
    if old != new:
        raise SimpulError(
            Code.CONFLICT,
            f"slot {kept.slot} has another checkpoint of size {kept.size}: its journal was changed",
        )


def _replace(connection: Connection, there: KeptCheckpoint, kept: KeptCheckpoint) -> None:
    """Adds the cosignatures that are new. None is lost, and a quorum's time stays."""
    more = parse_checkpoint(kept.note).note.signatures
    note = parse_checkpoint(there.note).note.with_signatures(more)
    quorum = kept.quorum_at_ms if there.quorum_at_ms is None else there.quorum_at_ms
    connection.execute(
        update(CHECKPOINTS)
        .where(CHECKPOINTS.c.slot == kept.slot, CHECKPOINTS.c.size == kept.size)
        .values(note=note.to_bytes(), quorum_at_ms=quorum)
    )


def _back(kept: KeptCheckpoint, newest: int) -> SimpulError:
    return SimpulError(
        Code.CONFLICT,
        f"slot {kept.slot} has a checkpoint of size {newest}: one of size {kept.size} comes late",
    )


def _values(kept: KeptCheckpoint) -> dict[str, object]:
    return {
        "slot": kept.slot,
        "size": kept.size,
        "note": kept.note,
        "signed_at_ms": kept.signed_at_ms,
        "quorum_at_ms": kept.quorum_at_ms,
    }


def _kept(connection: Connection, row: _Row) -> KeptCheckpoint:
    stamps = connection.execute(
        select(TIMESTAMPS)
        .where(TIMESTAMPS.c.slot == row.slot, TIMESTAMPS.c.size == row.size)
        .order_by(TIMESTAMPS.c.stamped_at_ms)
    ).all()
    return KeptCheckpoint(
        int(row.slot),
        int(row.size),
        bytes(row.note),
        int(row.signed_at_ms),
        None if row.quorum_at_ms is None else int(row.quorum_at_ms),
        tuple(
            KeptTimestamp(str(item.authority), bytes(item.response), int(item.stamped_at_ms))
            for item in stamps
        ),
    )
