"""`simpul journal archive`, on journals that the node's own store wrote, with or without a node."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from node.config import write_config
from node.journal.archive.files import read_file, unpacked
from tests.architecture.project import PROJECT
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.test_journal import CONFIG
from tests.unit.node.journal.archive.support import DAY_MS, Written, origin
from tests.unit.node.journal.builder import NOW_MS, Link, call_id, unary_call

BEFORE = "2025-10-12"


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    return tmp_path / "archives"


@pytest.fixture(autouse=True)
def journal(simpul: Simpul) -> Path:
    """Four days, from 2025-10-09 on: a call on each."""
    simpul.home.mkdir()
    write_config(simpul.home / "node.toml", CONFIG)
    path = simpul.home / "journal.db"
    written, link = Written(path), Link()
    for day in range(4):
        # The builder's call ids are of its own time.
        written.add(unary_call(link, day * DAY_MS), at_ms=NOW_MS + day * DAY_MS)
    return path


def made(archives: Path) -> list[Path]:
    return sorted(archives.rglob("*.zst"))


def test_what_is_due_is_archived_and_verified(simpul: Simpul, archives: Path) -> None:
    ran = simpul("journal", "archive", "--before", BEFORE, "--to", str(archives)).ok()
    assert "slot 0: 6 parcels in" in ran.err
    ran = simpul("journal", "archive", "--before", "2030-01-01", "--to", str(archives), "--json")
    (item,) = ran.ok().json()["archives"]
    assert (item["first"], item["end"]) == (6, 8)
    ran = simpul("journal", "archive", "verify", str(archives), "--json").ok()
    rows = ran.json()["archives"]
    assert [(row["first"], row["end"], row["ok"]) for row in rows] == [(0, 6, True), (6, 8, True)]
    assert rows[1]["previous"] == rows[0]["digest"]
    assert {row["origin"] for row in rows} == {origin()}
    ran = simpul("journal", "archive", "verify", str(archives)).ok()
    assert "2 archives hold" in ran.err
    ran = simpul("journal", "archive", "list", "--json").ok()
    assert ran.json()["slots"] == [{"slot": 0, "size": 8, "archived": 8, "dropped": 0}]
    assert "of 8 parcels 8 are archived" in simpul("journal", "archive", "list").ok().err


def test_dropped_calls_are_found_in_the_archive(simpul: Simpul, archives: Path) -> None:
    args = ("journal", "archive", "--before", BEFORE, "--to", str(archives), "--drop", "--json")
    assert simpul(*args).ok().json()["dropped"] == 6
    found = simpul("journal", "list", "--json").ok().json()["calls"]
    assert [call["call_id"] for call in found] == [call_id(3 * DAY_MS).hex()]
    assert "parcels up to 2025-10-11" in simpul("journal", "list").ok().err
    wanted = call_id(DAY_MS).hex()
    ran = simpul("journal", "show", wanted)
    assert ran.code == 1
    assert "--archive" in ran.err
    (call,) = simpul("journal", "show", wanted, "--archive", "--json").ok().json()["calls"]
    assert (call["outcome"], call["grpc_status"], call["role"]) == ("closed", "OK", "consumer")
    assert [entry["kind"] for entry in call["entries"]] == ["open", "close"]
    assert [entry["leaf"] for entry in call["entries"]] == [2, 3]
    assert call["purpose"] == "tourism"
    assert simpul("journal", "show", "0" * 32, "--archive").code == 1
    ran = simpul("journal", "verify", "--json").ok()
    assert (ran.json()["parcels"], ran.json()["dropped"]) == (2, 6)


def test_one_changed_bit_fails_and_the_file_and_step_are_named(
    simpul: Simpul, archives: Path
) -> None:
    simpul("journal", "archive", "--before", BEFORE, "--to", str(archives)).ok()
    simpul("journal", "archive", "--before", "2030-01-01", "--to", str(archives)).ok()
    first, second = made(archives)
    data = bytearray(b"".join(unpacked(read_file(second))))
    at = data.index(b"tourism")
    data[at] ^= 1
    # Not compressed is as good, and the change is no longer zstd's affair.
    second.write_bytes(bytes(data))
    ran = simpul("journal", "archive", "verify", str(archives), "--json")
    assert ran.code == 1
    document = json.loads(ran.out)
    assert [row["ok"] for row in document["archives"]] == [True, False]
    assert document["archives"][1]["step"] == "4"
    assert "step 4 parcel: leaf 6" in document["error"]["message"]
    assert second.name in document["error"]["message"]
    first.unlink()
    assert simpul("journal", "archive", "verify", str(second)).code == 1


def test_a_missing_link_of_the_chain_is_seen(simpul: Simpul, archives: Path) -> None:
    for before in ("2025-10-11", BEFORE, "2030-01-01"):
        simpul("journal", "archive", "--before", before, "--to", str(archives)).ok()
    made(archives)[1].unlink()
    ran = simpul("journal", "archive", "verify", str(archives), "--json")
    assert ran.code == 1
    assert json.loads(ran.out)["archives"][1]["step"] == "2"


def test_it_says_what_it_needs(simpul: Simpul, archives: Path) -> None:
    ran = simpul("journal", "archive")
    assert ran.code == 1
    assert "journal.archive" in ran.err
    assert simpul("journal", "archive", "--to", str(archives), "--before", "soon").code == 2
    assert simpul("journal", "archive", "verify", str(archives)).code == 1


# Kills itself behind a step of a run; the journal and the place are left as they are then.
KILLED = """
import os, signal, sys
from pathlib import Path
from node.journal.archive import dropping, run, store
from node.journal.archive.files import ArchiveFile
from node.journal.archive.places import FolderPlace

