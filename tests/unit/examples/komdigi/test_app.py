"""The app asks two services over one channel, and says on each call whom it is for."""

# grpc\'s handlers are generic for the type checker only.
from __future__ import annotations

import argparse
import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import grpc
import pytest

from examples.bandara.airports import read_airports
from examples.bandara.server import Bandara
from examples.data import AIRPORTS, ISLANDS, REGENCIES
from examples.gen.bandara.v1 import bandara_pb2_grpc
from examples.gen.wisata.v1 import wisata_pb2_grpc
from examples.komdigi import app
from examples.wisata.islands import read_register
from examples.wisata.server import Wisata

REGION = "ID/DAERAH/53.15/pariwisata"
MINISTRY = "ID/KEMENTERIAN/KEMENHUB/bandara"


class Recorder(grpc.aio.ServerInterceptor):
    """Keeps each call's method and metadata, in order."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, str]]] = []

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        metadata = {str(k): str(v) for k, v in handler_call_details.invocation_metadata}
        self.calls.append((handler_call_details.method, metadata))
        return await continuation(handler_call_details)


@pytest.fixture
def recorder() -> Recorder:
    return Recorder()


@pytest.fixture
async def gateway(recorder: Recorder) -> AsyncIterator[str]:
    """Serve a region and the ministry at one address, as a node's gateway would look to the app."""
    server = grpc.aio.server(interceptors=[recorder])
    region = Wisata(read_register(ISLANDS, REGENCIES, "53.15"))
    wisata_pb2_grpc.add_WisataServicer_to_server(region, server)
    bandara_pb2_grpc.add_BandaraServicer_to_server(Bandara(read_airports(AIRPORTS)), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def run(*arguments: str) -> int:
    """Run the app's main, which has an event loop of its own, beside the servers' loop."""
    return await asyncio.to_thread(app.main, arguments)


async def test_it_prints_how_to_get_to_each_island(
    gateway: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert await run("--gateway", gateway, "--populated", "--limit", "0") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + 12
    assert lines[0].split() == ["Island", "Nearest", "airport", "City", "Distance"]
    [komodo] = [line for line in lines if line.startswith("Pulau Komodo ")]
    assert "LBJ Komodo (Mutiara II) Airport" in komodo
    assert "Labuan Bajo-Flores Island" in komodo
    assert komodo.endswith(" 49 km")
    assert len({len(line) for line in lines}) == 1


async def test_each_call_says_whom_it_is_for(gateway: str, recorder: Recorder) -> None:
    code = await run(
        *("--gateway", gateway, "--limit", "2", "--metadata", "authorization=Bearer a=b"),
        *("--metadata", "simpul-purpose=visit", "--to", REGION, "--airports", MINISTRY),
    )
    assert code == 0
    assert [(method, sent["simpul-to"]) for method, sent in recorder.calls] == [
        ("/wisata.v1.Wisata/List", REGION),
        ("/bandara.v1.Bandara/Nearest", MINISTRY),
        ("/bandara.v1.Bandara/Nearest", MINISTRY),
    ]
    for _, sent in recorder.calls:
        assert sent["authorization"] == "Bearer a=b"
        assert sent["simpul-purpose"] == "visit"


async def test_without_addressees_no_call_has_one(gateway: str, recorder: Recorder) -> None:
    assert await run("--gateway", gateway, "--limit", "1") == 0
    assert all("simpul-to" not in sent for _, sent in recorder.calls)
    assert len(recorder.calls) == 2


async def test_a_refusal_is_one_line_and_exit_code_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    server = grpc.aio.server()  # Serves nothing: every method is unknown.
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    assert await run("--gateway", f"127.0.0.1:{port}") == 1
    await server.stop(None)
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err == "UNIMPLEMENTED: Method not found!\n"


@pytest.mark.parametrize(
    "text",
    ["", "key", "key=", "=value", "Key=value", "key-bin=value", "simpul-to=x", "key=a\nb", "k y=v"],
)
def test_metadata_that_can_not_be_sent_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        app.metadata_pair(text)


@pytest.mark.parametrize(
    "arguments",
    [[], ["--gateway", "a:1", "--limit", "-1"], ["--gateway", "a:1", "--metadata", "x"]],
)
def test_wrong_usage_is_exit_code_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        app.main(arguments)
    assert caught.value.code == 2
