"""izin.v1.Izin for one regency: `python -m examples.izin.server --region 72.11`.

An ordinary gRPC server. Parses, calls areas.py, converts.
"""

import argparse
import sys
from collections.abc import AsyncIterator, Sequence

from examples.data import ISLANDS, REGENCIES
from examples.errors import NotFoundError
from examples.gen.izin.v1 import izin_pb2 as pb
from examples.gen.izin.v1 import izin_pb2_grpc as pb_grpc
from examples.geo import Place
from examples.izin.areas import Area, assess
from examples.serving import Context, answering, run
from examples.wisata.islands import Register, read_register


class Izin(pb_grpc.IzinServicer):
    """The service over one regency's islands."""

    def __init__(self, register: Register) -> None:
        """Judge by `register`."""
        self._register = register

    async def Assess(  # noqa: N802 - the contract's name
        self, request: pb.AssessRequest, context: Context
    ) -> AsyncIterator[pb.AssessResponse]:
        """Give this regency's word."""
        async with answering(context):
            asked = request.area
            area = Area(Place(asked.latitude, asked.longitude), asked.radius_km)
            word = assess(area, self._register.all())
            yield pb.AssessResponse(
                regency_code=self._register.regency_code,
                verdict=pb.Verdict.Value(f"VERDICT_{word.verdict.name}"),
                conditions=word.conditions,
                islands=word.islands,
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Serve one regency until a signal; returns 0 stopped, 1 failed, 2 wrong usage."""
    parser = argparse.ArgumentParser(prog="python -m examples.izin.server")
    parser.add_argument("--region", required=True, metavar="CODE", help="regency, e.g. 72.11")
    parser.add_argument(
        "--listen", default="127.0.0.1:0", metavar="ADDRESS",
        help="HOST:PORT (0: a free port) or unix:PATH; default %(default)s",
    )  # fmt: skip
    options = parser.parse_args(arguments)
    try:
        register = read_register(ISLANDS, REGENCIES, options.region)
    except NotFoundError as error:
        parser.error(str(error))
    return run(
        options.listen, lambda server: pb_grpc.add_IzinServicer_to_server(Izin(register), server)
    )


if __name__ == "__main__":
    sys.exit(main())
