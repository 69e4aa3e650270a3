"""Fetchers against servers on loopback that misbehave."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from tuf.api.exceptions import (
    DownloadError,
    DownloadHTTPError,
    DownloadLengthMismatchError,
    SlowRetrievalError,
)

from node.directory.fetch import (
    MAX_ROLE_BYTES,
    MAX_ROOT_BYTES,
    MAX_SNAPSHOT_BYTES,
    MAX_TIMESTAMP_BYTES,
    METADATA_URL,
    TARGETS_URL,
    BundleFetcher,
    HttpFetcher,
    cap,
)
from security.directory_records import MAX_CONTRACT_BYTES, MAX_POLICY_BYTES, MAX_RECORD_BYTES
from tests.unit.node.directory.fake_registry import DictFetcher

Answer = Callable[[socket.socket], None]
TIMESTAMP_URL = f"{METADATA_URL}timestamp.json"


@contextmanager
def server(answer: Answer) -> Iterator[str]:
    """Answers each connection's first request by `answer`, and closes."""
    listener = socket.create_server(("127.0.0.1", 0))
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            connection, _ = listener.accept()
            with connection:
                if connection.recv(65_536):
                    try:
                        answer(connection)
                    except OSError:
                        continue

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/directory"
    finally:
        stop.set()
        socket.create_connection(listener.getsockname()).close()
        thread.join()
        listener.close()


def says(text: str) -> Answer:
    return lambda connection: connection.sendall(text.encode())


def fetch(url: str, max_bytes: int = 10**9, timeout_s: float = 5.0) -> bytes:
    fetcher = HttpFetcher(url, timeout_s=timeout_s)
    try:
        return fetcher.download_bytes(TIMESTAMP_URL, max_bytes)
    finally:
        fetcher.close()


def test_a_file_is_fetched_by_its_published_name() -> None:
    seen: list[bytes] = []

    def answer(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello")

    def record(connection: socket.socket) -> None:
        seen.append(b"asked")
        answer(connection)

    with server(record) as url:
        assert fetch(url) == b"hello"
    assert seen == [b"asked"]


def test_what_is_not_there_is_a_404() -> None:
    with (
        server(says("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")) as url,
        pytest.raises(DownloadHTTPError) as caught,
    ):
        fetch(url)
    assert caught.value.status_code == 404


@pytest.mark.parametrize(
    "text",
    [
        "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\ntruncated",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "SSH-2.0-OpenSSH\r\n",
        "",
    ],
    ids=["500", "redirect", "204", "truncated", "bad chunks", "no http", "nothing"],
)
def test_a_bad_answer_is_a_download_error(text: str) -> None:
    with server(says(text)) as url, pytest.raises(DownloadError):
        fetch(url)


def test_a_closed_port_is_a_download_error() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(DownloadError):
        fetch(f"http://127.0.0.1:{port}/")


def test_a_server_that_drips_is_cut_at_the_deadline() -> None:
    def drip(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        for _ in range(100):
            connection.sendall(b"x")
            time.sleep(0.02)

    start = time.monotonic()
    with server(drip) as url, pytest.raises(SlowRetrievalError):
        fetch(url, timeout_s=0.2)
    assert time.monotonic() - start < 2


def test_an_endless_file_is_cut_at_its_cap() -> None:
    def endless(connection: socket.socket) -> None:
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65_536)

    with server(endless) as url, pytest.raises(DownloadLengthMismatchError):
        # What a signed length allows counts for nothing.
        fetch(url, max_bytes=10**12)


@pytest.mark.parametrize(
    ("name", "limit"),
    [
        ("metadata/timestamp.json", MAX_TIMESTAMP_BYTES),
        ("metadata/12.root.json", MAX_ROOT_BYTES),
        ("metadata/7.snapshot.json", MAX_SNAPSHOT_BYTES),
        ("metadata/7.m-0a.json", MAX_ROLE_BYTES),
        ("metadata/7.targets.json", MAX_ROLE_BYTES),
        ("targets/members/DAERAH/ab.53.15", MAX_RECORD_BYTES),
        ("targets/contracts/wisata.v1.Wisata/ab.cd", MAX_CONTRACT_BYTES),
        ("targets/ab.policy", MAX_POLICY_BYTES),
        ("anything", MAX_POLICY_BYTES),
    ],
)
def test_every_kind_of_file_has_a_cap(name: str, limit: int) -> None:
    assert cap(name) == limit


def test_a_bundle_serves_what_it_has_and_asks_for_the_rest() -> None:
    rest = DictFetcher({"targets/ab.policy": b"policy"})
    bundle = BundleFetcher({"metadata/timestamp.json": b"timestamp"}, rest)
    assert bundle.download_bytes(TIMESTAMP_URL, 100) == b"timestamp"
    assert bundle.download_bytes(f"{TARGETS_URL}ab.policy", 100) == b"policy"
    assert rest.asked == ["targets/ab.policy"]
    with pytest.raises(DownloadHTTPError):
        bundle.download_bytes(f"{METADATA_URL}2.root.json", 100)
    assert rest.asked == ["targets/ab.policy"]
