"""Worker processes, with small programs in Envoy's place."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from pathlib import Path

import pytest

from node.gateway.admin import EnvoyAdmin
from node.gateway.envoy import EnvoyPlan, bootstrap, find_libpython
from node.gateway.limits import CallLimits
from node.home import NodeHome
from node.processes import WorkerCommand, WorkerProcesses, worker_environment
from runtime.ports import TcpAddress, UnixAddress
from security.errors import Code, SimpulError

SLEEP = "import time; time.sleep(60)"
STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(60)"


class Programs:
    """Says how each worker starts, and counts."""

    def __init__(self, folder: Path, code: str) -> None:
        self.folder = folder
        self.code = code

    def __call__(self, index: int) -> WorkerCommand:
        ready = self.folder / f"started-{index}"
        code = f"open({str(ready)!r}, 'a').write('x'); {self.code}"
        return WorkerCommand(
            (sys.executable, "-c", code), {"PATH": "/usr/bin"}, self.folder / f"admin-{index}"
        )

    def starts(self, index: int) -> int:
        ready = self.folder / f"started-{index}"
        return len(ready.read_text(encoding="utf-8")) if ready.exists() else 0


def workers(tmp_path: Path, code: str, count: int = 1) -> tuple[WorkerProcesses, Programs]:
    programs = Programs(tmp_path, code)
    home = NodeHome.at(tmp_path)
    return WorkerProcesses(home, count=count, metrics_folder=tmp_path, prepare=programs), programs


async def started(programs: Programs, index: int, times: int) -> None:
    async with asyncio.timeout(10):
        while programs.starts(index) < times:
            await asyncio.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_every_worker_starts_and_one_that_dies_starts_again(tmp_path: Path) -> None:
    processes, programs = workers(tmp_path, SLEEP, count=2)
    await processes.start()
    await started(programs, 0, 1)
    await started(programs, 1, 1)
    first, second = processes.pids
    os.kill(first, 9)
    await started(programs, 0, 2)
    assert processes.pids[0] != first
    assert processes.pids[1] == second
    pids = processes.pids
    await processes.stop(5)
    assert all(gone(pid) for pid in pids)
    assert processes.pids == ()


async def test_workers_that_never_stay_up_are_given_up_in_one_line(tmp_path: Path) -> None:
    processes, programs = workers(tmp_path, "raise SystemExit(7)")
    await processes.start()
    error = await asyncio.wait_for(processes.failed(), 20)
    assert error.code is Code.NOT_RUNNING
    assert "worker 0 ended 3 times right after its start (exit status 7)" in error.message
    assert programs.starts(0) == 3
    await processes.stop(1)


async def test_a_program_that_is_not_there_is_said(tmp_path: Path) -> None:
    missing = WorkerCommand((str(tmp_path / "none"),), {}, tmp_path / "admin")
    processes = WorkerProcesses(
        NodeHome.at(tmp_path), count=1, metrics_folder=tmp_path, prepare=lambda _index: missing
    )
    await processes.start()
    assert (await asyncio.wait_for(processes.failed(), 5)).code is Code.CONFIG_INVALID
    await processes.stop(1)


async def test_a_worker_that_does_not_end_is_killed(tmp_path: Path) -> None:
    processes, programs = workers(tmp_path, STUBBORN)
    await processes.start()
    await started(programs, 0, 1)
    await asyncio.sleep(0.1)
    (pid,) = processes.pids
    began = time.monotonic()
    await processes.stop(0.6)
    assert 0.5 < time.monotonic() - began < 5
    assert gone(pid)


async def test_no_worker_starts_after_a_stop(tmp_path: Path) -> None:
    processes, programs = workers(tmp_path, "raise SystemExit(0)")
    await processes.start()
    await started(programs, 0, 1)
    await processes.stop(1)
    count = programs.starts(0)
    await asyncio.sleep(0.5)
    assert programs.starts(0) == count


def test_a_worker_inherits_what_it_needs_and_no_proxy(tmp_path: Path) -> None:
    outer = {
        "PATH": "/bin", "http_proxy": "http://x", "HTTPS_PROXY": "http://x", "LD_PRELOAD": "x.so",
        "PYTHONPATH": "/x", "SIMPUL_NODE__LOG__LEVEL": "debug", "AWS_SECRET_ACCESS_KEY": "x",
    }  # fmt: skip
    got = worker_environment(outer, NodeHome.at(tmp_path), 3)
    assert got == {
        "PATH": "/bin", "SIMPUL_NODE__LOG__LEVEL": "debug", "SIMPUL_WORKER_HOME": str(tmp_path),
        "SIMPUL_WORKER_INDEX": "3", "SIMPUL_WORKER_PARENT": str(os.getpid()),
        "GRPC_VERBOSITY": "NONE",
    }  # fmt: skip


async def test_an_admin_socket_without_an_envoy_answers_nothing(tmp_path: Path) -> None:
    admin = EnvoyAdmin(tmp_path / "none")
    assert not await admin.drain()
    assert await admin.open_calls() == 0


def test_a_python_without_a_shared_library_names_the_package(tmp_path: Path) -> None:
    static = {"LIBDIR": str(tmp_path), "LDLIBRARY": "libpython3.11.a", "VERSION": "3.11"}
    (tmp_path / "libpython3.11.a").touch()
    with pytest.raises(SimpulError, match=r"install the package libpython3\.11 ") as caught:
        find_libpython(static)
    assert caught.value.code is Code.CONFIG_INVALID
    shared = tmp_path / "libpython3.11.so.1.0"
    shared.touch()
    assert find_libpython(static) == shared


def test_the_bootstrap_names_no_tcp_admin_and_no_key(tmp_path: Path) -> None:
    plan = EnvoyPlan(
        TcpAddress("::1", 8441),
        "node.entry:app",
        tmp_path / "admin",
        CallLimits(),
        shared_port=True,
    )
    config = bootstrap(plan)
    assert config["admin"]["address"] == {"pipe": {"path": str(tmp_path / "admin"), "mode": 0o600}}
    listener = config["static_resources"]["listeners"][0]
    assert listener["address"]["socket_address"] == {"address": "::1", "port_value": 8441}
    assert listener["enable_reuse_port"]
    assert "PRIVATE KEY" not in json.dumps(config)
    unix = bootstrap(EnvoyPlan(UnixAddress("/x"), "a:b", tmp_path / "admin", CallLimits()))
    assert unix["static_resources"]["listeners"][0]["address"]["pipe"]["path"] == "/x"
