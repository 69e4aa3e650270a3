"""Calls name purposes that stand in their consumer's register; both nodes look."""

import asyncio
from collections.abc import Iterable
from dataclasses import replace

import pytest

from node.exchange.asks import Asked
from node.exchange.metadata import error_trailers
from node.exchange.routing import find_routes
from security.activity import activity_message
from security.agreement import LegalBasis
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.pair import FakeCall, Half, pair, unary
from tests.unit.node.exchange.test_terms import begun_call
from tests.unit.security.test_activity import FIRST, RETIRED, SECOND

REGISTERS = {
    "no register": ((), None),
    "in use": ((FIRST,), None),
    "revised": ((FIRST, SECOND), None),
    "retired": ((FIRST, SECOND, RETIRED), Code.ACCESS_PURPOSE),
    "never registered": ((replace(FIRST, id="statistik"),), Code.ACCESS_PURPOSE),
    "by another right": (
        (FIRST, replace(SECOND, legal_basis=LegalBasis.CONSENT)), Code.ACCESS_PURPOSE
    ),
}  # fmt: skip


def registered(half: Half, activities: Iterable[directory_pb2.Activity]) -> None:
    """Have a node go by a directory in which the ministry keeps this register."""
    view = half.current.snapshot.directory
    records = []
    for member, make in (
        (fixed.REGENCY, directories.regency_record), (fixed.MINISTRY, directories.ministry_record)
    ):  # fmt: skip
        record = make()
        record.nodes[0].link_address = (
            view.members[MemberId.parse(str(member))].nodes[0].link_address
        )
        records.append(record)
    records[1].activities.extend(activities)
    half.current.replace(replace(half.current.snapshot, directory=directories.directory(*records)))


async def run_carelessly(half: Half) -> FakeCall:
    """A call by a consumer's node that doesn't look into its own register."""
    call = unary()
    routes = find_routes(
        call.request, half.identity, half.current.snapshot, half.keeping.fields, fixed.NOW_MS
    )
    asked = Asked(call, half.consuming._new_call_id(), None)
    try:
        await half.attempts.carry(asked, routes)
    except SimpulError as error:
        await call.send(error_trailers(error, asked.call_id))
    return call


@pytest.mark.parametrize("name", REGISTERS)
async def test_the_provider_looks_whatever_the_consumer_does(name: str) -> None:
    activities, code = REGISTERS[name]
    async with pair() as two:
        registered(two.provider, map(activity_message, activities))
        call = await run_carelessly(two.consumer)
        assert call.error() == (code or "")
        assert len(two.provider.services.seen) == (code is None)


@pytest.mark.parametrize("name", REGISTERS)
async def test_the_consumer_looks_before_any_traffic(name: str) -> None:
    activities, code = REGISTERS[name]
    async with pair() as two:
        registered(two.consumer, map(activity_message, activities))
        call = await two.consumer.run(unary())
        assert call.error() == (code or "")
        assert (len(two.provider.journal.records) > 0) == (code is None)


@pytest.mark.parametrize("where", ["provider", "consumer"])
async def test_a_call_under_way_ends_with_its_purpose(where: str) -> None:
    async with pair() as two:
        half: Half = getattr(two, where)
        registered(half, map(activity_message, (FIRST, SECOND)))
        call, running = await begun_call(two, "Watch")

        def recheck() -> None:
            now = half.current.snapshot
            half.keeping.under_way.recheck(now.agreements, now.directory, fixed.NOW_MS)

        recheck()
        await asyncio.sleep(0.05)
        assert not running.done(), "it is in use still"
        registered(half, map(activity_message, (FIRST, SECOND, RETIRED)))
        recheck()
        async with asyncio.timeout(5):
            await running
        assert call.error() == "ACCESS_PURPOSE"
        async with asyncio.timeout(5):
            while two.provider.providing.open_calls:
                await asyncio.sleep(0.01)
