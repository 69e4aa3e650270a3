"""A worker takes leases as it needs them: never more calls than were leased, and few in vain."""

import asyncio
from dataclasses import dataclass, field
from typing import Final

import pytest

from node.exchange import allowance as module
from node.exchange.allowance import MAX_LEASE, Allowance
from node.policy.allowance import Side
from security.agreement import RateTerm
from security.errors import Code, SimpulError

AGREEMENT: Final = bytes(32)
RATE: Final = RateTerm(10, 10, 0)


@dataclass(slots=True)
class Supervisor:
    """Has `left` calls to give."""

    left: int = 1_000_000
    takes_s: float = 0.0
    retry_after_ms: int = 60_000
    fault: SimpulError | None = None
    asked: list[int] = field(default_factory=list)

    async def lease(self, agreement: bytes, side: Side, wanted: int) -> int:
        assert agreement == AGREEMENT
        assert side in Side
        self.asked.append(wanted)
        await asyncio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault
        if self.left == 0:
            raise SimpulError(Code.ACCESS_QUOTA, "used up", retry_after_ms=str(self.retry_after_ms))
        given = min(wanted, self.left)
        self.left -= given
        return given


async def taken(allowance: Allowance, count: int) -> int:
    """How many of so many calls at once may begin."""
    ends = await asyncio.gather(
        *(allowance.take(AGREEMENT, RATE, Side.PROVIDER) for _ in range(count)),
        return_exceptions=True,
    )
    refused = [end for end in ends if isinstance(end, SimpulError)]
    assert all(error.code is Code.ACCESS_QUOTA for error in refused)
    return count - len(refused)


async def test_without_a_limit_nobody_is_asked() -> None:
    supervisor = Supervisor()
    await Allowance(supervisor.lease).take(AGREEMENT, None, Side.PROVIDER)
    assert not supervisor.asked


async def test_never_more_begin_than_there_are() -> None:
    supervisor = Supervisor(left=137)
    allowance = Allowance(supervisor.lease)
    assert await taken(allowance, 500) == 137
    assert supervisor.left == 0


async def test_many_at_once_share_leases_that_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    # However busy the machine is, this is at once.
    monkeypatch.setattr(module, "USED_AT_ONCE_S", 60.0)
    supervisor = Supervisor()
    assert await taken(Allowance(supervisor.lease), 1000) == 1000
    assert supervisor.asked[:4] == [1, 2, 4, 8]
    assert max(supervisor.asked) == MAX_LEASE
    assert len(supervisor.asked) < 25


async def test_a_call_now_and_then_leases_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "USED_AT_ONCE_S", 0.0)
    supervisor = Supervisor()
    allowance = Allowance(supervisor.lease)
    for _ in range(3):
        await allowance.take(AGREEMENT, RATE, Side.PROVIDER)
    assert supervisor.asked == [1, 1, 1]


async def test_what_was_leased_and_not_used_is_not_saved_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "LEASE_S", 0.2)
    supervisor = Supervisor()
    allowance = Allowance(supervisor.lease)
    await taken(allowance, 20)
    asked = len(supervisor.asked)
    assert 1_000_000 - supervisor.left > 20
    await asyncio.sleep(0.25)
    await taken(allowance, 1)
    assert supervisor.asked[asked:] == [1]


async def test_a_flood_that_is_refused_does_not_reach_the_supervisor() -> None:
    supervisor = Supervisor(left=0)
    allowance = Allowance(supervisor.lease)
    assert await taken(allowance, 100) == 0
    assert await taken(allowance, 100) == 0
    assert len(supervisor.asked) == 1


async def test_after_a_refusal_it_asks_again_when_it_is_time() -> None:
    supervisor = Supervisor(left=0, retry_after_ms=20)
    allowance = Allowance(supervisor.lease)
    assert await taken(allowance, 1) == 0
    supervisor.left = 1
    await asyncio.sleep(0.03)
    assert await taken(allowance, 1) == 1


async def test_a_lost_supervisor_refuses_everybody_and_is_asked_again() -> None:
    supervisor = Supervisor(fault=SimpulError(Code.SUPERVISOR_LOST, "lost"))
    allowance = Allowance(supervisor.lease)
    with pytest.raises(SimpulError) as caught:
        await allowance.take(AGREEMENT, RATE, Side.PROVIDER)
    assert caught.value.code is Code.SUPERVISOR_LOST
    supervisor.fault = None
    await allowance.take(AGREEMENT, RATE, Side.PROVIDER)


async def test_who_stops_waiting_takes_nothing_and_stops_nobody() -> None:
    supervisor = Supervisor(left=1, takes_s=0.03)
    allowance = Allowance(supervisor.lease)
    impatient = asyncio.create_task(allowance.take(AGREEMENT, RATE, Side.PROVIDER))
    await asyncio.sleep(0.01)
    impatient.cancel()
    assert await taken(allowance, 1) == 1
