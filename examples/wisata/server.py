"""wisata.v1.Wisata for one regency: `python -m examples.wisata.server --region 53.15`.

An ordinary gRPC server. It answers from the islands of its own regency and has no others. Parses,
calls islands.py, converts; the contract and its statuses stand in examples/protos/wisata/v1.
"""

import argparse
import sys
from collections.abc import AsyncIterator, Sequence

from examples.data import ISLANDS, REGENCIES
from examples.errors import InvalidArgumentError, NotFoundError
from examples.gen.wisata.v1 import wisata_pb2 as pb
from examples.gen.wisata.v1 import wisata_pb2_grpc as pb_grpc
from examples.geo import Place
from examples.serving import Context, answering, run, until_half_close
from examples.wisata.islands import Candidate, Import, Island, Register, Summary, read_register


class Wisata(pb_grpc.WisataServicer):
    """The service over one register."""

    def __init__(self, register: Register) -> None:
        """Serve `register`; imports change it."""
        self._register = register

    async def Get(  # noqa: N802 - the contract's name
        self, request: pb.GetRequest, context: Context
    ) -> pb.GetResponse:
        """Return one island by its code."""
        async with answering(context):
            return pb.GetResponse(island=_to_message(self._register.get(request.code)))

    async def List(  # noqa: N802 - the contract's name
        self, request: pb.ListRequest, context: Context
    ) -> AsyncIterator[pb.ListResponse]:
        """Stream islands in the order of their codes."""
        async with answering(context):
            for island in self._register.all(
                populated_only=request.populated_only, limit=request.limit
            ):
                yield pb.ListResponse(island=_to_message(island))

    async def Import(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.ImportRequest], context: Context
    ) -> pb.ImportResponse:
        """Take islands in until the caller half-closes; then apply and summarise."""
        async with answering(context):
            under_way = Import(self._register)
            async for request in until_half_close(request_iterator, context):
                under_way.take(_to_candidate(request.island))
            return _to_response(under_way.finish())

    async def Chat(  # noqa: N802 - the contract's name
        self, request_iterator: AsyncIterator[pb.ChatRequest], context: Context
    ) -> AsyncIterator[pb.ChatResponse]:
        """Answer each question before reading the next."""
        async with answering(context):
            number = 0
            async for request in request_iterator:
                yield pb.ChatResponse(question=number, matches=self._matches(request))
                number += 1

    def _matches(self, request: pb.ChatRequest) -> list[pb.Match]:
        match request.WhichOneof("question"):
            case "near":
                place = Place(request.near.latitude, request.near.longitude)
                return [
                    pb.Match(island=_to_message(island), distance_km=km)
                    for km, island in self._register.nearest(place, request.limit)
                ]
            case "name":
                found = self._register.named(request.name, request.limit)
                return [pb.Match(island=_to_message(island)) for island in found]
            case _:
                raise InvalidArgumentError("the question is empty: set near or name")


def _to_message(island: Island) -> pb.Island:
    return pb.Island(
        code=island.code,
        name=island.name,
        regency_code=island.regency_code,
        position=pb.Coordinate(latitude=island.place.latitude, longitude=island.place.longitude),
        is_populated=island.is_populated,
        is_outermost_small=island.is_outermost_small,
    )


def _to_candidate(island: pb.Island) -> Candidate:
    position = island.position
    return Candidate(
        island.code,
        island.name,
        island.regency_code,
        (position.latitude, position.longitude) if island.HasField("position") else None,
        island.is_populated,
        island.is_outermost_small,
    )


def _to_response(summary: Summary) -> pb.ImportResponse:
    return pb.ImportResponse(
        received=summary.received,
        added=summary.added,
        replaced=summary.replaced,
        rejected=[
            pb.Rejection(
                index=rejected.index,
                code=rejected.code,
                reason=pb.RejectionReason.Value(f"REJECTION_REASON_{rejected.reason.name}"),
                detail=rejected.detail,
            )
            for rejected in summary.rejected
        ],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one regency until a signal; returns 0 stopped, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m examples.wisata.server")
    parser.add_argument("--region", required=True, metavar="CODE", help="regency, e.g. 53.15")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:0",
        metavar="ADDRESS",
        help="HOST:PORT (0: a free port) or unix:PATH; default %(default)s",
    )
    options = parser.parse_args(arguments)
    try:
        register = read_register(ISLANDS, REGENCIES, options.region)
    except NotFoundError as error:
        parser.error(str(error))
    return run(
        options.listen,
        lambda server: pb_grpc.add_WisataServicer_to_server(Wisata(register), server),
    )


if __name__ == "__main__":
    sys.exit(main())
