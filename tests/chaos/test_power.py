"""The power goes: what was written and not synced is gone. And disks that fail in other ways."""

import random
import time
from pathlib import Path

import pytest

from tests.chaos.appender import appender
from tests.chaos.checker import Told, problems
from tests.chaos.disk import Disk


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    return Disk(tmp_path)


def cut_at_random(disk: Disk, told: Told, run: int, after_s: float, *options: str) -> None:
    with appender(disk.journal, run, told, *options, **disk.env) as running:
        running.wait_for_calls(30)
        time.sleep(after_s)
    disk.cut_power()


@pytest.mark.timeout(1800)
def test_what_was_acknowledged_outlives_a_power_cut(
    disk: Disk, rounds: int, chance: random.Random
) -> None:
    told = Told()
    for run in range(max(3, rounds // 4)):
        cut_at_random(disk, told, run, chance.uniform(0.0, 0.2))
        assert problems(disk.journal, told) == []


def test_without_the_sync_the_loss_is_found(disk: Disk) -> None:
    """This is what shows that the tests of this file can fail."""
    told = Told()
    cut_at_random(disk, told, 1, 0.1)
    assert problems(disk.journal, told) == []
    cut_at_random(disk, told, 2, 0.1, "--weak")
    found = problems(disk.journal, told)
    assert any("acknowledged calls are missing" in problem for problem in found)


@pytest.mark.parametrize("torn", [1, 13, 24, 2000, 4119, 9000])
def test_a_torn_last_page_is_left_out(disk: Disk, chance: random.Random, torn: int) -> None:
    told = Told()
    cut_at_random(disk, told, 1, 0.0)
    log = disk.log_bytes()
    # Half of a write that had begun: bytes as such writes have them, or none that make sense.
    disk.tear(chance.choice((log[32 : 32 + torn], chance.randbytes(torn))))
    assert problems(disk.journal, told) == []
    cut_at_random(disk, told, 2, 0.0)
    assert problems(disk.journal, told) == []


def test_a_full_disk_refuses_and_goes_on_when_there_is_room(disk: Disk) -> None:
    told = Told()
    with appender(disk.journal, 1, told, **disk.env) as running:
        running.wait_for_calls(30)
        disk.fail("full")
        running.wait_for(lambda: told.full > 0)
        time.sleep(0.1)
        before = len(told.acknowledged)
        time.sleep(0.2)
        assert len(told.acknowledged) == before
        disk.fail("none")
        running.wait_for_calls(30)
    assert told.ended == ""
    disk.cut_power()
    assert problems(disk.journal, told) == []


@pytest.mark.parametrize("how", ["read-only", "sync"])
def test_a_failing_disk_ends_the_worker_and_loses_nothing(disk: Disk, how: str) -> None:
    told = Told()
    with appender(disk.journal, 1, told, **disk.env) as running:
        running.wait_for_calls(30)
        disk.fail(how)
        assert running.end() == 3
    assert told.ended == "end JOURNAL_FAILED"
    disk.fail("none")
    disk.cut_power()
    assert problems(disk.journal, told) == []
    # The next worker goes on.
    cut_at_random(disk, told, 2, 0.0)
    assert problems(disk.journal, told) == []
