"""The lowest directory that this node still accepts, kept apart from the directory's own files.

A directory folder that was damaged or emptied forgets what it had seen; this does not. It decides
nothing: `node.directory.rules` compares.
"""

import json

from sqlmodel import delete, select

from node.directory.floors import Floors
from node.store.engine import Store
from node.store.models import FloorRow, FloorStateRow

_ONLY = 1


def load_floors(store: Store) -> Floors | None:
    """What was stored last; None before the first directory."""
    with store.transaction() as session:
        state = session.get(FloorStateRow, _ONLY)
        if state is None:
            return None
        return Floors(
            versions={row.role: row.version for row in session.exec(select(FloorRow))},
            timestamp_keys=frozenset(json.loads(state.timestamp_keys)),
            snapshot_keys=frozenset(json.loads(state.snapshot_keys)),
            issued_at_ms=state.issued_at_ms,
            snapshot_hash=state.snapshot_hash,
        )


def save_floors(store: Store, floors: Floors) -> None:
    """Replaces what is stored, whole. Call `node.directory.rules.check_floors` first."""
    with store.transaction() as session:
        session.exec(delete(FloorRow))
        for role, version in sorted(floors.versions.items()):
            session.add(FloorRow(role=role, version=version))
        session.merge(
            FloorStateRow(
                id=_ONLY,
                timestamp_keys=json.dumps(sorted(floors.timestamp_keys)),
                snapshot_keys=json.dumps(sorted(floors.snapshot_keys)),
                issued_at_ms=floors.issued_at_ms,
                snapshot_hash=floors.snapshot_hash,
            )
        )
