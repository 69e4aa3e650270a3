"""What the collector takes away, and what it must leave."""

import json

from registry.directory.collector import KEEP_MS, collect
from registry.directory.folder import PublishedFolder
from registry.directory.publisher import Publisher
from tests.unit.registry.directory.conftest import DAY_MS, Client

KOMODO = "members/DAERAH/53.15"


def test_files_of_the_last_days_stay(
    publisher: Publisher, folder: PublishedFolder, now: int
) -> None:
    publisher.publish({KOMODO: b"first"}, now)
    publisher.publish({KOMODO: b"second"}, now + DAY_MS)

    assert collect(folder, now + 2 * DAY_MS) == ()


def test_what_went_out_of_force_long_ago_goes_and_the_rest_still_verifies(
    publisher: Publisher, folder: PublishedFolder, client: Client, now: int
) -> None:
    first = publisher.publish({KOMODO: b"first"}, now)
    second = publisher.publish({KOMODO: b"second"}, now + 1000)

    removed = collect(folder, now + KEEP_MS + 2000)

    gone = {
        name for name in first.files if name.startswith(("metadata/1", "metadata/2", "targets"))
    }
    assert gone <= set(removed)
    assert not set(second.files) & set(removed)
    # Bins that never changed are as old as the folder, and current.
    assert (folder.path / "metadata/1.c-00.json").exists()
    assert client.target(KOMODO) == b"second"


def test_a_file_stays_while_its_successor_is_young(
    publisher: Publisher, folder: PublishedFolder, now: int
) -> None:
    """Out of force for a minute only, although it was published a year before."""
    first = publisher.publish({KOMODO: b"first"}, now)
    publisher.publish({KOMODO: b"second"}, now + 365 * DAY_MS)

    removed = collect(folder, now + 365 * DAY_MS + 60_000)

    assert not set(first.files) & set(removed)


def test_every_root_stays(quick_publisher: Publisher, folder: PublishedFolder, now: int) -> None:
    publisher, at = quick_publisher, now
    for _ in range(20):
        at += 40 * DAY_MS
        publisher.publish({}, at)
    newest = json.loads(publisher.root)["signed"]["version"]

    collect(folder, at + 365 * DAY_MS)

    assert newest > 2
    for version in range(1, newest + 1):
        assert (folder.path / f"metadata/{version}.root.json").exists()


def test_leftovers_of_a_cut_publication_go(
    publisher: Publisher, folder: PublishedFolder, now: int
) -> None:
    del publisher
    folder.add("metadata/9.m-00.json", b"{}")

    assert collect(folder, now) == ("metadata/9.m-00.json",)
