"""Looking after apps that left: soon enough, and not more often than that is worth."""

from __future__ import annotations

import asyncio

from node.gateway.poller import PATIENCE_S, Poller


class Call:
    """A call that waits, until its app is found to be gone."""

    def __init__(self, *, gone_after: int = 1_000_000) -> None:
        self.looks = 0
        self.over = False
        self._gone_after = gone_after

    async def look(self) -> None:
        """Count it."""
        self.looks += 1
        self.over = self.over or self.looks >= self._gone_after


async def test_a_call_is_not_looked_at_more_often_than_its_patience() -> None:
    poller, calls = Poller(), [Call() for _ in range(10)]
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    for call in calls:
        poller.watch(call)
    while min(call.looks for call in calls) < 3:
        await asyncio.sleep(0.01)
    took_s = loop.time() - began_s
    assert max(call.looks for call in calls) <= took_s / PATIENCE_S
    for call in calls:
        call.over = True
    await until_nobody(poller)


async def test_who_is_gone_or_answered_is_forgotten() -> None:
    poller = Poller()
    answered, gone, stays = Call(), Call(gone_after=1), Call(gone_after=3)
    for call in (answered, gone, stays):
        poller.watch(call)
    answered.over = True
    await until_nobody(poller)
    assert [call.looks for call in (answered, gone, stays)] == [0, 1, 3]
    # And one that comes after that is looked at, too.
    late = Call(gone_after=1)
    poller.watch(late)
    await until_nobody(poller)
    assert late.looks == 1


async def until_nobody(poller: Poller) -> None:
    """Wait until no call is watched."""
    async with asyncio.timeout(10):
        while poller.waiting:
            await asyncio.sleep(0.01)
