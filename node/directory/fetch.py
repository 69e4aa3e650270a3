"""Where the directory's bytes come from: HTTP, a pushed bundle, or the copy on the disk.

It trusts nothing and verifies nothing: `verify` does. All fetchers speak in published names
(`metadata/7.snapshot.json`, `targets/members/DAERAH/<hash>.53.15`); python-tuf sees them below a
URL that exists nowhere. Rules: every file has a cap of ours, whatever a signed length says; a
whole run has one deadline; a fault, in the first byte or the last, is a DownloadError and nothing
else; nothing is redirected, and no proxy is taken from the environment.
"""

import time
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from io import BytesIO
from itertools import chain
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

import urllib3
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)
from tuf.ngclient import FetcherInterface

from node.directory.model import LOG, METADATA, TARGETS
from security.directory_records import MAX_CONTRACT_BYTES, MAX_POLICY_BYTES, MAX_RECORD_BYTES

BASE_URL = "https://directory.invalid/"
METADATA_URL = f"{BASE_URL}{METADATA}/"
TARGETS_URL = f"{BASE_URL}{TARGETS}/"
LOG_URL = f"{BASE_URL}{LOG}/"

MAX_ROOT_BYTES = 512_000
MAX_TIMESTAMP_BYTES = 16_384
MAX_SNAPSHOT_BYTES = 2_000_000
MAX_ROLE_BYTES = 5_000_000
MAX_LEAVES_BYTES = 5_000_000
CONNECT_TIMEOUT_S = 5.0
READ_TIMEOUT_S = 10.0
RUN_TIMEOUT_S = 300.0
CHUNK_BYTES = 65_536
NOT_FOUND = 404
OK = 200


def cap(name: str) -> int:
    """The most bytes that the file of this published name may have."""
    kind, _, rest = name.partition("/")
    if kind == METADATA:
        for suffix, limit in (
            ("root.json", MAX_ROOT_BYTES),
            ("timestamp.json", MAX_TIMESTAMP_BYTES),
            ("snapshot.json", MAX_SNAPSHOT_BYTES),
        ):
            if rest == suffix or rest.endswith(f".{suffix}"):
                return limit
        return MAX_ROLE_BYTES
    if kind == LOG:
        return MAX_LEAVES_BYTES
    if rest.startswith("members/"):
        return MAX_RECORD_BYTES
    return MAX_CONTRACT_BYTES if rest.startswith("contracts/") else MAX_POLICY_BYTES


class Fetcher(FetcherInterface):
    """What python-tuf asks for files. A subclass says how to open one."""

    where: str

    @abstractmethod
    def open(self, name: str) -> Iterator[bytes]:
        """The chunks of a published file.

        Raises:
            DownloadHTTPError: with 404, when there is none.
            Exception: any other; it is made a DownloadError.
        """

    def read(self, name: str) -> Iterator[bytes]:
        """As `open`; every fault is a DownloadError. For what python-tuf doesn't ask for."""
        try:
            yield from self.open(name)
        except DownloadError:
            raise
        except Exception as error:
            raise DownloadError(f"{name}: can't be fetched") from error

    @contextmanager
    def download_file(self, url: str, max_length: int) -> Iterator[IO[bytes]]:
        """As python-tuf's, under our own cap, which no signed length overrides.

        In memory, where python-tuf makes a file of each: no cap is above a few MB.
        """
        limit = min(max_length, cap(_name(url)))
        file = BytesIO()
        for chunk in self.fetch(url):
            if file.tell() + len(chunk) > limit:
                raise DownloadLengthMismatchError(f"{url} has more than {limit} bytes")
            file.write(chunk)
        file.seek(0)
        yield file

    def _fetch(self, url: str) -> Iterator[bytes]:
        # python-tuf maps the faults of this call and not those of the iteration: both are done
        # here.
        chunks = self.read(_name(url))
        return chain((next(chunks, b""),), chunks)


class HttpFetcher(Fetcher):
    """Reads a static web server, for one run: its deadline begins when it is made."""

    def __init__(self, url: str, *, timeout_s: float = RUN_TIMEOUT_S) -> None:
        self.where = url
        self._url = url.rstrip("/") + "/"
        self._deadline = time.monotonic() + timeout_s
        self._pool = urllib3.PoolManager(maxsize=1, retries=False)

    def open(self, name: str) -> Iterator[bytes]:
        """One GET. The length that the server states is judged before the body is read."""
        response = self._pool.request(
            "GET",
            self._url + name,
            preload_content=False,
            decode_content=False,
            redirect=False,
            headers={"Accept-Encoding": "identity"},
            timeout=urllib3.Timeout(
                connect=min(CONNECT_TIMEOUT_S, self._left()),
                read=min(READ_TIMEOUT_S, self._left()),
            ),
        )
        finished = False
        try:
            if response.status != OK:
                raise DownloadHTTPError(f"{name}: HTTP {response.status}", response.status)
            # One read of the socket at a time: a server that drips is seen by the deadline.
            while chunk := response.read1(CHUNK_BYTES):
                yield chunk
                self._left()
            finished = True
        finally:
            if finished:
                response.release_conn()
            else:
                response.close()

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()

    def _left(self) -> float:
        left_s = self._deadline - time.monotonic()
        if left_s <= 0:
            raise SlowRetrievalError(f"{self.where} was too slow")
        return left_s


class BundleFetcher(Fetcher):
    """Gives pushed files, and asks another fetcher for what the bundle lacks.

    A bundle that lacks the next root says that there is none; where that is wrong, verification
    fails and the caller fetches without the bundle.
    """

    def __init__(self, files: Mapping[str, bytes], rest: Fetcher) -> None:
        self.where = rest.where
        self._files = files
        self._rest = rest

    def open(self, name: str) -> Iterator[bytes]:
        """From the bundle where it is there."""
        data = self._files.get(name)
        if data is not None:
            return iter((data,))
        if name.endswith(".root.json"):
            raise _not_found(name)
        return self._rest.open(name)


class LocalFetcher(Fetcher):
    """Reads a generation on the disk: as if it were the network, so that all of it is verified."""

    def __init__(self, metadata: Path, blobs: Path) -> None:
        self.where = str(metadata.parent)
        self._metadata = metadata
        self._blobs = blobs

    def open(self, name: str) -> Iterator[bytes]:
        """The file that the published name stands for."""
        kind, _, rest = name.partition("/")
        if kind == TARGETS:
            path = self._blobs / rest.rpartition("/")[2].partition(".")[0]
        elif rest.endswith(".root.json"):
            path = self._metadata / "root_history" / rest
        elif rest == "timestamp.json":
            path = self._metadata / rest
        else:
            path = self._metadata / rest.partition(".")[2]
        try:
            return iter((path.read_bytes(),))
        except FileNotFoundError as error:
            raise _not_found(name) from error


def _name(url: str) -> str:
    return urlsplit(url).path.removeprefix("/")


def _not_found(name: str) -> DownloadHTTPError:
    return DownloadHTTPError(f"{name}: not there", NOT_FOUND)
