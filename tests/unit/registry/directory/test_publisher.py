"""The publisher, verified by TUF's own client from a fresh folder."""

import json
import threading
from collections.abc import Mapping
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

import pytest
from tuf.api.exceptions import BadVersionNumberError, UnsignedMetadataError

from registry.directory import signers as keys
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import Role
from registry.directory.publisher import Publisher
from registry.directory.signers import Signers
from security.errors import Code, SimpulError
from tests.unit.registry.directory.conftest import DAY_MS, POLICY, Client

KOMODO = "members/DAERAH/53.15"
WAKATOBI = "members/DAERAH/74.07"
CONTRACT = f"contracts/wisata.v1.Wisata/{'ab' * 32}"


@pytest.fixture
def first(folder: PublishedFolder) -> PublishedFolder:
    """The first directory, to be opened as another kind of folder."""
    return folder


class FullDisk(PublishedFolder):
    """Fails as a full disk does: after `room` more files, until there is room again."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.room: int | None = None

    def add(self, name: str, data: bytes) -> None:
        if not (self.path / name).exists():
            self._take()
        super().add(name, data)

    def commit(self, timestamp: bytes, files: Mapping[str, bytes]) -> None:
        for name, content in files.items():
            self.add(name, content)
        self._take()
        super().commit(timestamp, files)

    def _take(self) -> None:
        if self.room is None:
            return
        if self.room == 0:
            raise OSError(28, "No space left on device")
        self.room -= 1


def test_a_fresh_client_verifies_the_first_directory(client: Client) -> None:
    assert client.target("policy") == POLICY
    assert client.target(KOMODO) is None


def test_a_published_target_is_found_by_a_client(
    publisher: Publisher, client: Client, now: int
) -> None:
    publication = publisher.publish({KOMODO: b"komodo", CONTRACT: b"contract"}, now)

    assert publication.version == 2
    assert client.target(KOMODO) == b"komodo"
    assert client.target(CONTRACT) == b"contract"


def test_a_publication_names_all_its_files_and_the_timestamp_last(
    publisher: Publisher, folder: PublishedFolder, now: int
) -> None:
    publication = publisher.publish({KOMODO: b"komodo"}, now)

    names = list(publication.files)
    assert names[0] == f"targets/members/DAERAH/{sha256(b'komodo').hexdigest()}.53.15"
    assert names[1].startswith("metadata/2.m-")
    assert names[2:] == ["metadata/2.snapshot.json", "log/3-5", "metadata/timestamp.json"]
    for name, data in publication.files.items():
        assert folder.read(name) == data
    assert publication.hash == sha256(publication.files["metadata/2.snapshot.json"]).digest()


def test_the_same_content_again_is_a_heartbeat(publisher: Publisher, now: int) -> None:
    first = publisher.publish({KOMODO: b"komodo"}, now)
    again = publisher.publish({KOMODO: b"komodo"}, now + 1000)

    assert again.version == first.version
    assert list(again.files) == [TIMESTAMP_NAME]
    assert again.issued_at_ms == now + 1000


def test_the_issue_time_is_signed_and_never_goes_back(publisher: Publisher, now: int) -> None:
    publication = publisher.publish({}, now - 5000)

    timestamp = json.loads(publication.files[TIMESTAMP_NAME])["signed"]
    assert timestamp["x-issued-at"] == now
    assert publication.issued_at_ms == now


def test_the_timestamp_expires_with_the_dead_age(publisher: Publisher, now: int) -> None:
    timestamp = json.loads(publisher.publish({}, now).files[TIMESTAMP_NAME])["signed"]

    expires = datetime.fromisoformat(timestamp["expires"]).astimezone(UTC).timestamp() * 1000
    assert 7 * DAY_MS - 1000 < expires - now <= 7 * DAY_MS


def test_opened_again_it_continues(
    publisher: Publisher, folder: PublishedFolder, signers: Signers, client: Client, now: int
) -> None:
    publisher.publish({KOMODO: b"komodo"}, now)

    again = Publisher.open(folder, signers)

    assert again.holds(KOMODO, b"komodo")
    assert again.publish({WAKATOBI: b"wakatobi"}, now).version == 3
    assert client.target(KOMODO) == b"komodo"
    assert client.target(WAKATOBI) == b"wakatobi"


def test_a_client_refuses_an_older_timestamp(
    publisher: Publisher, folder: PublishedFolder, client: Client, now: int
) -> None:
    old = folder.read(TIMESTAMP_NAME)
    publisher.publish({KOMODO: b"komodo"}, now)
    client.updater()

    (folder.path / TIMESTAMP_NAME).write_bytes(old)

    with pytest.raises(BadVersionNumberError):
        client.updater()


@pytest.mark.parametrize("room", range(4))
def test_a_publication_cut_short_publishes_nothing_and_can_be_tried_again(
    tmp_path: Path, first: PublishedFolder, signers: Signers, now: int, room: int
) -> None:
    folder = FullDisk(first.path)
    publisher = Publisher.open(folder, signers)
    client = Client(tmp_path / "client", folder.path, publisher.root)
    folder.room = room

    with pytest.raises(OSError, match="No space"):
        publisher.publish({KOMODO: b"first"}, now)
    assert client.target(KOMODO) is None
    assert publisher.current.version == 1

    folder.room = None
    publisher.publish({KOMODO: b"second"}, now + 5000)
    assert client.target(KOMODO) == b"second"


@pytest.mark.parametrize("room", range(4))
def test_a_process_that_dies_while_publishing_leaves_a_whole_directory(
    tmp_path: Path, first: PublishedFolder, signers: Signers, now: int, room: int
) -> None:
    folder = FullDisk(first.path)
    publisher = Publisher.open(folder, signers)
    client = Client(tmp_path / "client", folder.path, publisher.root)
    folder.room = room
    with pytest.raises(OSError, match="No space"):
        publisher.publish({KOMODO: b"first"}, now)

    folder.room = None
    after = Publisher.open(folder, signers)
    after.publish({KOMODO: b"second"}, now + 5000)

    assert client.target(KOMODO) == b"second"


class LateFailure(PublishedFolder):
    """Publishes, and then reports an error all the same."""

    fails = False

    def commit(self, timestamp: bytes, files: Mapping[str, bytes]) -> None:
        super().commit(timestamp, files)
        if self.fails:
            raise OSError(5, "Input/output error")


def test_an_error_after_the_publication_loses_nothing(
    tmp_path: Path, first: PublishedFolder, signers: Signers, now: int
) -> None:
    folder = LateFailure(first.path)
    publisher = Publisher.open(folder, signers)
    client = Client(tmp_path / "client", folder.path, publisher.root)
    folder.fails = True
    with pytest.raises(OSError, match="Input/output"):
        publisher.publish({KOMODO: b"first"}, now)

    folder.fails = False
    publisher.publish({WAKATOBI: b"other"}, now + 1000)

    assert client.target(KOMODO) == b"first"
    assert client.target(WAKATOBI) == b"other"


def test_files_once_written_keep_their_content(
    publisher: Publisher, folder: PublishedFolder
) -> None:
    del publisher
    with pytest.raises(SimpulError) as caught:
        folder.add("metadata/1.snapshot.json", b"another")

    assert caught.value.code is Code.CONFLICT


def test_a_damaged_file_is_seen_when_it_is_opened(
    publisher: Publisher, folder: PublishedFolder, signers: Signers
) -> None:
    del publisher
    path = folder.path / "metadata/1.m-00.json"
    path.write_bytes(path.read_bytes().replace(b"2", b"3"))

    with pytest.raises(SimpulError) as caught:
        Publisher.open(folder, signers)

    assert caught.value.code is Code.DIRECTORY_UNTRUSTED


def test_a_missing_file_is_seen_when_it_is_opened(
    publisher: Publisher, folder: PublishedFolder, signers: Signers
) -> None:
    del publisher
    (folder.path / "metadata/1.c-1f.json").unlink()

    with pytest.raises(SimpulError) as caught:
        Publisher.open(folder, signers)

    assert caught.value.code is Code.DIRECTORY_ABSENT


def test_another_key_than_the_listed_one_is_refused(
    publisher: Publisher, folder: PublishedFolder, tmp_path: Path, signers: Signers
) -> None:
    del publisher
    other = tmp_path / "other"
    other.mkdir()
    wrong = {**signers, Role.MEMBER_BINS: keys.create(other)[Role.MEMBER_BINS]}

    with pytest.raises(SimpulError, match="member-bins") as caught:
        Publisher.open(folder, wrong)

    assert caught.value.code is Code.CONFIG_INVALID


def test_a_client_refuses_a_bin_signed_by_the_other_family(
    publisher: Publisher, folder: PublishedFolder, signers: Signers, client: Client, now: int
) -> None:
    swapped = {**signers, Role.MEMBER_BINS: signers[Role.CONTRACT_BINS]}
    publisher._signers = swapped
    publisher.publish({KOMODO: b"komodo"}, now)
    del folder

    with pytest.raises(UnsignedMetadataError):
        client.target(KOMODO)


def test_publishing_goes_on_without_the_offline_keys(
    publisher: Publisher, folder: PublishedFolder, signers: Signers, client: Client, now: int
) -> None:
    del publisher
    online = {role: signer for role, signer in signers.items() if role in keys.ONLINE}

    Publisher.open(folder, online).publish({KOMODO: b"komodo"}, now)

    assert client.target(KOMODO) == b"komodo"


def test_over_a_year_every_role_is_renewed_before_it_could_end_an_outage(
    quick_publisher: Publisher, now: int
) -> None:
    publisher, at = quick_publisher, now
    for _ in range(400):
        at += DAY_MS
        publisher.publish({}, at)
        assert min(publisher.expiries().values()) - at > 7 * DAY_MS - DAY_MS

    assert publisher.root != b""
    assert json.loads(publisher.root)["signed"]["version"] > 1


def test_without_offline_keys_only_what_is_ours_is_renewed(
    publisher: Publisher, folder: PublishedFolder, signers: Signers, now: int
) -> None:
    del publisher
    online = {role: signer for role, signer in signers.items() if role in keys.ONLINE}
    publisher = Publisher.open(folder, online)

    publisher.publish({}, now + 364 * DAY_MS)

    expiries = publisher.expiries()
    assert expiries["m-00"] > now + 400 * DAY_MS
    assert expiries["targets"] < now + 366 * DAY_MS
    assert expiries["root"] < now + 366 * DAY_MS


def test_clients_that_refresh_while_it_publishes_never_see_a_mix(
    publisher: Publisher, folder: PublishedFolder, tmp_path: Path, now: int
) -> None:
    """Each client finds both targets with one content: they are published together."""
    publisher.publish({KOMODO: b"0", WAKATOBI: b"0"}, now)
    going = threading.Event()
    going.set()
    faults: list[object] = []

    def read(number: int) -> None:
        client = Client(tmp_path / f"client-{number}", folder.path, publisher.root)
        while going.is_set():
            try:
                found = client.targets(KOMODO, WAKATOBI)
            except Exception as error:  # noqa: BLE001  (whatever it is, the test shows it)
                faults.append(error)
                return
            if len(set(found)) != 1:
                faults.append(found)

    readers = [threading.Thread(target=read, args=(number,)) for number in range(2)]
    for reader in readers:
        reader.start()
    for number in range(1, 60):
        publisher.publish(dict.fromkeys((KOMODO, WAKATOBI), b"%d" % number), now + number)
    going.clear()
    for reader in readers:
        reader.join()

    assert faults == []


def test_an_existing_directory_is_never_begun_anew(
    publisher: Publisher, folder: PublishedFolder, signers: Signers, now: int
) -> None:
    del publisher
    with pytest.raises(SimpulError) as caught:
        Publisher.create(folder, signers, POLICY, now)

    assert caught.value.code is Code.HOME_EXISTS
