"""The public service super app: a region's islands, and how to get there.

    python -m examples.komdigi.app --gateway 127.0.0.1:50051 \
        --metadata "authorization=Bearer …" \
        --to ID/DAERAH/53.15/pariwisata --airports ID/KEMENTERIAN/KEMENHUB/bandara

An ordinary gRPC client: generated stubs and one channel. The metadata key `simpul-to`, which says
whose service a call is for, is the only thing it knows of the federation. Without --to and
--airports no call has it, and the services themselves may stand behind the address.
"""

import argparse
import asyncio
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import grpc

from examples.gen.bandara.v1 import bandara_pb2, bandara_pb2_grpc
from examples.gen.wisata.v1 import wisata_pb2, wisata_pb2_grpc

Metadata: TypeAlias = tuple[tuple[str, str], ...]

ADDRESSEE_KEY: Final = "simpul-to"
CALL_TIMEOUT_S: Final = 30.0
MAX_CALLS_AT_ONCE: Final = 16
DEFAULT_ISLANDS: Final = 10
HEADINGS: Final = ("Island", "Nearest airport", "City", "Distance")

_METADATA: Final = re.compile(r"([a-z0-9_.-]+)=([ -~]+)")


@dataclass(frozen=True, slots=True)
class Trip:
    """One island and the airport to fly to; `distance_km` is from the one to the other."""

    island: str
    iata: str
    airport: str
    city: str
    distance_km: float


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask of whom. `region` and `ministry` are the metadata of the calls to each."""

    region: Metadata
    ministry: Metadata
    populated_only: bool
    limit: int


async def trips(channel: grpc.aio.Channel, question: Question) -> list[Trip]:
    """Ask for islands, then for each island's nearest airport, several at once.

    Returns trips in the order in which the region lists its islands; raises AioRpcError.
    """
    wisata = wisata_pb2_grpc.WisataStub(channel)
    bandara = bandara_pb2_grpc.BandaraStub(channel)
    request = wisata_pb2.ListRequest(populated_only=question.populated_only, limit=question.limit)
    room = asyncio.Semaphore(MAX_CALLS_AT_ONCE)

    async def trip(island: wisata_pb2.Island) -> Trip:
        async with room:
            return await way_to(bandara, island, question.ministry)

    islands = [
        answer.island
        async for answer in wisata.List(request, metadata=question.region, timeout=CALL_TIMEOUT_S)
    ]
    return await asyncio.gather(*(trip(island) for island in islands))


async def way_to(
    bandara: "bandara_pb2_grpc.BandaraAsyncStub", island: wisata_pb2.Island, metadata: Metadata
) -> Trip:
    """Ask for an island's nearest airport; raises AioRpcError."""
    place = bandara_pb2.Coordinate(
        latitude=island.position.latitude, longitude=island.position.longitude
    )
    answer = await bandara.Nearest(
        bandara_pb2.NearestRequest(position=place), metadata=metadata, timeout=CALL_TIMEOUT_S
    )
    nearest = answer.airports[0]
    airport = nearest.airport
    return Trip(island.name, airport.iata, airport.name, airport.city, nearest.distance_km)


def table(found: Iterable[Trip]) -> str:
    """Return a plain text table, one line per trip below a heading, each line ended."""
    rows = [
        HEADINGS,
        *(
            (trip.island, f"{trip.iata} {trip.airport}", trip.city, f"{trip.distance_km:.0f} km")
            for trip in found
        ),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "".join(
        "  ".join(
            [
                *(cell.ljust(width) for cell, width in zip(row[:-1], widths[:-1], strict=True)),
                row[-1].rjust(widths[-1]),
            ]
        )
        + "\n"
        for row in rows
    )


def metadata_pair(text: str) -> tuple[str, str]:
    """Read KEY=VALUE of the command line; raises ArgumentTypeError."""
    match = _METADATA.fullmatch(text)
    if match is None or match[1].endswith("-bin") or match[1] == ADDRESSEE_KEY:
        raise argparse.ArgumentTypeError(
            f"metadata is KEY=VALUE: a key in lower case that is neither {ADDRESSEE_KEY} nor "
            "ends in -bin, and printable ASCII"
        )
    return match[1], match[2]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.komdigi.app")
    parser.add_argument("--gateway", required=True, metavar="HOST:PORT", help="the app's own node")
    parser.add_argument(
        "--metadata",
        action="append",
        default=[],
        type=metadata_pair,
        metavar="KEY=VALUE",
        help="sent with every call, e.g. the app's token; may be repeated",
    )
    parser.add_argument("--to", metavar="SUBSYSTEM", help="the region's, which has the islands")
    parser.add_argument("--airports", metavar="SUBSYSTEM", help="the ministry's, for airports")
    parser.add_argument("--populated", action="store_true", help="only islands where people live")
    parser.add_argument(
        "--limit",
        type=int,
        default=DEFAULT_ISLANDS,
        metavar="N",
        help="at most so many islands, 0: all; default %(default)s",
    )
    return parser


async def _ask(gateway: str, question: Question) -> list[Trip]:
    async with grpc.aio.insecure_channel(gateway) as channel:
        return await trips(channel, question)


def main(arguments: Sequence[str] | None = None) -> int:
    """Ask and print a table; returns 0 done, 1 refused or failed, 2 wrong usage."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.limit < 0:
        parser.error("--limit is 0 or more")
    common = tuple(options.metadata)
    question = Question(
        region=(*common, (ADDRESSEE_KEY, options.to)) if options.to else common,
        ministry=(*common, (ADDRESSEE_KEY, options.airports)) if options.airports else common,
        populated_only=options.populated,
        limit=options.limit,
    )
    try:
        found = asyncio.run(_ask(options.gateway, question))
    except grpc.aio.AioRpcError as error:
        sys.stderr.write(f"{error.code().name}: {error.details()}\n")
        return 1
    sys.stdout.write(table(found))
    return 0


if __name__ == "__main__":
    sys.exit(main())
