"""One call on the provider's side: what the consumer still says of it, and what it is told.

Everything that is said here is an entry on the call's link, durable before it leaves. A refusal is
the first word or none, and says that the service has not heard of the call.

Source: docs/spec, "Calls: outcomes".
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Final

from node.calls import (
    HalfClose,
    Headers,
    Message,
    Metadata,
    OutboundCall,
    Trailers,
)
from node.exchange.fields import ALL
from node.exchange.metadata import error_trailers, passed_on
from node.link.model import CallLink, ReceivedEntry
from runtime.tracing import NO_SPAN
from security import kinds
from security.errors import ERRORS, SimpulError
from security.private import Private, make_private

GIVEN_UP: Final = Trailers(1, "the consumer gave the call up")


class Answer:
    """One call on the provider's side; the link delivers its later entries here."""

    def __init__(self, link: CallLink, entry: ReceivedEntry, opened: kinds.Open) -> None:
        self.link = link
        self.opened = opened
        self.call_id = entry.call_id
        self.arrived_ns = entry.arrived_ns
        self.span = NO_SPAN
        self.member = entry.member
        self.private = entry.private
        self.request = entry.message
        self.fields = ALL
        self.task: asyncio.Task[None] | None = None
        # The service may have heard of the call.
        self.called = False
        # Something of the service's has gone out.
        self._spoken = False
        self._headed = False
        self._ended = False
        self._service: OutboundCall | None = None
        self._begun = asyncio.Event()
        # The consumer gave it up, or its link is gone.
        self.cancelled = False

    async def on_entry(self, entry: ReceivedEntry) -> None:
        """Take the consumer's next entry; on a child link it waits while the service is slow."""
        if isinstance(entry.kind, kinds.Cancel):
            self._give_up()
            return
        if entry.fault is not None:
            self._give_up()
            self.refuse(entry.fault)
            return
        await self._begun.wait()
        if self._service is not None:
            message = entry.message
            event = HalfClose() if message is None else self.fields.asked(message)
            await self._service.send(event)

    def on_lost(self, error: SimpulError) -> None:
        """The link broke: nobody hears the answer any more."""
        del error
        self._ended = True
        self._give_up()

    async def carry(self, service: OutboundCall) -> int:
        """Carry a streaming call's messages from the service to the link, to the end."""
        self._service = service
        self.called = True
        self._begun.set()
        if self.cancelled:
            service.cancel()
        try:
            if self.request is not None:
                await service.send(self.fields.asked(self.request))
            if self.opened.unary:
                await service.send(HalfClose())
            return await self._carry_answer(service)
        except BaseException:
            # Whatever ends the call here ends the service's work too.
            service.cancel()
            raise

    def head(self, metadata: Metadata) -> None:
        """Say the service's headers, ahead of its answer."""
        if self._ended:
            return
        metadata = self.fields.answered_metadata(metadata)
        # Headers past the limit end the call with the answer, which has them too.
        with contextlib.suppress(SimpulError):
            self._say(kinds.Head(), private=Private(metadata=passed_on(metadata)))
            self._headed = True

    def close(
        self, trailers: Trailers, *, headers: Headers | None = None, message: Message | None = None
    ) -> None:
        """End the call with what the service said; `headers` and `message` are a unary answer's."""
        if not self._ended:
            private = Private(
                metadata=() if headers is None or self._headed else passed_on(headers.metadata),
                trailers=trailers.metadata,
                status_message=trailers.message,
            )
            self._say(kinds.Close(trailers.status), message, private)
        self._finish()

    def refuse(self, error: SimpulError) -> None:
        """End the call with this node's own no.

        A refusal is the first word or none, and says that the service has not heard of the call:
        after that, the call closes with the error's status.
        """
        status = ERRORS[error.code].grpc_status
        if (self._spoken or self.called) and not self._ended:
            self.close(error_trailers(error, self.call_id))
            return
        if not self._ended:
            private = Private(status_message=error.message)
            self._say(kinds.Refuse(error.code.value, status), private=private)
        self._finish()

    async def _carry_answer(self, service: OutboundCall) -> int:
        while True:
            event = self.fields.answered(await service.receive())
            if isinstance(event, Trailers):
                if event.error is not None:
                    self.called = event.sent
                    raise event.error
                self.close(clean(event))
                return event.status
            await self.link.room()
            if isinstance(event, Headers):
                private = Private(metadata=passed_on(event.metadata))
                self._say(kinds.Head(), private=private)
            else:
                self._say(kinds.Message(), event)

    def end(self, error: SimpulError) -> None:
        """End the call now: its agreement is no longer in force."""
        if self._ended:
            return
        self.refuse(error)
        self.cancelled = True
        if self._service is not None:
            self._service.cancel()
        elif self.task is not None:
            self.task.cancel()

    def _finish(self) -> None:
        self._ended = True
        self._begun.set()

    def _give_up(self) -> None:
        """Stop the service's work. Its end, CANCELLED, then closes the call in the usual way."""
        self.cancelled = True
        if self._service is not None:
            self._service.cancel()
        elif self.task is not None and self.opened.unary:
            self.task.cancel()
            self.close(GIVEN_UP)

    def _say(
        self, kind: kinds.Kind, message: Message | None = None, private: Private | None = None
    ) -> None:
        payload = None if message is None else message.data
        block = None if private is None else make_private(private)
        self.link.check_size(payload, block)
        self._spoken = True
        self.link.say(
            kind,
            self.call_id,
            payload=payload,
            compressed=message is not None and message.compressed,
            private=block,
        )


def clean(trailers: Trailers) -> Trailers:
    """Without what a service may not say."""
    return Trailers(trailers.status, trailers.message, passed_on(trailers.metadata))
