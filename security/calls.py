"""The live calls of one link: how far each has come, what was counted, who its parties are.

Both directions of a link share one `CallTable`: `sender` advances a call by each entry it makes,
`receiver` by each that it accepts, under the same rules (`advance`):

- an open begins a call that isn't there; every other entry belongs to one that is;
- the tables of `call_state` allow it;
- its index is the next of its direction;
- what a half-close, close or cancel says was *sent* is exactly what was sent;
- what it says was *received* is no more than the other side sent, and where it is all of that (or
  nothing), the digest is that of what was sent. A count in between can't be judged here without
  keeping a digest for every message; evidence judges it from the journals;
- a close or refuse names the call's open by its digest.

**A closed call.** The consumer forgets a call when it accepts the close or refuse. The provider's
side can't: entries that the consumer sent before it heard are still on their way. So the provider's
side remembers the call until the consumer's node acknowledges the parcel that holds the close: as
long as the consumer's headers say `received.number` below that parcel's number, or nothing, its
message, half-close and cancel are taken (by the same tables), marked late, and acted on by nobody.
From the header on that acknowledges the close, the call is unknown and any entry of it is a fault.
A sender keeps to this by leaving out what waits for a call that has been forgotten meanwhile. The
memory this takes is bounded by what is unacknowledged, which `sender` bounds.

Source: docs/spec, "Calls".
"""

from collections.abc import Mapping
from dataclasses import dataclass

from security.call_state import (
    RequestState,
    ResponseState,
    Side,
    after_request,
    after_response,
    opened,
)
from security.commitment import NO_MESSAGES, Tally
from security.entry_format import ParsedEntry
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.kinds import Cancel, Close, HalfClose, Open, Refuse


@dataclass(frozen=True, slots=True)
class Call:
    """How far a call has come. `here` is the side of it that this node is on."""

    here: Side
    consumer: MemberId
    provider: MemberId
    open_digest: bytes
    request_state: RequestState
    response_state: ResponseState
    # The index of each side's next entry.
    request_index: int
    response_index: int
    requests: Tally
    responses: Tally

    @property
    def closed(self) -> bool:
        """Whether the provider closed or refused it."""
        return self.response_state is ResponseState.CLOSED

    def party(self, side: Side) -> MemberId:
        """The member on this side."""
        return self.consumer if side is Side.CONSUMER else self.provider


def begin(entry: ParsedEntry, kind: Open, open_digest: bytes, here: Side) -> Call:
    """The call that an open begins; raises SimpulError ENTRY_STATE."""
    if entry.index != 0:
        raise _refused(entry, "an open has index 0")
    request_state, response_state = opened(unary=kind.unary)
    requests = NO_MESSAGES if entry.payload is None else NO_MESSAGES.add(entry.payload.hash)
    return Call(
        here,
        kind.consumer.member,
        kind.service.subsystem.member,
        open_digest,
        request_state,
        response_state,
        1,
        0,
        requests,
        NO_MESSAGES,
    )


def advance(call: Call, entry: ParsedEntry, side: Side) -> Call:
    """The call after one more entry from `side`; raises SimpulError ENTRY_STATE."""
    if side is Side.CONSUMER:
        return _after_request(call, entry)
    return _after_response(call, entry)


def _after_request(call: Call, entry: ParsedEntry) -> Call:
    state = after_request(call.request_state, entry.kind.kind)
    _check_index(entry, call.request_index)
    requests = call.requests if entry.payload is None else call.requests.add(entry.payload.hash)
    match entry.kind:
        case HalfClose(requests=said):
            _check_sent(entry, said, requests)
        case Cancel(requests=said, responses=seen):
            _check_sent(entry, said, requests)
            _check_seen(entry, seen, call.responses)
    # Not dataclasses.replace: it takes three times as long, on the path of every message.
    return Call(
        call.here,
        call.consumer,
        call.provider,
        call.open_digest,
        state,
        call.response_state,
        call.request_index + 1,
        call.response_index,
        requests,
        call.responses,
    )


