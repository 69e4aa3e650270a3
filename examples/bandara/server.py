"""bandara.v1.Bandara: `python -m examples.bandara.server --listen 127.0.0.1:0`.

An ordinary gRPC server over the country's airports. Parses, calls airports.py, converts; the
contract and its statuses stand in examples/protos/bandara/v1.
"""

import argparse
import sys
from collections.abc import AsyncIterator, Sequence

from examples.bandara.airports import Airport, nearest, read_airports
from examples.data import AIRPORTS
from examples.errors import InvalidArgumentError
from examples.gen.bandara.v1 import bandara_pb2 as pb
from examples.gen.bandara.v1 import bandara_pb2_grpc as pb_grpc
from examples.geo import Place
from examples.serving import Context, answering, run


class Bandara(pb_grpc.BandaraServicer):
    """The service over a fixed list of airports."""

    def __init__(self, airports: tuple[Airport, ...]) -> None:
        """Serve `airports`."""
        self._airports = airports

    async def Nearest(  # noqa: N802 - the contract's name
        self, request: pb.NearestRequest, context: Context
    ) -> pb.NearestResponse:
        """Return the airports nearest to a place."""
        async with answering(context):
            if not request.HasField("position"):
                raise InvalidArgumentError("the position is missing: send latitude and longitude")
            place = Place(request.position.latitude, request.position.longitude)
            return pb.NearestResponse(
                airports=[
                    pb.NearbyAirport(airport=_to_message(airport), distance_km=km)
                    for km, airport in nearest(self._airports, place, request.limit)
                ]
            )

    async def List(  # noqa: N802 - the contract's name
        self, request: pb.ListRequest, context: Context
    ) -> AsyncIterator[pb.ListResponse]:
        """Stream airports in the order of their IATA codes."""
        async with answering(context):
            for airport in self._airports:
                if request.province in {"", airport.province}:
                    yield pb.ListResponse(airport=_to_message(airport))


def _to_message(airport: Airport) -> pb.Airport:
    return pb.Airport(
        iata=airport.iata,
        icao=airport.icao,
        name=airport.name,
        city=airport.city,
        province=airport.province,
        position=pb.Coordinate(latitude=airport.place.latitude, longitude=airport.place.longitude),
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve until a signal; returns 0 stopped, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m examples.bandara.server")
    parser.add_argument(
        "--listen",
        default="127.0.0.1:0",
        metavar="ADDRESS",
        help="HOST:PORT (0: a free port) or unix:PATH; default %(default)s",
    )
    options = parser.parse_args(arguments)
    airports = read_airports(AIRPORTS)
    return run(
        options.listen,
        lambda server: pb_grpc.add_BandaraServicer_to_server(Bandara(airports), server),
    )


if __name__ == "__main__":
    sys.exit(main())
