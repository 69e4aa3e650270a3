"""What the scenario tests share: the command, a federation that is up, nodes of a test's own.

Everything is a real process, started by the same commands that an operator types. A process is
ended by its id; what a test starts, it stops.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import grpc

from examples.gen.wisata.v1 import wisata_pb2 as pb
from security.identifiers import ServiceId, SubsystemId
from security.kinds import Open
from tests.support.hosts import Host
from tests.support.ports import node_ports

START_S = 90.0
STOP_S = 25.0
SIMPUL = (sys.executable, "-m", "cli.main")
CHECKOUT = Path(__file__).parents[2]

KOMODO = "53.15.40084"
LABUAN_BAJO = "ID/DAERAH/53.15/pariwisata"
KEMENHUB = "ID/KEMENTERIAN/KEMENHUB/bandara"
SUPERAPP = "ID/KEMENTERIAN/KOMDIGI/superapp"
WISATA = "wisata.v1.Wisata"
PROTOSET = CHECKOUT / "examples" / "protos" / "wisata.protoset"
BANDARA_PROTOSET = CHECKOUT / "examples" / "protos" / "bandara.protoset"
GET_KOMODO = pb.GetRequest(code=KOMODO).SerializeToString()
# Otherwise grpcio shares one connection among all channels to an address.
OWN_CONNECTION = (("grpc.use_local_subchannel_pool", 1),)

Found = TypeVar("Found")


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    status: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The code of its one-line error; the first line of stderr that is one."""
        lines = [line for line in self.err.splitlines() if line.startswith("simpul: ")]
        assert len(lines) == 1, self.err
        return lines[0].split(": ")[1]


