"""A node gives other nodes its copy, and nothing else."""

import json
from pathlib import Path

import pytest

from node.directory.folder import BLOBS, CURRENT, ReplicaFolder
from node.directory.serving import published


@pytest.fixture
def folder(tmp_path: Path) -> ReplicaFolder:
    generation = tmp_path / "g1"
    (generation / "metadata/root_history").mkdir(parents=True)
    (tmp_path / BLOBS).mkdir()
    (tmp_path / CURRENT).symlink_to("g1")
    document = json.dumps({"signed": {"version": 7}})
    for name in ("timestamp.json", "snapshot.json", "m-0a.json", "root_history/1.root.json"):
        (generation / "metadata" / name).write_text(document)
    (tmp_path / BLOBS / ("ab" * 32)).write_bytes(b"record")
    (tmp_path / "key.pem").write_bytes(b"secret")
    return ReplicaFolder(tmp_path)


@pytest.mark.parametrize(
    "path",
    [
        "/metadata/timestamp.json",
        "/metadata/7.snapshot.json",
        "/metadata/7.m-0a.json",
        f"/targets/members/DAERAH/{'ab' * 32}.53.15",
    ],
)
def test_what_is_in_use_is_given(folder: ReplicaFolder, path: str) -> None:
    assert published(folder, path) is not None


@pytest.mark.parametrize(
    "path",
    [
        "/metadata/8.snapshot.json",
        "/metadata/6.m-0a.json",
        "/metadata/2.root.json",
        f"/targets/members/DAERAH/{'cd' * 32}.53.15",
        "/metadata/../../key.pem",
        "/targets/../key.pem",
        "/targets/key.pem",
        "/metadata/7.%2e%2e%2fkey.json",
        "/key.pem",
        "/",
        "",
        "/metadata/" + "a" * 600,
    ],
)
def test_what_is_not_is_not(folder: ReplicaFolder, path: str) -> None:
    assert published(folder, path) is None


def test_without_a_copy_there_is_nothing(tmp_path: Path) -> None:
    assert published(ReplicaFolder(tmp_path), "/metadata/timestamp.json") is None