def kill(*args, **kwargs):
    os.kill(os.getpid(), signal.SIGKILL)

def before(owner, name):
    setattr(owner, name, kill)

def after(owner, name):
    old = getattr(owner, name)
    def wrapped(*args, **kwargs):
        old(*args, **kwargs)
        kill()
    setattr(owner, name, wrapped)

{when}({owner}, {name!r})
from cli.main import main
sys.argv = ["simpul", *sys.argv[1:]]
main()
"""


@pytest.mark.parametrize(
    ("when", "owner", "name"),
    [
        ("after", "ArchiveFile", "write"),
        ("before", "ArchiveFile", "finish"),
        ("before", "FolderPlace", "put"),
        ("after", "FolderPlace", "put"),
        ("before", "store.ArchiveStore", "remember"),
        ("after", "store.ArchiveStore", "remember"),
        ("after", "dropping", "_move_on"),
        ("after", "dropping", "_drop_rows"),
        ("after", "dropping.Dropper", "drop_some"),
        ("after", "dropping.Dropper", "free_some"),
    ],
)
def test_a_run_that_is_killed_is_gone_on_with(
    simpul: Simpul, archives: Path, when: str, owner: str, name: str
) -> None:
    args = ["journal", "archive", "--before", BEFORE, "--to", str(archives), "--drop"]
    script = KILLED.format(when=when, owner=owner, name=name)
    environment = {**os.environ, **simpul.env, "PYTHONPATH": ":".join(sys.path)}
    killed = subprocess.run(
        [sys.executable, "-c", script, *args],
        check=False, env=environment, cwd=PROJECT, capture_output=True,
    )  # fmt: skip
    assert killed.returncode == -9, killed.stderr
    report = simpul("journal", "verify", "--json").ok().json()
    assert report["parcels"] + report["dropped"] == 8
    simpul(*args).ok()
    report = simpul("journal", "verify", "--json").ok().json()
    assert (report["parcels"], report["dropped"]) == (2, 6)
    ran = simpul("journal", "archive", "verify", str(archives), "--json").ok()
    assert [(row["first"], row["end"]) for row in ran.json()["archives"]] == [(0, 6)]
    assert len(made(archives)) == 1
