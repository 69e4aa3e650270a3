"""Compression: each app's and service's own, by call and by message; the nodes pass bytes.

docs/spec/grpc.md, "gRPC mapping", has the table.
"""

import asyncio
import gzip
import zlib
from collections.abc import Callable

import grpc
import pytest

from tests.interop import wire
from tests.interop.federation import Way, Ways
from tests.interop.probe import KINDS, SERVICE, Side

kinds = pytest.mark.parametrize("kind", KINDS)
STREAMS = pytest.mark.parametrize("kind", ["ClientStream", "BidiStream"])

PACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.compress, "deflate": zlib.compress}
UNPACK: dict[str, Callable[[bytes], bytes]] = {"gzip": gzip.decompress, "deflate": zlib.decompress}


def framed(data: bytes, flag: int) -> bytes:
    return bytes([flag]) + len(data).to_bytes(4, "big") + data


def messages(body: bytes) -> list[tuple[int, bytes]]:
    """Flag and bytes of each, as they came."""
    found, at = [], 0
    while at < len(body):
        end = at + 5 + int.from_bytes(body[at + 1 : at + 5], "big")
        found.append((body[at], body[at + 5 : end]))
        at = end
    return found


async def call(
    way: Way, kind: str, name: str, body: bytes, *headers: tuple[str, str]
) -> wire.Stream:
    async with wire.connect(way.target) as connection:
        path = f"/{SERVICE}/{kind}"
        stream = connection.call(path, [*way.metadata, ("x-probe", name), *headers])
        await stream.send(body, end=True)
        return await stream.wait()


async def take(side: Side) -> None:
    """Reads all, and answers once."""
    await side.read_all()
    await side.write(b"done")


@kinds
@pytest.mark.parametrize("encoding", PACK)
async def test_a_compressed_call_reaches_the_service_as_it_was_sent(
    ways: Ways, kind: str, encoding: str
) -> None:
    name = ways.probe.behave(take)
    packed = PACK[encoding](b"request" * 100)
    for way in ways.both:
        found = await call(way, kind, name, framed(packed, 1), ("grpc-encoding", encoding))
        assert found.status == 0, way.name
    for side in ways.probe.wait(name, 2):
        # The probe's server hands messages on undecoded.
        assert side.received == [packed]


@STREAMS
@pytest.mark.parametrize("encoding", PACK)
async def test_each_message_keeps_its_own_flag(ways: Ways, kind: str, encoding: str) -> None:
    name = ways.probe.behave(take)
    packed = PACK[encoding](b"x" * 500)
    body = framed(packed, 1) + framed(b"plain", 0) + framed(b"", 0) + framed(packed, 1)
    for way in ways.both:
        found = await call(way, kind, name, body, ("grpc-encoding", encoding))
        assert found.status == 0, way.name
    for side in ways.probe.wait(name, 2):
        assert side.received == [packed, b"plain", b"", packed]


@kinds
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "identity"])
async def test_a_service_s_compressed_answers_reach_the_app_as_they_were_sent(
    ways: Ways, kind: str, encoding: str
) -> None:
    algorithm = {
        "gzip": grpc.Compression.Gzip, "deflate": grpc.Compression.Deflate,
        "identity": grpc.Compression.NoCompression,
    }[encoding]  # fmt: skip
    count = 1 if kind in {"Unary", "ClientStream"} else 3

    async def behave(side: Side) -> None:
        side.context.set_compression(algorithm)
        await side.read_all()
        for number in range(count):
            if number == 1:
                side.context.disable_next_message_compression()
            await side.write(b"answer" * 200)

    name = ways.probe.behave(behave)
    direct, nodes = [
        await call(way, kind, name, framed(b"x", 0), ("grpc-accept-encoding", "gzip,deflate"))
        for way in ways.both
    ]
    assert messages(bytes(nodes.body)) == messages(bytes(direct.body))
    flags = [flag for flag, _ in messages(bytes(nodes.body))]
    assert flags == ([0] * count if encoding == "identity" else [1, 0, 1][:count])
    said = [dict(found.headers or []).get("grpc-encoding") for found in (direct, nodes)]
    assert said[0] == said[1]
    if encoding != "identity":
        assert said[1] == encoding
        data = messages(bytes(nodes.body))[0][1]
        assert UNPACK[encoding](data) == b"answer" * 200


async def test_what_an_app_accepts_reaches_the_service(ways: Ways) -> None:
    """The service chooses by it: a node says nothing of its own."""
    seen: list[object] = []

    async def behave(side: Side) -> None:
        seen.append(sorted(v for k, v in side.context.invocation_metadata() if "accept" in k))
        await take(side)

    name = ways.probe.behave(behave)
    for way in ways.both:
        await call(way, "Unary", name, framed(b"x", 0), ("grpc-accept-encoding", "deflate"))
    await asyncio.sleep(0)
    assert seen[0] == seen[1]


@kinds
@pytest.mark.parametrize(
    ("headers", "body"),
    [
        ((("grpc-encoding", "of-tomorrow"),), framed(b"?", 1)),
        ((), framed(gzip.compress(b"x"), 1)),
    ],
    ids=["an encoding that nobody knows", "a flag and no encoding"],
)
async def test_what_the_service_refuses_the_nodes_do_not_repair(
    ways: Ways, kind: str, headers: tuple[tuple[str, str], ...], body: bytes
) -> None:
    name = ways.probe.behave(take)
    direct, nodes = [await call(way, kind, name, body, *headers) for way in ways.both]
    assert nodes.status == direct.status
    assert nodes.reset == direct.reset
