"""`simpul journal checkpoints` and `tiles`."""

from pathlib import Path

import pytest

from node.config import write_config
from node.journal.checkpoints import KeptCheckpoint, KeptTimestamp
from node.journal.sql_checkpoints import SqlCheckpointStore
from security.checkpoint import Checkpoint, sign_checkpoint
from security.cosignature import cosign
from security.errors import Code
from tests.conformance import fixed
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.test_journal import CONFIG
from tests.unit.node.journal.builder import Link
from tests.unit.node.journal.support import write

ORIGIN = "labuan-bajo-1.id.simpul.internal/journal/0"


@pytest.fixture(autouse=True)
def store(simpul: Simpul) -> SqlCheckpointStore:
    """Checkpoints of 1 and 2 parcels, cosigned, the second stamped; and one of 3."""
    simpul.home.mkdir()
    write_config(simpul.home / "node.toml", CONFIG)
    path, link = simpul.home / "journal.db", Link()
    made = SqlCheckpointStore.open(path)
    for size in (1, 2, 3):
        head = write(path, [link.sent()])
        signed = sign_checkpoint(Checkpoint(ORIGIN, size, head.root()), fixed.key("a node")).note
        if size < 3:
            signed = signed.with_signatures([cosign(signed.text, "w1", fixed.key("w1"), 5)])
        quorum = 5999 if size < 3 else None
        made.save(KeptCheckpoint(0, size, signed.to_bytes(), fixed.NOW_MS + size, quorum))
    made.save_timestamp(0, 2, KeptTimestamp("TSA", b"response", 7000))
    return made


def test_they_are_listed_the_newest_first(simpul: Simpul) -> None:
    rows = simpul("journal", "checkpoints", "--json").ok().json()["checkpoints"]
    assert [(row["size"], row["cosigned_by"], row["quorum_at_ms"]) for row in rows] == [
        (3, [], None),
        (2, ["w1"], 5999),
        (1, ["w1"], 5999),
    ]
    assert rows[1]["timestamps"] == [{"authority": "TSA", "stamped_at_ms": 7000}]
    assert rows[1]["origin"] == ORIGIN
    assert rows[1]["note"].startswith(f"{ORIGIN}\n2\n")
    assert len(rows[1]["root"]) == 64
    assert (
        len(simpul("journal", "checkpoints", "--limit", "1", "--json").json()["checkpoints"]) == 1
    )
    assert simpul("journal", "checkpoints", "--slot", "1", "--json").json() == {"checkpoints": []}


def test_people_get_a_table(simpul: Simpul) -> None:
    text = simpul("journal", "checkpoints").ok().out
    assert "COSIGNED BY" in text
    assert "TSA" in text


@pytest.mark.parametrize(("index", "sizes"), [(0, [1, 2]), (1, [2]), (2, [])])
def test_those_that_bound_a_parcels_age(simpul: Simpul, index: int, sizes: list[int]) -> None:
    ran = simpul("journal", "checkpoints", "--slot", "0", "--covering", str(index), "--json")
    assert [row["size"] for row in ran.ok().json()["checkpoints"]] == sizes


def test_a_parcel_is_in_a_slot(simpul: Simpul) -> None:
    ran = simpul("journal", "checkpoints", "--covering", "0")
    assert ran.code == 2
    assert "--slot" in ran.err


def test_tiles_are_written(simpul: Simpul, tmp_path: Path) -> None:
    out = tmp_path / "tiles"
    ran = simpul("journal", "tiles", "-o", str(out), "--json").ok()
    (slot,) = ran.json()["slots"]
    assert (slot["slot"], slot["size"], slot["new_files"]) == (0, 3, 2)
    assert (out / "slot-0" / "checkpoint").read_text().startswith(ORIGIN)
    again = simpul("journal", "tiles", "-o", str(out), "--json").json()
    assert again["slots"][0]["new_files"] == 0
    assert "slot 0" in simpul("journal", "tiles", "-o", str(out)).ok().err


def test_a_home_without_a_journal(simpul: Simpul) -> None:
    for file in simpul.home.glob("journal.db*"):
        file.unlink()
    for command in (("checkpoints",), ("tiles", "-o", "x")):
        ran = simpul("journal", *command)
        assert ran.code == 1
        assert Code.NOT_FOUND in ran.err
