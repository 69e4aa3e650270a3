"""A trip planner: the islands of many regions, and how to reach each, in one question.

    python -m examples.perjalanan.app --gateway 127.0.0.1:50051 \
        --metadata simpul-token=… --regions 53.15,74.07,52.08,21.05 \
        --airports ID/KEMENTERIAN/KEMENHUB/bandara

An ordinary gRPC client: generated stubs and one channel. The islands come as one stream of the
contract's own messages, whichever regions they are from, because the call names regions in place of
a provider; the way to each is asked of the ministry while the next islands still come.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import grpc

from examples.gen.bandara.v1 import bandara_pb2_grpc
from examples.gen.wisata.v1 import wisata_pb2, wisata_pb2_grpc
from examples.komdigi.app import (
    ADDRESSEE_KEY,
    CALL_TIMEOUT_S,
    MAX_CALLS_AT_ONCE,
    Metadata,
    Trip,
    metadata_pair,
    table,
    way_to,
)

GATHER: Final = "simpul-gather-"


@dataclass(frozen=True, slots=True)
class Wish:
    """What to plan. `common` goes with every call; `limit` is for each region."""

    regions: str
    airports: str
    common: Metadata
    limit: int
    # Some regions are better than none.
    partial: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The trips, ordered by island, and what the gather's trailers count."""

    trips: tuple[Trip, ...]
    gather_id: str
    answered: int
    missing: int


async def plan(channel: grpc.aio.Channel, wish: Wish) -> Plan:
    """Gather the islands, and ask for the way to each as it comes; raises AioRpcError."""
    bandara = bandara_pb2_grpc.BandaraStub(channel)
    room = asyncio.Semaphore(MAX_CALLS_AT_ONCE)

    async def trip(island: wisata_pb2.Island) -> Trip:
        async with room:
            return await way_to(bandara, island, (*wish.common, (ADDRESSEE_KEY, wish.airports)))

    partial = (("simpul-partial", "ok"),) if wish.partial else ()
    islands = wisata_pb2_grpc.WisataStub(channel).List(
        wisata_pb2.ListRequest(populated_only=True, limit=wish.limit),
        metadata=(*wish.common, ("simpul-region", wish.regions), *partial),
        timeout=CALL_TIMEOUT_S,
    )
    asking: list[asyncio.Task[Trip]] = []
    try:
        async for answer in islands:
            asking += [asyncio.create_task(trip(answer.island))]
        trips = sorted(await asyncio.gather(*asking), key=lambda found: found.island)
    finally:
        for task in asking:
            task.cancel()
    said = dict(await islands.trailing_metadata() or ())
    return Plan(
        tuple(trips),
        str(said[GATHER + "id"]),
        int(said[GATHER + "answered"]),
        int(said[GATHER + "missing"]),
    )


async def _plan(gateway: str, wish: Wish) -> Plan:
    async with grpc.aio.insecure_channel(gateway) as channel:
        return await plan(channel, wish)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.perjalanan.app")
    parser.add_argument("--gateway", required=True, metavar="HOST:PORT", help="the app's own node")
    parser.add_argument(
        "--metadata", action="append", default=[], type=metadata_pair, metavar="KEY=VALUE",
        help="sent with every call, e.g. the app's token; may be repeated",
    )  # fmt: skip
    parser.add_argument("--regions", required=True, metavar="LIST", help="53.15,74.07 or 53.* or *")
    parser.add_argument("--airports", required=True, metavar="SUBSYSTEM", help="the ministry's")
    parser.add_argument("--limit", type=int, default=3, metavar="N", help="islands of each region")
    parser.add_argument("--partial", action="store_true", help="go on where regions are missing")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Plan and print a table; returns 0 done, 1 refused or failed."""
    said = _parser().parse_args(arguments)
    wish = Wish(said.regions, said.airports, tuple(said.metadata), said.limit, said.partial)
    try:
        found = asyncio.run(_plan(said.gateway, wish))
    except grpc.aio.AioRpcError as error:
        sys.stderr.write(f"{error.code().name}: {error.details()}\n")
        return 1
    sys.stdout.write(table(found.trips))
    sys.stdout.write(f"{found.answered} regions answered, {found.missing} are missing\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
