"""Nodes that are stopped and started again under load: no call is lost, and none is run twice.

The service counts what it was asked, by what the apps put into their questions; the apps count what
they were told.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import grpc
import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from registry import app
from registry.home import NewRegistry
from tests.scenario.harness import OWN_CONNECTION, WISATA, Process, done, until
from tests.scenario.world import (
    ASKER,
    CONSUMER,
    FIRST,
    REGENCY,
    SECOND,
    STALE_MS,
    World,
)

# Three starts and five stops under load, on a machine that may be busy with other tests.
pytestmark = pytest.mark.timeout(240)

APPS = 12
UNARY_S, STREAM_S = 0.02, 0.05
STREAMED = 4


class Service(grpc.GenericRpcHandler):
    """Takes its time, answers with the question, and counts how often each was asked."""

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self._lock = threading.Lock()

    def service(self, details: Any) -> Any:
        if details.method.endswith("/Get"):
            return grpc.unary_unary_rpc_method_handler(self._get)
        return grpc.stream_stream_rpc_method_handler(self._chat)

    def _get(self, request: bytes, _context: Any) -> bytes:
        self._count(pb.GetRequest.FromString(request).code)
        time.sleep(UNARY_S)
        return request

    def _chat(self, requests: Iterator[bytes], _context: Any) -> Iterator[bytes]:
        for number, request in enumerate(requests):
            if number == 0:
                self._count(pb.ChatRequest.FromString(request).name)
            time.sleep(STREAM_S)
            yield request

    def _count(self, question: str) -> None:
        with self._lock:
            self.asked[question] += 1


@dataclass
class Load:
    """Apps that ask one thing after the other, and what they were told."""

    gateway: str
    metadata: tuple[tuple[str, str], ...]
    stop: threading.Event = field(default_factory=threading.Event)
    answered: set[str] = field(default_factory=set)
    failed: dict[str, tuple[str, str]] = field(default_factory=dict)

    def run(self, number: int) -> None:
        """One app, until the test has seen enough."""
        ask = self._stream if number % 3 == 0 else self._unary
        options = (*OWN_CONNECTION, ("grpc.enable_retries", 0))
        count = 0
        with grpc.insecure_channel(self.gateway, options=options) as channel:
            while not self.stop.is_set():
                question, count = f"{number}.{count}", count + 1
                try:
                    assert ask(channel, question) == question
                except grpc.RpcError as error:
                    self.failed[question] = _told(error)
                    time.sleep(0.02)
                else:
                    self.answered.add(question)

    def _unary(self, channel: grpc.Channel, question: str) -> str:
        get: Any = channel.unary_unary(f"/{WISATA}/Get")
        asked = pb.GetRequest(code=question).SerializeToString()
        answer = get(asked, metadata=self.metadata, timeout=30)
        return str(pb.GetRequest.FromString(answer).code)

    def _stream(self, channel: grpc.Channel, question: str) -> str:
        chat: Any = channel.stream_stream(f"/{WISATA}/Chat")
        asked = pb.ChatRequest(name=question).SerializeToString()
        answers = list(chat(iter([asked] * STREAMED), metadata=self.metadata, timeout=30))
        assert answers == [asked] * STREAMED
        return question


def _told(error: Any) -> tuple[str, str]:
    said: dict[str, Any] = dict(error.trailing_metadata() or ())
    return error.code().name, str(said.get("simpul-error", ""))


@pytest.fixture(scope="module")
def service() -> Iterator[tuple[Service, str]]:
    handler = Service()
    server = grpc.server(ThreadPoolExecutor(2 * APPS), handlers=[handler])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield handler, f"127.0.0.1:{port}"
    server.stop(0)


@pytest.fixture(scope="module")
def world(place: Path, service: tuple[Service, str]) -> Iterator[World]:
    """A regency with two nodes before one service, and a ministry's node that calls it."""
    home = place / "rolling"
    home.mkdir()
    app.init(home / "r", NewRegistry(stale_after_ms=STALE_MS))
    registry = Process(home / "registry.log", "registry", "serve", "--home", home / "r")
    with ExitStack() as stack:
        stack.callback(registry.stop)
        made = World(home, stack)
        made.endpoints = registry.until_file(home / "r" / "run" / "endpoints.json")
        for member, node in ((REGENCY, FIRST), (CONSUMER, ASKER)):
            made.join(member, node)
            made.serve(node)
        made.token = made.app()
        made.publish(FIRST, REGENCY, service[1])
        made.allow(FIRST, REGENCY)
        joined = made.join(REGENCY, SECOND)
        made.serve(SECOND)
        done(
            "member", "approve", REGENCY, f"ID/~{SECOND}", "--home", made.path(FIRST),
            "--fingerprint", joined["fingerprint"],
        )  # fmt: skip
        made.publish(SECOND, REGENCY, service[1])
        until(lambda: made.agreed(SECOND), what="the agreement at the second node")
        yield made


@contextmanager
def under_load(world: World) -> Iterator[Load]:
    """Apps ask all the while; at the end the last call of each is done."""
    metadata = (("simpul-to", f"{REGENCY}/pariwisata"), ("simpul-token", world.token))
    load = Load(world.nodes[ASKER][0].gateway, metadata)
    threads = [threading.Thread(target=load.run, args=(number,)) for number in range(APPS)]
    for thread in threads:
        thread.start()
    try:
        answered(load, 50)
        yield load
        answered(load, 50)
    finally:
        load.stop.set()
        for thread in threads:
            thread.join(60)


def answered(load: Load, more: int) -> None:
    """Wait for so many further answers."""
    wanted = len(load.answered) + more
    until(lambda: len(load.answered) >= wanted or None, what=f"answers; {load.failed}")


def restart(world: World, node: str) -> None:
    _, process = world.nodes[node]
    world.stop(node)
    assert process.status == 0, process.text
    world.serve(node)


def check_journals(world: World) -> None:
    """Each node's journal is whole, and no call in it has been left open."""
    for node in (FIRST, SECOND, ASKER):
        report = done("journal", "verify", "--home", world.path(node), "--json").json
        assert report["ok"], report
        assert report["unfinished"] == 0, (node, report)


def test_a_providers_nodes_are_restarted_one_after_the_other(
    world: World, service: tuple[Service, str]
) -> None:
    asked = service[0].asked
    # Where one of them is asked first, the other is so after its restart: each is under load once.
    with under_load(world) as load:
        for node in (FIRST, SECOND):
            restart(world, node)
            answered(load, 50)
    assert load.failed == {}
    assert {question: asked[question] for question in load.answered} == dict.fromkeys(
        load.answered, 1
    )


def test_a_consumers_node_is_restarted(world: World, service: tuple[Service, str]) -> None:
    asked = service[0].asked
    asked.clear()
    with under_load(world) as load:
        restart(world, ASKER)
    # Apps were turned away while nobody was there; nothing of theirs was begun.
    assert {code for code, _ in load.failed.values()} <= {"UNAVAILABLE"}
    assert {code for _, code in load.failed.values()} <= {"", "NODE_DRAINING"}
    assert [question for question in load.failed if asked[question]] == []
    assert {question: asked[question] for question in load.answered} == dict.fromkeys(
        load.answered, 1
    )
    for node in (FIRST, SECOND, ASKER):
        world.stop(node)
    check_journals(world)
