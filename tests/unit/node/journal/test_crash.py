"""Killed at random while it appends: nothing acknowledged is missing, nothing is there twice.

A kill can't show a missing fsync, because the system's cache outlives the process; it shows that
the tree, the slot and the index are always one, and that a killed holder is replaced at once.
"""

import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from node.journal.verify import verify
from tests.unit.node.journal.builder import call_id
from tests.unit.node.journal.support import read

ROUNDS = 10
CHILD = Path(__file__).with_name("crash_child.py")


def run_and_kill(path: Path, run: int, after_s: float) -> tuple[int, list[int]]:
    """Returns the tree's size at its start, and the calls it said were durable."""
    child = subprocess.Popen(
        [sys.executable, CHILD, path, str(run)],
        stdout=subprocess.PIPE,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    try:
        assert child.stdout is not None
        first = child.stdout.readline().split()
        assert first[0] == b"open"
        time.sleep(after_s)
    finally:
        child.kill()
        rest, _ = child.communicate()
    # The last line may be cut.
    return int(first[1]), [int(line) for line in rest.split(b"\n")[:-1]]


def test_kill_at_random(path: Path) -> None:
    chance = random.Random(20)
    acknowledged: list[int] = []
    size = 0
    for run in range(ROUNDS):
        found, said = run_and_kill(path, run, chance.uniform(0.0, 0.25))
        assert found == size
        acknowledged += said
        report = verify(path)
        assert report.problems == ()
        assert report.unfinished == 0
        size = report.parcels
    recorded = Counter(row[0] for row in read(path, "SELECT call_id FROM calls"))
    assert len(acknowledged) > ROUNDS
    assert max(recorded.values()) == 1
    assert {call_id(number) for number in acknowledged} <= set(recorded)
    assert size == 2 * len(recorded)
    # More may be durable than was said, but no more than was under way at each kill.
    assert len(recorded) <= len(acknowledged) + ROUNDS * 8
