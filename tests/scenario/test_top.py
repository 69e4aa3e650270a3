"""`simpul node top`: a node that is called shows its calls, and one that is gone is named."""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tests.scenario.harness import Federation, simpul


def test_calls_are_seen(federation: Federation) -> None:
    home = federation.consumer.home
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(
            simpul, "node", "top", "--home", home, "--every", "1", "--count", "4", "--json"
        )
        while not running.done():
            federation.ask()
            time.sleep(0.05)
        ran = running.result()
    assert ran.status == 0
    lines = [json.loads(line) for line in ran.out.splitlines()]
    assert len(lines) == 4
    assert sum(line["sides"]["consumer"]["calls_per_s"] for line in lines) > 0
    assert lines[-1]["directory_version"] > 0


def test_in_a_pipe_each_look_is_a_block(federation: Federation) -> None:
    ran = simpul(
        "node", "top", "--home", federation.provider.home, "--every", "0.2", "--count", "2"
    )
    assert ran.status == 0
    assert ran.out.count("calls in: ") == 2
    assert "days left" in ran.out


def test_a_node_that_does_not_run(home: Path) -> None:
    ran = simpul("node", "top", "--home", home / "none", "--count", "1")
    assert (ran.status, "HOME_MISSING" in ran.err) == (1, True)
