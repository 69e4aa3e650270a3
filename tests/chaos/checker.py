"""What a journal must hold after a fault, judged from outside the node.

It trusts only what the appender was told: calls that were acknowledged, trees that it was shown.
It reads the rows itself, and `verify` besides.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text

from node.journal.place import Place
from node.journal.readonly import ReadOnly
from node.journal.verify import verify
from security.merkle import root
from tests.unit.node.journal.builder import call_id


@dataclass
class Told:
    """What appenders were told, over all runs on one journal."""

    acknowledged: list[int] = field(default_factory=list)
    trees: dict[int, str] = field(default_factory=dict)
    opened: int = 0
    full: int = 0
    # How the last run ended by itself: "end CODE", "refused CODE", or nothing.
    ended: str = ""

    def hear(self, lines: Iterable[bytes]) -> int:
        """Take whole lines; returns how many calls they acknowledge."""
        before = len(self.acknowledged)
        for line in lines:
            word, *rest = line.decode().split()
            match word:
                case "ack":
                    self.acknowledged.append(int(rest[0]))
                case "tree" | "open":
                    self.opened += word == "open"
                    known = self.trees.setdefault(int(rest[0]), rest[1])
                    assert known == rest[1], f"two trees of size {rest[0]} were shown"
                case "full":
                    self.full += 1
                case _:
                    self.ended = " ".join((word, *rest))
        return len(self.acknowledged) - before


def problems(place: Place, told: Told) -> list[str]:
    """What is wrong with the journal; nothing, if all is well."""
    report = verify(place)
    found = [str(problem) for problem in report.problems]
    calls = Counter(bytes(row[0]) for row in _rows(place, "SELECT call_id FROM calls"))
    twice = [each for each, times in calls.items() if times > 1]
    wanted = {call_id(number) for number in told.acknowledged}
    missing = wanted - set(calls)
    if missing:
        found.append(f"{len(missing)} of {len(wanted)} acknowledged calls are missing")
    if twice:
        found.append(f"{len(twice)} calls are there twice")
    closed = _rows(place, "SELECT count(*) FROM calls WHERE outcome = 1")[0][0]
    if closed != len(calls) or report.parcels != 2 * len(calls):
        found.append("a call is there by half")
    leaves = [
        bytes(row[0])
        for row in _rows(place, "SELECT leaf_hash FROM parcels WHERE slot = 0 ORDER BY idx")
    ]
    for size, shown in sorted(told.trees.items()):
        if size > len(leaves) or root(leaves[:size]).hex() != shown:
            found.append(f"the tree of size {size} that was shown isn't a part of this one")
    return found


def recorded(place: Place) -> int:
    """How many calls there are."""
    return int(_rows(place, "SELECT count(*) FROM calls")[0][0])


def _rows(place: Place, sql: str) -> list[Any]:
    journal = ReadOnly(place)
    try:
        with journal.snapshot() as connection:
            return list(connection.execute(text(sql)).all())
    finally:
        journal.close()
