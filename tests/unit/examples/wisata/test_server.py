"""wisata.v1.Wisata over real gRPC: each method, each kind, each status."""

# The async stubs exist for the type checker only.
from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import grpc
import pytest

from examples.data import ISLANDS, REGENCIES
from examples.gen.wisata.v1 import wisata_pb2 as pb
from examples.gen.wisata.v1 import wisata_pb2_grpc as pb_grpc
from examples.wisata.islands import MAX_IMPORT_ISLANDS, Reason, read_register
from examples.wisata.server import Wisata
from tests.unit.examples.conftest import Serve

KOMODO = "53.15.40084"


@pytest.fixture
async def stub(serve: Serve) -> AsyncIterator[pb_grpc.WisataAsyncStub]:
    service = Wisata(read_register(ISLANDS, REGENCIES, "53.15"))
    async with (
        serve(lambda server: pb_grpc.add_WisataServicer_to_server(service, server)) as address,
        grpc.aio.insecure_channel(address) as channel,
    ):
        yield pb_grpc.WisataStub(channel)


async def codes(stub: pb_grpc.WisataAsyncStub, request: pb.ListRequest) -> list[str]:
    return [answer.island.code async for answer in stub.List(request)]


async def test_get_returns_the_whole_island(stub: pb_grpc.WisataAsyncStub) -> None:
    island = (await stub.Get(pb.GetRequest(code=KOMODO))).island
    assert island.position.latitude == pytest.approx(-8.576942, abs=1e-6)
    assert island.position.longitude == pytest.approx(119.451111, abs=1e-6)
    island.ClearField("position")
    assert island == pb.Island(
        code=KOMODO, name="Pulau Komodo", regency_code="53.15", is_populated=True
    )


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("52.08.40001", grpc.StatusCode.NOT_FOUND),
        ("53.15.99999", grpc.StatusCode.NOT_FOUND),
        ("Komodo", grpc.StatusCode.INVALID_ARGUMENT),
        ("", grpc.StatusCode.INVALID_ARGUMENT),
    ],
)
async def test_get_of_no_island_is_an_error(
    stub: pb_grpc.WisataAsyncStub, code: str, status: grpc.StatusCode
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Get(pb.GetRequest(code=code))
    assert caught.value.code() == status


async def test_list_streams_all_or_those_asked_for(stub: pb_grpc.WisataAsyncStub) -> None:
    assert len(await codes(stub, pb.ListRequest())) == 244
    populated = await codes(stub, pb.ListRequest(populated_only=True))
    assert len(populated) == 12
    assert KOMODO in populated
    assert await codes(stub, pb.ListRequest(populated_only=True, limit=2)) == populated[:2]


def island(code: str, regency_code: str = "53.15") -> pb.Island:
    position = pb.Coordinate(latitude=-8.5, longitude=119.5)
    return pb.Island(code=code, name="Pulau Baru", regency_code=regency_code, position=position)


async def test_import_summarises_what_it_took(stub: pb_grpc.WisataAsyncStub) -> None:
    sent = [
        island("53.15.90001"),
        island("52.08.40001", "52.08"),
        island(KOMODO),
        pb.Island(code="53.15.90002", name="Pulau", regency_code="53.15"),
    ]
    summary = await stub.Import(pb.ImportRequest(island=one) for one in sent)
    assert (summary.received, summary.added, summary.replaced) == (4, 1, 1)
    assert [(r.index, r.code, r.reason) for r in summary.rejected] == [
        (1, "52.08.40001", pb.REJECTION_REASON_NOT_IN_REGENCY),
        (3, "53.15.90002", pb.REJECTION_REASON_BAD_POSITION),
    ]
    assert (await stub.Get(pb.GetRequest(code="53.15.90001"))).island == sent[0]
    assert len(await codes(stub, pb.ListRequest())) == 245


async def test_an_empty_import_is_an_empty_summary(stub: pb_grpc.WisataAsyncStub) -> None:
    assert await stub.Import(iter(())) == pb.ImportResponse()


async def test_a_cancelled_import_changes_nothing(stub: pb_grpc.WisataAsyncStub) -> None:
    for _ in range(100):  # grpc's end of stream on a cancel comes before the cancel, or after.
        call = stub.Import()
        await call.write(pb.ImportRequest(island=island("53.15.90001")))
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    assert len(await codes(stub, pb.ListRequest())) == 244


async def test_too_large_an_import_is_refused_whole(stub: pb_grpc.WisataAsyncStub) -> None:
    request = pb.ImportRequest(island=island("53.15.90001"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Import(request for _ in range(MAX_IMPORT_ISLANDS + 1))
    assert caught.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert len(await codes(stub, pb.ListRequest())) == 244


def test_every_reason_has_its_name_in_the_contract() -> None:
    names = {f"REJECTION_REASON_{reason.name}" for reason in Reason}
    assert names == set(pb.RejectionReason.keys()) - {"REJECTION_REASON_UNSPECIFIED"}


async def test_chat_answers_each_question_before_the_next(stub: pb_grpc.WisataAsyncStub) -> None:
    chat = stub.Chat()
    await chat.write(pb.ChatRequest(name="komodo"))
    answer = await chat.read()
    assert isinstance(answer, pb.ChatResponse)
    assert answer.question == 0
    assert [m.island.name for m in answer.matches] == ["Pulau Kelor Komodo", "Pulau Komodo"]
    assert not answer.matches[0].HasField("distance_km")

    await chat.write(pb.ChatRequest(near=answer.matches[1].island.position, limit=1))
    answer = await chat.read()
    assert isinstance(answer, pb.ChatResponse)
    [nearest] = answer.matches
    assert (answer.question, nearest.island.code) == (1, KOMODO)
    assert (nearest.HasField("distance_km"), nearest.distance_km) == (True, 0.0)

    await chat.write(pb.ChatRequest(name="Bali"))
    assert await chat.read() == pb.ChatResponse(question=2)
    await chat.done_writing()
    assert await chat.read() is grpc.aio.EOF
    assert await chat.code() == grpc.StatusCode.OK


@pytest.mark.parametrize(
    "question",
    [
        pb.ChatRequest(),
        pb.ChatRequest(name=" "),
        pb.ChatRequest(near=pb.Coordinate(latitude=91)),
        pb.ChatRequest(near=pb.Coordinate(longitude=float("nan"))),
        pb.ChatRequest(name="komodo", limit=101),
    ],
)
async def test_a_bad_question_ends_the_chat_after_the_answers_before_it(
    stub: pb_grpc.WisataAsyncStub, question: pb.ChatRequest
) -> None:
    chat = stub.Chat(iter([pb.ChatRequest(name="komodo"), question]))
    answer = await chat.read()
    assert isinstance(answer, pb.ChatResponse)
    assert answer.question == 0
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await chat.read()
    assert caught.value.code() == grpc.StatusCode.INVALID_ARGUMENT
