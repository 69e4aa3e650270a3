"""Brings the demo's federation up: a registry, nodes and services, each a process of its own.

It does what an operator does by hand, in the same order and by the same functions as the commands:
`registry init` and `serve`, then for each member `enrol`, `node init`, `node serve`, `service
publish`, `access allow`, and `app add` for the consumer. What can be done side by side is. Nothing
about the result is special: the ordinary commands work on its homes, and further nodes can join.

    HOME/registry/            the registry's home
    HOME/<node>/              each node's home
    HOME/logs/<name>.log      what each process writes
    HOME/evidence/            evidence of two calls, where the demo made it
    HOME/federation.json      written last: where everything is
"""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cli.addresses import Addresses, choose
from cli.admin import find_node, find_registry, node_admin, registry_admin
from cli.demo.cast import FEDERATION, KOMDIGI, Participant
from cli.demo.children import Child, Children, read_json
from node.enrol import EnrolOptions, enrol
from registry.app import init as make_registry
from registry.home import NewRegistry
from runtime.clock import now_ms
from runtime.files import make_private_folder, write_private
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2
from simpul.registry.v1 import admin_pb2 as registry_pb2

APP_NAME: Final = "superapp"
PURPOSE: Final = "layanan-wisata"
PURPOSE_TEXT: Final = "Wisata pulau dan cara mencapainya, di aplikasi layanan publik"
VALID_DAYS: Final = 365
SLOTS: Final = 2
LISTENING: Final = "listening on "
REGISTRY: Final = "registry"
KNOWN_TIMEOUT_S: Final = 10.0

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class RegistryPlace:
    """Where the registry is; `root` is the federation's root.json."""

    home: Path
    grpc: str
    directory: str
    root: Path


@dataclass(frozen=True, slots=True)
class NodePlace:
    """Where a node is, and whose."""

    who: Participant
    home: Path
    gateway: str
    link: str
    metrics: str
    pid: int


@dataclass(frozen=True, slots=True)
class Federation:
    """All that is up. The first node is the consumer's."""

    home: Path
    registry: RegistryPlace
    nodes: tuple[NodePlace, ...]
    # Where each participant's service listens, by the service's id.
    targets: dict[str, str]
    token: str
    children: Children

    @property
    def consumer(self) -> NodePlace:
        """The node of the app that calls."""
        return self.nodes[0]

    @property
    def providers(self) -> tuple[NodePlace, ...]:
        """The nodes that have a service."""
        return tuple(node for node in self.nodes if node.who.offer is not None)

    def document(self) -> dict[str, object]:
        """What `federation.json` holds."""
        return {
            "registry": {
                "home": str(self.registry.home),
                "grpc": self.registry.grpc,
                "directory": self.registry.directory,
                "root": str(self.registry.root),
            },
            "nodes": [
                {
                    "id": node.who.node_id,
                    "members": [node.who.member],
                    "home": str(node.home),
                    "gateway": node.gateway,
                    "link": node.link,
                    "metrics": node.metrics,
                    "pid": node.pid,
                }
                for node in self.nodes
            ],
            "services": [
                {
                    "id": node.who.service_id,
                    "node": node.who.node_id,
                    "target": self.targets[node.who.service_id],
                }
                for node in self.providers
            ],
            "consumer": {
                "node": self.consumer.who.node_id,
                "subsystem": KOMDIGI.subsystem,
                "gateway": self.consumer.gateway,
                "metadata": {"simpul-token": self.token},
            },
        }


@asynccontextmanager
async def running(
    home: Path, cast: tuple[Participant, ...], say: Say = lambda _: None
) -> AsyncIterator[Federation]:
    """A federation in a new folder, until the block ends; then none of its processes is left.

    Args:
        home: A folder that is empty or not there yet.
        cast: Who takes part, the consumer first.
        say: Is told of each thing that is done.

    Raises:
        SimpulError: HOME_EXISTS; NOT_RUNNING, when a process does not come up; whatever a step is
            refused with.
    """
    home = _new_home(home)
    async with Children(home / "logs") as children:
        builder = _Builder(home, children, say)
        federation = await builder.build(cast)
        text = json.dumps(federation.document(), indent=2, ensure_ascii=False)
        write_private(home / "federation.json", text.encode() + b"\n")
        try:
            yield federation
        finally:
            (home / "federation.json").unlink(missing_ok=True)


def _new_home(home: Path) -> Path:
    home = home.absolute()
    if home.exists() and (not home.is_dir() or any(home.iterdir())):
        raise SimpulError(
            Code.HOME_EXISTS,
            f"{home} is not empty: give a new folder as --home, or remove what is there",
        )
    make_private_folder(home)
    return home


