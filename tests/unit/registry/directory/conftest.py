"""A freshly published directory, and a client that trusts only its first root."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from registry.directory import signers as keys
from registry.directory.folder import PublishedFolder
from registry.directory.publisher import Publisher
from registry.directory.signers import Signers
from runtime.clock import now_ms
from simpul.v1 import directory_pb2

DAY_MS = 24 * 60 * 60 * 1000
URL = "http://directory.test"
POLICY = directory_pb2.FederationPolicy(
    version=1,
    federation="ID",
    stale_after_ms=600_000,
    dead_after_ms=7 * DAY_MS,
    member_classes=["DAERAH"],
).SerializeToString(deterministic=True)


class FolderFetcher(FetcherInterface):
    """Serves a folder to TUF's own client, as a static web server would."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _fetch(self, url: str) -> Iterator[bytes]:
        path = self._folder / urlsplit(url).path.lstrip("/")
        if not path.is_file():
            raise DownloadHTTPError("not found", 404)
        return iter([path.read_bytes()])


class Client:
    """A client's folder, from the first root on."""

    def __init__(self, home: Path, published: Path, root: bytes) -> None:
        self._home = home
        self._published = published
        self._root = root
        home.mkdir()

    def updater(self) -> Updater:
        """A refreshed Updater over what is published now."""
        updater = Updater(
            str(self._home),
            f"{URL}/metadata/",
            target_base_url=f"{URL}/targets/",
            fetcher=FolderFetcher(self._published),
            bootstrap=self._root,
        )
        updater.refresh()
        return updater

    def target(self, path: str) -> bytes | None:
        """A target's verified bytes; None where no role that may lists it."""
        updater = self.updater()
        info = updater.get_targetinfo(path)
        if info is None:
            return None
        return Path(updater.download_target(info, str(self._home / "target"))).read_bytes()


@pytest.fixture
def now() -> int:
    return now_ms()


@pytest.fixture
def signers(tmp_path: Path) -> Signers:
    folder = tmp_path / "keys"
    folder.mkdir()
    return keys.create(folder)


@pytest.fixture
def folder(tmp_path: Path) -> PublishedFolder:
    return PublishedFolder(tmp_path / "directory")


@pytest.fixture
def publisher(folder: PublishedFolder, signers: Signers, now: int) -> Publisher:
    return Publisher.create(folder, signers, POLICY, now)


@pytest.fixture
def client(tmp_path: Path, folder: PublishedFolder, publisher: Publisher) -> Client:
    return Client(tmp_path / "client", folder.path, publisher.root)
