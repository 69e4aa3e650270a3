"""Every attempt is written down, before and after, and what is changed later is found."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from sqlmodel import col, delete, update

from registry import audit
from registry.audit import Entry, Stage, from_leaf, to_leaf
from registry.store.audit import AuditEntryRow
from registry.store.database import Store
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2
from tests.unit.registry.running import refusal, run

ENTRY = Entry(1, "local administrator", "RevokeNode", "ID/~a", "00" * 32, Stage.ENDED, "OK")


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    made = Store.open(url)
    for _ in range(5):
        audit.append(made, ENTRY)
    yield made
    made.close()


def refused(store: Store) -> None:
    with pytest.raises(SimpulError) as caught:
        audit.verify(store)
    assert caught.value.code is Code.DATABASE_CORRUPT
    store.close()


def test_a_trail_is_read_and_verified(store: Store) -> None:
    tree = audit.verify(store)
    trail = audit.read(store, None, 2)
    assert [number for number, _ in trail.entries] == [3, 4]
    assert (trail.size, trail.root) == (tree.size, tree.root()) == (5, trail.root)
    assert audit.read(store, 1, 1).entries == ((1, ENTRY),)
    store.close()


def test_a_leaf_has_one_spelling() -> None:
    assert from_leaf(to_leaf(ENTRY)) == ENTRY
    for bad in (b"", b"{}", to_leaf(ENTRY).replace(b": ", b":"), to_leaf(ENTRY)[:-1]):
        with pytest.raises(SimpulError):
            from_leaf(bad)


@pytest.mark.parametrize("number", [0, 2])
def test_step_1_a_missing_entry(store: Store, number: int) -> None:
    with store.transaction() as session:
        session.exec(delete(AuditEntryRow).where(col(AuditEntryRow.number) == number))
    refused(store)


def test_step_2_an_entry_in_another_form(store: Store) -> None:
    with store.transaction() as session:
        session.exec(update(AuditEntryRow).values(leaf=b"{}"))
    refused(store)


def test_step_3_a_changed_entry(store: Store) -> None:
    other = to_leaf(Entry(1, "somebody else", "RevokeNode", "", "", Stage.ENDED, "OK"))
    with store.transaction() as session:
        session.exec(update(AuditEntryRow).where(col(AuditEntryRow.number) == 1).values(leaf=other))
    refused(store)


def test_step_3_the_newest_entry_is_missing(store: Store) -> None:
    with store.transaction() as session:
        session.exec(delete(AuditEntryRow).where(col(AuditEntryRow.number) == 4))
    refused(store)


async def test_every_attempt_of_a_running_registry_is_written(own_home: Path) -> None:
    async with run(own_home) as registry:
        await registry.admin.AddMember(
            admin_pb2.AddMemberRequest(member="ID/DAERAH/1", legal_name="Satu")
        )
        error, _ = await refusal(
            registry.admin.RevokeNode(admin_pb2.RevokeNodeRequest(node="ID/~none"))
        )
        assert error.code is Code.NODE_UNKNOWN
        rows = [row async for row in registry.admin.ImportMembers(admin_pb2.ImportMembersRequest())]
        assert rows[-1].finished
        answer = await registry.admin.ListAudit(admin_pb2.ListAuditRequest())
        found = [(item.method, item.subject, item.stage, item.code) for item in answer.entries]
        assert found == [
            ("AddMember", "ID/DAERAH/1", "asked", ""),
            ("AddMember", "ID/DAERAH/1", "ended", "OK"),
            ("RevokeNode", "ID/~none", "asked", ""),
            ("RevokeNode", "ID/~none", "ended", "NODE_UNKNOWN"),
            ("ImportMembers", "", "asked", ""),
            ("ImportMembers", "", "ended", "OK"),
            ("ListAudit", "", "asked", ""),
        ]
        verified = await registry.admin.VerifyAudit(admin_pb2.VerifyAuditRequest())
        assert verified.size == 9


async def test_a_method_that_is_not_there_is_written_too(own_home: Path) -> None:
    async with run(own_home) as registry:
        async with grpc.aio.insecure_channel(registry.endpoints.admin) as channel:
            drop: Any = channel.unary_unary("/simpul.registry.v1.RegistryAdmin/Drop")
            error, _ = await refusal(drop(b""))
            assert error.code is Code.METHOD_UNKNOWN
        answer = await registry.admin.ListAudit(admin_pb2.ListAuditRequest())
        assert ("Drop", "ended", "METHOD_UNKNOWN") in [
            (item.method, item.stage, item.code) for item in answer.entries
        ]
