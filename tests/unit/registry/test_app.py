"""A registry starts whole, says where it is, survives what happens to it, and stops in order."""

import asyncio
import json
import os
import signal
import sqlite3
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest
from tuf.ngclient import Updater

from registry import app, enrolment
from registry.app import running
from registry.directory import signers as keys
from registry.directory.publisher import Publisher
from registry.home import RegistryHome
from registry.registrar import Registrar
from runtime.clock import now_ms
from security.directory_records import parse_policy
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2
from simpul.v1 import directory_pb2
from tests.unit.registry.conftest import KOMODO, LABUAN, Actor, open_store, publish_service
from tests.unit.registry.running import change_request, run, until

PROJECT = Path(__file__).resolve().parents[3]
RECORD = f"members/{KOMODO.member_class}/{KOMODO.code}"


def fetch(place: Path, url: str, folder: Path, target: str) -> bytes:
    """A target, over HTTP, from a fresh client that trusts only root.json."""
    folder.mkdir(exist_ok=True)
    updater = Updater(
        str(folder),
        f"{url}/metadata/",
        target_base_url=f"{url}/targets/",
        bootstrap=(place / "root.json").read_bytes(),
    )
    updater.refresh()
    info = updater.get_targetinfo(target)
    if info is None:
        raise LookupError(target)
    return Path(updater.download_target(info, str(folder / "target"))).read_bytes()


async def test_a_fresh_client_reads_over_http_what_nodes_were_told(
    own_home: Path, tmp_path: Path
) -> None:
    async with run(own_home) as registry:
        actor = await registry.joined()
        await registry.nodes.Change(change_request(actor, publish_service=publish_service()))

        data = await asyncio.to_thread(
            fetch, own_home, registry.endpoints.directory, tmp_path / "client", RECORD
        )

    record = directory_pb2.MemberRecord.FromString(data)
    assert [node.id for node in record.nodes] == [str(LABUAN)]
    assert [service.id for service in record.services] == [f"{KOMODO}/pariwisata/wisata.v1.Wisata"]


async def test_endpoints_are_there_while_it_runs(own_home: Path) -> None:
    async with run(own_home) as registry:
        shown = json.loads((own_home / "run/endpoints.json").read_bytes())
        assert shown["grpc"] == registry.endpoints.grpc
        assert shown["directory"].startswith("http://127.0.0.1:")
        assert shown["admin"] == f"unix:{own_home}/run/admin.sock"
        assert (own_home / "run/admin.sock").stat().st_mode & 0o777 == 0o600
        metrics = await asyncio.to_thread(
            lambda: urllib.request.urlopen(f"http://{shown['metrics']}/metrics").read()
        )
        assert b"simpul_registry_directory_version 1.0" in metrics
    assert list((own_home / "run").iterdir()) == []


async def test_a_restart_keeps_ports_and_directory(own_home: Path) -> None:
    async with run(own_home) as first:
        await first.joined()
        before = await first.admin.Status(admin_pb2.StatusRequest())
    async with run(own_home) as second:
        after = await second.admin.Status(admin_pb2.StatusRequest())

    assert first.endpoints == second.endpoints
    assert before == after


async def test_what_was_stored_and_not_published_is_published_at_the_next_start(
    own_home: Path, tmp_path: Path
) -> None:
    """The process ends between commit and publication."""
    async with run(own_home) as registry:
        token = await registry.token()
    place = RegistryHome.open(own_home)
    store = open_store(own_home)
    publisher = Publisher.open(place.directory, keys.load(place.keys))
    registrar = Registrar(store, parse_policy(publisher.policy_file), place.authority())
    actor = Actor(secret=token.secret, now_ms=now_ms())
    enrolment.enrol(registrar, *actor.sign_enrolment(actor.enrolment()), now_ms())
    store.close()

    async with run(own_home) as registry:
        data = await asyncio.to_thread(
            fetch, own_home, registry.endpoints.directory, tmp_path / "client", RECORD
        )

    assert len(directory_pb2.MemberRecord.FromString(data).nodes) == 1


async def test_a_home_has_one_registry_at_a_time(own_home: Path) -> None:
    async with running(own_home):
        with pytest.raises(SimpulError) as caught:
            async with running(own_home):
                pass
        assert caught.value.code is Code.HOME_LOCKED
        assert (own_home / "run/endpoints.json").exists()