class _Builder:
    """Makes one federation; each method is a step."""

    def __init__(self, home: Path, children: Children, say: Say) -> None:
        self._home = home
        self._children = children
        self._say = say
        self._ports: set[str] = set()

    async def build(self, cast: tuple[Participant, ...]) -> Federation:
        """All of it. Services, the registry and the nodes start side by side."""
        async with asyncio.TaskGroup() as group:
            targets = {
                who.service_id: group.create_task(self._serve(who))
                for who in cast
                if who.offer is not None
            }
            registry = await self._registry()
            joining = [group.create_task(self._join(who, registry)) for who in cast]
            consumer = await joining[0]
            token = group.create_task(self._add_app(consumer))
            offering = [
                group.create_task(self._offer(task, consumer, targets[who.service_id]))
                for who, task in zip(cast, joining, strict=True)
                if who.offer is not None
            ]
        await self._known(consumer, max(task.result() for task in offering))
        return Federation(
            home=self._home,
            registry=registry,
            nodes=tuple(task.result() for task in joining),
            targets={service: task.result() for service, task in targets.items()},
            token=token.result(),
            children=self._children,
        )

    async def _serve(self, who: Participant) -> str:
        """Starts a participant's service; returns its address."""
        if who.offer is None:
            raise ValueError(f"{who.member} has no service")
        child = await self._children.start(f"{who.node}-service", who.offer.arguments, last=True)
        return await child.until(lambda: _listening(child.log))

    async def _registry(self) -> RegistryPlace:
        home = self._home / REGISTRY
        await asyncio.to_thread(make_registry, home, NewRegistry(federation=FEDERATION))
        child = await self._children.start(REGISTRY, _simpul("registry", home), last=True)
        found = await child.until(lambda: read_json(home / "run" / "endpoints.json"))
        self._say(f"registry: {found['grpc']}, directory at {found['directory']}")
        return RegistryPlace(
            home, str(found["grpc"]), str(found["directory"]), Path(str(found["root"]))
        )

    async def _join(self, who: Participant, registry: RegistryPlace) -> NodePlace:
        """Enrols a participant's node and starts it."""
        async with registry_admin(find_registry(registry.home)) as stub:
            made = await stub.CreateEnrolment(
                registry_pb2.CreateEnrolmentRequest(
                    member=who.member,
                    node_name=who.node,
                    legal_name=who.legal_name,
                    region_codes=who.regions,
                )
            )
        ports = self._addresses(registry)
        options = EnrolOptions(
            home=self._home / who.node,
            registry=registry.grpc,
            root=registry.root.read_bytes(),
            token=made.token,
            slots=SLOTS,
            link_listen=ports.listen,
            link_advertise=ports.advertise,
            gateway_listen=ports.gateway,
            metrics_listen=ports.metrics,
        )
        joined = await enrol(options, now_ms)
        place = await self._start(who, joined.home.path)
        self._say(f"{who.node_id} of {who.legal_name} joined: gateway {place.gateway}")
        return place

    async def _start(self, who: Participant, home: Path) -> NodePlace:
        child = await self._children.start(who.node, _simpul("node", home))
        found = await child.until(lambda: read_json(home / "run" / "endpoints.json"))
        return NodePlace(
            who,
            home,
            gateway=str(found["gateway"]),
            link=str(found["link"]),
            metrics=str(found["metrics"]),
            pid=child.pid,
        )

    async def _offer(
        self,
        joining: asyncio.Task[NodePlace],
        consumer: NodePlace,
        serving: asyncio.Task[str],
    ) -> int:
        """Publishes a node's service and allows the consumer; returns the directory's version."""
        node, target = await joining, await serving
        who = node.who
        if who.offer is None:
            raise ValueError(f"{who.member} has no service")
        async with node_admin(find_node(node.home)) as stub:
            published = await stub.PublishService(
                admin_pb2.PublishServiceRequest(
                    subsystem=who.subsystem,
                    target=target,
                    descriptor_set=who.offer.protoset.read_bytes(),
                )
            )
            await stub.AllowAccess(
                admin_pb2.AllowAccessRequest(
                    terms=admin_pb2.AccessTerms(
                        consumer=consumer.who.subsystem,
                        service_id=who.service_id,
                        purposes=[
                            admin_pb2.AccessPurpose(
                                id=PURPOSE, legal_basis="PUBLIC_TASK", description=PURPOSE_TEXT
                            )
                        ],
                        valid_days=VALID_DAYS,
                    )
                )
            )
        self._say(f"{who.service_id} published; {consumer.who.subsystem} may call it")
        return int(published.directory_version)

    async def _add_app(self, consumer: NodePlace) -> str:
        async with node_admin(find_node(consumer.home)) as stub:
            added = await stub.AddApp(
                admin_pb2.AddAppRequest(name=APP_NAME, subsystems=[consumer.who.subsystem])
            )
        return added.token

    async def _known(self, consumer: NodePlace, version: int) -> None:
        """Waits until the consumer's node goes by the directory that lists every service."""
        async with node_admin(find_node(consumer.home)) as stub, asyncio.timeout(KNOWN_TIMEOUT_S):
            while True:
                status = await stub.Status(admin_pb2.StatusRequest())
                if status.directory_version >= version:
                    return
                await asyncio.sleep(0.02)

    def _addresses(self, registry: RegistryPlace) -> Addresses:
        """Free ports that no other node of this federation was given a moment ago."""
        while True:
            found = choose(registry.grpc, listen=None, advertise=None, gateway=None, metrics=None)
            taken = {found.listen, found.gateway, found.metrics}
            if not taken & self._ports:
                self._ports |= taken
                return found


def _simpul(program: str, home: Path) -> tuple[str, ...]:
    return (sys.executable, "-m", "cli.main", program, "serve", "--home", str(home))


def _listening(log: Path) -> str | None:
    """What a service's program says when it takes calls."""
    for line in log.read_text(errors="replace").splitlines():
        if line.startswith(LISTENING):
            return line.removeprefix(LISTENING)
    return None


__all__ = ["Child", "Federation", "NodePlace", "RegistryPlace", "running"]
