"""What the supervisor says to its workers, over a real socket and through the real client."""

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from grpc import aio

from node import workers as workers_module
from node.consent import refusals
from node.consent.model import Question
from node.control import ControlClient
from node.exchange.providing import Asker
from node.model import Current
from node.policy.allowance import Side
from node.workers import Workers
from runtime.grpc_errors import ErrorInterceptor
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, ServiceId, SubsystemId
from simpul.node.v1 import admin_pb2, control_pb2, control_pb2_grpc

SNAPSHOT = control_pb2.Snapshot(directory_path="directory/1")


@dataclass(slots=True)
class Orders:
    """A worker that takes `takes_s` for a snapshot, or refuses it with `fault`."""

    takes_s: float = 0.0
    fault: SimpulError | None = None
    taken: list[str] = field(default_factory=list)
    withdrawn: list[str] = field(default_factory=list)
    confirmed: int = 0

    async def take_snapshot(self, snapshot: control_pb2.Snapshot) -> None:
        await asyncio.sleep(self.takes_s)
        if self.fault is not None:
            raise self.fault
        self.taken.append(snapshot.directory_path)

    async def ask(self, question: control_pb2.Question) -> bytes:
        return question.data + b", asked of " + question.node.encode()

    async def judge_consents(self, consents: control_pb2.Consents) -> None:
        if consents.withdrawn:
            self.withdrawn += consents.withdrawn
        self.confirmed += consents.confirm

    def links(self) -> list[admin_pb2.LinkStatus]:
        return []

    async def drain(self, grace_s: float) -> None:
        del grace_s


async def _nothing(*args: object) -> tuple[int, bytes]:
    del args
    return 0, b""


async def _unheard(notice: bytes, member: str) -> None:
    del notice, member


async def _leased(agreement: bytes, side: Side, wanted: int) -> int:
    if agreement != b"agreed":
        raise SimpulError(Code.ACCESS_QUOTA, "used up", retry_after_ms="1500")
    return min(wanted, 3 if side is Side.PROVIDER else 2)


async def _verified(question: Question) -> int:
    if question.subject != "Budi":
        raise refusals.unknown()
    return 1_234


async def _echo(service: str, method: str, data: bytes, asker: Asker) -> bytes:
    return f"{service}/{method} by {asker.node} for {asker.member}: ".encode() + data


async def _catalogue(method: str, data: bytes, consumers: Collection[str]) -> list[bytes]:
    if method != "Search":
        raise SimpulError(Code.CONTRACT_UNKNOWN, "none such")
    return [data, *(each.encode() for each in consumers)]


@pytest.fixture
async def supervisor(tmp_path: Path) -> AsyncIterator[Workers]:
    made = Workers(
        answer=_echo, refresh=_nothing, lease=_leased, catalogue=_catalogue, verify=_verified
    )
    server = aio.server(interceptors=[ErrorInterceptor()])
    control_pb2_grpc.add_ControlServicer_to_server(made, server)
    server.add_insecure_port(f"unix:{tmp_path}/c")
    await server.start()
    yield made
    await server.stop(0)


@asynccontextmanager
async def attached(tmp_path: Path, orders: Orders) -> AsyncIterator[None]:
    async with aio.insecure_channel(f"unix:{tmp_path}/c") as channel:
        running = asyncio.create_task(ControlClient(channel, 0, orders, Current()).run())
        try:
            yield
        finally:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)


async def test_a_worker_that_attaches_late_gets_the_newest_snapshot(
    supervisor: Workers, tmp_path: Path
) -> None:
    await supervisor.push(SNAPSHOT)
    orders = Orders()
    async with attached(tmp_path, orders):
        await supervisor.wait_ready(1)
    assert orders.taken == [SNAPSHOT.directory_path]