def environment(extra: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SIMPUL_")}
    return {**kept, **extra}


def simpul(*arguments: object, **env: str) -> Ran:
    """Runs one command to its end."""
    ran = subprocess.run(
        [*SIMPUL, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=START_S,
        env=environment(env),
        cwd=CHECKOUT,
        check=False,
    )
    assert "Traceback" not in ran.stderr + ran.stdout, ran.stderr
    return Ran(ran.returncode, ran.stdout, ran.stderr)


def done(*arguments: object, **env: str) -> Ran:
    """Runs a command that must succeed."""
    ran = simpul(*arguments, **env)
    assert ran.status == 0, ran.err
    return ran


def refused(code: str, *arguments: object, **env: str) -> Ran:
    """Runs a command that must end with exit code 1 and one line that bears this code."""
    ran = simpul(*arguments, **env)
    assert (ran.status, ran.error) == (1, code), (ran.status, ran.err)
    return ran


def until(look: Callable[[], Found | None], timeout_s: float = START_S, what: str = "") -> Found:
    """Waits until `look` finds something."""
    deadline_s = time.monotonic() + timeout_s
    while True:
        found = look()
        if found is not None and found is not False:
            return found
        assert time.monotonic() < deadline_s, f"waited {timeout_s} s for {what or look}"
        time.sleep(0.03)


def read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_bytes())
    except FileNotFoundError:
        return None


class Process:
    """A program of ours, in a session of its own; its output goes to `log`."""

    def __init__(self, log: Path, *arguments: object, **env: str) -> None:
        self.log = log
        self._file = log.open("ab")
        self._popen = subprocess.Popen(
            self._command([*SIMPUL, *map(str, arguments)]),
            stdin=subprocess.DEVNULL,
            stdout=self._file,
            stderr=self._file,
            env=environment(env),
            cwd=CHECKOUT,
            start_new_session=True,
        )

    @property
    def pid(self) -> int:
        return self._popen.pid

    @property
    def status(self) -> int | None:
        return self._popen.poll()

    @property
    def text(self) -> str:
        return self.log.read_text(errors="replace")

    def until_file(self, file: Path) -> Any:
        """Waits for what a program writes when it is up."""

        def look() -> Any:
            assert self.status is None, self.text
            return read_json(file)

        return until(look, what=f"{file}\n{self.text}")

    def until_says(self, start: str) -> str:
        def look() -> str | None:
            assert self.status is None, self.text
            lines = self.text.splitlines()
            return next((line[len(start) :] for line in lines if line.startswith(start)), None)

        return until(look, what=start)

    def send(self, number: signal.Signals) -> None:
        self._popen.send_signal(number)

    def wait(self, timeout_s: float = STOP_S) -> int:
        return self._popen.wait(timeout_s)

    def _command(self, words: list[str]) -> list[str]:
        return words

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        if self.status is None:
            self.send(number)
        try:
            return self.wait()
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self.wait()
            raise
        finally:
            self._file.close()


class ProcessOn(Process):
    """The same on another machine."""

    def __init__(self, host: Host, log: Path, *arguments: object, **env: str) -> None:
        self._host = host
        super().__init__(log, *arguments, **env)

    def _command(self, words: list[str]) -> list[str]:
        return self._host.command(words)


@dataclass(frozen=True)
class Told:
    """How a call ended, as its app sees it."""

    status: str
    code: str
    message: str
    call_id: str
    answers: tuple[bytes, ...] = ()


def call(
    gateway: str,
    path: str,
    metadata: Mapping[str, str],
    data: bytes,
    timeout_s: float = 10.0,
) -> Told:
    """One call through a gateway, by any gRPC client's means."""

    with grpc.insecure_channel(gateway, options=OWN_CONNECTION) as channel:
        # One message goes out with the call itself, so a refusal can't cross with it.
        method: Any = channel.unary_stream(path)
        answers = method(data, metadata=tuple(metadata.items()), timeout=timeout_s)
        found: list[bytes] = []
        with contextlib.suppress(grpc.RpcError):
            found.extend(answers)
        said = dict(answers.trailing_metadata() or ())
        return Told(
            answers.code().name,
            said.get("simpul-error", ""),
            answers.details() or "",
            said.get("simpul-call-id", ""),
            tuple(found),
        )


@dataclass(frozen=True)
class Place:
    """A node, as `federation.json` or its own `endpoints.json` says."""

    id: str
    home: Path
    gateway: str
    link: str
    metrics: str
    pid: int


@dataclass(frozen=True)
class Federation:
    """The federation that all tests share; its processes belong to `simpul demo up`."""

    home: Path
    document: Any
    process: Process

    @property
    def registry(self) -> Path:
        return Path(self.document["registry"]["home"])

    @property
    def registry_grpc(self) -> str:
        return str(self.document["registry"]["grpc"])

    @property
    def root(self) -> Path:
        return Path(self.document["registry"]["root"])

    @property
    def token(self) -> str:
        return str(self.document["consumer"]["metadata"]["simpul-token"])

    def node(self, name: str) -> Place:
        (found,) = (item for item in self.document["nodes"] if item["id"] == f"ID/~{name}")
        return Place(
            found["id"], Path(found["home"]), found["gateway"], found["link"], found["metrics"],
            found["pid"],
        )  # fmt: skip

    @property
    def consumer(self) -> Place:
        return self.node("komdigi-1")

    @property
    def provider(self) -> Place:
        return self.node("labuan-bajo-1")

    @property
    def target(self) -> str:
        """Where Labuan Bajo's service listens."""
        (found,) = (s for s in self.document["services"] if s["id"] == f"{LABUAN_BAJO}/{WISATA}")
        return str(found["target"])

    def ask(
        self,
        metadata: Mapping[str, str] = MappingProxyType({}),
        method: str = "Get",
        data: bytes = GET_KOMODO,
    ) -> Told:
        """A call of the super app; `metadata` replaces what it would send, an empty value hides."""
        said = {"simpul-to": LABUAN_BAJO, "simpul-token": self.token, **metadata}
        kept = {key: value for key, value in said.items() if value}
        return call(self.consumer.gateway, f"/{WISATA}/{method}", kept, data)

    def enrol(self, member: str, node: str, *more: object) -> str:
        """A token for a new node."""
        ran = done("registry", "enrol", member, "--node", node, "--home", self.registry, *more)
        return ran.out.strip()

    def init(self, home: Path, token: str, *more: object) -> Ran:
        """`simpul node init` for this federation; not judged."""
        return simpul(
            "node", "init", "--home", home, "--registry", self.registry_grpc,
            "--root", self.root, "--token", token, *node_ports(), *more,
        )  # fmt: skip

    def join(self, home: Path, member: str, node: str) -> Path:
        """A new node that has joined and does not run yet."""
        ran = self.init(home, self.enrol(member, node))
        assert ran.status == 0, ran.err
        return home


def opened_by(federation: Federation, provider: str) -> Open:
    """The open of a call of the super app that its agreement with a provider permits."""
    held = done("access", "list", "--home", federation.consumer.home, "--json").json["agreements"]
    agreement = next(
        item for item in held if item["provider"] == provider and item["consumers"] == [SUPERAPP]
    )
    return Open(
        consumer=SubsystemId.parse(SUPERAPP),
        service=ServiceId.parse(f"{provider}/{WISATA}"),
        method="Get",
        agreement=bytes.fromhex(agreement["agreement"]),
        purpose=agreement["purposes"][0],
        deadline_left_ms=10_000,
        unary=True,
    )


@contextmanager
def serving(home: Path, log: Path, **env: str) -> Iterator[tuple[Place, Process]]:
    """A node that runs for a block, and has then ended in order unless it ended before."""
    process = Process(log, "node", "serve", "--home", home, **env)
    try:
        found = process.until_file(home / "run" / "endpoints.json")
        yield (
            Place(
                found["node"], home, found["gateway"], found["link"], found["metrics"],
                found["pid"],
            ),
            process,
        )  # fmt: skip
    finally:
        process.stop()


def lives(pid: int) -> bool:
    """Whether a process runs; one that has ended and that nobody asked about does not."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0]
    except FileNotFoundError:
        return False
    return state != "Z"


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text().rpartition(") ")[2].split()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(fields[1]) == pid and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def descendants_of(pid: int) -> list[int]:
    """The processes that a process has started, and those that these have."""
    found = children_of(pid)
    return found + [child for each in found for child in children_of(each)]


class _Answers(grpc.GenericRpcHandler):
    def __init__(self, answer: Callable[[bytes], bytes]) -> None:
        self._answer = answer

    def service(self, _details: Any) -> Any:
        return grpc.unary_unary_rpc_method_handler(lambda request, _context: self._answer(request))


@contextmanager
def answering(answer: Callable[[bytes], bytes]) -> Iterator[str]:
    """The address of a service that answers every unary call so."""
    server = grpc.server(ThreadPoolExecutor(2), handlers=[_Answers(answer)])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield f"127.0.0.1:{port}"
    finally:
        server.stop(None).wait()
