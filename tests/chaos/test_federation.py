"""A federation under random operations, restarts and failovers: one directory at its end.

Two registries share a database; every node knows both. For a while members come, are renamed,
suspended and taken back, subsystems and groups come, nodes and registries are stopped or killed and
start again. Then all is started, and every node must have the directory that both registries have.

`make chaos SECONDS=60 ARGS="-k federation"`; an hour where no time is said. Not in `make test`: to
join twenty nodes takes a minute and a half.
"""

import asyncio
import contextlib
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtime.grpc_options import channel_options
from simpul.registry.v1 import admin_pb2, admin_pb2_grpc
from tests.chaos.federation import Node
from tests.scenario.harness import Process, done, read_json, until
from tests.support import postgres
from tests.support.ports import node_ports

pytestmark = pytest.mark.scenario

LASTS_S = float(os.environ.get("SIMPUL_CHAOS_SECONDS", "0"))
NODES = 20
# Twenty nodes that start at once on two cores.
SETTLED_S = 300.0
STARTERS = 3
CALL_S = 10.0
REST_S = 0.2
# How often all are looked at while it goes on.
LOOK_EVERY_S = 60.0
# A registry that is being killed, or that another one came before.
NOBODYS_FAULT = {
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.ABORTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.FAILED_PRECONDITION,
}
# Each is a fault here, wherever a log has it: nobody attacks. DIRECTORY_ROLLBACK isn't among them:
# a node that comes to the other registry may be a moment ahead of it, and keeps what it has.
ALARMS = ("DIRECTORY_SPLIT", "DIRECTORY_UNLOGGED", "DIRECTORY_UNTRUSTED", "Traceback")


@dataclass(frozen=True)
class Held:
    """A directory, as a node or a registry has it."""

    version: int
    hash: str


@dataclass
class Registry:
    """One of the two, and its process, where it runs."""

    home: Path
    log: Path
    process: Process | None = None

    @property
    def endpoints(self) -> Any:
        return read_json(self.home / "run" / "endpoints.json")

    def start(self) -> None:
        (self.home / "run" / "endpoints.json").unlink(missing_ok=True)
        self.process = Process(self.log, "registry", "serve", "--home", self.home)
        until(self._up, SETTLED_S, f"{self.home}")

    def stop(self, number: signal.Signals) -> None:
        if self.process is not None:
            self.process.stop(number)
        self.process = None

    def held(self) -> Held:
        metadata = self.home / "directory" / "metadata"
        signed = json.loads((metadata / "timestamp.json").read_bytes())["signed"]
        version = int(signed["meta"]["snapshot.json"]["version"])
        snapshot = (metadata / f"{version}.snapshot.json").read_bytes()
        return Held(version, sha256(snapshot).hexdigest())

    def _up(self) -> Any:
        assert self.process is not None
        assert self.process.status is None, self.process.text
        return self.endpoints


@dataclass
class World:
    """All that runs, and what was done."""

    home: Path
    chance: random.Random
    registries: tuple[Registry, Registry]
    nodes: list[Node] = field(default_factory=list)
    stopped: set[int] = field(default_factory=set)
    members: list[str] = field(default_factory=list)
    suspended: set[str] = field(default_factory=set)
    count: int = 0
    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def ask(self, method: str, request: Any) -> Any:
        """An operator's question, at either registry that runs."""
        running = [registry for registry in self.registries if registry.process is not None]
        address = self.chance.choice(running).endpoints["admin"]

        async def call() -> Any:
            async with grpc.aio.insecure_channel(address, channel_options()) as channel:
                stub = admin_pb2_grpc.RegistryAdminStub(channel)
                return await getattr(stub, method)(request, timeout=CALL_S)

        return asyncio.run(call())

    # What operators do.

    def add_member(self) -> None:
        self.count += 1
        member = f"ID/DAERAH/12.{100 + self.count}"
        self.ask(
            "AddMember",
            admin_pb2.AddMemberRequest(member=member, legal_name=f"Daerah ke-{self.count}"),
        )
        self.members.append(member)

    def rename_member(self) -> None:
        self.count += 1
        self.ask(
            "UpdateMember",
            admin_pb2.UpdateMemberRequest(
                member=self.chance.choice(self.members), legal_name=f"Nama ke-{self.count}"
            ),
        )

    def add_subsystem(self) -> None:
        self.count += 1
        member = self.chance.choice([one for one in self.members if one not in self.suspended])
        subsystem = f"{member}/sistem{self.count}"
        self.ask("AddSubsystem", admin_pb2.AddSubsystemRequest(subsystem=subsystem))

    def suspend_or_resume(self) -> None:
        member = self.chance.choice(self.members)
        state = "active" if member in self.suspended else "suspended"
        self.ask(
            "SetMemberState",
            admin_pb2.SetMemberStateRequest(member=member, state=state, reason="a test"),
        )
        self.suspended ^= {member}

    # What befalls machines.

    def restart_node(self) -> None:
        number = self.chance.randrange(len(self.nodes))
        if number in self.stopped:
            self.nodes[number].start()
            self.stopped.discard(number)
        elif self.chance.random() < 0.5:
            self.nodes[number].kill(self.chance)
            self.nodes[number].start()
        else:
            self.nodes[number].kill(self.chance)
            self.stopped.add(number)

    def fail_over(self) -> None:
        """One registry goes, and the other one that was away comes first."""
        for registry in self.registries:
            if registry.process is None:
                registry.start()
        gone = self.chance.choice(self.registries)
        gone.stop(self.chance.choice((signal.SIGKILL, signal.SIGTERM)))

    def lose_both(self) -> None:
        """Nodes go on by what they have; both come back."""
        for registry in self.registries:
            registry.stop(signal.SIGKILL)
        time.sleep(self.chance.uniform(0.5, 3.0))
        for registry in self.registries:
            registry.start()

    def step(self) -> None:
        what: Callable[[], None] = self.chance.choices(
            (
                self.add_member, self.rename_member, self.add_subsystem, self.suspend_or_resume,
                self.restart_node, self.fail_over, self.lose_both,
            ),
            (20, 20, 20, 20, 12, 6, 2),
        )[0]  # fmt: skip
        try:
            what()
            self.done[what.__name__] += 1
        except grpc.aio.AioRpcError as error:
            if error.code() not in NOBODYS_FAULT:
                raise
            self.refused[error.code().name] += 1

    def start_all(self) -> None:
        for registry in self.registries:
            if registry.process is None:
                registry.start()
        for number in sorted(self.stopped):
            self.nodes[number].start()
        self.stopped.clear()

    def settled(self) -> Held:
        """Waits until all have one directory."""
        self.start_all()
        until(self._agreed, SETTLED_S, "one directory everywhere")
        return self.registries[0].held()

    def _agreed(self) -> bool:
        with contextlib.suppress(FileNotFoundError):
            held = {registry.held() for registry in self.registries}
            held |= {_held(node.home) for node in self.nodes}
            return len(held) == 1
        return False

    def faults(self) -> list[str]:
        logs = sorted(self.home.glob("*.log"))
        lines = (line for log in logs for line in log.read_text(errors="replace").splitlines())
        return [line for line in lines if any(alarm in line for alarm in ALARMS)]


