"""Whole nodes killed at random under load, one or the other, and both journals judged after it."""

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from node.journal.place import PostgresPlace
from registry import app
from registry.home import NewRegistry
from tests.chaos.both import Findings, Heard, Journal, judge
from tests.chaos.federation import APPS, Load, Node, Served, Witnessed, served
from tests.scenario.harness import Process
from tests.scenario.world import ASKER, CONSUMER, FIRST, REGENCY, STALE_MS, World
from tests.support.postgres import new_database

pytestmark = pytest.mark.scenario

# From here on it is the long form.
MANY = 100
# Kills between two judgements: each reads all there is.
BATCH = 10


@dataclass
class Pair:
    """Both nodes, those who ask and answer, and the witness of both."""

    asking: Node
    answering: Node
    service: Served
    witnessed: Witnessed
    token: str

    def load(self) -> Load:
        metadata = (("simpul-to", f"{REGENCY}/pariwisata"), ("simpul-token", self.token))
        return Load(self.asking.gateway, metadata)

    def judge(self, load: Load) -> Findings:
        heard = Heard(list(load.told), list(self.service.served), set(self.witnessed.notes))
        return judge(heard, _journal(self.asking, ASKER), _journal(self.answering, FIRST))


def _journal(node: Node, name: str) -> Journal:
    return Journal(node.journal, f"{name}.id.simpul.internal/journal/")


@contextmanager
def pair(database: PostgresPlace | None = None) -> Iterator[Pair]:
    """A ministry's node that asks a regency's, and the registry that witnesses both.

    The regency's has its journal in `database`, and two workers, where one is given.
    """
    # Sockets have room for about a hundred bytes.
    home = Path(tempfile.mkdtemp(prefix="simpul-"))
    app.init(home / "r", NewRegistry(stale_after_ms=STALE_MS))
    registry = Process(home / "registry.log", "registry", "serve", "--home", home / "r")
    witnessed = Witnessed(home / "r")
    with ExitStack() as stack:
        stack.callback(registry.stop)
        service, target = stack.enter_context(served())
        world = World(home, stack)
        world.endpoints = registry.until_file(home / "r" / "run" / "endpoints.json")
        world.join(CONSUMER, ASKER)
        world.join(REGENCY, FIRST, slots=2)
        if database is not None:
            config = world.path(FIRST) / "node.toml"
            told = config.read_text().replace("[node]", "[node]\nworkers = 2")
            config.write_text(told.replace("[journal]", f'[journal]\nurl = "{database}"'))
        asking = Node(world.path(ASKER), home / f"{ASKER}.log")
        answering = Node(world.path(FIRST), home / f"{FIRST}.log", database)
        for node in (asking, answering):
            node.start()
            stack.callback(node.stop)
        for node in (asking, answering):
            node.until_up()
        world.publish(FIRST, REGENCY, target)
        world.allow(FIRST, REGENCY)
        witnessed.start()
        stack.callback(witnessed.end)
        yield Pair(asking, answering, service, witnessed, world.app())
    logs = [log for log in home.glob("*.log") if "Traceback" in log.read_text(errors="replace")]
    told = "".join(log.read_text(errors="replace") for log in logs)
    shutil.rmtree(home)
    assert not logs, told


@pytest.mark.timeout(3600)
def test_nodes_killed_at_random(
    rounds: int, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    kills = rounds if rounds >= MANY else rounds // 2
    with pair() as two:
        nodes, load = (two.asking, two.answering), two.load()
        killed: Counter[str] = Counter()
        with load.running():
            load.until_answered(20)
            for kill in range(1, kills + 1):
                node = chance.choice(nodes)
                killed[node.home.name] += 1
                kill_and_start(node, load, chance)
                if kill % BATCH == 0:
                    with load.paused():
                        assert two.judge(load).wrong == []
            load.until_answered(20)
        found = stop_and_judge(two, load)
    assert found.checkpoints > kills // 2
    assert load.answered > 10 * kills // 2
    # What was on its way at a kill: each app asks one thing at a time.
    assert found.ahead <= APPS * killed[ASKER]
    if kills >= MANY:
        ends = Counter(told.code or told.status for told in load.told)
        with capsys.disabled():
            sys.stderr.write(
                f"\nkilled: {dict(killed)}; calls, as their apps were told: {dict(ends)}; "
                f"served: {len(two.service.served)}, of which ahead of their own commit: "
                f"{found.ahead}; cosigned checkpoints: {found.checkpoints}\n"
            )


def kill_and_start(node: Node, load: Load, chance: random.Random) -> None:
    time.sleep(chance.uniform(0.0, 0.4))
    node.kill(chance)
    node.start()
    # Now and then the next one comes while this one is still starting.
    if chance.random() < 0.2:
        time.sleep(chance.uniform(0.0, 1.5))
    else:
        load.until_answered(10)


def stop_and_judge(two: Pair, load: Load) -> Findings:
    for node in (two.asking, two.answering):
        assert node.stop() == 0
    two.witnessed.look()
    found = two.judge(load)
    assert found.wrong == []
    return found


@pytest.mark.timeout(3600)
def test_a_node_on_postgresql_killed_at_random(rounds: int, chance: random.Random) -> None:
    """It waits for the leases of its slots, so that it may be started again at once."""
    if rounds < MANY:
        pytest.skip("a lease lasts 10 s: make chaos runs it")
    with pair(new_database()) as two:
        load = two.load()
        with load.running():
            load.until_answered(20)
            for _ in range(max(1, rounds // 20)):
                time.sleep(chance.uniform(0.0, 0.4))
                two.answering.kill(chance)
                two.answering.start()
                load.until_answered(20)
        found = stop_and_judge(two, load)
    # Two workers have a log each.
    assert found.checkpoints > 2
