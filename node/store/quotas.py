"""How many calls were given out today, of agreements with a limit for a day.

Stored before a lease is used, so that a restart doesn't begin the day anew. It counts nothing
itself: `node.policy.allowance` does.
"""

from collections.abc import Iterable, Mapping

from sqlmodel import col, delete, select

from node.policy.allowance import DayCount
from node.store.engine import Store
from node.store.models import DayCountRow


def load_counts(store: Store) -> Mapping[bytes, DayCount]:
    """The counts stored last, by their keys."""
    with store.transaction() as session:
        return {row.key: DayCount(row.day, row.given) for row in session.exec(select(DayCountRow))}


def save_count(store: Store, key: bytes, count: DayCount) -> None:
    """Replaces the count of one key; durable when this returns."""
    with store.transaction() as session:
        session.merge(DayCountRow(key=key, day=count.day, given=count.given))


def forget_counts(store: Store, keys: Iterable[bytes]) -> None:
    """Removes the counts of agreements that are no more."""
    with store.transaction() as session:
        session.exec(delete(DayCountRow).where(col(DayCountRow.key).in_(list(keys))))