async def test_a_port_in_use_is_said_and_all_is_let_go(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with run(own_home) as registry:
        taken = registry.endpoints
        other = own_home.with_name("other")
        for name in ("grpc", "directory", "metrics"):
            address = getattr(taken, name).removeprefix("http://")
            place = app.init(other)
            monkeypatch.setenv(f"SIMPUL_REGISTRY__{name.upper()}__LISTEN", address)
            with pytest.raises(SimpulError, match=rf"{name}\.listen") as caught:
                async with running(place.path):
                    pass
            assert caught.value.code is Code.PORT_IN_USE
            assert not place.endpoints_file.exists()
            monkeypatch.undo()
            other = other.with_name(other.name + "x")


async def test_a_home_of_another_federation_is_refused(own_home: Path) -> None:
    file = own_home / "registry.toml"
    file.write_text(file.read_text().replace('"ID"', '"XX"'))

    with pytest.raises(SimpulError, match="XX") as caught:
        async with running(own_home):
            pass
    assert caught.value.code is Code.HOME_FOREIGN


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
@pytest.mark.parametrize(
    ("break_it", "code"),
    [
        (lambda home: (home / "registry.toml").unlink(), Code.HOME_MISSING),
        (lambda home: (home / "registry.db").write_bytes(b"x" * 9999), Code.DATABASE_CORRUPT),
        (lambda home: (home / "keys/snapshot.pem").unlink(), Code.CONFIG_INVALID),
        (
            lambda home: (home / "directory/metadata/timestamp.json").unlink(),
            Code.DIRECTORY_ABSENT,
        ),
        (
            lambda home: (home / "directory/metadata/1.m-00.json").write_bytes(b"{}"),
            Code.DIRECTORY_UNTRUSTED,
        ),
    ],
)
async def test_what_is_broken_is_said_in_one_line(
    own_home: Path, break_it: object, code: Code
) -> None:
    assert callable(break_it)
    break_it(own_home)

    with pytest.raises(SimpulError) as caught:
        async with running(own_home):
            pass
    assert caught.value.code is code
    assert "\n" not in caught.value.message


async def test_it_runs_with_the_offline_keys_elsewhere(own_home: Path) -> None:
    for role in ("root", "targets", "members", "contracts"):
        (own_home / f"keys/{role}.pem").unlink()

    async with run(own_home) as registry:
        await registry.joined()


def test_python_m_registry_serves_until_it_is_told_to_stop(own_home: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'protos'}"}
    with subprocess.Popen(
        [sys.executable, "-m", "registry", str(own_home)],
        cwd=PROJECT,
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            asyncio.run(until((own_home / "run/endpoints.json").exists, timeout_s=60))
            process.send_signal(signal.SIGTERM)
            _, errors = process.communicate(timeout=60)
        finally:
            process.kill()

    assert process.returncode == 0
    lines = [json.loads(line) for line in errors.splitlines()]
    assert {line["program"] for line in lines} == {"registry"}
    assert not (own_home / "run/endpoints.json").exists()


def test_a_registry_that_can_publish_no_more_ends(own_home: Path) -> None:
    program = (
        "import asyncio, sys, pathlib\n"
        "from registry import app\n"
        "from registry.directory.schedule import Schedule\n"
        "async def fails(self): raise RuntimeError('a fault of ours')\n"
        "Schedule.run = fails\n"
        "asyncio.run(app.serve(pathlib.Path(sys.argv[1])))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(own_home)],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'protos'}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "publishing stopped, and so the registry ends" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "status", "text"),
    [([], 2, "usage"), (["--help"], 2, "usage"), (["/nowhere"], 1, "HOME_MISSING")],
)
def test_python_m_registry_says_what_is_wrong(arguments: list[str], status: int, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "registry", *arguments],
        cwd=PROJECT,
        env={**os.environ, "PYTHONPATH": f"{PROJECT}:{PROJECT / 'protos'}"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == status
    assert text in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
def test_a_started_registry_holds_no_write_open(own_home: Path) -> None:
    async def started() -> None:
        async with running(own_home):
            with sqlite3.connect(own_home / "registry.db", timeout=1) as connection:
                connection.execute("BEGIN IMMEDIATE")
            connection.close()

    asyncio.run(started())


def _damage_a_page(home: Path) -> None:
    """One page in the middle, of a table that a start doesn't read."""
    file = home / "registry.db"
    with sqlite3.connect(file) as connection:
        connection.execute("CREATE TABLE padding AS SELECT randomblob(100000) AS noise")
        (number,) = connection.execute(
            "SELECT rootpage FROM sqlite_master WHERE name = 'waiting_changes'"
        ).fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    connection.close()
    data = bytearray(file.read_bytes())
    data[(number - 1) * size : number * size] = b"\xa5" * size
    file.write_bytes(data)


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_damage_that_nothing_has_read_yet_is_found_at_the_start(own_home: Path) -> None:
    _damage_a_page(own_home)

    with pytest.raises(SimpulError, match="simpul registry restore") as caught:
        async with running(own_home):
            pass
    assert caught.value.code is Code.DATABASE_CORRUPT
