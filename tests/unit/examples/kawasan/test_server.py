"""One application to several regencies, before a server that answers as a node does."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from examples.data import ISLANDS, REGENCIES
from examples.gen.izin.v1 import izin_pb2, izin_pb2_grpc
from examples.gen.kawasan.v1 import kawasan_pb2 as pb
from examples.gen.kawasan.v1 import kawasan_pb2_grpc as pb_grpc
from examples.izin.server import Izin
from examples.kawasan.server import Kawasan
from examples.wisata.islands import read_register
from tests.unit.examples.conftest import Serve

CODES = ["72.01", "72.07", "72.11"]
BANGGAI = izin_pb2.Area(latitude=-1.3, longitude=123.3, radius_km=60)


class Node(izin_pb2_grpc.IzinServicer):
    """Asks the services of the regions that are named, one after the other."""

    def __init__(self, *answering: str) -> None:
        registers = {code: read_register(ISLANDS, REGENCIES, code) for code in answering}
        self.services = {code: Izin(register) for code, register in registers.items()}
        self.asked: list[tuple[str, str]] = []

    async def Assess(  # noqa: N802
        self, request: izin_pb2.AssessRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[izin_pb2.AssessResponse]:
        said = dict(context.invocation_metadata() or ())
        self.asked.append((str(said["simpul-region"]), str(said["simpul-token"])))
        codes = str(said["simpul-region"]).split(",")
        for code in reversed(codes):
            if code in self.services:
                async for word in self.services[code].Assess(request, context):
                    yield word
        if not set(codes) <= self.services.keys():
            await context.abort(grpc.StatusCode.UNAVAILABLE, "2 of 3 parts answered")


async def apply(serve: Serve, node: Node, request: pb.ApplyRequest) -> pb.ApplyResponse:
    async with serve(lambda server: izin_pb2_grpc.add_IzinServicer_to_server(node, server)) as at:
        service = Kawasan(at, (("simpul-token", "t"),))
        add = pb_grpc.add_KawasanServicer_to_server
        async with (
            serve(lambda server: add(service, server)) as address,
            grpc.aio.insecure_channel(address) as channel,
        ):
            return await pb_grpc.KawasanStub(channel).Apply(request, timeout=10)


async def test_the_least_favourable_word_is_the_answer(serve: Serve) -> None:
    node = Node(*CODES)
    request = pb.ApplyRequest(area=BANGGAI, regency_codes=[*reversed(CODES), "72.07"])
    answer = await apply(serve, node, request)
    assert [word.regency_code for word in answer.words] == CODES
    assert answer.verdict == max(word.verdict for word in answer.words)
    assert answer.verdict == izin_pb2.VERDICT_CONDITIONAL
    assert node.asked == [("72.01,72.07,72.11", "t")]


async def test_silence_is_no_consent(serve: Serve) -> None:
    request = pb.ApplyRequest(area=BANGGAI, regency_codes=CODES)
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await apply(serve, Node("72.01", "72.11"), request)
    assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
    assert caught.value.details() == "no word of 72.07: apply again later"


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (pb.ApplyRequest(area=BANGGAI), "name the regencies"),
        (pb.ApplyRequest(regency_codes=CODES), "radius 0.0 km is none"),
    ],
)
async def test_what_makes_no_sense_is_refused(
    serve: Serve, request_: pb.ApplyRequest, says: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await apply(serve, Node(*CODES), request_)
    assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert says in (caught.value.details() or "")
