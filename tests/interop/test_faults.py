"""What broke other stacks: each of the faults below was seen in one, and must not be in this.

Ten were reproduced in grpc.aio, and each has its test, whichever stack carries the call. Where the
links, which grpcio carries, could have the fault as well, a test of theirs stands beside it.

1. An upload that was aborted looks like a clean end:
   test_faults.py::test_an_aborted_upload_is_no_clean_end
   test_services.py::test_a_cancelled_upload_never_looks_complete
2. A service's status is overwritten by a write that came too late for it:
   test_status.py::test_an_early_end_while_the_app_still_sends
   test_status.py::test_an_early_end_is_told_right_300_times_of_300
3. A path that is not UTF-8 ends the listener:
   test_faults.py::test_a_path_that_is_no_methods
   test_grpc_options.py::test_a_path_that_is_no_utf8_does_not_end_the_server
4. `grpc-timeout` in an answer aborts the process:
   test_faults.py::test_a_service_that_breaks_the_rules
   test_asgi.py::test_an_error_is_trailers_only
5. A handler that is cancelled by somebody else than its caller never answers:
   test_asgi.py::test_a_host_that_fails_still_answers
   test_grpc_errors.py::test_a_handler_that_is_cancelled_here_still_answers
6. A frozen peer is seen after a minute, whatever the keepalive says, or never on an idle stream:
   test_grpc_options.py::test_a_frozen_peer_is_seen_on_an_idle_stream
7. Calls of a burst are cancelled:
   test_messages.py::test_a_burst_of_a_thousand_unary_calls
   test_grpc_options.py::test_a_burst_is_answered_and_not_cancelled
8. A message or value that can't be encoded leaves the call without an end:
   test_status.py::test_any_message
   test_grpc_errors.py::test_a_message_is_made_fit_to_travel
   test_framing.py::test_any_status_message_is_printed
9. Metadata over 8 KiB is refused at random:
   test_metadata.py::test_request_metadata_up_to_the_limit
   test_grpc_options.py::test_metadata_up_to_the_limit_always_passes
10. `http_proxy` in the environment carries calls away:
   test_processes.py::test_a_worker_inherits_what_it_needs_and_no_proxy
   test_grpc_options.py::test_a_proxy_of_the_environment_is_not_used
"""

import asyncio
import re
from collections.abc import Callable, Coroutine
from pathlib import Path

import pytest

from tests.interop import wire
from tests.interop.calling import ask
from tests.interop.federation import SUBSYSTEM, Ways, samples, serve_odd
from tests.interop.generate import PROTOSET
from tests.interop.probe import SERVICE, Side
from tests.scenario.harness import done, refused, until
from tests.unit.node.provider.odd_server import Answer, odd_server

Abort = Callable[[wire.Connection, wire.Stream], Coroutine[object, object, None]]

UNARY_BODY = wire.frame(b"x")
HEAD = [(":status", "200"), ("content-type", "application/grpc")]


async def echo(side: Side) -> None:
    """Answers what comes."""
    while (message := await side.read()) is not None:
        await side.write(message)


def test_every_fault_s_tests_exist() -> None:
    named = re.findall(r"^   (test_\w+\.py)::(test_\w+)$", __doc__ or "", re.MULTILINE)
    assert len(named) >= 20
    for file, name in named:
        found = Path(__file__).parents[1].rglob(file)
        texts = [path.read_text(encoding="utf-8") for path in found]
        assert any(f"def {name}(" in text for text in texts), f"{file}::{name}"


@pytest.mark.parametrize(
    "path",
    ["/\xff\xfe/x", "/%ff/%fe", "/a/b\xff", "/", "", "*", "/a", "/a/b/c", "//", "/a/b?q", "/a/é"],
)
async def test_a_path_that_is_no_methods(ways: Ways, path: str) -> None:
    """A path that is not UTF-8 ended another stack's listener for good."""
    name = ways.probe.behave(echo)
    async with wire.connect(ways.nodes.target) as connection:
        await connection.call(path, ways.nodes.metadata).message(b"", end=True)
        other = connection.call(path, ways.nodes.metadata)
        await other.message(b"", end=True)
        await asyncio.wait({asyncio.ensure_future(other.ended.wait())}, timeout=5)
        assert other.ended.is_set()
        said = dict(other.headers or [])
        if other.reset is None:
            assert (other.status, said["simpul-error"]) == (12, "METHOD_UNKNOWN")
            assert "/package.Service/Method" in said["grpc-message"]
        else:
            # No `:path` at all, or none that HTTP/2 allows.
            assert not path.startswith("/")
    found = await ask(ways.nodes, "Unary", name, b"x")
    assert found.messages == (b"x",)


