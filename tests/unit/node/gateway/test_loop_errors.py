from __future__ import annotations

import asyncio
from typing import Any

from node.gateway.asgi import on_loop_error


class DroppedRecvFutureExecutor:
    """Completes a future that its waiter has given up, as pyvoy's does."""

    def __init__(self, future: asyncio.Future[None]) -> None:
        self._future = future

    def __call__(self) -> None:
        self._future.set_result(None)


class Recording(asyncio.SelectorEventLoop):
    """An event loop whose last word on errors can be read."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[dict[str, Any]] = []
        self.set_exception_handler(on_loop_error)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.told.append(context)


async def _given_up(*, by_the_stack: bool) -> None:
    loop = asyncio.get_running_loop()
    future: asyncio.Future[None] = loop.create_future()
    future.cancel()
    complete = DroppedRecvFutureExecutor(future)
    loop.call_soon(complete if by_the_stack else lambda: future.set_result(None))
    await asyncio.sleep(0)


def test_a_future_that_the_stack_completes_too_late_is_no_error() -> None:
    with asyncio.Runner(loop_factory=Recording) as runner:
        runner.run(_given_up(by_the_stack=True))
        loop = runner.get_loop()
        assert isinstance(loop, Recording)
        assert loop.told == []


def test_any_other_fault_is_told() -> None:
    with asyncio.Runner(loop_factory=Recording) as runner:
        runner.run(_given_up(by_the_stack=False))
        loop = runner.get_loop()
        assert isinstance(loop, Recording)
        (context,) = loop.told
        assert isinstance(context["exception"], asyncio.InvalidStateError)
