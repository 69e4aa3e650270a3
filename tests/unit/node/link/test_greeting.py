"""The wait for a peer's greeting: bounded where it is silent, patient where the loop is late."""

import asyncio
import time

import pytest

from node.link import greet
from node.link.greet import GREETING_LOOKS, first_frame


class Stream:
    """A `FrameStream` whose peer says one thing, after a while; or never."""

    def __init__(self, says: bytes | None, after_s: float | None) -> None:
        self._says = says
        self._after_s = after_s
        self.cancelled = False

    async def read(self) -> bytes | None:
        try:
            await asyncio.sleep(3600 if self._after_s is None else self._after_s)
        except asyncio.CancelledError:
            self.cancelled = True
            raise
        for _ in range(5):
            # As a completion of grpcio, which comes through the loop's own socket.
            await asyncio.sleep(0)
        return self._says

    async def write(self, frame: bytes) -> None:
        raise AssertionError(frame)

    async def finish(self) -> None:
        raise AssertionError

    def close(self, error: Exception | None = None) -> None:
        raise AssertionError(error)


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(greet, "GREETING_LOOK_S", 0.01)


@pytest.mark.parametrize("says", [b"greeting", None])
async def test_what_the_peer_says_first(says: bytes | None) -> None:
    assert await first_frame(Stream(says, 0.03)) == says


async def test_a_silent_peer_is_waited_for_so_long_and_its_read_is_given_up() -> None:
    stream = Stream(None, None)
    with pytest.raises(TimeoutError):
        await first_frame(stream)
    await asyncio.sleep(0)
    assert stream.cancelled


async def test_a_loop_that_is_late_does_not_take_it_for_the_peers_silence() -> None:
    """It stands still for longer than the whole wait; then what came takes some turns to come."""
    stream = Stream(b"greeting", 0.05)
    waiting = asyncio.ensure_future(first_frame(stream))
    await asyncio.sleep(0)
    time.sleep(2 * GREETING_LOOKS * greet.GREETING_LOOK_S)  # noqa: ASYNC251 - that is the fault
    assert await waiting == b"greeting"


async def test_a_wait_that_is_given_up_gives_up_its_read() -> None:
    stream = Stream(b"greeting", None)
    waiting = asyncio.ensure_future(first_frame(stream))
    await asyncio.sleep(0.005)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    await asyncio.sleep(0)
    assert stream.cancelled