@pytest.mark.parametrize(
    "headers",
    [
        {":method": "GET"},
        {":method": "PUT"},
        {"te": ""},
        {"content-type": "text/plain"},
        {"content-type": ""},
        {"grpc-timeout": "1"},
        {"grpc-timeout": "123456789S"},
        {"grpc-timeout": "-1S"},
        {"grpc-timeout": "9é"},
        {"x-bad-bin": "!!!"},
        {"x-bad": "\x01"},
        {"X-Upper": "1"},
        {"grpc-encoding": "unknown"},
    ],
    ids=lambda headers: "-".join(f"{k}={v!r}" for k, v in headers.items()),
)
async def test_a_request_that_breaks_the_rules(ways: Ways, headers: dict[str, str]) -> None:
    name = ways.probe.behave(echo)
    said = {
        ":method": "POST", ":scheme": "http", ":path": f"/{SERVICE}/Unary", ":authority": "a",
        "te": "trailers", "content-type": "application/grpc",
        **dict(ways.nodes.metadata), "x-probe": name, **headers,
    }  # fmt: skip
    async with wire.connect(ways.nodes.target) as connection:
        stream = connection.open([(k, v) for k, v in said.items() if v])
        await stream.send(wire.frame(b"x"), end=True)
        async with asyncio.timeout(5):
            await stream.ended.wait()
        # Whatever it is, it is an answer or a reset, and no hang; and the node lives.
        assert stream.reset is not None or stream.headers is not None or connection.closed.is_set()
    assert (await ask(ways.nodes, "Unary", name, b"x")).messages == (b"x",)
    ways.nothing_is_left()


@pytest.mark.parametrize(
    "body",
    [
        b"\0\0\0\0\5abc", b"\2\0\0\0\1x", b"\0\xff\xff\xff\xff", b"\0\0", UNARY_BODY * 2,
        b"\1\0\0\0\3abc",
    ],
    ids=["cut short", "bad flag", "4 GiB announced", "half a prefix", "two messages", "no gzip"],
)  # fmt: skip
async def test_a_body_that_breaks_the_rules(ways: Ways, body: bytes) -> None:
    name = ways.probe.behave(echo)
    for kind in ("Unary", "BidiStream"):
        async with wire.connect(ways.nodes.target) as connection:
            stream = connection.call(
                f"/{SERVICE}/{kind}", [*ways.nodes.metadata, ("x-probe", name)]
            )
            await stream.send(body, end=True)
            await stream.wait()
            assert stream.status is not None or stream.reset is not None
            if body[0] != 1 and not (body is UNARY_BODY * 2 and kind == "BidiStream"):
                assert stream.status != 13, "a fault of the app is not the node's"
    ways.nothing_is_left()


async def test_a_unary_request_without_a_message(ways: Ways) -> None:
    """Another stack never answered it."""
    name = ways.probe.behave(echo)
    async with wire.connect(ways.nodes.target) as connection:
        stream = connection.call(f"/{SERVICE}/Unary", [*ways.nodes.metadata, ("x-probe", name)])
        await stream.send(b"", end=True)
        await stream.wait()
        assert stream.status not in {None, 0}


async def _cancel(_connection: wire.Connection, stream: wire.Stream) -> None:
    stream.cancel()


async def _wait_for_the_deadline(_connection: wire.Connection, stream: wire.Stream) -> None:
    await stream.wait()


async def _leave(connection: wire.Connection, _stream: wire.Stream) -> None:
    connection.abort()


async def _send_too_much(_connection: wire.Connection, stream: wire.Stream) -> None:
    await stream.send(b"\0\xff\xff\xff\xff")


async def _break_the_framing(_connection: wire.Connection, stream: wire.Stream) -> None:
    await stream.send(b"\7\0\0\0\0")


async def _end_within_a_message(_connection: wire.Connection, stream: wire.Stream) -> None:
    await stream.send(b"\0\0\0\0\5hal", end=True)


ABORTS = (
    _cancel, _wait_for_the_deadline, _leave, _send_too_much, _break_the_framing,
    _end_within_a_message,
)  # fmt: skip


@pytest.mark.parametrize("abort", ABORTS, ids=lambda abort: abort.__name__.strip("_"))
async def test_an_aborted_upload_is_no_clean_end(ways: Ways, abort: Abort) -> None:
    """Another stack told the service END_STREAM for 379 of 400 cancelled uploads."""
    async with odd_server(Answer(head=None)) as (target, seen):
        serve_odd(ways, target)
        for number in range(20):
            async with wire.connect(ways.nodes.target) as connection:
                stream = connection.call(
                    "/simpul.testing.v1.Odd/Upload",
                    [*ways.nodes.metadata, ("grpc-timeout", "300m" if number else "5S")],
                )
                await stream.message(bytes(1000))
                if number % 2 or not number:
                    await asyncio.sleep(0.05)
                await abort(connection, stream)
                if abort is not _leave:
                    await asyncio.sleep(0.01)
        await asyncio.sleep(0.5)
        assert len(seen.headers) > 5
        assert not seen.half_closed.is_set()
        assert seen.reset.is_set()
    ways.nothing_is_left()


