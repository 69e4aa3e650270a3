"""A pair of nodes that run, apps that ask, a service that counts; and whoever kills the nodes.

Everything is a real process but the service and the apps: they are outside the nodes, and know
what these told them. Only processes that were started here are ended, by their ids.
"""

import contextlib
import os
import random
import signal
import sqlite3
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import grpc

from examples.gen.wisata.v1 import wisata_pb2 as pb
from node.journal.place import Place
from tests.scenario.harness import (
    OWN_CONNECTION,
    WISATA,
    Process,
    ProcessOn,
    descendants_of,
    lives,
    read_json,
    until,
)
from tests.support.hosts import Host

APPS = 8
# Of each four apps one asks by streams, of so many messages.
STREAMED = 3
SERVICE_S = 0.002
CALL_S = 30.0
REST_S = 0.1
LOOK_S = 0.02


class Served(Protocol):
    """Which calls came to a service, in their order: call id and question of each."""

    @property
    def served(self) -> Sequence[tuple[str, str]]: ...


class Service(grpc.GenericRpcHandler):
    """Answers with the question, and remembers which calls came."""

    def __init__(self) -> None:
        self.served: list[tuple[str, str]] = []

    def service(self, details: Any) -> Any:
        if details.method.endswith("/Get"):
            return grpc.unary_unary_rpc_method_handler(self._get)
        return grpc.stream_stream_rpc_method_handler(self._chat)

    def _get(self, request: bytes, context: Any) -> bytes:
        self._note(context, pb.GetRequest.FromString(request).code)
        time.sleep(SERVICE_S)
        return request

    def _chat(self, requests: Iterator[bytes], context: Any) -> Iterator[bytes]:
        for number, request in enumerate(requests):
            if number == 0:
                self._note(context, pb.ChatRequest.FromString(request).name)
            yield request

    def _note(self, context: Any, question: str) -> None:
        said = dict(context.invocation_metadata())
        self.served.append((said["simpul-call-id"], question))


@contextlib.contextmanager
def served(
    listen: str = "127.0.0.1:0", handler: Service | None = None
) -> Iterator[tuple[Service, str]]:
    handler = Service() if handler is None else handler
    server = grpc.server(ThreadPoolExecutor(4 * APPS), handlers=[handler])
    port = server.add_insecure_port(listen)
    server.start()
    try:
        yield handler, f"127.0.0.1:{port}"
    finally:
        server.stop(0)


@dataclass(frozen=True)
class Told:
    """How a call ended, as its app heard. Without a call id its node said nothing."""

    question: str
    call_id: str
    status: str
    code: str

    @property
    def ok(self) -> bool:
        return self.status == "OK"


@dataclass
class Load:
    """Apps that ask one thing after the other, and what they were told."""

    gateway: str
    metadata: tuple[tuple[str, str], ...]
    told: list[Told] = field(default_factory=list)
    answered: int = 0
    _stop: threading.Event = field(default_factory=threading.Event)
    _go: threading.Event = field(default_factory=threading.Event)
    _asking: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(APPS))

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        threads = [threading.Thread(target=self._run, args=(number,)) for number in range(APPS)]
        for thread in threads:
            thread.start()
        self._go.set()
        try:
            yield
        finally:
            self._stop.set()
            self._go.set()
            for thread in threads:
                thread.join(2 * CALL_S)

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        """No app asks, and none waits for an answer."""
        self._go.clear()
        for _ in range(APPS):
            self._asking.acquire()
        try:
            yield
        finally:
            for _ in range(APPS):
                self._asking.release()
            self._go.set()

    def until_answered(self, more: int) -> None:
        """Wait for so many further answers."""
        wanted = self.answered + more
        until(lambda: self.answered >= wanted or None, what=f"answers; {self.told[-20:]}")

    def _run(self, app: int) -> None:
        ask = self._chat if app % 4 == 3 else self._get
        options = (
            *OWN_CONNECTION,
            ("grpc.enable_retries", 0),
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
        )
        count = 0
        with grpc.insecure_channel(self.gateway, options=options) as channel:
            while not self._stop.is_set():
                self._go.wait()
                with self._asking:
                    question, count = f"{app}.{count}", count + 1
                    told = ask(channel, question)
                    self.told.append(told)
                if told.ok:
                    self.answered += 1
                else:
                    time.sleep(REST_S)

    def _get(self, channel: grpc.Channel, question: str) -> Told:
        get: Any = channel.unary_stream(f"/{WISATA}/Get")
        asked = pb.GetRequest(code=question).SerializeToString()
        return _heard(question, [asked], get(asked, metadata=self.metadata, timeout=CALL_S))

    def _chat(self, channel: grpc.Channel, question: str) -> Told:
        chat: Any = channel.stream_stream(f"/{WISATA}/Chat")
        asked = [pb.ChatRequest(name=question).SerializeToString()] * STREAMED
        answers = chat(iter(asked), metadata=self.metadata, timeout=CALL_S)
        return _heard(question, asked, answers)


def _heard(question: str, expected: list[bytes], answers: Any) -> Told:
    found: list[bytes] = []
    with contextlib.suppress(grpc.RpcError):
        found.extend(answers)
    said: dict[str, Any] = dict(answers.trailing_metadata() or ())
    status = answers.code().name
    assert status != "OK" or found == expected, (question, found)
    return Told(question, said.get("simpul-call-id", ""), status, said.get("simpul-error", ""))


class Node:
    """A node that is killed and started again."""

    def __init__(
        self, home: Path, log: Path, journal: Place | None = None, host: Host | None = None
    ) -> None:
        self.home = home
        self._host = host
        self.journal: Place = home / "journal.db" if journal is None else journal
        self._log = log
        self._process: Process | None = None

    @property
    def gateway(self) -> str:
        return str(self._endpoints()["gateway"])

    def start(self) -> None:
        # What a killed node says of itself is no word of the next one.
        (self.home / "run" / "endpoints.json").unlink(missing_ok=True)
        words = ("node", "serve", "--home", self.home)
        if self._host is None:
            self._process = Process(self._log, *words)
        else:
            self._process = ProcessOn(self._host, self._log, *words)

    def until_up(self) -> None:
        assert self._process is not None
        self._process.until_file(self.home / "run" / "endpoints.json")

    def kill(self, chance: random.Random) -> None:
        """The supervisor and its workers, at once, whatever they do now."""
        assert self._process is not None
        pids = [self._process.pid, *descendants_of(self._process.pid)]
        chance.shuffle(pids)
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.stop(signal.SIGKILL)
        until(lambda: not any(map(lives, pids)) or None, what=f"the end of {pids}")

    def stop(self) -> int:
        """In order. Returns the exit status."""
        assert self._process is not None
        return self._process.stop()

    def _endpoints(self) -> Any:
        return read_json(self.home / "run" / "endpoints.json")


class Witnessed(threading.Thread):
    """Keeps every note that a registry's witness ever cosigned: it remembers the newest alone."""

    def __init__(self, registry: Path) -> None:
        super().__init__()
        self._memory = registry / "witness" / "memory.db"
        self._done = threading.Event()
        self.notes: set[bytes] = set()

    def run(self) -> None:
        while not self._done.wait(LOOK_S):
            self.look()

    def look(self) -> None:
        with contextlib.closing(sqlite3.connect(f"file:{self._memory}?mode=ro", uri=True)) as held:
            self.notes |= {bytes(note) for (note,) in held.execute("SELECT note FROM logs")}

    def end(self) -> None:
        self._done.set()
        self.join()
        self.look()
