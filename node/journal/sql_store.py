"""The storage contract in SQL that SQLite and PostgreSQL share.

What differs by database is left to the subclass: how it tells that a slot's holder is dead, what
its errors mean, and its upkeep. The statements are SQLAlchemy Core's; those of the append path are
compiled once.

A group goes in by the fast way first: no look for duplicates, the unique key finds them. Where it
does, the transaction is rolled back and the group goes in by the careful way, append by append.

Source: node.journal.store, which is the contract.
"""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Connection, Engine, bindparam, func, insert, select, update
from sqlalchemy.exc import DBAPIError

from node.journal.archive.leaves import first_kept
from node.journal.index import CallIndex, IndexGroup
from node.journal.kept.keys import Keys
from node.journal.kept.rows import KeptRows, is_needed
from node.journal.leaves import Leaf, make_leaf
from node.journal.model import LatePayload, Note
from node.journal.slots import held_by, require_free
from node.journal.statements import BulkInsert, Statement
from node.journal.store import Append, Appended, JournalStore, Lease
from node.journal.tables import DIRECTIONS, NO_LINK, PARCELS, SALTS, SLOTS, TREE_NODES
from security.errors import ERRORS, Code, SimpulError
from security.merkle import Frontier
from security.tiles import TreeNode, completed_nodes

_DIRECTIONS: Final = {direction: number for number, direction in enumerate(DIRECTIONS)}


@dataclass(frozen=True, slots=True)
class _Prepared:
    """An append whose leaves are made."""

    leaves: tuple[Leaf, ...]
    notes: tuple[Note, ...]
    late: tuple[LatePayload, ...] = ()


class _DuplicateError(Exception):
    """A row is there already: the fast way in is closed."""


