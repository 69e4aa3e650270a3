"""`simpul node`: against a node that implements the real admin API, and joining a real registry."""

import json
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from cli.seals import seal_check
from node.home import KeyName, NodeHome
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.parcel import parse_header
from security.seal import make_seals
from tests.unit.cli.conftest import Simpul
from tests.unit.node.journal.builder import Link, open_entry


@pytest.mark.usefixtures("node")
def test_status_for_people(simpul: Simpul) -> None:
    out = simpul("node", "status").ok().out
    assert "ID/~jakarta-1" in out
    assert f"ID/~labuan-bajo-1  us          3     4         {'ef' * 32}" in out


@pytest.mark.usefixtures("node")
def test_status_as_json(simpul: Simpul) -> None:
    found = simpul("node", "status", "--json").ok().json()
    assert found["directory_hash"] == "cd" * 32
    assert found["directory_version"] == 7
    assert found["links"][0]["link_id"] == "ef" * 32
    assert found["workers_ready"] == 1


@pytest.mark.parametrize("program", ["node", "registry"])
def test_serve_without_a_home(simpul: Simpul, program: str) -> None:
    ran = simpul.process(program, "serve")
    assert ran.code == 1
    assert ran.err.startswith("simpul: HOME_MISSING: ")


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--token", "x"), 1),
        (("--token", "x", "--root", "/no/such"), 2),
        (("--token", "x", "--slots", "0"), 2),
        ((), 2),
    ],
)
def test_init_refuses(simpul: Simpul, tmp_path: Path, args: tuple[str, ...], code: int) -> None:
    root = tmp_path / "root.json"
    root.write_text("{}", encoding="ascii")
    ran = simpul("node", "init", "--registry", "127.0.0.1:1", "--root", str(root), *args)
    assert ran.code == code
    assert ran.err.startswith("simpul: TOKEN_MALFORMED: " if code == 1 else "simpul: USAGE: ")
    assert not simpul.home.exists()


def test_an_empty_root_is_none(simpul: Simpul, tmp_path: Path) -> None:
    root = tmp_path / "root.json"
    root.touch()
    args = ("--registry", "127.0.0.1:1", "--root", str(root), "--token", "x")
    assert simpul("node", "init", *args).err.startswith("simpul: ROOT_MISMATCH: ")


def test_joining_a_registry_by_hand(simpul: Simpul, tmp_path: Path) -> None:
    """Every command as a person would type it, with real processes and nothing faked."""
    home = str(tmp_path / "r")
    made = simpul("registry", "init", "--home", home, "--json").ok().json()
    with simpul.start("registry", "serve", "--home", home) as registry:
        try:
            assert registry.stderr is not None
            while "registry runs" not in (line := registry.stderr.readline()):
                assert line, "it ended before it ran"
            args = ("ID/DAERAH/53.15", "--node", "labuan-bajo-1")
            token = simpul("registry", "enrol", *args, "--home", home).ok().out.strip()
            join = ("--registry", made["grpc"], "--root", made["root"], "--token", token)
            joined = simpul("node", "init", *join, "--json").ok().json()
            assert joined["node"] == "ID/~labuan-bajo-1"
            assert joined["directory_version"] > 0
            again = simpul("node", "init", *join, "--home", str(tmp_path / "other"))
            assert again.err.startswith("simpul: TOKEN_USED: ")
            listed = simpul("registry", "node", "list", "--home", home, "--json").ok().json()
            (node,) = listed["nodes"]
            # What is compared by voice.
            assert node["fingerprint"] == joined["fingerprint"]
            check_seals(simpul.home)
        finally:
            registry.send_signal(signal.SIGINT)
        out, err = registry.communicate(timeout=20)
    assert registry.returncode == 0
    assert out == ""
    # Piped, its log is JSON lines.
    assert all(json.loads(line) for line in err.splitlines())


def check_seals(home: Path) -> None:
    """The journal's seals are judged by the directory that the node fetched as it joined."""
    judge = seal_check(home)
    assert judge is not None
    key = NodeHome.open(home).read_key(KeyName.SEAL)
    member = MemberId.parse("ID/DAERAH/53.15")
    changes = {"member": member, "seal_key_id": key.public.key_id}
    record = Link().sent(open_entry(1), **changes)
    (seal,) = make_seals(key, [record.header_hash])
    header = parse_header(record.header)
    judge(header, seal, record.header_hash)
    with pytest.raises(SimpulError) as caught:
        judge(header, seal, b"\x00" * 32)
    assert caught.value.code is Code.PARCEL_SEAL
    with pytest.raises(SimpulError) as caught:
        judge(replace(header, seal_key_id=b"\x00" * 32), seal, record.header_hash)
    assert caught.value.code is Code.KEY_UNKNOWN
