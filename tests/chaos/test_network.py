"""Lines that break between nodes, registry and service, nodes that die meanwhile; then both judged.

Each program has a machine of its own (tests/support/hosts.py). A line breaks silently: what is sent
is lost, and nobody is told. Where the kernel can, lines are slow and lose something besides.
"""

import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from registry import app
from registry.home import NewRegistry
from runtime.ports import TcpAddress
from tests.chaos.elsewhere import WrittenDown
from tests.chaos.federation import Load, Node, Witnessed
from tests.chaos.test_nodes import MANY, Pair, kill_and_start, stop_and_judge
from tests.scenario.harness import CHECKOUT, SIMPUL, ProcessOn, environment, until
from tests.scenario.world import ASKER, CONSUMER, FIRST, REGENCY, STALE_MS, World
from tests.support.hosts import Host, hosts, why_not

pytestmark = [
    pytest.mark.scenario,
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
]

REGISTRY, SERVICE = "registry", "wisata"
# A break is shorter than a link's patience, or longer.
SHORTEST_S, LONGEST_S = 0.2, 4.0


@dataclass
class Apart:
    """Both nodes, and the machines that they, the registry and the service are on."""

    pair: Pair
    machines: Mapping[str, Host]


@contextmanager
def apart() -> Iterator[Apart]:
    # Sockets have room for about a hundred bytes.
    home = Path(tempfile.mkdtemp(prefix="simpul-"))
    with ExitStack() as stack:
        machines = stack.enter_context(
            hosts({name: ["all"] for name in (REGISTRY, ASKER, FIRST, SERVICE)})
        )
        world = World(home, stack)
        _serve_registry(world, machines[REGISTRY])
        witnessed = Witnessed(home / "r")
        said = _serve_service(machines[SERVICE], home)
        nodes = [
            _node(world, member, name, machines[name])
            for member, name in ((CONSUMER, ASKER), (REGENCY, FIRST))
        ]
        for node in nodes:
            node.start()
            stack.callback(node.stop)
        for node in nodes:
            node.until_up()
        world.publish(FIRST, REGENCY, f"{SERVICE}:8074")
        world.allow(FIRST, REGENCY)
        witnessed.start()
        stack.callback(witnessed.end)
        asking, answering = nodes
        yield Apart(Pair(asking, answering, said, witnessed, world.app()), machines)
    logs = [log for log in home.glob("*.log") if "Traceback" in log.read_text(errors="replace")]
    told = "".join(log.read_text(errors="replace") for log in logs)
    shutil.rmtree(home)
    assert not logs, told


def _serve_registry(world: World, host: Host) -> None:
    grpc, directory, witness, metrics = (
        TcpAddress("0.0.0.0", port)  # noqa: S104  (of a machine that only this test reaches)
        for port in (8440, 8439, 8437, 8438)
    )
    new = NewRegistry(
        stale_after_ms=STALE_MS, public=REGISTRY, grpc=grpc, directory=directory,
        witness=witness, metrics=metrics,
    )  # fmt: skip
    app.init(world.registry, new)
    log = world.home / "registry.log"
    registry = ProcessOn(host, log, "registry", "serve", "--home", world.registry)
    world.stack.callback(registry.stop)
    world.endpoints = registry.until_file(world.registry / "run" / "endpoints.json")


def _serve_service(host: Host, home: Path) -> WrittenDown:
    words = [sys.executable, "-m", "tests.chaos.elsewhere", "0.0.0.0:8074", str(home / "served")]
    log = home / "service.log"
    host.start(["env", f"--chdir={CHECKOUT}", *words], log, environment({}))
    until(lambda: "listening" in log.read_text() or None, what=str(log))
    return WrittenDown(home / "served")


def _node(world: World, member: str, name: str, host: Host) -> Node:
    token, home = world.enrol(member, name), world.path(name)
    # A gateway that this test's apps reach from outside of that machine.
    host.done(
        *SIMPUL, "node", "init", "--home", str(home), "--registry", f"{REGISTRY}:8440",
        "--root", str(world.registry / "root.json"), "--token", token, "--slots", "2",
        "--gateway", f"unix:{home}/gateway.sock", "--listen", "0.0.0.0:8442",
        "--advertise", f"{name}:8442", "--metrics", "127.0.0.1:8443",
    )  # fmt: skip
    return Node(home, world.home / f"{name}.log", host=host)


@pytest.mark.timeout(3600)
def test_lines_broken_at_random(
    rounds: int, chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    rounds = rounds if rounds >= MANY else rounds // 3
    with apart() as places:
        two, load = places.pair, places.pair.load()
        slow = [host.worsen(delay_ms=5, loss_percent=1) for host in places.machines.values()]
        breaks = _breaks(places)
        done: Counter[str] = Counter()
        with load.running():
            load.until_answered(20)
            for _ in range(rounds):
                name = chance.choice([*breaks])
                done[name] += 1
                breaks[name](load, chance)
                load.until_answered(10)
        found = stop_and_judge(two, load)
        if rounds >= MANY:
            ends = Counter(told.code or told.status for told in load.told)
            with capsys.disabled():
                sys.stderr.write(
                    f"\nbroken: {dict(done)}, lines slow and lossy: {all(slow)}; calls, as their "
                    f"apps were told: {dict(ends)}; served: {len(two.service.served)}; cosigned "
                    f"checkpoints: {found.checkpoints}\n"
                )
    assert found.checkpoints > 2
    assert load.answered > 10 * rounds


def _breaks(places: Apart) -> Mapping[str, Callable[[Load, random.Random], None]]:
    machines, two = places.machines, places.pair

    def cut(one: str, *others: str) -> Callable[[Load, random.Random], None]:
        def break_and_mend(_load: Load, chance: random.Random) -> None:
            far = [machines[name] for name in others]
            machines[one].cut(*far)
            time.sleep(chance.uniform(SHORTEST_S, LONGEST_S))
            machines[one].mend(*far)

        return break_and_mend

    def cut_both_ways(_load: Load, chance: random.Random) -> None:
        near, far = machines[ASKER], machines[FIRST]
        near.cut(far)
        far.cut(near)
        time.sleep(chance.uniform(SHORTEST_S, LONGEST_S))
        near.mend(far)
        far.mend(near)

    def kill(node: Node) -> Callable[[Load, random.Random], None]:
        return lambda load, chance: kill_and_start(node, load, chance)

    def kill_apart(load: Load, chance: random.Random) -> None:
        """A node that comes back while the other can't be reached, nor the registry."""
        machines[ASKER].cut(machines[FIRST], machines[REGISTRY])
        two.asking.kill(chance)
        two.asking.start()
        time.sleep(chance.uniform(SHORTEST_S, LONGEST_S))
        machines[ASKER].mend(machines[FIRST], machines[REGISTRY])

    return {
        "between the nodes": cut_both_ways,
        "from the asking node alone": cut(ASKER, FIRST),
        "from the answering node alone": cut(FIRST, ASKER),
        "a node from all": cut(FIRST),
        "the registry from all": cut(REGISTRY),
        "the service from its node": cut(FIRST, SERVICE),
        "the asking node killed": kill(two.asking),
        "the answering node killed": kill(two.answering),
        "the asking node killed apart": kill_apart,
    }
