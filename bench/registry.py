"""The registry at a country's size: import, one change to 700 watchers, a cold node, a view of it.

    python -m bench.registry [--members 1200] [--subsystems 20000] [--nodes 700] [--contracts 5000]
        [--out bench/results/registry.json]

A real registry's process, and clients in this one, on one machine: what is measured holds both.
Every node watches once, and verifies nothing: what that takes is the figure of a cold node and of a
warm one.
"""

import argparse
import asyncio
import gc
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import grpc

from bench.country import Country, Size
from bench.machine import load_average, memory_mb
from cli.registry_import import import_file
from node.directory.fetch import HttpFetcher
from node.directory.pack import PACK, sync_replica
from node.directory.replica import Replica
from node.store.engine import Store
from registry import app
from registry.directory import packs
from registry.home import Endpoints, RegistryHome
from runtime.clock import now_ms
from runtime.grpc_options import channel_options
from security import certificate
from security.certificate import registry_dns_name
from simpul.registry.v1 import admin_pb2, admin_pb2_grpc
from simpul.v1 import registry_pb2, registry_pb2_grpc

STREAMS_PER_CONNECTION = 10
START_S = 600.0
LOOK_UPS = 100_000
CHANGES = 5
MB = 1e6
US = 1e6

# What must be reached.
BARS = {
    "import_s": 60.0,
    "change_last_s": 2.0,
    "change_kib": 64.0,
    "cold_s": 10.0,
    "view_mb": 100.0,
}


@dataclass
class Found:
    """What was measured, by name."""

    size: Size
    load_average: float
    figures: dict[str, float] = field(default_factory=dict)

    def say(self, name: str, value: float, what: str) -> None:
        """Keeps a figure and shows it, with its bar where it has one."""
        self.figures[name] = round(value, 4)
        bar = BARS.get(name)
        told = "" if bar is None else f"  (bar {bar:g}: {'met' if value < bar else 'NOT met'})"
        sys.stdout.write(f"{what:44} {value:10.2f}{told}\n")
        sys.stdout.flush()


def main() -> None:
    """Prints the figures, one a line, and keeps them where it is told."""
    parser = argparse.ArgumentParser(description=__doc__)
    for name, value in asdict(Size()).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--out", type=Path)
    wanted = vars(parser.parse_args())
    out = wanted.pop("out")
    found = Found(Size(**wanted), load_average())
    with tempfile.TemporaryDirectory() as folder:
        _measure(found, Path(folder))
    if out is not None:
        kept = {"bars": BARS, **asdict(found)}
        out.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _measure(found: Found, folder: Path) -> None:
    home, country = app.init(folder / "r"), Country(found.size)
    file = folder / "members.csv"
    country.write_csv(file)
    with _running(home):
        began_s = time.perf_counter()
        done = import_file(home.path, file, dry_run=False, skip_bad=False, quiet=True)
        if done.listed != found.size.members:
            raise RuntimeError(done.errors)
        found.say("import_s", time.perf_counter() - began_s, "import of members and subsystems, s")
    country.fill(home)
    began_s = time.perf_counter()
    with _running(home) as process:
        # It publishes all that it finds in its store and not in its folder.
        found.say(
            "first_start_s", time.perf_counter() - began_s, "a start that publishes it all, s"
        )
        shown = json.loads(home.endpoints_file.read_bytes())
        endpoints = Endpoints(shown["grpc"], shown["directory"], shown["metrics"], shown["admin"])
        _until(lambda: not packs.is_due(home.directory))
        found.say("pack_s", time.perf_counter() - began_s, "  and its pack is there, s")
        pack = max((home.directory.path / PACK).iterdir(), key=lambda file: file.stat().st_size)
        found.say("pack_mb", pack.stat().st_size / MB, "the pack, MB")
        replica = _cold(found, home, endpoints, folder)
        asyncio.run(_watch(found, home, endpoints))
        _warm(found, endpoints, replica)
        found.say("registry_mb", memory_mb([process.pid]), "memory of the registry, MB")
    began_s = time.perf_counter()
    with _running(home):
        found.say("start_s", time.perf_counter() - began_s, "a start with nothing new, s")
    _view(found, replica)


