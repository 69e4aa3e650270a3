"""`simpul.v1.Catalogue`, as apps ask it: who they are is checked here, and the supervisor answers.

The index is the supervisor's, once for all workers: making it would hold up calls here.

Source: docs/spec, "Catalogue".
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence

from node.calls import Headers, InboundCall, Message, Trailers
from node.exchange.asks import Asked
from node.exchange.attempts import one_request
from node.model import Current
from security.errors import Code, SimpulError

# Of a method, with a request, in the name of these subsystems: the messages of the answer.
AskCatalogue = Callable[[str, bytes, Sequence[str]], AsyncIterator[bytes]]
# Of an app that says none: the first question to a large catalogue builds its index.
TIMEOUT_S = 60.0


class CatalogueCalls:
    """Answers one worker's apps."""

    def __init__(self, current: Current, ask: AskCatalogue) -> None:
        self._current = current
        self._ask = ask

    async def answer(self, method: str, call: InboundCall, now_ms: int) -> None:
        """One call of a method of the service.

        Raises:
            SimpulError: The app does not prove who it is (APP_CREDENTIAL_MISSING,
                APP_CREDENTIAL_WRONG); what the catalogue refuses with; SUPERVISOR_LOST.
        """
        request = call.request
        app = self._current.snapshot.apps.authenticate(
            token=request.token,
            certificate_sha256=request.certificate_sha256,
            local=request.local,
            now_ms=now_ms,
        )
        left_ms = request.deadline_left_ms
        timeout_s = TIMEOUT_S if left_ms is None else min(TIMEOUT_S, left_ms / 1000)
        ends_at_s = asyncio.get_running_loop().time() + timeout_s
        message = await one_request(Asked(call, b"", ends_at_s))
        consumers = sorted(map(str, app.subsystems))
        began = False
        try:
            async with asyncio.timeout_at(ends_at_s):
                async for data in self._ask(method, message.data, consumers):
                    if not began:
                        began = True
                        await call.send(Headers())
                    await call.send(Message(data))
        except TimeoutError:
            raise SimpulError(
                Code.DEADLINE_EXCEEDED, "the catalogue took longer than the call may; ask again"
            ) from None
        if not began:
            await call.send(Headers())
        await call.send(Trailers(0))