async def test_a_first_snapshot_may_take_longer_than_the_ones_after_it(
    supervisor: Workers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(workers_module, "ACKNOWLEDGE_TIMEOUT_S", 0.1)
    await supervisor.push(SNAPSHOT)
    orders = Orders(takes_s=0.3)
    async with attached(tmp_path, orders):
        await supervisor.wait_ready(1)
        with pytest.raises(SimpulError) as caught:
            await supervisor.push(SNAPSHOT)
        assert caught.value.code is Code.INTERNAL


async def test_a_worker_that_cannot_begin_says_why_to_whoever_waits(
    supervisor: Workers, tmp_path: Path
) -> None:
    await supervisor.push(SNAPSHOT)
    orders = Orders(fault=SimpulError(Code.PORT_IN_USE, "127.0.0.1:1 is in use"))
    async with attached(tmp_path, orders):
        with pytest.raises(SimpulError) as caught:
            await supervisor.wait_ready(1)
        assert caught.value.code is Code.PORT_IN_USE
    assert supervisor.ready == 0


async def test_a_worker_that_begins_later_is_not_held_to_what_the_first_one_said(
    supervisor: Workers, tmp_path: Path
) -> None:
    await supervisor.push(SNAPSHOT)
    async with attached(tmp_path, Orders(fault=SimpulError(Code.PORT_IN_USE, "taken"))):
        with pytest.raises(SimpulError):
            await supervisor.wait_ready(1)
    async with attached(tmp_path, Orders()):
        while not supervisor.ready:
            await asyncio.sleep(0.01)
        await supervisor.wait_ready(1)


async def test_a_worker_leases_calls_and_hears_when_there_are_none(
    supervisor: Workers, tmp_path: Path
) -> None:
    del supervisor
    async with aio.insecure_channel(f"unix:{tmp_path}/c") as channel:
        client = ControlClient(channel, 0, Orders(), Current())
        assert await client.lease(b"agreed", Side.PROVIDER, 9) == 3
        assert await client.lease(b"agreed", Side.CONSUMER, 9) == 2
        with pytest.raises(SimpulError) as caught:
            await client.lease(b"other", Side.CONSUMER, 9)
    assert caught.value.code is Code.ACCESS_QUOTA
    assert caught.value.details["retry_after_ms"] == "1500"


async def test_a_question_goes_out_and_its_answer_comes_back(
    supervisor: Workers, tmp_path: Path
) -> None:
    await supervisor.push(SNAPSHOT)
    async with attached(tmp_path, Orders()):
        question = control_pb2.Question(node="ID/~n", data=b"what", timeout_ms=1000)
        assert await supervisor.ask(question) == b"what, asked of ID/~n"


async def test_what_a_peer_asks_is_answered_by_the_supervisor(
    supervisor: Workers, tmp_path: Path
) -> None:
    del supervisor
    asker = Asker(NodeId.parse("ID/~n"), MemberId.parse("ID/DAERAH/53.15"))
    async with aio.insecure_channel(f"unix:{tmp_path}/c") as channel:
        client = ControlClient(channel, 0, Orders(), Current())
        answer = await client.answer("simpul.v1.Agreements", "Held", b"all", asker)
    assert answer == b"simpul.v1.Agreements/Held by ID/~n for ID/DAERAH/53.15: all"


async def test_the_catalogue_is_asked_through_the_supervisor(
    supervisor: Workers, tmp_path: Path
) -> None:
    del supervisor
    async with aio.insecure_channel(f"unix:{tmp_path}/c") as channel:
        client = ControlClient(channel, 0, Orders(), Current())
        found = [each async for each in client.ask_catalogue("Search", b"words", ["one", "two"])]
        assert found == [b"words", b"one", b"two"]
        with pytest.raises(SimpulError) as caught:
            [each async for each in client.ask_catalogue("Show", b"", [])]
        assert caught.value.code is Code.CONTRACT_UNKNOWN
    async with aio.insecure_channel(f"unix:{tmp_path}/nobody") as channel:
        client = ControlClient(channel, 0, Orders(), Current())
        with pytest.raises(SimpulError) as caught:
            [each async for each in client.ask_catalogue("Search", b"", [])]
        assert caught.value.code is Code.SUPERVISOR_LOST


async def test_a_worker_asks_for_consents_and_hears_why_not(
    supervisor: Workers, tmp_path: Path
) -> None:
    del supervisor
    question = Question(
        "cns-kutai", SubsystemId.parse("ID/DAERAH/53.15/app"),
        ServiceId.parse("ID/DAERAH/64.02/pariwisata/wisata.v1.Wisata"), "Get", "wisata", "Budi",
    )  # fmt: skip
    async with aio.insecure_channel(f"unix:{tmp_path}/c") as channel:
        client = ControlClient(channel, 0, Orders(), Current())
        assert await client.verify_consent(question) == 1_234
        with pytest.raises(SimpulError) as caught:
            await client.verify_consent(replace(question, subject="Siti"))
    assert caught.value.code is Code.CONSENT_REFUSED


async def test_withdrawals_reach_a_worker_and_one_that_attaches_affirms_anew(
    supervisor: Workers, tmp_path: Path
) -> None:
    await supervisor.push(SNAPSHOT)
    orders = Orders()
    async with attached(tmp_path, orders):
        await supervisor.wait_ready(1)
        async with asyncio.timeout(10):
            while not orders.confirmed:
                await asyncio.sleep(0.01)
        await supervisor.end_consents(frozenset({"cns-b", "cns-a"}))
        assert orders.withdrawn == ["cns-a", "cns-b"]
        await supervisor.confirm_consents()
        assert orders.confirmed == 2
