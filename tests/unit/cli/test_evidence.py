"""`simpul evidence` on files: what is printed, and how it ends."""

import json
from pathlib import Path

import pytest

from cli.main import app
from node.config import write_config
from node.journal.archive.places import parse_archive_place
from security.evidence import print_evidence
from tests.support.evidence import CALL_ID, MINISTRY, Scene, unary_parcels
from tests.support.evidence_judge import GOOD, ROOT, flipped
from tests.unit.cli.test_journal import CONFIG
from tests.unit.node.evidence.support import make
from tests.unit.node.evidence.test_archived import archive


@pytest.fixture
def files(tmp_path: Path) -> Path:
    (tmp_path / "call.evidence").write_bytes(print_evidence(GOOD))
    (tmp_path / "root.json").write_bytes(ROOT)
    return tmp_path


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        app([str(item) for item in arguments])
    return int(caught.value.code or 0)


def test_the_numbered_list_says_who_when_and_what(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = run(
        "evidence", "verify", files / "call.evidence", "--root", files / "root.json"
    )  # fmt: skip
    out = capsys.readouterr().out
    assert status == 0
    for text in (
        "15    receipts        proven",
        "19    registry's log  not present",
        "ID/KEMENTERIAN/KOMDIGI/super-app",
        "purpose layanan-wisata, legal basis public task",
        "2026-01-05 02:00:10Z",
    ):
        assert text in out


def test_a_changed_bit_ends_with_1_and_names_the_step(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = files / "call.evidence"
    file.write_bytes(flipped(file.read_bytes(), 4000))
    status = run("evidence", "verify", file, "--root", files / "root.json", "--json")
    captured = capsys.readouterr()
    assert status == 1
    assert "step 1, container, fails" in captured.err
    told = json.loads(captured.out)
    assert told["failed_step"] == told["error"]["step"] == 1
    assert told["error"]["code"] == "EVIDENCE_INVALID"
    assert told["error"]["name"] == "container"
    assert {step["result"] for step in told["steps"][1:]} == {"not judged"}


def test_json_holds_every_step_and_fact(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = run(
        "evidence", "verify", files / "call.evidence", "--root", files / "root.json", "--json"
    )
    assert status == 0
    told = json.loads(capsys.readouterr().out)
    assert [step["number"] for step in told["steps"]] == list(range(1, 22))
    assert told["call"]["method"] == "Get"
    assert told["parcels"][0]["entries"] == ["open"]
    assert told["parcels"][0]["received"] is True


def test_show_says_that_nothing_is_verified(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("evidence", "show", files / "call.evidence") == 0
    captured = capsys.readouterr()
    assert "ID/~labuan-bajo-1" in captured.out
    assert "Nothing of this is verified" in captured.err
    assert run("evidence", "show", files / "root.json") == 1
    assert "EVIDENCE_INVALID" in capsys.readouterr().err


def test_join_refuses_to_overwrite_and_what_is_not_there(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, both = files / "call.evidence", files / "both.evidence"
    assert run("evidence", "join", one, one, "-o", both, "--json") == 0
    assert json.loads(capsys.readouterr().out)["parcels"] == 3
    assert both.read_bytes() == one.read_bytes()
    assert run("evidence", "join", one, one, "-o", both) == 1
    assert "ALREADY_EXISTS" in capsys.readouterr().err
    assert run("evidence", "join", one, one, "-o", both, "--force") == 0
    capsys.readouterr()
    assert run("evidence", "join", one, files / "none", "-o", both, "--force") == 1
    assert "can't be read" in capsys.readouterr().err


def test_a_call_id_that_is_none(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = run("evidence", "export", "xyz", "--home", files, "-o", files / "new.evidence")
    assert status == 1
    assert "ID_MALFORMED" in capsys.readouterr().err


def test_a_call_that_was_dropped_is_exported_from_archives(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    scene = Scene()
    home = make(tmp_path / "home", MINISTRY, scene)
    write_config(home.home.config, CONFIG)
    home.journal(unary_parcels(scene.link))
    place = tmp_path / "archives"
    archive(home, parse_archive_place(str(place), {}))
    args = ("evidence", "export", CALL_ID.hex(), "--home", home.home.path, "-o", tmp_path / "e")
    assert run(*args) == 1
    assert f"--archive {place}" in " ".join(capsys.readouterr().err.split())
    assert run(*args, "--archive", place, "--json") == 0
    assert json.loads(capsys.readouterr().out)["parcels"] == 3
    root = home.home.path / "root.json"
    assert run("evidence", "verify", tmp_path / "e", "--root", root) == 0
    assert run(*args, "--force", "--archive", "ftp://elsewhere") == 1
    assert "give a folder, or s3://BUCKET/PREFIX" in capsys.readouterr().err
