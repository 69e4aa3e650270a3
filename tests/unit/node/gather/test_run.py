"""A gather under way: what is merged, what holds up what, and how it ends."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest

from node.calls import CallRequest, Cancelled, HalfClose, Message, Trailers
from node.exchange.asks import Asked
from node.exchange.refused import RefusedCalls
from node.gather.part import Part, PartEnd
from node.gather.plan import Planned, Terms
from node.gather.run import Counts, GatherRun, Way, ends_at_s
from node.gather.sinks import Merged
from security.errors import Code, SimpulError
from security.identifiers import RegionCode, SubsystemId
from security.regions import Choice, Served
from tests.support.pair import FakeCall

GATHER_ID = bytes(16)

# What a region's service does: it is given its part, and returns a gRPC status.
Service = Callable[[Part], Awaitable[int]]


@dataclass
class Recorded:
    """Stands for `RefusedCalls`."""

    errors: list[tuple[str, str]] = field(default_factory=list)

    async def settle(self, asked: Asked, error: SimpulError) -> bool:
        """Keep which part ended why."""
        assert asked.gather_id == GATHER_ID
        self.errors.append((asked.region, error.code))
        return True


@dataclass
class Gathered:
    """One gather of a test."""

    run: GatherRun
    call: FakeCall
    recorded: Recorded
    began: list[str]
    ends: list[str]

    async def done(self, seconds: float = 5.0) -> Counts:
        """Run it to its end."""
        async with asyncio.timeout(seconds):
            return await self.run.run()

    @property
    def said(self) -> list[str]:
        """What reached the app."""
        return [data.decode() for data in self.call.messages]


def planned(number: int, refusal: SimpulError | None = None) -> Planned:
    """The part of one region."""
    code = f"53.{number // 100:02d}.{number % 100:02d}"
    if refusal is not None:
        return Planned(code, None, refusal)
    provider = SubsystemId.parse(f"ID/DAERAH/{code}/pariwisata")
    return Planned(code, Served(RegionCode(code), (provider,), Choice.ONE))


def gather(
    services: list[Service | SimpulError],
    terms: Terms | None = None,
    deadline_s: float | None = None,
) -> Gathered:
    """A gather over regions with these services, or with why there is none."""
    call = FakeCall("List")
    recorded, began = Recorded(), list[str]()
    ends: list[str] = []
    plan, by_region = [], {}
    for number, service in enumerate(services):
        refused = service if isinstance(service, SimpulError) else None
        plan.append(planned(number, refused))
        by_region[plan[-1].region] = service

    async def carry(asked: Asked, part: Part) -> int:
        began.append(part.region)
        service = cast("Service", by_region[part.region])
        work = asyncio.ensure_future(service(part))
        gone = asyncio.ensure_future(_until_given_up(part))
        await asyncio.wait(
            {work, gone},
            return_when=asyncio.FIRST_COMPLETED,
            timeout=None
            if asked.deadline_s is None
            else asked.deadline_s - asyncio.get_running_loop().time(),
        )
        gone.cancel()
        if work.done():
            return work.result()
        work.cancel()
        if part.given_up:
            raise SimpulError(Code.CANCELLED, "given up")
        raise SimpulError(Code.DEADLINE_EXCEEDED, "late")

    def make(item: Planned, deliver: Any, began_s: float) -> Part:
        return Part(item, CallRequest("/a.B/C", (), None), Message(b"q"), deliver, began_s)

    way = Way(make, carry, cast("RefusedCalls", recorded), lambda: bytes(16), ends.append)
    run = GatherRun(call, GATHER_ID, tuple(plan), terms or Terms(), way, Merged(call), deadline_s)
    return Gathered(run, call, recorded, began, ends)


async def _until_given_up(part: Part) -> None:
    while not isinstance(await part.receive(), Cancelled):
        pass


def says(*words: str, status: int = 0, after_s: float = 0.0) -> Service:
    """A service that says these and ends."""

    async def service(part: Part) -> int:
        if after_s:
            await asyncio.sleep(after_s)
        for word in words:
            await part.send(Message(word.encode()))
        await part.send(Trailers(status, "as it is"))
        return status

    return service


async def never(_: Part) -> int:
    """A dead region."""
    await asyncio.Event().wait()
    return 0


def refuses(code: Code) -> Service:
    """A region's node that refuses."""

    async def service(_: Part) -> int:
        raise SimpulError(code, "no")

    return service


async def test_messages_of_all_parts_come_in_each_part_s_own_order() -> None:
    made = gather([says("a1", "a2", "a3"), says("b1", "b2")])
    counts = await made.done()
    assert (counts.parts, counts.answered, counts.missing, counts.messages) == (2, 2, 0, 5)
    assert [word for word in made.said if word[0] == "a"] == ["a1", "a2", "a3"]
    assert [word for word in made.said if word[0] == "b"] == ["b1", "b2"]
    assert made.run.enough


async def test_a_service_reads_the_request_and_then_hears_no_more_until_it_is_given_up() -> None:
    heard: list[object] = []

    async def service(part: Part) -> int:
        heard.extend([await part.receive(), await part.receive()])
        return 0

    await gather([service]).done()
    assert heard == [Message(b"q"), HalfClose()]


async def test_what_is_slow_holds_up_nothing_else() -> None:
    slow = [never] * 100
    made = gather([*slow, *[says(f"{n}") for n in range(50)]])
    task = asyncio.create_task(made.done())
    async with asyncio.timeout(2):
        while len(made.said) < 50:
            await asyncio.sleep(0.01)
    made.call.go_away()
    await task
    assert made.run.app_gone


