"""The worker processes of a supervisor: started, started again when they end, stopped in order.

A worker is an Envoy with this node's Python in it (`node.gateway.envoy`, `node.entry`). It is
started by exec, never as a fork of this process, whose threads would not survive that; it gets
only what it needs of the environment, and no proxy.

Rules: a worker that ends is started again, later each time it ends soon; one that has never
stayed up is given up after a few times, so that an operator sees one clear line and not a
thousand. A stop first lets the calls under way end, then asks, then kills.

Source: docs/adr/0001, "What the adapter has to obey", 5 to 9.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import structlog

from node.config import GatewaySection, load_config
from node.gateway.admin import EnvoyAdmin
from node.gateway.envoy import EnvoyPlan, GatewayTls, command, environment, write_bootstrap
from node.gateway.limits import CallLimits
from node.home import NodeHome
from security.errors import Code, SimpulError

_log = structlog.get_logger(__name__)

APP: Final = "node.entry:app"
HOME_VARIABLE: Final = "SIMPUL_WORKER_HOME"
INDEX_VARIABLE: Final = "SIMPUL_WORKER_INDEX"
PARENT_VARIABLE: Final = "SIMPUL_WORKER_PARENT"
GRPC_VARIABLE: Final = "GRPC_VERBOSITY"
METRICS_VARIABLE: Final = "PROMETHEUS_MULTIPROC_DIR"

# A worker that ends sooner than this did not stay up.
SOON_S: Final = 5.0
FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0
MAX_FALSE_STARTS: Final = 3
# Of the grace: what is left for a worker to end its links after its calls have ended.
LAST_SECONDS: Final = 3.0
LOOK_EVERY_S: Final = 0.05

# What of this process's environment a worker needs; `SIMPUL_…` overrides keys of the configuration.
_KEPT: Final = frozenset(
    {
        "PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "TERM", "NO_COLOR",
        # Where systemd puts the PIN and the passphrase of keys.
        "CREDENTIALS_DIRECTORY",
    }
)  # fmt: skip
_KEPT_PREFIX: Final = "SIMPUL_"


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How one worker is started, and the socket that its Envoy is managed by."""

    arguments: tuple[str, ...]
    environment: Mapping[str, str]
    admin_socket: Path


Prepare = Callable[[int], WorkerCommand]


def worker_environment(
    outer: Mapping[str, str], home: NodeHome, index: int, more: Collection[str] = ()
) -> dict[str, str]:
    """A worker's environment, but for what Envoy needs: no proxies, no preloads of others.

    `more` are variables that are kept besides, for a token's library.
    """
    kept = {
        name: value
        for name, value in outer.items()
        if name in _KEPT or name in more or name.startswith(_KEPT_PREFIX)
    }
    return {
        **kept,
        # Read when grpc's library is loaded, so it can't wait for the log's set-up in the worker.
        GRPC_VARIABLE: outer.get(GRPC_VARIABLE, "NONE"),
        HOME_VARIABLE: str(home.path),
        INDEX_VARIABLE: str(index),
        PARENT_VARIABLE: str(os.getpid()),
    }


def prepare_worker(home: NodeHome, metrics_folder: Path, index: int) -> WorkerCommand:
    """Write a worker's Envoy configuration into the home, and say how it is started.

    Raises:
        SimpulError: The configuration is invalid, or Envoy or libpython is missing
            (CONFIG_INVALID).
    """
    config = load_config(home, os.environ)
    file = home.run / f"worker-{index}.json"
    plan = EnvoyPlan(
        listen=config.gateway.listen,
        app=APP,
        admin_socket=admin_socket(home, index),
        limits=CallLimits(config.limits.max_message_bytes, config.limits.max_metadata_bytes),
        shared_port=config.node.workers > 1,
        tls=_tls(home, config.gateway),
    )
    write_bootstrap(plan, file)
    return WorkerCommand(
        tuple(command(file)),
        {
            **worker_environment(os.environ, home, index, config.keys.variables),
            **environment(),
            METRICS_VARIABLE: str(metrics_folder),
        },
        plan.admin_socket,
    )


def admin_socket(home: NodeHome, index: int) -> Path:
    """Where one worker's Envoy is asked and managed."""
    return home.run / f"worker-{index}.sock"


def _tls(home: NodeHome, gateway: GatewaySection) -> GatewayTls | None:
    if gateway.certificate is None or gateway.key is None:
        return None
    return GatewayTls(home.path / gateway.certificate, home.path / gateway.key)


