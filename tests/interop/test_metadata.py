"""Metadata both ways: order, repeats, bytes; early headers; sizes; what nobody may forge."""

import asyncio
import base64
import time
from collections.abc import Iterable
from typing import Any

import pytest

from tests.interop import wire
from tests.interop.calling import ask, channel, finish, start, until
from tests.interop.federation import Way, Ways
from tests.interop.probe import KINDS, SERVICE, Side

kinds = pytest.mark.parametrize("kind", KINDS)

# In an order that no grouping by key would leave, with values at the edges.
SENT = [
    ("x-a", "1"), ("x-b", "2"), ("x-a", "3"), ("x-empty", ""), ("x-space", "a  b"),
    ("x-punctuation", "!\"#$%&'()*+,-./:;<=>?@[]^_`{|}~"), ("x-long", "z" * 4000),
    ("x-a", "4"), ("x_y.z", "5"), ("x-a", "1"),
    ("authorization", "Bearer abc"), ("traceparent", f"00-{'a' * 32}-{'b' * 16}-01"),
    ("tracestate", "k=v"), ("cookie", "c=1"), ("via", "x"), ("accept", "y"),
    ("x-request-id", "my own"), ("x-forwarded-for", "192.0.2.1"), ("x-forwarded-proto", "https"),
    ("x-b3-traceid", "1"), ("baggage", "u=1"), ("expires", "0"), ("etag", "e"),
]  # fmt: skip
# What belongs to HTTP/2, gRPC, or the hop; and the nodes' own.
# What says nothing to an app: an empty message, HTTP's date, and the node's own.
LEFT_OUT = frozenset({"date", "simpul-call-id", "grpc-message"})
# Stated by Envoy, whatever an app says.
HTTPS_OWN = frozenset({"x-forwarded-proto"})
# What apps may say; and all that a node says itself, with what resembles it.
FROM_APPS = (
    "simpul-to", "simpul-region", "simpul-from", "simpul-purpose", "simpul-user", "simpul-issue",
    "simpul-subject", "simpul-token",
)  # fmt: skip
NODES_KEYS = (
    *FROM_APPS, "simpul-call-id", "simpul-agreement", "simpul-error", "simpul-anything",
    "simpul-call-id-bin", "simpul-error-bin", "simpul-from-bin", "simpul-",
)  # fmt: skip
NOT_METADATA = (
    "user-agent",
    "accept-encoding",
    "content-length",
    "grpc-accept-encoding",
    "x-probe",
)


def seen(side: Side) -> list[tuple[str, str | bytes]]:
    """What the service got, without what is not the app's metadata."""
    return [
        (key, value)
        for key, value in side.metadata
        if key not in NOT_METADATA and not key.startswith("simpul-")
    ]


