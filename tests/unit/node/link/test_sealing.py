"""Seal keys that wait for a device: the loop goes on, and a device that fails stops only itself."""

import asyncio
import threading
from collections.abc import AsyncIterator

import pytest

from node.link import sealer
from security.errors import Code, SimpulError
from security.keys import PrivateKey
from tests.conformance import fixed
from tests.support.pair import Pair, pair, unary


class Device(PrivateKey):
    """A key whose device can be held, or fail."""

    __slots__ = ("fault", "go", "signed")

    def attach(self) -> None:
        self.go = threading.Event()
        self.go.set()
        self.fault: SimpulError | None = None
        self.signed: list[int] = []

    @property
    def on_device(self) -> bool:
        return True

    def sign(self, domain: bytes, data: bytes) -> bytes:
        assert self.go.wait(10)
        if self.fault is not None:
            raise self.fault
        self.signed.append(threading.get_ident())
        return super().sign(domain, data)


@pytest.fixture
async def two() -> AsyncIterator[Pair]:
    async with pair() as made:
        yield made


def put(two: Pair) -> Device:
    """The ministry's seal key becomes one on a device."""
    keys = two.consumer.seal_keys
    device = Device.from_pem(keys[fixed.MINISTRY].to_pem())
    device.attach()
    keys[fixed.MINISTRY] = device
    return device


async def test_a_device_signs_in_a_thread_of_its_own(two: Pair) -> None:
    device = put(two)

    assert (await two.consumer.run(unary())).error() == ""

    assert device.signed
    assert threading.get_ident() not in device.signed


async def test_while_a_device_signs_the_loop_goes_on_and_calls_gather(two: Pair) -> None:
    assert (await two.consumer.run(unary())).error() == ""
    device = put(two)
    device.go.clear()

    calls = [asyncio.create_task(two.consumer.run(unary())) for _ in range(20)]
    # Without a thread, this would wait for the device.
    await asyncio.sleep(0.05)
    assert not any(call.done() for call in calls)
    device.go.set()

    assert [(await call).error() for call in calls] == [""] * 20
    # One for what waited first, and one for all that gathered meanwhile; receipts come beside.
    assert len(device.signed) < 20


async def test_a_device_that_fails_refuses_and_recovers(two: Pair) -> None:
    assert (await two.consumer.run(unary())).error() == ""
    device = put(two)
    device.fault = SimpulError(Code.HSM_UNAVAILABLE, "the token is out; plug it in")

    assert (await two.consumer.run(unary())).error() == Code.HSM_UNAVAILABLE
    assert not two.consumer.sealing.done()

    device.fault = None
    async with asyncio.timeout(10):
        while (await two.consumer.run(unary())).error():
            await asyncio.sleep(0.05)


async def test_a_device_that_hangs_holds_up_no_more_than_its_time(
    two: Pair, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert (await two.consumer.run(unary())).error() == ""
    monkeypatch.setattr(sealer, "TOKEN_TIMEOUT_S", 0.1)
    device = put(two)
    device.go.clear()

    assert (await two.consumer.run(unary())).error() == Code.HSM_UNAVAILABLE
    assert not two.consumer.sealing.done()
    device.go.set()
