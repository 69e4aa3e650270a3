"""The ends of a link's stream say what really ended it."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from grpc import aio

from node.link.accept import METHOD
from node.link.stream import DialledStream, abort
from security.errors import Code, SimpulError

STREAMS = 100


class _Refuses(grpc.GenericRpcHandler):
    """An acceptor that reads one frame, and ends the stream with a code."""

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[Any, Any]:
        assert handler_call_details.method == METHOD
        return grpc.stream_stream_rpc_method_handler(self._link)

    async def _link(self, _: object, context: aio.ServicerContext[bytes, bytes]) -> None:
        await context.send_initial_metadata(())
        await context.read()
        await abort(context, SimpulError(Code.NODE_DRAINING, "not now"))


@asynccontextmanager
async def refusing() -> AsyncIterator[aio.Channel]:
    server = aio.server(handlers=(_Refuses(),))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel
    await server.stop(0)


async def test_the_reason_of_an_end_is_known_to_the_reader_and_writer_who_still_write() -> None:
    # grpcio's own `write` overwrites the status in more than half of these.
    codes: Counter[Code] = Counter()
    async with refusing() as channel:
        for _ in range(STREAMS):
            stream = DialledStream(channel.stream_stream(METHOD)(), "the other node")

            async def write(stream: DialledStream = stream) -> None:
                while True:
                    await stream.write(bytes(1000))

            async def read(stream: DialledStream = stream) -> None:
                while await stream.read() is not None:
                    pass

            ended = await asyncio.gather(write(), read(), return_exceptions=True)
            codes.update(each.code for each in ended if isinstance(each, SimpulError))
    # Of a frame of which nothing left, the writer says just that.
    assert codes[Code.NODE_DRAINING] + codes[Code.NOT_STARTED] == 2 * STREAMS
    assert codes[Code.NODE_DRAINING] >= STREAMS


async def test_a_stream_that_this_side_gave_up_has_no_reason() -> None:
    async with refusing() as channel:
        stream = DialledStream(channel.stream_stream(METHOD)(), "the other node")
        reading = asyncio.create_task(stream.read())
        await asyncio.sleep(0)
        stream.close()
        assert await reading is None
        with pytest.raises(SimpulError) as caught:
            await stream.write(b"late")
        assert caught.value.code is Code.NOT_STARTED
