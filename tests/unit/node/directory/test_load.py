import json
from typing import Any

import pytest

from node.directory.load import load_view
from node.directory.model import Generation
from node.directory.replica import Replica
from security.errors import Code, SimpulError
from security.hashing import sha256
from tests.unit.node.directory.fake_registry import (
    MEMBER,
    NOW_MS,
    DictFetcher,
    FakeRegistry,
    member_path,
    record,
)


@pytest.fixture
def made(registry: FakeRegistry, replica: Replica) -> Generation:
    return replica.sync(DictFetcher(registry.files), NOW_MS)


def test_a_view_is_the_generation_s(made: Generation) -> None:
    view = load_view(made.path)
    assert (view.version, view.hash) == (made.version, made.hash)
    assert view.issued_at_ms == made.issued_at_ms


def test_a_known_view_of_another_state_does_not_serve_again(
    registry: FakeRegistry, replica: Replica, made: Generation
) -> None:
    known = load_view(made.path)
    registry.touch("m-0")
    registry.publish()
    newer = replica.sync(DictFetcher(registry.files), NOW_MS)
    assert load_view(newer.path, known).members is not known.members


def test_of_a_new_version_only_what_changed_is_read(
    registry: FakeRegistry, replica: Replica, made: Generation
) -> None:
    known = load_view(made.path)
    before = {blob.name for blob in (made.path.parent / "blobs").iterdir()}
    registry.put(member_path(MEMBER), record(MEMBER, 2, "Kabupaten Karo"))
    registry.publish()
    newer = replica.sync(DictFetcher(registry.files), NOW_MS)
    policy = sha256(registry_policy(registry)).hex()
    for name in before - {policy}:
        (made.path.parent / "blobs" / name).write_bytes(b"not read")
    assert load_view(newer.path, known).member(MEMBER).legal_name == "Kabupaten Karo"


def registry_policy(registry: FakeRegistry) -> bytes:
    return next(data for name, data in registry.files.items() if name.endswith(".policy"))


def test_a_generation_that_is_gone_is_absent(made: Generation) -> None:
    with pytest.raises(SimpulError) as caught:
        load_view(made.path.with_name("00000099"))
    assert caught.value.code is Code.DIRECTORY_ABSENT


def test_a_changed_file_is_seen(made: Generation) -> None:
    for blob in (made.path.parent / "blobs").iterdir():
        blob.write_bytes(blob.read_bytes() + b"x")
    with pytest.raises(SimpulError) as caught:
        load_view(made.path)
    assert caught.value.code is Code.DIRECTORY_ABSENT


@pytest.mark.parametrize(
    "change",
    [
        {"version": "1"},
        {"version": True},
        {"hash": "zz"},
        {"hash": "ab"},
        {"issued_at_ms": None},
        {"targets": []},
        {"targets": {"policy": 1}},
        {"targets": {"policy": "../../etc/passwd"}},
        {"targets": {"policy": "ab"}},
    ],
)
def test_a_bad_index_is_absent(made: Generation, change: dict[str, Any]) -> None:
    index = made.path / "index.json"
    index.write_text(json.dumps({**json.loads(index.read_bytes()), **change}), encoding="utf-8")
    with pytest.raises(SimpulError) as caught:
        load_view(made.path)
    assert caught.value.code is Code.DIRECTORY_ABSENT