async def test_few_are_begun_before_the_first_answers() -> None:
    made = gather([never] * 60)
    task = asyncio.create_task(made.done())
    await asyncio.sleep(0.01)
    assert len(made.began) == 4
    made.call.go_away()
    await task


async def test_parts_that_fail_are_missing_and_said_why() -> None:
    made = gather(
        [
            says("a"),
            says(status=5),
            refuses(Code.ACCESS_NO_AGREEMENT),
            SimpulError(Code.REGION_UNSERVED, "nobody"),
        ]
    )
    counts = await made.done()
    assert (counts.answered, counts.missing) == (1, 3)
    assert dict(counts.why) == {
        "status 5": 1,
        "ACCESS_NO_AGREEMENT": 1,
        "REGION_UNSERVED": 1,
    }
    assert not made.run.enough
    assert sorted(code for _, code in made.recorded.errors) == [
        "ACCESS_NO_AGREEMENT",
        "REGION_UNSERVED",
    ]


async def test_a_fault_of_one_part_is_no_other_s() -> None:
    async def breaks(_: Part) -> int:
        raise RuntimeError("a fault of ours")

    counts = await gather([breaks, says("a")]).done()
    assert (counts.answered, dict(counts.why)) == (1, {"INTERNAL": 1})


async def test_a_part_ends_by_its_own_deadline() -> None:
    made = gather([never, says("a")], Terms(part_ms=100))
    counts = await made.done()
    assert (counts.answered, dict(counts.why)) == (1, {"DEADLINE_EXCEEDED": 1})


async def test_at_the_deadline_what_was_not_begun_is_missing_and_recorded() -> None:
    loop = asyncio.get_running_loop()
    made = gather([never] * 30, deadline_s=loop.time() + 0.02)
    counts = await made.done()
    assert len(made.began) < 30
    assert (counts.missing, dict(counts.why)) == (30, {"DEADLINE_EXCEEDED": 30})
    assert len(made.recorded.errors) == 30


async def test_when_the_app_goes_every_part_is_given_up() -> None:
    given_up = 0

    async def waits(part: Part) -> int:
        nonlocal given_up
        await part.send(Message(b"a"))
        await _until_given_up(part)
        given_up += 1
        raise SimpulError(Code.CANCELLED, "given up")

    made = gather([waits] * 5)
    task = asyncio.create_task(made.done())
    while len(made.said) < 5:
        await asyncio.sleep(0)
    made.call.go_away()
    counts = await task
    assert (given_up, counts.missing, made.run.app_gone) == (5, 0, True)
    assert made.ends == ["given up"] * 5


async def test_only_the_first_few_are_heard_and_the_others_given_up() -> None:
    made = gather([says(f"{n}", f"{n}", after_s=n / 50) for n in range(6)], Terms(first=2))
    counts = await made.done()
    assert made.said == ["0", "0", "1", "1"]
    assert (counts.answered, counts.missing, made.run.enough) == (2, 0, True)


async def test_one_that_fails_among_the_first_is_replaced_by_the_next() -> None:
    fails, good = says("x", status=14), says("a", after_s=0.02)
    made = gather([fails, good, says("b", after_s=0.1)], Terms(first=1))
    counts = await made.done()
    assert made.said == ["x", "a"]
    assert (counts.answered, counts.missing, made.run.enough) == (1, 1, True)


async def test_the_first_may_be_one_that_says_nothing_and_ends_well() -> None:
    counts = await gather([says(), never], Terms(first=1)).done()
    assert (counts.answered, counts.missing) == (1, 0)


async def test_fewer_than_wanted_are_not_enough() -> None:
    made = gather([says("a"), says(status=5), says(status=5)], Terms(first=2))
    counts = await made.done()
    assert (counts.answered, counts.missing, made.run.enough) == (1, 2, False)


async def test_an_app_that_reads_slowly_holds_up_the_parts_and_the_asking() -> None:
    sent = 0

    async def talks(part: Part) -> int:
        nonlocal sent
        for _ in range(100):
            await part.send(Message(b"a"))
            sent += 1
        return 0

    made = gather([talks] * 200)
    made.call.slow = asyncio.Event()
    task = asyncio.create_task(made.done(20))
    await asyncio.sleep(0.3)
    # One at the app, one in the queue; the rest waits with what it has, and nobody else is begun.
    assert sent <= 2
    assert len(made.began) <= 6
    made.call.slow.set()
    counts = await task
    assert counts.messages == 20_000


async def test_a_compressed_answer_ends_its_part_only() -> None:
    async def compresses(part: Part) -> int:
        await part.send(Message(b"a", compressed=True))
        return 0

    counts = await gather([compresses, says("a")]).done()
    assert (counts.answered, counts.missing) == (1, 1)


async def test_every_end_is_told_once_after_the_part_s_messages() -> None:
    events: list[tuple[str, str]] = []

    class Sink:
        async def message(self, part: Part, message: Message) -> None:
            events.append((part.region, message.data.decode()))

        async def ended(self, part: Part, end: PartEnd) -> None:
            events.append((part.region, f"end {end.status} {end.messages}"))

    made = gather([says("a", "b"), says(status=3)])
    made.run._sink = Sink()
    await made.done()
    first, second = planned(0).region, planned(1).region
    assert [text for region, text in events if region == first] == ["a", "b", "end 0 2"]
    assert [text for region, text in events if region == second] == ["end 3 0"]


@pytest.mark.parametrize(
    ("left_ms", "at_s"), [(None, None), (10_000, 109.8), (1000, 100.9), (0, 100.0)]
)
def test_a_gather_ends_a_little_before_its_app_gives_it_up(
    left_ms: int | None, at_s: float | None
) -> None:
    assert ends_at_s(left_ms, 100.0) == pytest.approx(at_s)
