"""The writer over a fake store: what is grouped, in which order, and what follows a failure."""

import asyncio
from collections.abc import Sequence
from threading import Event

import pytest

from node.journal.store import Append, Appended, JournalStore, Lease
from node.journal.writer import Writer
from security.errors import Code, SimpulError
from security.merkle import Frontier
from tests.unit.node.journal.builder import Link, open_entry

WAIT_S = 10


class FakeStore(JournalStore):
    """Keeps groups in memory. `gate` holds an append back; `errors` are raised, one by one."""

    def __init__(self) -> None:
        self.seen: list[tuple[Lease, int]] = []
        self.groups: list[list[Append]] = []
        self.gate = Event()
        self.gate.set()
        self.entered = Event()
        self.renewed = Event()
        self.errors: list[Exception | None] = []
        self.refuse: dict[int, SimpulError] = {}
        self.released = False
        self.closed = False

    def take(self, slot: int, holder: str, *, now_ms: int, lease_ms: int) -> tuple[Lease, Frontier]:
        lease = Lease(slot, holder, 1, lease_ms)
        self.seen.append((lease, now_ms))
        return lease, Frontier()

    def append(
        self, lease: Lease, head: Frontier, group: Sequence[Append], *, now_ms: int
    ) -> Appended:
        self.seen.append((lease, now_ms))
        self.entered.set()
        assert self.gate.wait(WAIT_S)
        error = self.errors.pop(0) if self.errors else None
        if error is not None:
            raise error
        self.groups.append(list(group))
        refused, self.refuse = self.refuse, {}
        for _ in group:
            head = head.append(bytes(32))
        return Appended(head, refused)

    def renew(self, lease: Lease, *, now_ms: int) -> None:
        self.seen.append((lease, now_ms))
        self.renewed.set()

    def tidy(self) -> None:
        return

    def release(self, lease: Lease) -> None:
        self.released = lease == self.seen[0][0]

    def close(self) -> None:
        self.closed = True


class Bench:
    """A writer over a fake store, started."""

    def __init__(self, *, max_waiting: int = 100, lease_ms: int = 60_000) -> None:
        self.store = FakeStore()
        self.failures: list[SimpulError] = []
        self.writer = Writer(
            lambda: self.store, lambda: 1, max_waiting=max_waiting, on_failure=self.failures.append
        )
        opened = Event()
        self.writer.start(0, "test", lease_ms, lambda _error: opened.set())
        assert opened.wait(WAIT_S)

    def submit(self, *links: Link) -> "asyncio.Future[None]":
        records = tuple(link.sent(open_entry(1)) for link in links)
        return self.writer.submit(Append(records), asyncio.get_running_loop())

    async def hold(self, link: Link) -> "asyncio.Future[None]":
        """Submits one append and holds the store within it."""
        self.store.gate.clear()
        self.store.entered.clear()
        future = self.submit(link)
        assert await asyncio.to_thread(self.store.entered.wait, WAIT_S)
        return future

    async def close(self) -> None:
        self.store.gate.set()
        await asyncio.to_thread(self.writer.close)


async def code(future: "asyncio.Future[None]") -> Code:
    with pytest.raises(SimpulError) as caught:
        await future
    return caught.value.code


async def test_what_waits_while_the_disk_is_busy_is_one_group_in_order() -> None:
    bench = Bench()
    first = await bench.hold(Link("0"))
    links = [Link(f"{number}") for number in range(1, 20)]
    futures = [bench.submit(link) for link in links]
    assert not any(future.done() for future in futures)
    bench.store.gate.set()
    await asyncio.gather(first, *futures)
    assert [len(group) for group in bench.store.groups] == [1, 19]
    order = [item.records[0].link_id for item in bench.store.groups[1]]
    assert order == [link.link_id for link in links]
    assert bench.writer.head.size == 20
    await bench.close()


async def test_the_queue_has_a_bound() -> None:
    bench = Bench(max_waiting=3)
    futures = [await bench.hold(Link("0"))]
    futures += [bench.submit(Link(f"{number}")) for number in range(1, 4)]
    with pytest.raises(SimpulError) as caught:
        bench.submit(Link("one too many"))
    assert caught.value.code is Code.OVERLOADED
    bench.store.gate.set()
    await asyncio.gather(*futures)
    await bench.close()


async def test_a_group_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.journal.writer.MAX_GROUP_ENTRIES", 2)
    bench = Bench()
    futures = [await bench.hold(Link("0"))]
    futures += [bench.submit(Link(f"{number}")) for number in range(1, 6)]
    futures.append(bench.submit(*(Link(f"wide {number}") for number in range(3))))
    bench.store.gate.set()
    await asyncio.gather(*futures)
    assert [len(group) for group in bench.store.groups] == [1, 2, 2, 1, 1]
    await bench.close()


