"""A small federation of a test's own: a registry, and the nodes that the test starts and stops."""

import asyncio
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any

import grpc

from examples.gen.wisata.v1 import wisata_pb2 as pb
from runtime.grpc_options import channel_options
from simpul.registry.v1 import admin_pb2_grpc
from tests.scenario.harness import (
    GET_KOMODO,
    PROTOSET,
    WISATA,
    Place,
    Process,
    Told,
    call,
    done,
    serving,
)
from tests.support.ports import node_ports

# A new seal key serves after a third of it.
STALE_MS = 3_000
REGENCY = "ID/DAERAH/53.16"
CONSUMER = "ID/KEMENTERIAN/KOMDIGI"
SUPERAPP = f"{CONSUMER}/superapp"
FIRST, SECOND, ASKER = "kupang-1", "kupang-2", "komdigi-1"


@dataclass
class World:
    """What runs, and how to reach it."""

    home: Path
    stack: ExitStack
    endpoints: dict[str, str] = field(default_factory=dict)
    nodes: dict[str, tuple[Place, Process]] = field(default_factory=dict)
    token: str = ""

    @property
    def registry(self) -> Path:
        return self.home / "r"

    def path(self, node: str) -> Path:
        return self.home / node

    def enrol(self, member: str, node: str, *more: object) -> str:
        return done(
            "registry", "enrol", member, "--node", node, "--home", self.registry, *more
        ).out.strip()

    def join(
        self,
        member: str,
        node: str,
        *more: object,
        slots: int = 1,
        env: Mapping[str, str] = MappingProxyType({}),
    ) -> Any:
        token = self.enrol(member, node)
        return done(
            "node", "init", "--home", self.path(node), "--registry", self.endpoints["grpc"],
            "--root", self.registry / "root.json", "--token", token, "--slots", slots, "--json",
            *node_ports(), *more, **env,
        ).json  # fmt: skip

    def serve(self, node: str, **env: str) -> Place:
        block = serving(self.path(node), self.home / f"{node}.log", **env)
        self.nodes[node] = self.stack.enter_context(block)
        return self.nodes[node][0]

    def stop(self, node: str) -> None:
        self.nodes.pop(node)[1].stop()

    def publish(self, node: str, member: str, target: str) -> None:
        done(
            "service", "publish", "--home", self.path(node), "--subsystem", f"{member}/pariwisata",
            "--target", target, "--protoset", PROTOSET, "--service", WISATA,
        )  # fmt: skip

    def allow(self, node: str, member: str) -> None:
        done(
            "access", "allow", "--home", self.path(node), "--consumer", SUPERAPP,
            "--service", f"{member}/pariwisata/{WISATA}",
        )  # fmt: skip

    def ask(self, member: str) -> Told:
        metadata = {"simpul-to": f"{member}/pariwisata", "simpul-token": self.token}
        return call(self.nodes[ASKER][0].gateway, f"/{WISATA}/Get", metadata, GET_KOMODO)

    def answered_by(self, member: str) -> str:
        """The name of the service that answered, or the code of the refusal."""
        told = self.ask(member)
        return (
            told.code
            if not told.answers
            else pb.GetResponse.FromString(told.answers[0]).island.name
        )

    def keys(self, node: str) -> dict[str, Any]:
        shown = done("member", "show", "--home", self.path(node), "--json").json
        return {item["member"]: item for item in shown["members"]}

    def admin(self, method: str, request: Any) -> Any:
        """An operator's question, without the start of a command."""

        async def ask() -> Any:
            options = channel_options()
            async with grpc.aio.insecure_channel(self.endpoints["admin"], options) as channel:
                return await getattr(admin_pb2_grpc.RegistryAdminStub(channel), method)(request)

        return asyncio.run(ask())

    def app(self, name: str = "superapp") -> str:
        """A token for an app of the asking node."""
        added = done(
            "app", "add", name, "--home", self.path(ASKER), "--subsystem", SUPERAPP, "--json"
        )
        return str(added.json["token"])

    def agreed(self, node: str) -> bool:
        """A node has the one agreement."""
        held = done("access", "list", "--home", self.path(node), "--json").json["agreements"]
        return [item["state"] for item in held] == ["active"]
