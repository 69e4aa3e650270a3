"""A node moves to another machine, by the commands of the page that says how."""

import re
import subprocess
import sys
import threading
from contextlib import ExitStack
from pathlib import Path

import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from registry import app
from registry.home import NewRegistry
from tests.scenario.harness import CHECKOUT, Process, answering, environment, until
from tests.scenario.test_readme import MARK
from tests.scenario.world import ASKER, CONSUMER, FIRST, REGENCY, STALE_MS, World
from tests.support.ports import free_port

PAGE = CHECKOUT / "docs/how-to/move-a-node.md"

pytestmark = pytest.mark.scenario


def test_a_node_moves_as_the_page_says(place: Path) -> None:
    home = place / "moving"
    home.mkdir()
    app.init(home / "r", NewRegistry(stale_after_ms=STALE_MS))
    registry = Process(home / "registry.log", "registry", "serve", "--home", home / "r")
    answer = pb.GetResponse(island=pb.Island(name="komodo")).SerializeToString()
    with ExitStack() as stack:
        stack.callback(registry.stop)
        service = stack.enter_context(answering(lambda _request: answer))
        world = World(home, stack)
        world.endpoints = registry.until_file(home / "r" / "run" / "endpoints.json")
        for member, node in ((REGENCY, FIRST), (CONSUMER, ASKER)):
            world.join(member, node)
            world.serve(node)
        world.token = world.app()
        world.publish(FIRST, REGENCY, service)
        world.allow(FIRST, REGENCY)
        assert world.answered_by(REGENCY) == "komodo"
        before = str(world.nodes[FIRST][0].link)

        new, address = home / "moved", f"127.0.0.1:{free_port()}"
        # Its parent is this test: somebody must take note of its end.
        threading.Thread(target=world.nodes[FIRST][1].wait, args=(90.0,), daemon=True).start()
        ran = _run_page(N=world.path(FIRST), M=new, OLD=before, ADDRESS=address)
        # Its own program ends what it began.
        stack.callback(_end, new)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert ran.stderr.count("every check passed") == 1, ran.stderr

        until(lambda: world.answered_by(REGENCY) == "komodo" or None, what="an answer from there")
        assert not world.path(FIRST).exists()


def _run_page(**names: object) -> subprocess.CompletedProcess[str]:
    block = PAGE.read_text().partition(MARK)[2].partition("```")[0]
    assert "simpul node address" in block
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=CHECKOUT,
        env=environment({"PATH": path, **{name: str(value) for name, value in names.items()}}),
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )


def _end(home: Path) -> None:
    pid = re.search(r"\d+", (home / "lock").read_text())
    assert pid is not None
    subprocess.run(["kill", pid[0]], check=True)
    until(lambda: not (home / "run" / "endpoints.json").exists() or None, what="its end")
