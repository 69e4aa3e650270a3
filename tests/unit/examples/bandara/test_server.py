"""bandara.v1.Bandara over real gRPC: each method and status."""

# The async stubs exist for the type checker only.
from __future__ import annotations

from collections.abc import AsyncIterator

import grpc
import pytest

from examples.bandara.airports import read_airports
from examples.bandara.server import Bandara
from examples.data import AIRPORTS
from examples.gen.bandara.v1 import bandara_pb2 as pb
from examples.gen.bandara.v1 import bandara_pb2_grpc as pb_grpc
from tests.unit.examples.conftest import Serve


@pytest.fixture
async def stub(serve: Serve) -> AsyncIterator[pb_grpc.BandaraAsyncStub]:
    service = Bandara(read_airports(AIRPORTS))
    async with (
        serve(lambda server: pb_grpc.add_BandaraServicer_to_server(service, server)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield pb_grpc.BandaraStub(channel)


async def test_nearest_names_the_airport_and_how_far_it_is(
    stub: pb_grpc.BandaraAsyncStub,
) -> None:
    komodo = pb.Coordinate(latitude=-8.576942, longitude=119.451111)
    answer = await stub.Nearest(pb.NearestRequest(position=komodo, limit=3))
    assert len(answer.airports) == 3
    first = answer.airports[0]
    assert first.distance_km == pytest.approx(49.2, abs=0.1)
    assert first.airport == pb.Airport(
        iata="LBJ",
        icao="WATO",
        name="Komodo (Mutiara II) Airport",
        city="Labuan Bajo-Flores Island",
        province="East Nusa Tenggara",
        position=pb.Coordinate(latitude=-8.48666, longitude=119.889),
    )


@pytest.mark.parametrize(
    "request_",
    [
        pb.NearestRequest(),
        pb.NearestRequest(position=pb.Coordinate(latitude=-90.5)),
        pb.NearestRequest(position=pb.Coordinate(longitude=180.5)),
        pb.NearestRequest(position=pb.Coordinate(latitude=float("nan"))),
        pb.NearestRequest(position=pb.Coordinate(), limit=21),
    ],
)
async def test_a_bad_question_is_an_invalid_argument(
    stub: pb_grpc.BandaraAsyncStub, request_: pb.NearestRequest
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Nearest(request_)
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT


async def test_list_streams_all_or_one_province(stub: pb_grpc.BandaraAsyncStub) -> None:
    everything = [answer.airport async for answer in stub.List(pb.ListRequest())]
    assert len(everything) == 171
    bali = [answer.airport.iata async for answer in stub.List(pb.ListRequest(province="Bali"))]
    assert "DPS" in bali
    assert set(bali) == {airport.iata for airport in everything if airport.province == "Bali"}
    assert [a async for a in stub.List(pb.ListRequest(province="Atlantis"))] == []
