"""The number of the next change that this node asks the registry for."""

from node.store.engine import Store
from node.store.models import ChangeNumberRow

_ONLY = 1


def next_change_number(store: Store, now_ms: int) -> int:
    """A number above all earlier ones, durable before it is used.

    It is not below the time: a node restored from a backup would otherwise count from where the
    backup was, and be refused as a replay until it had caught up.
    """
    with store.transaction() as session:
        row = session.get(ChangeNumberRow, _ONLY)
        number = max(now_ms, 1 if row is None else row.number + 1)
        session.merge(ChangeNumberRow(id=_ONLY, number=number))
        return number
