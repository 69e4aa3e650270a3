"""The four ways from the load to the service, each started as processes of its own.

direct, the bare pair, the Envoy pair, and the Simpul pair: a registry and two nodes with their
defaults, made by the same functions as `simpul demo up`. All are up at once and idle while one is
measured.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self, TypeVar

from bench import envoy_pair, services
from bench.load import find_nginx
from bench.machine import tree
from cli.admin import find_node, node_admin
from cli.demo.cast import KOMDIGI, Offer, Participant
from cli.demo.federation import PURPOSE, REGISTRY, Federation, running
from node.home import KeyName, NodeHome
from runtime.ports import free_addresses
from security.keys import Algorithm, generate
from simpul.node.v1 import admin_pb2

DIRECT: Final = "direct"
BARE: Final = "bare pair"
ENVOY: Final = "Envoy pair"
SIMPUL: Final = "Simpul pair"

START_TIMEOUT_S: Final = 30.0
LOOK_EVERY_S: Final = 0.02
LISTENING: Final = "listening on "
_SERVICES: Final = (services.BENCH, services.ECHO)

Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Way:
    """Where calls go in. `addresses`: by service; `roles`: the processes, by what they are."""

    name: str
    addresses: Mapping[str, str]
    roles: Mapping[str, Sequence[int]]
    headers: Sequence[str] = ()


@dataclass(slots=True)
class SimpulWay:
    """The Simpul pair, and what else can be asked of it."""

    federation: Federation
    headers: Sequence[str]

    @property
    def way(self) -> Way:
        """As it stands now: a node that was started again has other processes."""
        gateway = self.federation.consumer.gateway
        consumer, provider = (self.pids(node.who.node) for node in self.federation.nodes)
        return Way(
            SIMPUL,
            dict.fromkeys(_SERVICES, gateway),
            {"near": consumer, "far": provider},
            self.headers,
        )

    @property
    def homes(self) -> tuple[Path, Path]:
        """The homes of the consumer's and the provider's node."""
        consumer, provider = (node.home for node in self.federation.nodes)
        return consumer, provider

    def pids(self, name: str) -> list[int]:
        """A node's supervisor and its workers."""
        return tree(self.federation.children[name].pid)


def serve_command(home: Path) -> Sequence[str]:
    """How a node is started, as an operator does."""
    return (sys.executable, "-m", "cli.main", "node", "serve", "--home", str(home))


