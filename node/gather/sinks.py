"""Where a gather's answers go: as they are, or each with the name of who gave it."""

from __future__ import annotations

from node.calls import InboundCall, Message
from node.gather.part import Part, PartEnd
from simpul.v1 import gather_pb2


class Merged:
    """The method's own messages, in one stream."""

    def __init__(self, call: InboundCall) -> None:
        self._call = call

    async def message(self, part: Part, message: Message) -> None:
        """As it came."""
        del part
        await self._call.send(message)

    async def ended(self, part: Part, end: PartEnd) -> None:
        """The trailers count it."""


class Labelled:
    """A GatherCallResponse for each message and each end; one for both where answers are single."""

    def __init__(self, call: InboundCall, *, single: bool) -> None:
        self._call = call
        self._single = single
        self._kept: dict[Part, bytes] = {}

    async def message(self, part: Part, message: Message) -> None:
        """With the name of who gave it; a single answer waits for its end, which is near."""
        if self._single:
            self._kept[part] = message.data
            return
        await self._send(_response(part, message.data))

    async def ended(self, part: Part, end: PartEnd) -> None:
        """How the part ended, and with what."""
        response = _response(part, self._kept.pop(part, None))
        response.end.CopyFrom(
            gather_pb2.GatherPartEnd(
                call_id=end.call_id.hex(),
                status=end.status,
                code=end.code,
                message=end.message,
                messages=end.messages,
                duration_ms=end.duration_ms,
            )
        )
        await self._send(response)

    async def _send(self, response: gather_pb2.GatherCallResponse) -> None:
        await self._call.send(Message(response.SerializeToString()))


def _response(part: Part, payload: bytes | None) -> gather_pb2.GatherCallResponse:
    return gather_pb2.GatherCallResponse(
        provider="" if part.provider is None else str(part.provider),
        region=part.region,
        payload=payload,
    )
