"""Killed at random under load. A kill can't show a missing sync: see test_power.py."""

import contextlib
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.chaos.appender import Appender, appender
from tests.chaos.checker import Told, problems, recorded
from tests.chaos.child import AT_ONCE
from tests.support.postgres import new_database


@pytest.mark.timeout(1800)
def test_killed_at_random(tmp_path: Path, rounds: int, chance: random.Random) -> None:
    path, told = tmp_path / "journal.db", Told()
    for run in range(rounds):
        with appender(path, run, told):
            time.sleep(chance.uniform(0.0, 0.2))
        # All of it now and then, because it takes longer with every round.
        if run % 20 == rounds % 20 or run == rounds - 1:
            assert problems(path, told) == []
    assert len(told.acknowledged) > rounds
    # More may be durable than was told, but no more than was under way at each kill.
    assert recorded(path) <= len(told.acknowledged) + rounds * AT_ONCE


def test_the_second_process_on_a_journal_refuses_to_start(tmp_path: Path) -> None:
    path, told, other = tmp_path / "journal.db", Told(), Told()
    with appender(path, 1, told) as first:
        second = Appender(path, 2, other)
        assert second.end() == 2
        second.kill()
        first.wait_for_calls(20)
    assert (other.ended, other.acknowledged) == ("refused JOURNAL_LOCKED", [])
    assert problems(path, told) == []


def fall_asleep(sleeper: Appender, path: Path) -> None:
    """Stop it between two groups: within one it holds SQLite's lock, and all wait for it."""
    other = sqlite3.connect(path, timeout=0, isolation_level=None)
    try:
        for _ in range(1000):
            sleeper.signal(signal.SIGSTOP)
            time.sleep(0.005)
            with contextlib.suppress(sqlite3.OperationalError):
                other.execute("BEGIN IMMEDIATE")
                other.execute("ROLLBACK")
                return
            sleeper.signal(signal.SIGCONT)
            time.sleep(0.003)
    finally:
        other.close()
    pytest.fail("it was always within a group")


def test_a_worker_that_lost_its_lease_and_wakes_up_again_stops(tmp_path: Path) -> None:
    path, told, slow = tmp_path / "journal.db", Told(), Told()
    with appender(path, 1, slow, "--lease-ms", "300") as sleeper:
        sleeper.wait_for_calls(20)
        fall_asleep(sleeper, path)
        time.sleep(0.5)
        before = len(slow.acknowledged)
        with appender(path, 2, told) as successor:
            successor.wait_for_calls(20)
            sleeper.signal(signal.SIGCONT)
            assert sleeper.end() == 3
            successor.wait_for_calls(20)
    assert slow.ended == "end JOURNAL_LOCKED"
    # At most what was durable already when it fell asleep was still to be told.
    assert len(slow.acknowledged) - before <= AT_ONCE
    told.acknowledged += slow.acknowledged
    told.trees |= slow.trees
    assert problems(path, told) == []


def test_killed_on_postgresql(chance: random.Random, rounds: int) -> None:
    place, told = new_database(), Told()
    for run in range(max(3, rounds // 10)):
        # No lock tells that a holder on another machine is dead: its lease must end first.
        with appender(place, run, told, "--lease-ms", "200") as running:
            running.wait_for_calls(5)
            time.sleep(chance.uniform(0.0, 0.2))
        time.sleep(0.3)
    assert problems(place, told) == []