async def test_a_refused_append_fails_alone() -> None:
    bench = Bench()
    first = await bench.hold(Link("0"))
    good, bad = bench.submit(Link("good")), bench.submit(Link("bad"))
    bench.store.gate.set()
    await first
    await good
    await bad
    bench.store.refuse = {0: SimpulError(Code.CONFLICT, "no")}
    assert await code(bench.submit(Link("worse"))) is Code.CONFLICT
    await bench.submit(Link("better"))
    await bench.close()


async def test_after_a_full_disk_other_links_go_on_and_the_failed_one_does_not() -> None:
    bench = Bench()
    bench.store.errors = [SimpulError(Code.JOURNAL_FULL, "no room")]
    failed = Link("failed")
    assert await code(bench.submit(failed)) is Code.JOURNAL_FULL
    await bench.submit(Link("another"))
    # Its chain would have a gap.
    assert await code(bench.submit(failed)) is Code.JOURNAL_FULL
    assert await code(bench.submit(Link("third"), failed)) is Code.JOURNAL_FULL
    assert await code(bench.submit(Link("third"))) is Code.JOURNAL_FULL
    assert bench.writer.failure is None
    assert bench.failures == []
    await bench.close()


@pytest.mark.parametrize(
    "error",
    [
        SimpulError(Code.JOURNAL_FAILED, "the disk failed"),
        SimpulError(Code.JOURNAL_LOCKED, "overtaken"),
        RuntimeError("what nobody thought of"),
    ],
)
async def test_after_a_failure_nothing_more_is_tried(error: Exception) -> None:
    bench = Bench()
    bench.store.errors = [None, error]
    first = await bench.hold(Link("0"))
    during = bench.submit(Link("1"))
    bench.store.gate.set()
    await first
    wanted = error.code if isinstance(error, SimpulError) else Code.JOURNAL_FAILED
    assert await code(during) is wanted
    assert await code(bench.submit(Link("2"))) is wanted
    await bench.close()
    assert [failure.code for failure in bench.failures] == [wanted]
    assert "nobody thought" not in bench.failures[0].message
    assert len(bench.store.groups) == 1
    assert bench.store.closed


async def test_while_it_is_full_it_looks_again_by_itself() -> None:
    bench = Bench(lease_ms=3_000_000)
    bench.store.errors = [SimpulError(Code.JOURNAL_FULL, "no room")]
    assert await code(bench.submit(Link("0"))) is Code.JOURNAL_FULL
    assert await asyncio.to_thread(bench.store.renewed.wait, WAIT_S)
    async with asyncio.timeout(WAIT_S):
        while bench.writer.full is not None:
            await asyncio.sleep(0.01)
    await bench.close()


async def test_an_append_that_finds_room_ends_the_refusal() -> None:
    bench = Bench(lease_ms=3_000_000)
    bench.store.errors = [SimpulError(Code.JOURNAL_FULL, "no room")]
    assert await code(bench.submit(Link("0"))) is Code.JOURNAL_FULL
    await bench.submit(Link("1"))
    assert bench.writer.full is None
    await bench.close()


async def test_who_waits_during_a_failure_is_told() -> None:
    bench = Bench()
    bench.store.errors = [SimpulError(Code.JOURNAL_FAILED, "the disk failed")]
    futures = [await bench.hold(Link("0"))]
    futures += [bench.submit(Link(f"{number}")) for number in range(1, 4)]
    bench.store.gate.set()
    assert {await code(future) for future in futures} == {Code.JOURNAL_FAILED}
    await bench.close()


async def test_an_idle_writer_renews_its_lease() -> None:
    bench = Bench(lease_ms=30)
    assert await asyncio.to_thread(bench.store.renewed.wait, WAIT_S)
    await bench.close()


async def test_closing_writes_what_waits_and_gives_the_slot_back() -> None:
    bench = Bench()
    futures = [await bench.hold(Link("0")), bench.submit(Link("1"))]
    await bench.close()
    await asyncio.gather(*futures)
    assert bench.store.released
    assert bench.store.closed
    assert await code(bench.submit(Link("2"))) is Code.JOURNAL_FAILED


async def test_a_cancelled_future_disturbs_nobody() -> None:
    bench = Bench()
    first = await bench.hold(Link("0"))
    cancelled, other = bench.submit(Link("1")), bench.submit(Link("2"))
    cancelled.cancel()
    bench.store.gate.set()
    await asyncio.gather(first, other)
    assert len(bench.store.groups[1]) == 2
    await bench.close()