@contextmanager
def _running(home: RegistryHome) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "registry", str(home.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        try:
            _until(home.endpoints_file.exists)
            yield process
        finally:
            process.terminate()
    home.endpoints_file.unlink(missing_ok=True)


def _cold(found: Found, home: RegistryHome, endpoints: Endpoints, folder: Path) -> Replica:
    place = folder / "directory"
    place.mkdir()
    replica = Replica(place, "ID", home.root_file.read_bytes(), Store.open(folder / "state.db"))
    began_s, used_s = time.perf_counter(), time.process_time()
    _sync(replica, endpoints)
    found.say("cold_s", time.perf_counter() - began_s, "a cold node has it all, s")
    found.say("cold_cpu_s", time.process_time() - used_s, "  of which the node's processor, s")
    size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
    found.say("copy_mb", size / MB, "its copy on the disk, MB")
    return replica


def _warm(found: Found, endpoints: Endpoints, replica: Replica) -> None:
    began_s = time.perf_counter()
    _sync(replica, endpoints)
    found.say("warm_s", time.perf_counter() - began_s, "a node that is a few changes behind, s")


def _sync(replica: Replica, endpoints: Endpoints) -> None:
    fetcher = HttpFetcher(endpoints.directory)
    try:
        sync_replica(replica, fetcher, now_ms())
    finally:
        fetcher.close()


async def _watch(found: Found, home: RegistryHome, endpoints: Endpoints) -> None:
    pem = certificate.to_pem(home.server_identity().certificate_der)
    options = (
        *channel_options(target_name=registry_dns_name("ID")),
        ("grpc.use_local_subchannel_pool", 1),
    )
    watchers = found.size.nodes
    async with AsyncExitStack() as stack:
        stubs: list[Any] = []
        for _ in range(-(-watchers // STREAMS_PER_CONNECTION)):
            channel = grpc.aio.secure_channel(
                endpoints.grpc, grpc.ssl_channel_credentials(pem), options=options
            )
            stubs.append(registry_pb2_grpc.RegistryStub(await stack.enter_async_context(channel)))
        calls = [
            stubs[n // STREAMS_PER_CONNECTION].Watch(registry_pb2.WatchRequest())
            for n in range(watchers)
        ]
        began = await asyncio.gather(*(call.read() for call in calls))
        admin = await stack.enter_async_context(
            grpc.aio.insecure_channel(endpoints.admin, channel_options())
        )
        before = max(answer.directory_version for answer in began)
        last_s, sizes = [], []
        for number in range(CHANGES):
            began_s = time.perf_counter()
            told = asyncio.gather(*(_newer(call, before) for call in calls))
            request = admin_pb2.AddMemberRequest(
                member=f"ID/DAERAH/{90_000 + number}", legal_name=f"Satu Perubahan {number}"
            )
            await admin_pb2_grpc.RegistryAdminStub(admin).AddMember(request)
            heard = await told
            before = max(version for _, _, version in heard)
            last_s.append(max(at_s for at_s, _, _ in heard) - began_s)
            sizes.append(max(size for _, size, _ in heard))
        found.say("change_last_s", max(last_s), "one change to the last of the watchers, s")
        found.say("change_kib", max(sizes) / 1024, "one change to one watcher, KiB")
        for call in calls:
            call.cancel()


async def _newer(call: Any, before: int) -> tuple[float, int, int]:  # noqa: ANN401  (grpcio's)
    while True:
        answer = await call.read()
        if answer.directory_version > before:
            return time.perf_counter(), answer.ByteSize(), answer.directory_version


# In a process of its own, which has nothing else of that size.
_LOADER = """
import gc, sys
from pathlib import Path
from bench.machine import memory_mb
from node.directory.load import load_view
import os
gc.collect()
before = memory_mb([os.getpid()])
view = load_view(Path(sys.argv[1]))
gc.collect()
print(memory_mb([os.getpid()]) - before)
"""


def _view(found: Found, replica: Replica) -> None:
    if replica.current is None or replica.view is None:
        raise RuntimeError("no copy")
    loaded = subprocess.run(
        [sys.executable, "-c", _LOADER, str(replica.current.path)],
        check=True,
        capture_output=True,
        text=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    found.say("view_mb", float(loaded.stdout), "memory of it in a node's process, MB")
    view, country = replica.view, Country(found.size)
    wanted = [
        (country.subsystem(n % found.size.contracts), f"{country.name(n % found.size.contracts)}")
        for n in range(LOOK_UPS)
    ]
    now = now_ms()
    gc.collect()
    began_s = time.perf_counter()
    for subsystem, name in wanted:
        view.service(subsystem, f"{name}.v1.Layanan")
    took_s = time.perf_counter() - began_s
    found.say("look_up_us", took_s / LOOK_UPS * US, "look-up of a service, us")
    began_s = time.perf_counter()
    for subsystem, _ in wanted:
        view.nodes_of(subsystem.member, now)
    took_s = time.perf_counter() - began_s
    found.say("nodes_of_us", took_s / LOOK_UPS * US, "look-up of a member's nodes, us")


def _until(holds: Callable[[], bool]) -> None:
    deadline_s = time.monotonic() + START_S
    while not holds():
        if time.monotonic() > deadline_s:
            raise TimeoutError
        time.sleep(0.05)


if __name__ == "__main__":
    main()