@pytest.mark.parametrize(
    ("answer", "status"),
    [
        (Answer([*HEAD, ("grpc-timeout", "1S")], UNARY_BODY, [("grpc-status", "0")]), 0),
        (Answer(HEAD, UNARY_BODY, [("grpc-status", "0"), ("grpc-timeout", "1S")]), 0),
        (Answer(HEAD, UNARY_BODY, [("grpc-status", "0"), ("x-bin", "!!!")]), 13),
        (Answer(HEAD, UNARY_BODY, [("grpc-status", "99")]), 2),
        (Answer(HEAD, UNARY_BODY, [("x-no", "status")]), 2),
        (Answer(HEAD, UNARY_BODY * 2, [("grpc-status", "0")]), 13),
        (Answer([(":status", "503"), ("content-type", "text/html")], b"<html>"), 14),
        (Answer([(":status", "404")], b""), 12),
        (Answer(HEAD, UNARY_BODY, None, end=False, reset=8), 1),
        (Answer(HEAD, UNARY_BODY, None, end=False, drop=True), 14),
        (Answer(HEAD, UNARY_BODY[:-1], [("grpc-status", "0")]), 13),
    ],
    ids=range(11),
)
async def test_a_service_that_breaks_the_rules(ways: Ways, answer: Answer, status: int) -> None:
    async with odd_server(answer) as (target, _):
        serve_odd(ways, target)
        async with wire.connect(ways.nodes.target) as connection:
            for method in ("Ask", "Stream"):
                path = f"/simpul.testing.v1.Odd/{method}"
                stream = connection.call(path, ways.nodes.metadata)
                await stream.message(b"x", end=True)
                await stream.wait()
                both = method == "Stream" and len(answer.body) == 2 * len(UNARY_BODY)
                assert stream.status == (0 if both else status), method
                for key, _value in [*(stream.headers or []), *(stream.trailers or [])]:
                    assert key != "grpc-timeout"
    ways.nothing_is_left()


async def test_a_service_that_is_not_there(ways: Ways) -> None:
    async with odd_server(Answer(head=None)) as (target, _):
        serve_odd(ways, target)
    async with wire.connect(ways.nodes.target) as connection:
        for method in ("Ask", "Stream", "Upload"):
            stream = connection.call(f"/simpul.testing.v1.Odd/{method}", ways.nodes.metadata)
            await stream.message(b"x", end=True)
            await stream.wait()
            assert stream.status == 14
            said = dict(stream.trailers or stream.headers or [])
            assert said["simpul-error"] == "SERVICE_UNREACHABLE"
            assert target not in said["grpc-message"]
    ways.nothing_is_left()


def test_publishing_says_what_is_wrong_with_a_target(ways: Ways) -> None:
    publish = (
        "service", "publish", "--home", ways.provider.home, "--subsystem", SUBSYSTEM,
        "--service", "simpul.testing.v1.Odd", "--target",
    )  # fmt: skip
    assert "the port is missing" in refused("CONFIG_INVALID", *publish, "localhost").err
    assert "nothing follows" in refused("CONFIG_INVALID", *publish, "http://127.0.0.1:1/x").err
    # Without a contract the service itself is asked, and with one it may come later.
    assert "nothing listens there" in refused("SERVICE_UNREACHABLE", *publish, "127.0.0.1:1").err
    assert "no such socket" in refused("SERVICE_UNREACHABLE", *publish, "unix:///tmp/none").err
    ran = done(*publish, "127.0.0.1:1", "--protoset", PROTOSET)
    assert "127.0.0.1:1 can't be called now: nothing listens there" in ran.err
    shown = done(*publish, "127.0.0.1:1", "--protoset", PROTOSET, "--json").json
    assert "nothing listens there" in shown["target_fault"]


async def test_what_is_turned_away_is_counted_and_logged_once(ways: Ways) -> None:
    """By Envoy, which the node asks now and then; and by the gateway itself."""

    def refused_so_far() -> dict[str, float]:
        return {
            labels: value
            for name, labels, value in samples(ways.consumer.metrics)
            if name == "simpul_gateway_refused_total"
        }

    before = refused_so_far()
    large = [(f"x-{number}", "v" * 1000) for number in range(100)]
    for _ in range(20):
        async with wire.connect(ways.nodes.target) as connection:
            await (await _asked(connection, "/no/such/path")).wait()
            await (await _asked(connection, f"/{SERVICE}/Unary", *large)).wait()
    reader, writer = await asyncio.open_connection(*ways.nodes.target.split(":"))
    writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    assert b"call it with a gRPC client" in await reader.read()
    writer.close()

    wanted = {'{reason="not_grpc"}': 21, '{reason="METADATA_TOO_LARGE"}': 20}

    def counted() -> bool:
        now = refused_so_far()
        return all(now.get(key, 0) - before.get(key, 0) >= more for key, more in wanted.items())

    await asyncio.to_thread(until, counted, 15, "the refusals to be counted")
    home = ways.consumer.home
    lines = (home.parent / f"{home.name}.log").read_text(encoding="utf-8").splitlines()
    told = [line for line in lines if "requests refused at the gateway" in line]
    for reason in ("not_grpc", "METADATA_TOO_LARGE"):
        # Once a minute, however many; this file's other tests may have begun the minute.
        assert 1 <= len([line for line in told if f'"{reason}"' in line]) <= 5


async def _asked(connection: wire.Connection, path: str, *metadata: tuple[str, str]) -> wire.Stream:
    stream = connection.call(path, metadata)
    await stream.message(b"x", end=True)
    return stream
