"""A fake registry with two members, a node's state, and its replica."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from node.directory.replica import Replica
from node.store.engine import Store
from tests.unit.node.directory.fake_registry import (
    FEDERATION,
    MEMBER,
    OTHER,
    FakeRegistry,
    member_path,
    record,
)


@pytest.fixture
def registry() -> FakeRegistry:
    made = FakeRegistry()
    made.put(member_path(MEMBER), record(MEMBER))
    made.put(member_path(OTHER), record(OTHER))
    made.publish()
    return made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state.db")
    yield opened
    opened.close()


@pytest.fixture
def new_replica(registry: FakeRegistry, tmp_path: Path, store: Store) -> Callable[[], Replica]:
    """Each call is the program started anew, on the same home."""
    return lambda: Replica(tmp_path / "directory", FEDERATION, registry.first_root, store)


@pytest.fixture
def replica(new_replica: Callable[[], Replica]) -> Replica:
    return new_replica()
