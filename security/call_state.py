"""When an entry may come in its call: two tables, and an unknown pair is refused.

A call has two directions, and each has a state of its own, because the two sides' entries cross on
the wire: the provider may close while the consumer still sends, and the consumer may cancel while
an answer is on its way. What the consumer sends depends only on what it sent before; likewise the
provider.

    requests                              responses
    FLOWING    more may come              SILENT    nothing yet
    ENDED      half-closed, or unary      HEADED    the head was sent
    CANCELLED  the consumer gave up       SPEAKING  a message was sent
                                          CLOSED    closed or refused

After a cancel the provider's entries are taken as before, until its close. After CLOSED nothing
comes from the provider; what may still come from the consumer, and for how long, is in `calls`.
A close carries a message (a unary answer) only where no message went before it. A refusal is the
provider's first word or none.

Source: docs/spec, "Calls: states".
"""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from security.errors import Code, SimpulError
from security.kinds import EntryKind


class Side(StrEnum):
    """The side of a call that an entry comes from, or that a node is on."""

    CONSUMER = "consumer"
    PROVIDER = "provider"

    @property
    def other(self) -> "Side":
        """The opposite side."""
        return Side.PROVIDER if self is Side.CONSUMER else Side.CONSUMER


class RequestState(StrEnum):
    """What the consumer has sent."""

    FLOWING = "flowing"
    ENDED = "ended"
    CANCELLED = "cancelled"

    __hash__ = str.__hash__  # As EntryKind's.


class ResponseState(StrEnum):
    """What the provider has sent."""

    SILENT = "silent"
    HEADED = "headed"
    SPEAKING = "speaking"
    CLOSED = "closed"

    __hash__ = str.__hash__  # As EntryKind's.


REQUESTS: Final[Mapping[tuple[RequestState, EntryKind], RequestState]] = MappingProxyType(
    {
        (RequestState.FLOWING, EntryKind.MESSAGE): RequestState.FLOWING,
        (RequestState.FLOWING, EntryKind.HALF_CLOSE): RequestState.ENDED,
        (RequestState.FLOWING, EntryKind.CANCEL): RequestState.CANCELLED,
        (RequestState.ENDED, EntryKind.CANCEL): RequestState.CANCELLED,
    }
)

RESPONSES: Final[Mapping[tuple[ResponseState, EntryKind], ResponseState]] = MappingProxyType(
    {
        (ResponseState.SILENT, EntryKind.HEAD): ResponseState.HEADED,
        (ResponseState.SILENT, EntryKind.MESSAGE): ResponseState.SPEAKING,
        (ResponseState.SILENT, EntryKind.CLOSE): ResponseState.CLOSED,
        (ResponseState.SILENT, EntryKind.REFUSE): ResponseState.CLOSED,
        (ResponseState.HEADED, EntryKind.MESSAGE): ResponseState.SPEAKING,
        (ResponseState.HEADED, EntryKind.CLOSE): ResponseState.CLOSED,
        (ResponseState.SPEAKING, EntryKind.MESSAGE): ResponseState.SPEAKING,
        (ResponseState.SPEAKING, EntryKind.CLOSE): ResponseState.CLOSED,
    }
)


def opened(*, unary: bool) -> tuple[RequestState, ResponseState]:
    """The states after an open; a unary request ends with it."""
    return RequestState.ENDED if unary else RequestState.FLOWING, ResponseState.SILENT


def after_request(state: RequestState, kind: EntryKind) -> RequestState:
    """The state after an entry of the consumer; raises SimpulError ENTRY_STATE."""
    following = REQUESTS.get((state, kind))
    if following is None:
        raise _refused(Side.CONSUMER, kind, state)
    return following


def after_response(
    state: ResponseState, kind: EntryKind, *, with_message: bool = False
) -> ResponseState:
    """The state after an entry of the provider; raises SimpulError ENTRY_STATE.

    `with_message`: it is a close that carries a unary answer.
    """
    following = RESPONSES.get((state, kind))
    if following is None or (
        with_message and kind is EntryKind.CLOSE and state is ResponseState.SPEAKING
    ):
        raise _refused(Side.PROVIDER, kind, state)
    return following


def _refused(side: Side, kind: EntryKind, state: RequestState | ResponseState) -> SimpulError:
    return SimpulError(
        Code.ENTRY_STATE,
        f"a {kind} of the {side} can't come when its side of the call is {state}; "
        "report it to the sender's operator: its node breaks the protocol",
    )