def by_key(pairs: Iterable[tuple[str, str | bytes]]) -> dict[str, list[str | bytes]]:
    """The values of each key, in order."""
    found: dict[str, list[str | bytes]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return found


async def echo(side: Side) -> None:
    """Answers what comes."""
    while (message := await side.read()) is not None:
        await side.write(message)


async def raw(way: Way, kind: str, name: str, *more: tuple[str, str]) -> wire.Stream:
    async with wire.connect(way.target) as connection:
        stream = connection.call(f"/{SERVICE}/{kind}", [*way.metadata, ("x-probe", name), *more])
        await stream.message(b"request", end=True)
        return await stream.wait()


@kinds
async def test_the_apps_metadata_reaches_the_service_in_order(ways: Ways, kind: str) -> None:
    name = ways.probe.behave(echo)
    for way in ways.both:
        assert (await raw(way, kind, name, *SENT)).status == 0, way.name
    direct, nodes = ways.probe.wait(name, 2)
    assert by_key(seen(direct)) == by_key(SENT)
    # Between keys the order is HTTP's to choose, and within one it is the app's.
    assert by_key(seen(nodes)) == by_key([p for p in SENT if p[0] not in HTTPS_OWN])


@kinds
async def test_binary_metadata(ways: Ways, kind: str) -> None:
    values = [b"", b"\0", bytes(range(256)), b"\xab\xab\xab"]

    async def behave(side: Side) -> None:
        await side.read_all()
        got = side.values("x-any-bin")
        await side.headers(*(("x-head-bin", value) for value in got))
        side.trailers(*(("x-tail-bin", value) for value in got))
        await side.write(b"x")

    name = ways.probe.behave(behave)
    for way in ways.both:
        sent = tuple(("x-any-bin", value) for value in values)
        found = await ask(way, kind, name, b"x", metadata=sent)
        assert [v for k, v in found.initial if k == "x-head-bin"] == values, way.name
        assert [v for k, v in found.trailing if k == "x-tail-bin"] == values, way.name


async def test_padding_and_joined_values_of_binary_metadata(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    padded = base64.b64encode(b"a").decode()
    found = await raw(ways.nodes, "Unary", name, ("x-p-bin", padded), ("x-j-bin", "AAE,AgM"))
    assert found.status == 0
    (side,) = ways.probe.wait(name)
    assert side.values("x-p-bin") == [b"a"]
    assert side.values("x-j-bin") == [b"\0\1", b"\2\3"]


@kinds
async def test_the_services_metadata_reaches_the_app_in_order(ways: Ways, kind: str) -> None:
    head = (("x-h", "1"), ("x-i", "2"), ("x-h", "3"), ("x-empty", ""), ("x-request-id", "r"))
    tail = (("x-t", "1"), ("x-u", "2"), ("x-t", "3"), ("x-h", "of the trailers"))

    async def behave(side: Side) -> None:
        await side.read_all()
        await side.headers(*head)
        side.trailers(*tail)
        await side.write(b"x")

    name = ways.probe.behave(behave)
    direct, nodes = [await raw(way, kind, name) for way in ways.both]

    def own(pairs: wire.Pairs | None) -> dict[str, list[str | bytes]]:
        return by_key(p for p in pairs or [] if p[0] not in LEFT_OUT)

    assert own(nodes.headers) == own(direct.headers)
    assert own(nodes.trailers) == own(direct.trailers)
    assert own(nodes.headers)["x-h"] == ["1", "3"]
    assert own(nodes.trailers)["x-t"] == ["1", "3"]


@kinds
async def test_headers_arrive_when_they_are_sent(ways: Ways, kind: str) -> None:
    async def behave(side: Side) -> None:
        await side.headers(("x-head", "early"))
        await asyncio.sleep(0.4)
        await side.read_all()
        await side.write(b"x")

    name = ways.probe.behave(behave)
    for way in ways.both:
        async with wire.connect(way.target) as connection:
            began = time.monotonic()
            stream = connection.call(f"/{SERVICE}/{kind}", [*way.metadata, ("x-probe", name)])
            await stream.message(b"request", end=True)
            async with asyncio.timeout(5):
                await stream.begun.wait()
            assert time.monotonic() - began < 0.3, way.name
            assert ("x-head", "early") in (stream.headers or [])
            await stream.wait()
            assert (stream.status, stream.messages) == (0, [(False, b"x")])


@kinds
async def test_request_metadata_up_to_the_limit(ways: Ways, kind: str) -> None:
    name = ways.probe.behave(echo)
    fits = tuple((f"x-{number}", "v" * 1000) for number in range(56))
    found = await ask(ways.nodes, kind, name, b"x", metadata=fits)
    assert (found.code, found.messages) == (0, (b"x",))
    found = await ask(ways.nodes, kind, name, b"x", metadata=(*fits, ("x-more", "v" * 16_000)))
    assert (found.code, found.value("simpul-error")) == (8, "METADATA_TOO_LARGE")
    assert "from the app" in found.details
    assert "65536" in found.details


async def test_request_metadata_far_past_the_limit_is_refused_in_the_same_words(ways: Ways) -> None:
    """No reset by the stack below: neither for 100 kB nor for ten times as much."""
    for count in (100, 900):
        large = [(f"x-{number}", "v" * 1000) for number in range(count)]
        found = await raw(ways.nodes, "Unary", "none", *large)
        said = dict(found.headers or [])
        assert (found.status, said["simpul-error"]) == (8, "METADATA_TOO_LARGE")
        assert "from the app" in said["grpc-message"]
        assert "65536" in said["grpc-message"]


@kinds
@pytest.mark.parametrize("where", ["initial", "trailing", "both"])
async def test_response_metadata_to_the_limit(ways: Ways, kind: str, where: str) -> None:
    def pairs(size: int) -> list[tuple[str, str]]:
        return [(f"x-{number}", "v" * 1000) for number in range(size)]

    async def behave(side: Side) -> None:
        await side.read_all()
        (size,) = side.values("x-size")
        count = int(str(size)) // (2 if where == "both" else 1)
        if where != "trailing":
            await side.headers(*pairs(count))
        if where != "initial":
            side.trailers(*pairs(count))
        await side.write(b"x")

    name = ways.probe.behave(behave)
    fits, too_much = ("56", "140") if where == "both" else ("56", "70")
    found = await ask(ways.nodes, kind, name, b"x", metadata=(("x-size", fits),))
    assert (found.code, found.messages) == (0, (b"x",)), found.details
    got = [pair for pair in (*found.initial, *found.trailing) if len(pair[1]) == 1000]
    assert len(got) == int(fits)
    found = await ask(ways.nodes, kind, name, b"x", metadata=(("x-size", too_much),))
    assert (found.code, found.value("simpul-error")) == (8, "METADATA_TOO_LARGE"), found.details
    assert "from the service" in found.details
    assert "65536" in found.details


@kinds
async def test_nobody_forges_the_nodes_own_keys(ways: Ways, kind: str) -> None:
    """Not in headers, not in trailers, and not with an error."""
    forged = tuple((key, _forged(key)) for key in NODES_KEYS)

    async def behave(side: Side) -> None:
        await side.read_all()
        await side.headers(*forged)
        if side.values("x-fail"):
            await side.abort(9, "no", *forged)
        side.trailers(*forged)
        await side.write(b"x")

    name = ways.probe.behave(behave)
    for number, more in enumerate(((), (("x-fail", "1"),))):
        found = await ask(ways.nodes, kind, name, b"x", metadata=more)
        assert found.code == (9 if more else 0)
        assert [key for key, _ in found.initial if key.startswith("simpul-")] == []
        said = [(key, value) for key, value in found.trailing if key.startswith("simpul-")]
        side = ways.probe.wait(name, number + 1)[number]
        assert said == [("simpul-call-id", side.values("simpul-call-id")[0])]
        assert side.values("simpul-from") == ["ID/KEMENTERIAN/KOMDIGI/superapp"]
        for key in ("simpul-to", "simpul-token", "simpul-subject"):
            assert side.values(key) == []


@pytest.mark.parametrize("key", [key for key in NODES_KEYS if key not in FROM_APPS])
async def test_an_app_can_not_send_the_nodes_own_keys(ways: Ways, key: str) -> None:
    name = ways.probe.behave(echo)
    for kind in KINDS:
        found = await ask(ways.nodes, kind, name, b"x", metadata=((key, _forged(key)),))
        assert (found.code, found.value("simpul-error")) == (3, "METADATA_MALFORMED")
        # No word of the forged value in what is the node's own.
        assert found.value("simpul-call-id") != _forged("simpul-call-id")
    assert ways.probe.calls(name) == []


@pytest.mark.parametrize("key", ["simpul-to", "simpul-token", "simpul-user", "simpul-purpose"])
async def test_an_app_can_not_say_the_same_twice(ways: Ways, key: str) -> None:
    name = ways.probe.behave(echo)
    said = ((key, "once"), (key, "twice"))
    found = await ask(ways.nodes, "Unary", name, b"x", metadata=said)
    assert (found.code, found.value("simpul-error")) == (3, "METADATA_MALFORMED")
    assert ways.probe.calls(name) == []


def _forged(key: str) -> str | bytes:
    return b"\1" * 16 if key.endswith("-bin") else "0" * 32


async def test_user_and_issue_reach_the_service_and_the_subject_does_not(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    said = (("simpul-user", "budi"), ("simpul-issue", "7"), ("simpul-subject", "3201"))
    assert (await ask(ways.nodes, "Unary", name, b"x", metadata=said)).code == 0
    (side,) = ways.probe.wait(name)
    assert side.values("simpul-user") == ["budi"]
    assert side.values("simpul-issue") == ["7"]
    assert side.values("simpul-subject") == []


async def test_the_apps_user_agent_is_carried(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    found = await raw(ways.nodes, "Unary", name, ("user-agent", "my-app/1"))
    assert found.status == 0
    (side,) = ways.probe.wait(name)
    assert side.values("user-agent") == ["my-app/1"]


async def test_a_stock_unary_client_gets_early_headers_too(ways: Ways) -> None:
    """`unary_unary` of this client reads headers with the answer: the call must still end well."""

    async def behave(side: Side) -> None:
        await side.headers(("x-head", "early"))
        await asyncio.sleep(0.1)
        await side.read_all()
        side.trailers(("x-tail", "1"))
        await side.write(b"x")

    name = ways.probe.behave(behave)
    for way in ways.both:
        async with channel(way) as opened:
            method: Any = opened.unary_unary(f"/{SERVICE}/Unary")
            call = method(b"x", metadata=way.with_probe(name), timeout=5)
            assert await call == b"x"
            assert ("x-head", "early") in tuple(await call.initial_metadata())
            assert ("x-tail", "1") in tuple(await call.trailing_metadata())


async def test_headers_without_a_message_for_long_and_then_an_end(ways: Ways) -> None:
    async def behave(side: Side) -> None:
        await side.headers(("x-head", "early"))
        await asyncio.sleep(0.1)
        await side.abort(5, "none")

    name = ways.probe.behave(behave)
    for kind in KINDS:
        for way in ways.both:
            async with channel(way) as opened:
                call = start(opened, way, kind, name)
                found = await finish(call, [b"x"])
                assert (found.code, found.details) == (5, "none")
                assert ("x-head", "early") in found.initial, f"{way.name} {kind}"
    await until(lambda: len(ways.probe.calls(name)) == 8)
