"""The vectors are what their script builds, byte for byte; and the script sees a difference."""

import json
from pathlib import Path

import pytest

from security.identifiers import MemberId
from tests.conformance import build_vectors, fixed

DOCUMENTS = build_vectors.documents()


@pytest.mark.parametrize("name", DOCUMENTS)
def test_the_file_is_what_the_script_builds(name: str) -> None:
    assert fixed.differences({name: DOCUMENTS[name]}) == []


def test_one_changed_byte_is_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    fixed.write(DOCUMENTS, tmp_path)
    assert fixed.main(DOCUMENTS, ["--check"], tmp_path) == 0
    path = tmp_path / "trees.json"
    path.write_bytes(path.read_bytes().replace(b"2021", b"2022", 1))
    (tmp_path / "keys.json").unlink()
    assert fixed.main(DOCUMENTS, ["--check"], tmp_path) == 1
    named = {line.split()[0] for line in capsys.readouterr().out.splitlines()}
    assert named == {"keys.json", "trees.json"}


def test_building_writes_them_anew(tmp_path: Path) -> None:
    assert fixed.main(DOCUMENTS, [], tmp_path) == 0
    assert fixed.differences(DOCUMENTS, tmp_path) == []


def test_samples_are_of_every_algorithm_that_draws_randomness() -> None:
    samples = json.loads(build_vectors.SAMPLES.read_text(encoding="utf-8"))
    assert samples.keys() == build_vectors.sample_signatures().keys()


def test_a_name_that_should_be_refused_stops_the_building() -> None:
    with pytest.raises(ValueError, match="must be refused"):
        build_vectors.require_refused(MemberId, "ID/DAERAH/53.15")
    with pytest.raises(ValueError, match="broken"):
        build_vectors.require(False, "broken")