class SqlJournalStore(JournalStore):
    """See `JournalStore`. One connection, used by one thread."""

    def __init__(self, engine: Engine, where: str, keys: Keys | None = None) -> None:
        """`engine` begins transactions with the write lock; `where` names it in errors.

        Without `keys` no content can be kept.
        """
        self._where = where
        self._engine = engine
        # PEP 249's module: its errors come as they are where statements go past SQLAlchemy.
        self._driver: Any = engine.dialect.dbapi
        self._connection = self._connect()
        self._index = CallIndex(engine.dialect)
        self._kept = KeptRows(engine.dialect, keys)
        self._insert_parcels = BulkInsert(PARCELS, engine.dialect)
        self._insert_salts = BulkInsert(SALTS, engine.dialect)
        self._insert_nodes = BulkInsert(TREE_NODES, engine.dialect)
        self._fence = Statement(
            update(SLOTS)
            .where(
                SLOTS.c.number == bindparam("slot"),
                SLOTS.c.fencing == bindparam("fence"),
                SLOTS.c.size == bindparam("old_size"),
            )
            .values(
                size=bindparam("new_size"),
                frontier=bindparam("new_frontier"),
                lease_until_ms=bindparam("until_ms"),
            ),
            ("slot", "fence", "old_size", "new_size", "new_frontier", "until_ms"),
            engine.dialect,
        )

    def take(self, slot: int, holder: str, *, now_ms: int, lease_ms: int) -> tuple[Lease, Frontier]:
        """See the contract."""
        try:
            return self._take(slot, holder, now_ms, lease_ms)
        except _DuplicateError:
            # Another took it first, which made it: it's looked at as it is now.
            return self._take(slot, holder, now_ms, lease_ms)

    def _take(self, slot: int, holder: str, now_ms: int, lease_ms: int) -> tuple[Lease, Frontier]:
        with self._transaction() as connection:
            wanted = select(SLOTS).where(SLOTS.c.number == slot).with_for_update()
            row = connection.execute(wanted).first()
            if row is None:
                lease, head = Lease(slot, holder, 1, lease_ms), Frontier()
                connection.execute(
                    insert(SLOTS),
                    {
                        "number": slot,
                        "size": 0,
                        "frontier": head.to_bytes(),
                        "holder": "",
                        "fencing": 0,
                        "lease_until_ms": 0,
                    },
                )
            else:
                if not self._holder_is_dead(slot, int(row.fencing)):
                    require_free(slot, str(row.holder), int(row.lease_until_ms), now_ms)
                lease = Lease(slot, holder, int(row.fencing) + 1, lease_ms)
                head = self._head(connection, slot, bytes(row.frontier), int(row.size))
                self._settle(connection, slot, now_ms)
            connection.execute(
                update(SLOTS)
                .where(SLOTS.c.number == slot)
                .values(holder=holder, fencing=lease.fencing, lease_until_ms=now_ms + lease_ms)
            )
            # Before the row can be seen: nobody may find a holder whose lock isn't there yet.
            self._hold(lease)
        return lease, head

    def _settle(self, connection: Connection, slot: int, now_ms: int) -> None:
        """Ends what the slot's last holder left open. No name of it is remembered: it may fail."""
        self._index.open_calls.clear()
        index = IndexGroup(self._index, connection, now_ms)
        lost = Code.OUTCOME_UNKNOWN
        index.slot_taken(slot, ERRORS[lost].grpc_status, lost.value)
        index.write()

    def append(
        self, lease: Lease, head: Frontier, group: Sequence[Append], *, now_ms: int
    ) -> Appended:
        """See the contract."""
        prepared: dict[int, _Prepared] = {}
        refused: dict[int, SimpulError] = {}
        for place, item in enumerate(group):
            try:
                self._kept.check(item.records, item.late)
                leaves = tuple(map(make_leaf, item.records))
                prepared[place] = _Prepared(leaves, item.notes, item.late)
            except SimpulError as error:
                refused[place] = error
        try:
            return self._commit(lease, head, (prepared, refused), now_ms, careful=False)
        except _DuplicateError:
            pass
        try:
            return self._commit(lease, head, (prepared, refused), now_ms, careful=True)
        except _DuplicateError as error:
            raise SimpulError(
                Code.JOURNAL_CORRUPT,
                f"{self._where} contradicts itself: run simpul journal verify, and restore it",
                path=self._where,
            ) from error

    def renew(self, lease: Lease, *, now_ms: int) -> None:
        """See the contract."""
        with self._transaction() as connection:
            done = connection.execute(
                update(SLOTS)
                .where(SLOTS.c.number == lease.slot, SLOTS.c.fencing == lease.fencing)
                .values(lease_until_ms=now_ms + lease.duration_ms)
            )
            if done.rowcount != 1:
                raise self._lost(connection, lease)

    def release(self, lease: Lease) -> None:
        """See the contract."""
        with self._transaction() as connection:
            connection.execute(
                update(SLOTS)
                .where(SLOTS.c.number == lease.slot, SLOTS.c.fencing == lease.fencing)
                .values(lease_until_ms=0)
            )
        self._let_go(lease)

    def close(self) -> None:
        """See the contract."""
        self._connection.close()
        self._engine.dispose()

    def _connect(self) -> Connection:
        try:
            return self._engine.connect()
        except DBAPIError as error:
            raise self._told(error.orig) from error

    @abstractmethod
    def _holder_is_dead(self, slot: int, fencing: int) -> bool:
        """Whether it's certain that no living process has this holding of the slot."""

    @abstractmethod
    def _hold(self, lease: Lease) -> None:
        """Lets others see that the lease's holder lives, where they can see it."""

    @abstractmethod
    def _let_go(self, lease: Lease) -> None:
        """Undoes `_hold`."""

    @abstractmethod
    def _meaning(self, error: BaseException | None) -> SimpulError:
        """What an error of the driver means by the contract."""

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        try:
            with self._connection.begin():
                yield self._connection
        except DBAPIError as error:
            raise self._told(error.orig) from error
        except self._driver.Error as error:
            raise self._told(error) from error

    def _told(self, error: BaseException | None) -> Exception:
        if isinstance(error, self._driver.IntegrityError):
            return _DuplicateError()
        return self._meaning(error)

    def _head(self, connection: Connection, slot: int, frontier: bytes, size: int) -> Frontier:
        """The tree as recorded, looked at once: its size is that of its parts."""
        try:
            head = Frontier.from_bytes(frontier)
        except SimpulError:
            head = None
        last = connection.execute(
            select(func.max(PARCELS.c.idx)).where(PARCELS.c.slot == slot)
        ).scalar()
        # Where all were dropped, what was dropped says where the tree goes on.
        end = first_kept(connection, slot) if last is None else int(last) + 1
        if head is None or head.size != size or size != end:
            raise SimpulError(
                Code.JOURNAL_CORRUPT,
                f"{self._where}: slot {slot} and its parcels differ in size: "
                "run simpul journal verify, and restore it from a backup",
                path=self._where,
                slot=str(slot),
            )
        return head

    def _commit(
        self,
        lease: Lease,
        head: Frontier,
        group: tuple[dict[int, _Prepared], dict[int, SimpulError]],
        now_ms: int,
        *,
        careful: bool,
    ) -> Appended:
        prepared, refused = group
        with self._transaction() as connection:
            wanted = list(prepared.values())
            if careful:
                wanted = self._sift(connection, prepared, refused)
            index = IndexGroup(self._index, connection, now_ms)
            head = self._write(connection, lease, head, wanted, index, now_ms)
        # Not before it's durable: what was rolled back must not be remembered.
        self._index.keep(index)
        return Appended(head, refused)

    def _write(
        self,
        connection: Connection,
        lease: Lease,
        head: Frontier,
        wanted: Sequence[_Prepared],
        index: IndexGroup,
        now_ms: int,
    ) -> Frontier:
        old_size = head.size
        nodes: list[TreeNode] = []
        for item in wanted:
            for leaf in item.leaves:
                nodes += completed_nodes(head, leaf.leaf_hash)
                head = head.append(leaf.leaf_hash)
        self._check_fence(connection, lease, old_size, head, now_ms)
        parcels: list[tuple[object, ...]] = []
        salts: list[tuple[object, ...]] = []
        keeping: list[tuple[Leaf, int, int]] = []
        idx = old_size
        for item in wanted:
            for leaf in item.leaves:
                link = index.link(leaf.record.link_id, leaf.record.end, leaf.record.peer)
                member = index.name(leaf.record.member)
                peer = index.name(leaf.record.peer)
                refs = (link, member, peer)
                parcels.append(_parcel_row(leaf, (lease.slot, idx), refs, now_ms))
                salts.append((lease.slot, idx, leaf.packed_salts))
                index.add(leaf, (lease.slot, idx), link, peer)
                if is_needed(leaf.record):
                    keeping.append((leaf, idx, link))
                idx += 1
            for note in item.notes:
                index.note(note)
        self._insert_parcels.run(connection, parcels)
        self._insert_salts.run(connection, salts)
        self._insert_nodes.run(
            connection, [(lease.slot, node.level, node.index, node.hash) for node in nodes]
        )
        index.write()
        if len(keeping) > 0:
            self._keep(connection, lease.slot, keeping, index, now_ms)
        late = [each for item in wanted for each in item.late]
        if len(late) > 0:
            self._keep_late(connection, lease.slot, late)
        return head

    def _keep(
        self,
        connection: Connection,
        slot: int,
        keeping: Sequence[tuple[Leaf, int, int]],
        index: IndexGroup,
        now_ms: int,
    ) -> None:
        """What is kept of parcels, each with its index and its link's number."""
        group = self._kept.begin(connection)
        for leaf, idx, link in keeping:
            group.keep(leaf.record, slot, idx)
            for number, persons in leaf.record.persons:
                call = index.opened.get((link, leaf.said[number][1]))
                if call is not None:
                    group.concern(persons, call, now_ms)
        self._kept.write(connection, group)

    def _keep_late(self, connection: Connection, slot: int, late: Sequence[LatePayload]) -> None:
        """One after the other: a group may hold the parcel, its late payload, and that again."""
        for each in late:
            group = self._kept.begin(connection)
            group.keep_late(each, slot)
            self._kept.write(connection, group)

    def _check_fence(
        self, connection: Connection, lease: Lease, old_size: int, head: Frontier, now_ms: int
    ) -> None:
        row = (
            lease.slot, lease.fencing, old_size,
            head.size, head.to_bytes(), now_ms + lease.duration_ms,
        )  # fmt: skip
        if self._fence.run_one(connection, row) != 1:
            raise self._lost(connection, lease)

    def _lost(self, connection: Connection, lease: Lease) -> SimpulError:
        row = connection.execute(select(SLOTS).where(SLOTS.c.number == lease.slot)).first()
        if row is not None and row.fencing != lease.fencing:
            return held_by(lease.slot, str(row.holder))
        return SimpulError(
            Code.JOURNAL_CORRUPT,
            f"{self._where}: slot {lease.slot} isn't as it was left: "
            "run simpul journal verify, and restore it from a backup",
            path=self._where,
            slot=str(lease.slot),
        )

    def _sift(
        self,
        connection: Connection,
        prepared: dict[int, _Prepared],
        refused: dict[int, SimpulError],
    ) -> list[_Prepared]:
        """Leaves out what is there already, and refuses the appends that contradict it."""
        seen: dict[tuple[object, ...], bytes] = {}
        wanted: list[_Prepared] = []
        for place, item in prepared.items():
            new: dict[tuple[object, ...], Leaf] = {}
            for leaf in item.leaves:
                record = leaf.record
                key = (record.link_id, record.end, record.direction, record.number)
                there = seen.get(key) or self._recorded(connection, leaf)
                if there is None and key in new:
                    there = new[key].record.header_hash
                if there is None:
                    new[key] = leaf
                elif there != record.header_hash:
                    refused[place] = _conflict(leaf)
                    break
            else:
                seen |= {key: leaf.record.header_hash for key, leaf in new.items()}
                wanted.append(_Prepared(tuple(new.values()), item.notes, item.late))
        return wanted

    def _recorded(self, connection: Connection, leaf: Leaf) -> bytes | None:
        link = IndexGroup(self._index, connection, 0).link(leaf.record.link_id, leaf.record.end)
        if link == NO_LINK:
            return None
        row = connection.execute(
            select(PARCELS.c.header_hash).where(
                PARCELS.c.link == link,
                PARCELS.c.direction == _DIRECTIONS[leaf.record.direction],
                PARCELS.c.number == leaf.record.number,
            )
        ).first()
        return None if row is None else bytes(row.header_hash)


def _parcel_row(
    leaf: Leaf, position: tuple[int, int], refs: tuple[int, int, int], now_ms: int
) -> tuple[object, ...]:
    """A row of `parcels`, in the order of its columns."""
    record = leaf.record
    link, member, peer = refs
    return (
        *position,
        _DIRECTIONS[record.direction],
        link,
        member,
        record.number,
        record.sealed_at_ms,
        now_ms,
        leaf.leaf_hash,
        record.header_hash,
        len(leaf.said),
        record.header,
        record.seal,
        leaf.packed_entries,
        peer,
    )


def _conflict(leaf: Leaf) -> SimpulError:
    record = leaf.record
    return SimpulError(
        Code.CONFLICT,
        f"parcel {record.number} {record.direction} on a link with {record.peer} is recorded "
        "already, with another content: close the link and open a new one",
        peer=record.peer,
        number=str(record.number),
    )
