import dataclasses

from node.directory.floors import Floors
from node.store.engine import Store
from node.store.floors import load_floors, save_floors

FLOORS = Floors(
    versions={"root": 1, "timestamp": 9, "snapshot": 3, "m-00": 2},
    timestamp_keys=frozenset({"a", "b"}),
    snapshot_keys=frozenset({"c"}),
    issued_at_ms=1_700_000_000_000,
    snapshot_hash=b"h" * 32,
)


def test_floors_come_back_as_they_were(store: Store) -> None:
    assert load_floors(store) is None
    save_floors(store, FLOORS)
    assert load_floors(store) == FLOORS


def test_floors_are_replaced_whole(store: Store) -> None:
    save_floors(store, FLOORS)
    newer = dataclasses.replace(FLOORS, versions={"root": 2, "timestamp": 1, "snapshot": 1})
    save_floors(store, newer)
    assert load_floors(store) == newer