def _held(home: Path) -> Held:
    index = json.loads((home / "directory" / "current" / "index.json").read_bytes())
    return Held(int(index["version"]), str(index["hash"]))


@contextmanager
def federation(chance: random.Random) -> Iterator[World]:
    """Both registries and all nodes, running."""
    # Sockets have room for about a hundred bytes.
    home = Path(tempfile.mkdtemp(prefix="simpul-"))
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, home, ignore_errors=True)
        url = postgres.registry_url(stack.enter_context(postgres.registry_database()))
        done("registry", "init", "--home", home / "r1")
        settings = home / "r1" / "registry.toml"
        settings.write_text(settings.read_text() + f'\n[database]\nurl = "{url}"\n')
        done("registry", "replica", home / "r2", "--home", home / "r1")
        pair = (Registry(home / "r1", home / "r1.log"), Registry(home / "r2", home / "r2.log"))
        world = World(home, chance, pair)
        for registry in pair:
            registry.start()
            stack.callback(registry.stop, signal.SIGTERM)
        with ThreadPoolExecutor(STARTERS) as pool:
            world.nodes += pool.map(lambda number: _join(world, number), range(NODES))
        for node in world.nodes:
            node.start()
            stack.callback(_end, node)
        world.members += [f"ID/DAERAH/12.{number:02}" for number in range(NODES)]
        world.settled()
        yield world


def _join(world: World, number: int) -> Node:
    first, second = (registry.endpoints for registry in world.registries)
    name = f"sumut-{number}"
    token = world.ask(
        "CreateEnrolment",
        admin_pb2.CreateEnrolmentRequest(
            member=f"ID/DAERAH/12.{number:02}", node_name=name, legal_name=f"Sumut {number}"
        ),
    ).token
    home = world.home / name
    done(
        "node", "init", "--home", home, "--registry", f"{first['grpc']},{second['grpc']}",
        "--token", token, "--root", world.registries[0].home / "root.json", *node_ports(),
    )  # fmt: skip
    settings = home / "node.toml"
    text = settings.read_text()
    both = json.dumps(f"{first['directory']},{second['directory']}")
    for one in (first, second):
        text = text.replace(json.dumps(one["directory"]), both)
    settings.write_text(text)
    return Node(home, world.home / f"{name}.log")


def _end(node: Node) -> None:
    with contextlib.suppress(Exception):
        node.stop()


@pytest.mark.skipif(LASTS_S == 0, reason="make chaos runs it")
@pytest.mark.timeout(2 * LASTS_S + 1200)
def test_a_federation_ends_with_one_directory(
    chance: random.Random, capsys: pytest.CaptureFixture[str]
) -> None:
    with federation(chance) as world:
        ends_s = time.monotonic() + LASTS_S
        look_s = time.monotonic() + LOOK_EVERY_S
        while time.monotonic() < ends_s:
            world.step()
            time.sleep(chance.uniform(0, REST_S))
            if time.monotonic() > look_s:
                world.settled()
                look_s = time.monotonic() + LOOK_EVERY_S
        held = world.settled()
        assert world.faults() == []
        assert held.version > sum(world.done.values()) // 10
        with capsys.disabled():
            sys.stderr.write(
                f"\n{NODES} nodes, {LASTS_S:.0f} s: {dict(world.done)}; not done: "
                f"{dict(world.refused)}; all at version {held.version}, {held.hash[:16]}\n"
            )