class WorkerProcess:
    """One worker, from its start to its end."""

    def __init__(self, plan: WorkerCommand, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.admin = EnvoyAdmin(plan.admin_socket)

    @classmethod
    async def start(cls, plan: WorkerCommand) -> WorkerProcess:
        """Start it; output goes where this process's goes.

        Raises:
            SimpulError: The program can't be run (CONFIG_INVALID).
        """
        # Nobody listens there: what lies there is of a worker that was killed.
        await asyncio.to_thread(plan.admin_socket.unlink, missing_ok=True)
        try:
            process = await asyncio.create_subprocess_exec(
                *plan.arguments,
                env=dict(plan.environment),
                stdin=asyncio.subprocess.DEVNULL,
                # Ctrl-C on a terminal goes to the supervisor alone, which then stops in order.
                process_group=0,
            )
        except OSError as error:
            raise SimpulError(
                Code.CONFIG_INVALID,
                f"{plan.arguments[0]} can't be run ({error.strerror}); install simpul anew",
            ) from error
        return cls(plan, process)

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    async def wait(self) -> int:
        """Wait for its end; returns the exit status, negative for a signal."""
        return await self._process.wait()

    async def stop(self, grace_s: float) -> None:
        """Let its calls end, then ask it to end, then kill it; in all at most `grace_s`."""
        end_s = asyncio.get_running_loop().time() + grace_s
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end_s - min(LAST_SECONDS, grace_s / 2)):
                await self.admin.drain()
                while await self.admin.open_calls() > 0:  # noqa: ASYNC110 - another process's
                    await asyncio.sleep(LOOK_EVERY_S)
        self._signal(self._process.terminate)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout_at(end_s):
                await self._process.wait()
        if self._process.returncode is None:
            _log.warning("worker killed: it did not end in time", pid=self.pid)
            self._signal(self._process.kill)
            await self._process.wait()

    @staticmethod
    def _signal(send: Callable[[], None]) -> None:
        with contextlib.suppress(ProcessLookupError):
            send()


class WorkerProcesses:
    """All workers of a node, kept running.

    Args:
        home: The node's home.
        count: How many.
        metrics_folder: Where they write their metrics to.
        prepare: Says how worker N is started; None: as a gateway of this home.
    """

    def __init__(
        self, home: NodeHome, *, count: int, metrics_folder: Path, prepare: Prepare | None = None
    ) -> None:
        self._count = count
        self._prepare = prepare or (lambda index: prepare_worker(home, metrics_folder, index))
        self._running: dict[int, WorkerProcess] = {}
        self._keepers: list[asyncio.Task[None]] = []
        self._failure: asyncio.Future[SimpulError] | None = None
        self._stopping = asyncio.Event()

    @property
    def pids(self) -> tuple[int, ...]:
        """The process ids of the workers that run now, in the order of their numbers."""
        return tuple(self._running[index].pid for index in sorted(self._running))

    async def start(self) -> None:
        """Start every worker once, and keep them running from then on.

        Raises:
            SimpulError: They can't be started at all (CONFIG_INVALID).
        """
        loop = asyncio.get_running_loop()
        self._failure = loop.create_future()
        plans = [await asyncio.to_thread(self._prepare, index) for index in range(self._count)]
        self._keepers = [
            loop.create_task(self._keep(index, plan)) for index, plan in enumerate(plans)
        ]

    async def failed(self) -> SimpulError:
        """Wait until a worker is given up; returns why. One line, for the operator."""
        if self._failure is None:
            raise RuntimeError("the workers were not started")
        return await asyncio.shield(self._failure)

    async def stop(self, grace_s: float) -> None:
        """Stop every worker, and start none again; in all at most `grace_s`."""
        self._stopping.set()
        await asyncio.gather(*(worker.stop(grace_s) for worker in tuple(self._running.values())))
        await asyncio.gather(*self._keepers)

    async def _keep(self, index: int, plan: WorkerCommand) -> None:
        loop = asyncio.get_running_loop()
        pause_s, false_starts = FIRST_PAUSE_S, 0
        stayed_up = False
        while not self._stopping.is_set():
            began_s = loop.time()
            try:
                worker = await WorkerProcess.start(plan)
            except SimpulError as error:
                self._give_up(error)
                return
            self._running[index] = worker
            if self._stopping.is_set():
                # It was being started while the others were stopped.
                await worker.stop(0)
            status = await worker.wait()
            del self._running[index]
            if self._stopping.is_set():
                return
            lived_s = loop.time() - began_s
            _log.error(
                "worker ended",
                worker=index,
                pid=worker.pid,
                status=status,
                lived_s=round(lived_s, 1),
            )
            if lived_s >= SOON_S:
                stayed_up, pause_s, false_starts = True, FIRST_PAUSE_S, 0
            false_starts += 1
            if not stayed_up and false_starts >= MAX_FALSE_STARTS:
                self._give_up(_false_starts(index, status))
                return
            await self._pause(pause_s)
            pause_s = min(pause_s * 2, MAX_PAUSE_S)

    async def _pause(self, pause_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._stopping.wait(), pause_s)

    def _give_up(self, error: SimpulError) -> None:
        if self._failure is not None and not self._failure.done():
            self._failure.set_result(error)


def _false_starts(index: int, status: int) -> SimpulError:
    how = f"signal {-status}" if status < 0 else f"exit status {status}"
    return SimpulError(
        Code.NOT_RUNNING,
        f"worker {index} ended {MAX_FALSE_STARTS} times right after its start ({how}); "
        "the lines above say why: mend that, then start the node again",
        worker=str(index),
    )
