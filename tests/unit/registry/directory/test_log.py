"""The public log in the published folder: what is written, read back, and removed."""

import json
from pathlib import Path

import pytest

from registry.directory.collector import collect
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.log import (
    KEEP_SEGMENTS,
    LOG,
    PublicLog,
    beyond,
    outlived,
    read_leaves,
)
from registry.directory.publisher import Publisher
from registry.directory.signers import Signers
from security.errors import Code, SimpulError
from security.public_log import Head, Kind, Leaf, Replay, parse_leaf, read_head
from tests.unit.registry.directory.test_publisher import CONTRACT, KOMODO, WAKATOBI, FullDisk

LEAVES = [Leaf(Kind.VERSION, n + 1, "ab" * 32, at_ms=n).to_bytes() for n in range(600)]


def signed_head(folder: PublishedFolder) -> Head:
    return read_head(json.loads(folder.read(TIMESTAMP_NAME))["signed"]["x-log"])


def told(folder: PublishedFolder) -> list[Leaf]:
    return [parse_leaf(leaf) for leaf in read_leaves(folder, signed_head(folder).size)]


def test_every_change_is_a_leaf(publisher: Publisher, folder: PublishedFolder, now: int) -> None:
    publisher.publish({KOMODO: b"komodo", CONTRACT: b"contract"}, now)
    publisher.publish({}, now + 1)
    publisher.publish({KOMODO: b"komodo", WAKATOBI: b"wakatobi"}, now + 2)
    shown = [(leaf.kind, leaf.version, leaf.path) for leaf in told(folder)]
    assert shown == [
        (Kind.ROOT, 1, ""),
        (Kind.FILE, 1, "policy"),
        (Kind.VERSION, 1, ""),
        (Kind.FILE, 2, CONTRACT),
        (Kind.FILE, 2, KOMODO),
        (Kind.VERSION, 2, ""),
        (Kind.FILE, 3, WAKATOBI),
        (Kind.VERSION, 3, ""),
    ]
    assert Replay().after(leaf.to_bytes() for leaf in told(folder)).version == 3


@pytest.mark.parametrize("steps", [(600,), (1,) * 3 + (252, 1, 1, 256, 3, 84), (256, 256, 88)])
def test_a_log_is_the_same_in_whatever_steps_it_grew(
    tmp_path: Path, steps: tuple[int, ...]
) -> None:
    folder, log, at = PublishedFolder(tmp_path), PublicLog(), 0
    for count in steps:
        appended = log.append(LEAVES[at : at + count])
        for name, data in {**appended.segment, **appended.bundles}.items():
            folder.add(name, data)
        log, at = appended.log, at + count
        assert PublicLog.load(folder, log.head) == log
    assert log.head == PublicLog().append(LEAVES[:at]).log.head
    assert list(read_leaves(folder, at)) == LEAVES[:at]


def test_what_a_cut_publication_left_is_not_in_the_log(
    tmp_path: Path, signers: Signers, publisher: Publisher, folder: PublishedFolder, now: int
) -> None:
    del tmp_path, publisher
    disk = FullDisk(folder.path)
    broken = Publisher.open(disk, signers)
    before = told(folder)
    disk.room = 5
    with pytest.raises(OSError, match="space"):
        broken.publish({KOMODO: b"first try"}, now)
    assert list(beyond(folder.names(LOG), len(before)))
    disk.room = None
    broken.publish({KOMODO: b"second try"}, now)
    assert [leaf.path for leaf in told(folder)[len(before) :]] == [KOMODO, ""]
    Publisher.open(folder, signers).publish({WAKATOBI: b"x"}, now)


def test_a_folder_without_a_log_gets_one_with_all_that_it_lists(
    publisher: Publisher, folder: PublishedFolder, signers: Signers, now: int
) -> None:
    publisher.publish({KOMODO: b"komodo"}, now)
    # As an earlier version of the program made it.
    publisher._state.timestamp.value.unrecognized_fields.pop("x-log")
    stripped = json.loads(folder.read(TIMESTAMP_NAME))
    del stripped["signed"]["x-log"]
    (folder.path / TIMESTAMP_NAME).write_text(json.dumps(stripped))
    for name in list(folder.names(LOG)):
        folder.remove(name)
    Publisher.open(folder, signers).publish({}, now)
    assert [(leaf.kind, leaf.version, leaf.path) for leaf in told(folder)] == [
        (Kind.ROOT, 1, ""),
        (Kind.FILE, 2, KOMODO),
        (Kind.FILE, 2, "policy"),
        (Kind.VERSION, 2, ""),
    ]


def test_a_damaged_log_is_not_continued(
    publisher: Publisher, folder: PublishedFolder, signers: Signers
) -> None:
    del publisher
    (name,) = (name for name in folder.names(LOG) if "tile" in name)
    data = (folder.path / name).read_bytes()
    (folder.path / name).write_bytes(data.replace(b'"policy"', b'"polocy"'))
    with pytest.raises(SimpulError) as caught:
        Publisher.open(folder, signers)
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED


def test_only_shorter_copies_are_removed(
    publisher: Publisher, folder: PublishedFolder, signers: Signers, now: int
) -> None:
    for number in range(140):
        publisher.publish({KOMODO: str(number).encode()}, now)
    before = told(folder)
    removed = [name for name in collect(folder, now) if name.startswith(LOG)]
    assert any(".p/" in name for name in removed)
    assert any("-" in name for name in removed)
    assert told(folder) == before
    Publisher.open(folder, signers).publish({KOMODO: b"more"}, now)
    assert not list(outlived(folder.names(LOG), KEEP_SEGMENTS // 2))
