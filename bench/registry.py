"""The registry at a country's size: import, one change to 700 watchers, a cold node.

    python -m bench.registry [--members 1200] [--watchers 700]

A real registry's process, and clients in this one, on one machine: what is measured holds both.
Members have no services here, so a record is small; it says nothing of contracts.
"""

import argparse
import asyncio
import csv
import json
import subprocess
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import grpc

from cli.registry_import import import_file
from node.directory.fetch import HttpFetcher
from node.directory.replica import Replica
from node.store.engine import Store
from registry import app
from registry.home import Endpoints, RegistryHome
from runtime.clock import now_ms
from runtime.grpc_options import channel_options
from security import certificate
from security.certificate import registry_dns_name
from simpul.registry.v1 import admin_pb2, admin_pb2_grpc
from simpul.v1 import registry_pb2, registry_pb2_grpc

STREAMS_PER_CONNECTION = 10
START_S = 60.0
MIB = 1024 * 1024


def main() -> None:
    """Prints the figures, one a line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--members", type=int, default=1200)
    parser.add_argument("--watchers", type=int, default=700)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = app.init(Path(folder) / "r")
        command = [sys.executable, "-m", "registry", str(home.path)]
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            try:
                _until(home.endpoints_file)
                _measure(home, Path(folder), wanted.members, wanted.watchers)
            finally:
                process.terminate()


def _measure(home: RegistryHome, folder: Path, members: int, watchers: int) -> None:

    shown = json.loads(home.endpoints_file.read_bytes())
    endpoints = Endpoints(shown["grpc"], shown["directory"], shown["metrics"], shown["admin"])
    file = folder / "members.csv"
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(("member", "legal_name"))
        writer.writerows((f"ID/DAERAH/{n}", f"Kabupaten nomor {n}") for n in range(members))
    began_s = time.perf_counter()
    done = import_file(home.path, file, dry_run=False, skip_bad=False, quiet=True)
    _say(f"import of {done.listed} members", f"{time.perf_counter() - began_s:.1f} s")
    asyncio.run(_watch(home, endpoints, watchers))
    _cold(home, endpoints, folder)


async def _watch(home: RegistryHome, endpoints: Endpoints, watchers: int) -> None:
    pem = certificate.to_pem(home.server_identity().certificate_der)
    options = (
        *channel_options(target_name=registry_dns_name("ID")),
        ("grpc.use_local_subchannel_pool", 1),
    )
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
        began_s = time.perf_counter()
        told = asyncio.gather(*(_newer(call, before) for call in calls))
        await admin_pb2_grpc.RegistryAdminStub(admin).AddMember(
            admin_pb2.AddMemberRequest(member="ID/DAERAH/99999", legal_name="Satu Perubahan")
        )
        found = await told
        last_s = max(at_s for at_s, _ in found) - began_s
        _say(f"one change to {watchers} watchers", f"{last_s:.2f} s to the last")
        _say("one change to one watcher", f"{max(size for _, size in found) / 1024:.1f} KiB")
        for call in calls:
            call.cancel()


async def _newer(call: Any, before: int) -> tuple[float, int]:  # noqa: ANN401  (grpcio's)
    while True:
        answer = await call.read()
        if answer.directory_version > before:
            return time.perf_counter(), answer.ByteSize()


def _cold(home: RegistryHome, endpoints: Endpoints, folder: Path) -> None:
    store = Store.open(folder / "state.db")
    try:
        place = folder / "directory"
        place.mkdir()
        replica = Replica(place, "ID", home.root_file.read_bytes(), store)
        began_s = time.perf_counter()
        replica.sync(HttpFetcher(endpoints.directory), now_ms())
        _say("a cold node fetches all", f"{time.perf_counter() - began_s:.1f} s")
        size = sum(file.stat().st_size for file in place.rglob("*") if file.is_file())
        _say("its copy on the disk", f"{size / MIB:.1f} MiB")
    finally:
        store.close()


def _until(file: Path) -> None:
    deadline_s = time.monotonic() + START_S
    while not file.exists():
        if time.monotonic() > deadline_s:
            raise TimeoutError(file)
        time.sleep(0.05)


def _say(what: str, figure: str) -> None:
    sys.stdout.write(f"{what:32} {figure}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
