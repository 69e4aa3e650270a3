"""A witness over HTTP, with its memory: exact statuses, persistence, races."""

import http.client
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from pathlib import Path

import pytest

from runtime.ports import TcpAddress
from runtime.witness.desk import Witness
from runtime.witness.server import serve_witness
from runtime.witness.store import WitnessStore
from security.checkpoint import parse_checkpoint, verify_checkpoint
from security.cosignature import verify_cosignature, witness_key
from security.errors import Code, SimpulError
from security.note import parse_signatures
from security.witness import MAX_REQUEST_BYTES, origin_hash
from tests.conformance import fixed
from tests.unit.security.test_witness import FORK, KEY, ORIGIN, checkpoint, request

NAME = "registry.id.simpul.internal/witness"
WITNESS = fixed.key("a witness")


def clock() -> int:
    return fixed.NOW_MS


class Running:
    def __init__(self, port: int, events: list[int]) -> None:
        self.port = port
        self.events = events

    def post(self, body: bytes, path: str = "/add-checkpoint") -> tuple[int, str | None, bytes]:
        return self._ask("POST", path, body)

    def get(self, path: str) -> tuple[int, str | None, bytes]:
        return self._ask("GET", path, None)

    def _ask(self, method: str, path: str, body: bytes | None) -> tuple[int, str | None, bytes]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            return answer.status, answer.getheader("Content-Type"), answer.read()
        finally:
            connection.close()


@contextmanager
def running(path: Path) -> Iterator[Running]:
    known = {ORIGIN: [KEY.public], "revoked": []}
    events: list[int] = []
    store = WitnessStore(path)
    witness = Witness(NAME, WITNESS, store, known.get, clock, events.append)
    server = serve_witness(witness, TcpAddress("127.0.0.1", 0), setting="witness.listen")
    try:
        yield Running(server.address.port, events)
    finally:
        server.close()
        store.close()


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "witness.db"


@pytest.fixture
def server(db: Path) -> Iterator[Running]:
    with running(db) as made:
        yield made


def test_a_log_is_cosigned_as_it_grows(server: Running) -> None:
    for old, size in ((0, 3), (3, 7), (7, 7), (7, 20)):
        status, _, body = server.post(request(old, size).to_bytes())
        assert status == HTTPStatus.OK
        (line,) = parse_signatures(body.decode())
        found = verify_cosignature(checkpoint(size).text, line, witness_key(NAME, WITNESS))
        assert found.time_s == fixed.NOW_MS // 1000
    assert server.events == [200] * 4


def test_each_refusal_has_its_status(server: Running) -> None:
    server.post(request(0, 3).to_bytes())
    asked = {
        400: [b"", request(5, 4).to_bytes()],
        403: [request(3, 4, key=fixed.key("another")).to_bytes()],
        404: [request(3, 4).to_bytes().replace(ORIGIN.encode(), b"elsewhere")],
        409: [request(0, 4).to_bytes(), request(2, 4).to_bytes()],
        422: [request(3, 5, FORK).to_bytes(), request(3, 3, FORK).to_bytes()],
    }
    for status, bodies in asked.items():
        for body in bodies:
            assert server.post(body)[0] == status
    assert sorted(server.events) == [200, 400, 400, 403, 404, 409, 409, 422, 422]


def test_a_conflict_names_the_known_size(server: Running) -> None:
    assert server.post(request(2, 4).to_bytes())[1:] == ("text/x.tlog.size", b"0\n")
    server.post(request(0, 3).to_bytes())
    assert server.post(request(2, 4).to_bytes()) == (409, "text/x.tlog.size", b"3\n")


def test_a_log_whose_key_is_revoked_is_refused(server: Running) -> None:
    body = request(0, 3).to_bytes().replace(ORIGIN.encode(), b"revoked")
    assert server.post(body)[0] == HTTPStatus.FORBIDDEN


def test_what_was_cosigned_last_is_served(server: Running) -> None:
    path = f"/{origin_hash(ORIGIN)}/checkpoint"
    assert server.get(path)[0] == HTTPStatus.NOT_FOUND
    server.post(request(0, 3).to_bytes())
    status, kind, body = server.get(path)
    assert (status, kind) == (200, "text/plain; charset=utf-8")
    signed = parse_checkpoint(body)
    verify_checkpoint(signed, ORIGIN, KEY.public)
    assert [line.name for line in signed.note.signatures] == [ORIGIN, NAME]


def test_it_remembers_across_a_restart(db: Path) -> None:
    with running(db) as first:
        first.post(request(0, 7).to_bytes())
    with running(db) as second:
        assert second.post(request(0, 3).to_bytes())[2] == b"7\n"
        assert second.post(request(7, 9, FORK).to_bytes())[0] == HTTPStatus.UNPROCESSABLE_ENTITY
        assert second.post(request(7, 9).to_bytes())[0] == HTTPStatus.OK


def test_of_two_at_once_one_wins(server: Running) -> None:
    server.post(request(0, 3).to_bytes())
    statuses: list[int] = []

    def ask(size: int) -> None:
        statuses.append(server.post(request(3, size).to_bytes())[0])

    threads = [threading.Thread(target=ask, args=(size,)) for size in range(5, 15)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] + [409] * 9


def test_nothing_leaves_where_it_cant_be_stored(db: Path) -> None:
    store = WitnessStore(db)
    witness = Witness(NAME, WITNESS, store, {ORIGIN: [KEY.public]}.get, clock)
    store.close()
    server = serve_witness(witness, TcpAddress("127.0.0.1", 0), setting="witness.listen")
    try:
        status, _, body = Running(server.address.port, []).post(request(0, 3).to_bytes())
    finally:
        server.close()
    assert status == HTTPStatus.INTERNAL_SERVER_ERROR
    assert NAME.encode() not in body


@pytest.mark.parametrize("path", ["/", "/checkpoint", "/add-checkpoint", f"/{'a' * 63}/checkpoint"])
def test_other_paths_are_not_found(server: Running, path: str) -> None:
    assert server.get(path)[0] == HTTPStatus.NOT_FOUND
    if path != "/add-checkpoint":
        assert server.post(b"", path)[0] == HTTPStatus.NOT_FOUND


def test_a_long_request_is_refused_unread(server: Running) -> None:
    assert server.post(bytes(MAX_REQUEST_BYTES + 1))[0] == HTTPStatus.BAD_REQUEST


def test_the_memory_swaps_only_what_it_was_judged_against(db: Path) -> None:
    store = WitnessStore(db)
    store.swap("a", None, b"1")
    for old in (None, b"0"):
        with pytest.raises(SimpulError) as caught:
            store.swap("a", old, b"2")
        assert caught.value.code is Code.CONFLICT
    store.swap("a", b"1", b"2")
    assert (store.latest("a"), store.latest("b")) == (b"2", None)
    store.close()
    assert db.stat().st_mode & 0o777 == 0o600


def test_a_damaged_or_newer_memory_is_refused(db: Path) -> None:
    db.write_bytes(b"not a database, and longer than its header would be" * 40)
    with pytest.raises(SimpulError) as caught:
        WitnessStore(db)
    assert caught.value.code is Code.DATABASE_CORRUPT


def test_a_connection_that_is_kept_ends_with_the_server(db: Path) -> None:
    with running(db) as made:
        connection = http.client.HTTPConnection("127.0.0.1", made.port, timeout=5)
        connection.request("GET", "/")
        connection.getresponse().read()
    connection.sock.settimeout(5)
    assert connection.sock.recv(1) == b""
    connection.close()
