"""kawasan.v1.Kawasan: an area permit across regencies, in one application.

    python -m examples.kawasan.server --gateway 127.0.0.1:50051 --metadata simpul-token=…

An ordinary gRPC server, and an ordinary client: generated stubs and one channel to its own node. It
names the regencies in place of a provider, and their words come as one stream of the contract's own
messages, each by its regency's own agreement. A word that is missing is no consent.
"""

import argparse
import contextlib
import sys
from collections.abc import Sequence
from typing import Final

import grpc

from examples.errors import InvalidArgumentError
from examples.gen.izin.v1 import izin_pb2, izin_pb2_grpc
from examples.gen.kawasan.v1 import kawasan_pb2 as pb
from examples.gen.kawasan.v1 import kawasan_pb2_grpc as pb_grpc
from examples.geo import Place
from examples.izin.areas import Area
from examples.komdigi.app import CALL_TIMEOUT_S, Metadata, metadata_pair
from examples.serving import Context, answering, run

REGIONS_KEY: Final = "simpul-region"


class Kawasan(pb_grpc.KawasanServicer):
    """The service, through one node."""

    def __init__(self, gateway: str, common: Metadata) -> None:
        """Ask through the node at `gateway`; `common` goes with every call."""
        self._gateway = gateway
        self._common = common
        # Made with the first call: then there is a loop.
        self._channel: grpc.aio.Channel | None = None

    async def Apply(  # noqa: N802 - the contract's name
        self, request: pb.ApplyRequest, context: Context
    ) -> pb.ApplyResponse:
        """Ask every regency at once; answer when all have."""
        async with answering(context):
            codes = sorted(set(request.regency_codes))
            if not codes:
                raise InvalidArgumentError("name the regencies that the area reaches into")
            # Judged here, too: of several regencies' refusals the node tells only that they came.
            middle = Place(request.area.latitude, request.area.longitude)
            Area(middle, request.area.radius_km)
        words: list[izin_pb2.AssessResponse] = []
        with contextlib.suppress(grpc.aio.AioRpcError):
            # Whatever it was that failed: whose word is missing is told below.
            async for word in self._ask(request.area, codes):
                words += [word]
        missing = sorted(set(codes) - {word.regency_code for word in words})
        if missing:
            why = f"no word of {', '.join(missing)}: apply again later"
            await context.abort(grpc.StatusCode.UNAVAILABLE, why)
        words.sort(key=lambda word: word.regency_code)
        return pb.ApplyResponse(verdict=max(word.verdict for word in words), words=words)

    def _ask(
        self, area: izin_pb2.Area, codes: Sequence[str]
    ) -> "grpc.aio.UnaryStreamCall[izin_pb2.AssessRequest, izin_pb2.AssessResponse]":
        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(self._gateway)
        return izin_pb2_grpc.IzinStub(self._channel).Assess(
            izin_pb2.AssessRequest(area=area),
            # A single code would do as well: it is the ordinary call of one provider.
            metadata=(*self._common, (REGIONS_KEY, ",".join(codes))),
            timeout=CALL_TIMEOUT_S,
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; returns 0 stopped, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m examples.kawasan.server")
    parser.add_argument("--gateway", required=True, metavar="HOST:PORT", help="the own node's")
    parser.add_argument(
        "--metadata", action="append", default=[], type=metadata_pair, metavar="KEY=VALUE",
        help="sent with every call, e.g. the app's token; may be repeated",
    )  # fmt: skip
    parser.add_argument(
        "--listen", default="127.0.0.1:0", metavar="ADDRESS",
        help="HOST:PORT (0: a free port) or unix:PATH; default %(default)s",
    )  # fmt: skip
    said = parser.parse_args(arguments)
    service = Kawasan(said.gateway, tuple(said.metadata))
    return run(said.listen, lambda server: pb_grpc.add_KawasanServicer_to_server(service, server))


if __name__ == "__main__":
    sys.exit(main())
