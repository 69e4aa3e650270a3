"""The static server, over real sockets."""

import http.client
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.directory import http as served
from registry.directory.http import DirectoryServer, published_name
from runtime.ports import TcpAddress
from security.errors import Code, SimpulError

CONTENT = {
    "metadata/timestamp.json": b"now",
    "metadata/1.root.json": b"root",
    "targets/members/DAERAH/ab.53.15": b"komodo",
    "targets/members/~groups/ab.dinas": b"group",
    "targets/ab.policy": b"policy",
    "pack/newest": b"{}",
    "pack/ab": b"pack",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "secret").write_bytes(b"secret")
    for name, data in CONTENT.items():
        path = tmp_path / "directory" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return tmp_path / "directory"


@pytest.fixture
def server(folder: Path) -> Iterator[DirectoryServer]:
    running = DirectoryServer(folder, TcpAddress("127.0.0.1", 0), setting="directory.listen")
    yield running
    running.close()


def ask(server: DirectoryServer, method: str, path: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", server.address.port, timeout=5)
    try:
        connection.putrequest(method, path, skip_accept_encoding=True)
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize("name", CONTENT)
def test_published_files_are_served(server: DirectoryServer, name: str) -> None:
    status, headers, body = ask(server, "GET", f"/{name}")

    assert (status, body) == (200, CONTENT[name])
    assert headers["Content-Length"] == str(len(body))


@pytest.mark.parametrize("name", ["metadata/timestamp.json", "pack/newest"])
def test_what_is_replaced_is_asked_for_again(server: DirectoryServer, name: str) -> None:
    assert ask(server, "GET", f"/{name}")[1]["Cache-Control"] == "no-cache"


def test_nothing_else_is_asked_for_again(server: DirectoryServer) -> None:
    assert "immutable" in ask(server, "GET", "/metadata/1.root.json")[1]["Cache-Control"]


def test_head_says_the_same_without_the_body(server: DirectoryServer) -> None:
    status, headers, body = ask(server, "HEAD", "/metadata/1.root.json")

    assert (status, headers["Content-Length"], body) == (200, "4", b"")


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/metadata",
        "/metadata/",
        "/metadata/2.root.json",
        "/../secret",
        "/metadata/../../secret",
        "/metadata/..%2f..%2fsecret",
        "/%2e%2e/secret",
        "/metadata/%2e%2e/%2e%2e/secret",
        "//secret",
        "/secret",
        "/metadata/.hidden",
        "/targets/members/.hidden",
        "/metadata/timestamp.json?x",
        "/metadata/timestamp.json/",
        "/metadata\\timestamp.json",
        "http://127.0.0.1/metadata/timestamp.json",
        "/targets/a/b/c/d",
        "/" + "a" * 5000,
    ],
)
def test_anything_else_is_not_found(server: DirectoryServer, path: str) -> None:
    assert ask(server, "GET", path)[0] == 404


def test_a_link_out_of_the_folder_is_not_followed(server: DirectoryServer, folder: Path) -> None:
    (folder / "metadata/5.root.json").symlink_to(folder.parent / "secret")

    assert ask(server, "GET", "/metadata/5.root.json")[0] == 404


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_nothing_can_be_changed(server: DirectoryServer, method: str) -> None:
    assert ask(server, method, "/metadata/timestamp.json")[0] == 501


def test_a_client_that_says_nothing_is_dropped_and_others_are_served(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served._Handler, "timeout", 0.2)
    running = DirectoryServer(folder, TcpAddress("127.0.0.1", 0), setting="directory.listen")
    try:
        with socket.create_connection(("127.0.0.1", running.address.port), timeout=5) as silent:
            assert ask(running, "GET", "/metadata/1.root.json")[0] == 200
            assert silent.recv(1) == b""
    finally:
        running.close()


def test_connections_past_the_limit_are_closed(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "MAX_CONNECTIONS", 2)
    running = DirectoryServer(folder, TcpAddress("127.0.0.1", 0), setting="directory.listen")
    target = ("127.0.0.1", running.address.port)
    try:
        with (
            socket.create_connection(target, timeout=5),
            socket.create_connection(target, timeout=5),
            socket.create_connection(target, timeout=5) as third,
        ):
            assert third.recv(1) == b""
    finally:
        running.close()


def test_a_taken_port_is_said(server: DirectoryServer, folder: Path) -> None:
    with pytest.raises(SimpulError, match=r"directory\.listen") as caught:
        DirectoryServer(folder, server.address, setting="directory.listen")

    assert caught.value.code is Code.PORT_IN_USE


def test_after_closing_the_port_is_free(folder: Path) -> None:
    first = DirectoryServer(folder, TcpAddress("127.0.0.1", 0), setting="directory.listen")
    first.close()

    DirectoryServer(folder, first.address, setting="directory.listen").close()
    assert not any(thread.name == "http directory.listen" for thread in threading.enumerate())


@given(st.text(st.sampled_from("./%_-aA0~\\ "), max_size=30))
def test_no_path_leads_out_of_the_folder(path: str) -> None:
    name = published_name(f"/targets/{path}")

    if name is not None:
        assert Path("/served", name).resolve().is_relative_to("/served/targets")
        assert "/." not in name