class Processes:
    """Processes of this run; a context manager that ends all of them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def start(self, name: str, command: Sequence[str]) -> tuple[int, Path]:
        """Start a process; returns its id and the file that it writes to."""
        log = self._folder / f"{name}.log"
        with log.open("wb") as out:
            process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )
        self._stack.callback(_end, process)
        return process.pid, log

    def start_python(self, name: str, *arguments: str) -> tuple[int, str]:
        """Start a module that says where it listens; returns its id and that."""
        pid, log = self.start(name, (sys.executable, "-m", *arguments))
        return pid, _until(lambda: _listening(log), f"{name} did not start: see {log}")


def _end(process: "subprocess.Popen[bytes]") -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


@contextmanager
def plain_ways(folder: Path, tls: Path) -> Iterator[tuple[Way, Way, Way]]:
    """The direct way, the bare pair and the Envoy pair, with the services behind them."""
    with Processes(folder) as processes:
        port = free_port()
        config = services.write_files(folder, port)
        bench_pid, _ = processes.start(
            "nginx", (find_nginx(), "-p", str(folder), "-c", str(config))
        )
        _until_open(port)
        echo_pid, echo = processes.start_python("echo", "bench.services")
        targets = {services.BENCH: f"127.0.0.1:{port}", services.ECHO: echo}
        direct = Way(DIRECT, targets, {"service": (bench_pid, echo_pid)})
        yield direct, _bare(processes, targets, tls), _envoy(processes, folder, targets, tls)


def _bare(processes: Processes, targets: Mapping[str, str], tls: Path) -> Way:
    routes = [text for item in targets.items() for text in ("--route", "=".join(item))]
    shared = ("--tls", str(tls))
    far_pid, far = processes.start_python("bare-far", "bench.bare_pair", "far", *shared, *routes)
    near_pid, near = processes.start_python(
        "bare-near", "bench.bare_pair", "near", *shared, "--peer", far
    )
    roles = {"near": (near_pid,), "far": (far_pid,)}
    return Way(BARE, dict.fromkeys(targets, near), roles)


def _envoy(processes: Processes, folder: Path, targets: Mapping[str, str], tls: Path) -> Way:
    near_port, far_port = free_port(), free_port()
    ports = {service: int(target.rpartition(":")[2]) for service, target in targets.items()}
    configs = {
        "near": envoy_pair.near(near_port, far_port, tls),
        "far": envoy_pair.far(far_port, ports, tls),
    }
    roles = {}
    for name, config in configs.items():
        command = envoy_pair.command(folder / f"envoy-{name}.json", config)
        pid, _ = processes.start(f"envoy-{name}", command)
        roles[name] = (pid,)
    _until_open(near_port)
    _until_open(far_port)
    return Way(ENVOY, dict.fromkeys(targets, f"127.0.0.1:{near_port}"), roles)


@asynccontextmanager
async def simpul_way(
    home: Path, direct: Way, seal: Algorithm = Algorithm.ED25519
) -> AsyncIterator[SimpulWay]:
    """A registry and two nodes, with the services published and allowed."""
    contract = home.parent / f"{home.name}.protoset"
    contract.write_bytes(services.descriptor_set())
    target = direct.addresses[services.BENCH]
    offer = Offer(
        services.BENCH, ("sh", "-c", f"echo {LISTENING}{target}; exec sleep 100000"), contract
    )
    provider = Participant(
        member="ID/DAERAH/53.15",
        legal_name="Manggarai Barat",
        node="labuan-bajo-1",
        subsystem="ID/DAERAH/53.15/pariwisata",
        regions=("53.15",),
        offer=offer,
    )
    cast = (KOMDIGI, provider)

    def before_joining(said: str) -> None:
        # A begun home is taken up by the enrolment, with the keys that it has.
        if said.startswith(REGISTRY) and seal is not Algorithm.ED25519:
            for who in cast:
                begun = NodeHome.create(home / who.node)
                begun.write_key(KeyName.SEAL, generate(seal).to_pem())

    async with running(home, cast, before_joining) as federation:
        await _publish_echo(federation, direct.addresses[services.ECHO])
        headers = (f"simpul-to: {provider.subsystem}", f"simpul-token: {federation.token}")
        yield SimpulWay(federation, headers)


async def _publish_echo(federation: Federation, target: str) -> None:
    """The second service of the provider, which is another program's."""
    provider = federation.nodes[1]
    async with node_admin(find_node(provider.home)) as stub:
        await stub.PublishService(
            admin_pb2.PublishServiceRequest(
                subsystem=provider.who.subsystem,
                target=target,
                descriptor_set=services.descriptor_set(),
                services=[services.ECHO],
            )
        )
        await stub.AllowAccess(
            admin_pb2.AllowAccessRequest(
                terms=admin_pb2.AccessTerms(
                    consumer=federation.consumer.who.subsystem,
                    service_id=f"{provider.who.subsystem}/{services.ECHO}",
                    purposes=[
                        admin_pb2.AccessPurpose(
                            id=PURPOSE, legal_basis="PUBLIC_TASK", description="Mengukur"
                        )
                    ],
                    valid_days=1,
                )
            )
        )


def free_port() -> int:
    """A loopback port where nobody listens now."""
    (address,) = free_addresses(1)
    return address.port


def _until_open(port: int) -> None:
    def look() -> bool | None:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", port)) == 0 or None

    _until(look, f"nothing listens on port {port}")


def _until(look: Callable[[], Found | None], otherwise: str) -> Found:
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while (found := look()) is None:
        if time.monotonic() > deadline_s:
            raise RuntimeError(otherwise)
        time.sleep(LOOK_EVERY_S)
    return found


def _listening(log: Path) -> str | None:
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith(LISTENING):
            return line.removeprefix(LISTENING)
    return None
