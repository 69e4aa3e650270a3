"""A freshly published directory, and a client that trusts only its first root."""

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tuf.api.exceptions import DownloadHTTPError
from tuf.ngclient import FetcherInterface, Updater

from registry.directory import signers as keys
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
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
        return self.targets(path)[0]

    def targets(self, *paths: str) -> list[bytes | None]:
        """The verified bytes of targets of one directory."""
        updater = self.updater()
        return [self._target(updater, path) for path in paths]

    def _target(self, updater: Updater, path: str) -> bytes | None:
        info = updater.get_targetinfo(path)
        if info is None:
            return None
        return Path(updater.download_target(info, str(self._home / "target"))).read_bytes()


class QuickFolder(PublishedFolder):
    """The same, for tests that publish for years: what it writes need not survive a power cut."""

    def add(self, name: str, data: bytes) -> None:
        path = self.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def commit(self, timestamp: bytes, files: Mapping[str, bytes]) -> None:
        for name, data in files.items():
            self.add(name, data)
        self.add(TIMESTAMP_NAME, timestamp)


@dataclass(frozen=True)
class Template:
    """Keys and a first directory, made once and copied for each test."""

    path: Path
    now_ms: int


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Template:
    path, now = tmp_path_factory.mktemp("first"), now_ms()
    (path / "keys").mkdir()
    Publisher.create(PublishedFolder(path / "directory"), keys.create(path / "keys"), POLICY, now)
    return Template(path, now)


@pytest.fixture
def now(template: Template) -> int:
    return template.now_ms


@pytest.fixture
def signers(template: Template) -> Signers:
    return keys.load(template.path / "keys")


@pytest.fixture
def folder(template: Template, tmp_path: Path) -> PublishedFolder:
    shutil.copytree(template.path / "directory", tmp_path / "directory")
    return PublishedFolder(tmp_path / "directory")


@pytest.fixture
def publisher(folder: PublishedFolder, signers: Signers) -> Publisher:
    return Publisher.open(folder, signers)


@pytest.fixture
def quick_publisher(folder: PublishedFolder, signers: Signers) -> Publisher:
    return Publisher.open(QuickFolder(folder.path), signers)


@pytest.fixture
def client(tmp_path: Path, folder: PublishedFolder, publisher: Publisher) -> Client:
    return Client(tmp_path / "client", folder.path, publisher.root)