def _after_response(call: Call, entry: ParsedEntry) -> Call:
    state = after_response(
        call.response_state, entry.kind.kind, with_message=entry.payload is not None
    )
    _check_index(entry, call.response_index)
    responses = call.responses if entry.payload is None else call.responses.add(entry.payload.hash)
    match entry.kind:
        case Close(open_digest=named, requests=seen, responses=said):
            _check_open(entry, named, call.open_digest)
            _check_sent(entry, said, responses)
            _check_seen(entry, seen, call.requests)
        case Refuse(open_digest=named):
            _check_open(entry, named, call.open_digest)
    return Call(
        call.here,
        call.consumer,
        call.provider,
        call.open_digest,
        call.request_state,
        state,
        call.request_index,
        call.response_index + 1,
        call.requests,
        responses,
    )


def _check_index(entry: ParsedEntry, expected: int) -> None:
    if entry.index != expected:
        raise _refused(entry, f"its index is {entry.index}, and the next is {expected}")


def _check_open(entry: ParsedEntry, named: bytes, expected: bytes) -> None:
    if named != expected:
        raise _refused(entry, "it answers another open")


def _check_sent(entry: ParsedEntry, said: Tally, counted: Tally) -> None:
    if said != counted:
        raise _refused(entry, f"it says {said.count} were sent, and {counted.count} came")


def _check_seen(entry: ParsedEntry, seen: Tally, sent: Tally) -> None:
    if seen.count > sent.count or (seen.count == sent.count and seen.digest != sent.digest):
        raise _refused(entry, f"it says {seen.count} were received, which aren't those sent")


def _refused(entry: ParsedEntry, what: str) -> SimpulError:
    return SimpulError(
        Code.ENTRY_STATE,
        f"a {entry.kind.kind} of call {entry.call_id.hex()} can't be: {what}; "
        "report it to the sender's operator: its node breaks the protocol",
        call_id=entry.call_id.hex(),
    )


class CallTable:
    """The live calls of one link, by call id, and the closed ones that may still be heard of."""

    def __init__(self) -> None:
        self._calls: dict[bytes, Call] = {}
        # Which parcel of ours holds the close, in that order, until it is acknowledged.
        self._closed_in: dict[bytes, int] = {}

    def __len__(self) -> int:
        return len(self._calls)

    def get(self, call_id: bytes, *, acknowledged: int = -1) -> Call | None:
        """The call; None where it never was, is forgotten, or its close was acknowledged.

        `acknowledged` is the number of our last parcel that the peer has, as it says just now.
        """
        call = self._calls.get(call_id)
        if call is not None and call.closed:
            number = self._closed_in.get(call_id)
            if number is not None and number <= acknowledged:
                return None
        return call

    def ids(self, here: Side) -> tuple[bytes, ...]:
        """The ids of the calls, not closed, in which this node is on this side; oldest first."""
        return tuple(
            call_id
            for call_id, call in self._calls.items()
            if call.here is here and not call.closed
        )

    def update(self, changes: Mapping[bytes, Call]) -> None:
        """Take over calls as entries have left them; a consumer forgets what is closed."""
        for call_id, call in changes.items():
            if call.here is Side.CONSUMER and call.closed:
                self._calls.pop(call_id, None)
            else:
                self._calls[call_id] = call

    def closed_in(self, number: int, call_id: bytes) -> None:
        """Note that our parcel of this number, the latest, holds the close or refuse of a call."""
        self._closed_in[call_id] = number

    def forget(self, call_id: bytes) -> None:
        """Forget a call that no parcel was made for yet: what waits of it is left out."""
        self._calls.pop(call_id, None)

    def acknowledged(self, number: int) -> int:
        """Forget the calls closed in our parcels up to this number: they were heard. How many?"""
        heard = []
        for call_id, closed_in in self._closed_in.items():
            if closed_in > number:
                break
            heard.append(call_id)
        for call_id in heard:
            del self._closed_in[call_id]
            self._calls.pop(call_id, None)
        return len(heard)

    def unheard(self) -> dict[bytes, int]:
        """The closed calls that the peer hasn't acknowledged, with the parcel of each close."""
        return dict(self._closed_in)
