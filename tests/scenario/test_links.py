"""Parcels that lie, on a real link: refused at their step, and the node lives on.

Steps have tests of their own, each alone, with the receiver; here a provider that runs is dialled
with a consumer's own keys, and what matters is what the peer hears, what the log says, and that
nothing stopped.
"""

import contextlib
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import replace

import pytest

from cli.demo.tamper import CapturedNode, Parcel, captured
from node.link.frames import parse_frame
from security.errors import Code, SimpulError
from security.identifiers import NodeId
from security.kinds import EntryKind, Open
from security.limits import Limits
from simpul.v1 import exchange_pb2, parcel_pb2
from tests.scenario.harness import (
    GET_KOMODO,
    LABUAN_BAJO,
    Federation,
    opened_by,
    until,
)


@pytest.fixture
def opened(federation: Federation) -> Open:
    """What the super app may ask."""
    return opened_by(federation, LABUAN_BAJO)


@pytest.fixture
async def node(federation: Federation) -> AsyncIterator[CapturedNode]:
    peer = NodeId.parse(federation.provider.id)
    async with captured(federation.consumer.home, peer) as link:
        yield link


def _of_wrong_header(parcel: Parcel) -> bytes:
    frame = parse_frame(parcel.frame, Limits())
    header = bytearray(frame.parcel.header)
    header[-1] ^= 1
    frame.parcel.header = bytes(header)
    return _wire(frame)


def _of_wrong_seal(parcel: Parcel) -> bytes:
    frame = parse_frame(parcel.frame, Limits())
    seal = parcel_pb2.Seal.FromString(frame.parcel.seal)
    seal.signature = bytes([seal.signature[0] ^ 1]) + seal.signature[1:]
    frame.parcel.seal = seal.SerializeToString()
    return _wire(frame)


def _of_wrong_payload(parcel: Parcel) -> bytes:
    frame = parse_frame(parcel.frame, Limits())
    entry = frame.parcel.entries[0]
    entry.payload = bytes([*entry.payload[:-1], entry.payload[-1] ^ 1])
    return _wire(frame)


def _wire(frame: exchange_pb2.Frame) -> bytes:
    return exchange_pb2.LinkRequest(frame=frame).SerializeToString()


LIES: dict[str, tuple[Callable[[Parcel], bytes], set[Code], set[int]]] = {
    "entry": (Parcel.with_one_byte_changed, {Code.PARCEL_ROOT}, {6}),
    "seal": (_of_wrong_seal, {Code.PARCEL_SEAL}, {7}),
    "payload": (_of_wrong_payload, {Code.COMMITMENT_MISMATCH}, {12}),
    "truncated": (lambda parcel: parcel.frame[:-7], {Code.PARCEL_MALFORMED}, {2}),
    "header": (_of_wrong_header, {*Code}, {2, 3, 4, 5, 6, 7}),
}


@pytest.mark.parametrize("name", LIES)
async def test_a_parcel_that_lies(
    federation: Federation, node: CapturedNode, opened: Open, name: str
) -> None:
    lie, codes, steps = LIES[name]
    await node.send(lie(node.parcel(opened, GET_KOMODO)))
    refused = await node.refusal()
    assert refused.code in codes, refused
    until(lambda: _logged(federation, refused.code, steps), 5.0, f"the log's {refused.code}")
    assert federation.ask().status == "OK"


async def test_a_parcel_that_comes_twice(
    federation: Federation, node: CapturedNode, opened: Open
) -> None:
    parcel = node.parcel(opened, GET_KOMODO)
    await node.send(parcel.frame)
    assert (await node.answer()).parsed.kind.kind is EntryKind.CLOSE
    await node.send(parcel.frame)
    assert (await node.refusal()).code is Code.PARCEL_ORDER
    until(lambda: _logged(federation, Code.PARCEL_ORDER, {4}), 5.0)
    assert federation.ask().status == "OK"


async def test_a_frame_over_the_limit(
    federation: Federation, node: CapturedNode, opened: Open
) -> None:
    """The provider's gRPC stops it before it is read, and ends the link."""
    frame = node.parcel(opened, GET_KOMODO).frame + bytes(5 * 1024 * 1024)
    with contextlib.suppress(SimpulError):
        await node.send(frame)
    # With which status is a matter of luck: grpcio forgets it where a write was under way.
    assert (await node.refusal()).message
    assert federation.ask().status == "OK"


async def test_parcels_out_of_order(
    federation: Federation, node: CapturedNode, opened: Open
) -> None:
    node.parcel(opened, GET_KOMODO)
    await node.send(node.parcel(opened, GET_KOMODO).frame)
    assert (await node.refusal()).code is Code.PARCEL_ORDER
    assert federation.ask().status == "OK"


async def test_an_agreement_that_is_not_in_force(
    federation: Federation, node: CapturedNode, opened: Open
) -> None:
    """A captured consumer's node may skip its own policy: the provider goes by its own copy."""
    await node.send(node.parcel(replace(opened, agreement=bytes(32)), GET_KOMODO).frame)
    answer = await node.answer()
    assert answer.parsed.kind.kind is EntryKind.REFUSE
    assert getattr(answer.parsed.kind, "code", "") == Code.ACCESS_NO_AGREEMENT
    assert federation.ask().status == "OK"


def _logged(federation: Federation, code: Code, steps: set[int]) -> bool | None:
    log = federation.home / "logs" / "labuan-bajo-1.log"
    for text in log.read_text().splitlines():
        line = json.loads(text)
        if line.get("code") == code and line.get("step") in steps:
            return bool(line["peer"] == "ID/~komdigi-1")
    return None
