"""Two honest nodes on one link, their parcels crossing at random: neither ever faults the other.

Each side opens, speaks, half-closes, cancels, answers, closes and refuses as its tables allow;
entries wait in outboxes, parcels wait on the wire, and what came is durable only later. In the end
all is delivered, and nothing is left to remember.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import event, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from security.call_state import REQUESTS, RESPONSES, ResponseState, Side
from security.calls import Call
from security.errors import SimpulError
from security.kinds import (
    Cancel,
    CancelReason,
    Close,
    EntryKind,
    HalfClose,
    Head,
    Kind,
    Message,
    Refuse,
)
from security.parcel import Received
from security.sender import OutgoingEntry, PreparedParcel
from tests.unit.security.wire import BAJO, KOMDIGI, STREAM, End, call_id, pair, sealed

KINDS: dict[EntryKind, Callable[[], Kind]] = {
    EntryKind.HEAD: Head,
    EntryKind.MESSAGE: Message,
    EntryKind.HALF_CLOSE: HalfClose,
    EntryKind.CLOSE: lambda: Close(0),
    EntryKind.CANCEL: lambda: Cancel(CancelReason.APP),
    EntryKind.REFUSE: lambda: Refuse("OVERLOADED", 8),
}
BACK = replace(
    STREAM,
    consumer=replace(STREAM.consumer, member=BAJO),
    service=replace(STREAM.service, subsystem=replace(STREAM.service.subsystem, member=KOMDIGI)),
)
ASKING = [
    EntryKind.MESSAGE,
    EntryKind.MESSAGE,
    EntryKind.MESSAGE,
    EntryKind.HALF_CLOSE,
    EntryKind.CANCEL,
]
ANSWERING = [
    EntryKind.HEAD,
    EntryKind.MESSAGE,
    EntryKind.MESSAGE,
    EntryKind.CLOSE,
    EntryKind.REFUSE,
]
CROSSING = {EntryKind.MESSAGE, EntryKind.HALF_CLOSE, EntryKind.CANCEL}
CREDIT = 5
ENDS = st.integers(0, 1)


class TwoNodes(RuleBasedStateMachine):
    """End 0 opens calls to end 1, and end 1 to end 0."""

    def __init__(self) -> None:
        super().__init__()
        link = pair(credit=CREDIT)
        self.ends: tuple[End, End] = (link.consumer, link.provider)
        self.outboxes: tuple[list[OutgoingEntry], ...] = ([], [])
        # By sending end.
        self.wires: tuple[deque[PreparedParcel], ...] = (deque(), deque())
        self.undurable: tuple[deque[Received], ...] = (deque(), deque())
        self.opened = 0
        self.accepted_opens = [0, 0]
        self.late = 0

    @rule(at=ENDS, unary=st.sampled_from([False, False, True]))
    def begin(self, at: int, unary: bool) -> None:
        end = self.ends[at]
        kind = replace(STREAM if at == 0 else BACK, unary=unary)
        payload = b"q" if unary else None
        if end.sender.opens_left == 0:
            with pytest.raises(SimpulError, match="CREDIT_EXCEEDED"):
                end.add(kind, call_id(self.opened), payload=payload)
            return
        self.outboxes[at].append(end.add(kind, call_id(self.opened), payload=payload))
        self.opened += 1

    @precondition(lambda self: self.speakers(Side.CONSUMER))
    @rule(at=ENDS, pick=st.integers(0, 100), kind=st.sampled_from(ASKING))
    def ask(self, at: int, pick: int, kind: EntryKind) -> None:
        self.speak(Side.CONSUMER, at, pick, kind)

    @precondition(lambda self: self.speakers(Side.PROVIDER))
    @rule(at=ENDS, pick=st.integers(0, 100), kind=st.sampled_from(ANSWERING), long=st.booleans())
    def answer(self, at: int, pick: int, kind: EntryKind, long: bool) -> None:
        self.speak(Side.PROVIDER, at, pick, kind, with_message=long)

    def speakers(self, side: Side) -> list[int]:
        """The ends that are on this side of some call."""
        return [at for at in (0, 1) if self.ends[at].sender.calls.ids(side)]

    def speak(
        self, side: Side, at: int, pick: int, kind: EntryKind, *, with_message: bool = False
    ) -> None:
        """Say something in some call."""
        speakers = self.speakers(side)
        at = at if at in speakers else speakers[0]
        calls = self.ends[at].sender.calls.ids(side)
        self.say(at, calls[pick % len(calls)], kind, with_message=with_message)

    def say(self, at: int, chosen: bytes, kind: EntryKind, *, with_message: bool = False) -> None:
        """Say this in a call, if it may be said."""
        end = self.ends[at]
        call = end.sender.calls.get(chosen)
        assert call is not None
        if kind in allowed(call):
            spoken = call.response_state is ResponseState.SPEAKING
            answers = kind is EntryKind.CLOSE and with_message and not spoken
            payload = b"message" if answers or kind is EntryKind.MESSAGE else None
            self.outboxes[at].append(end.add(KINDS[kind](), chosen, payload=payload))

    @rule(at=ENDS, most=st.integers(0, 9))
    def seal(self, at: int, most: int) -> None:
        box = self.outboxes[at]
        batch, box[:] = box[:most], box[most:]
        self.wires[at].append(self.ends[at].prepare(*batch))

    @precondition(lambda self: any(self.wires))
    @rule(at=ENDS)
    def arrive(self, at: int) -> None:
        at = at if self.wires[at] else 1 - at
        prepared = self.wires[at].popleft()
        accepted = self.ends[1 - at].accept(sealed(prepared))
        assert accepted.fault is None
        for entry in accepted.entries:
            assert entry.fault is None
            assert not entry.late or entry.parsed.kind.kind in CROSSING
            self.late += entry.late
            self.accepted_opens[1 - at] += entry.parsed.kind.kind is EntryKind.OPEN
        self.undurable[1 - at].append(Received(accepted.fields.number, accepted.header_hash))

    @precondition(lambda self: any(self.undurable))
    @rule(at=ENDS)
    def commit(self, at: int) -> None:
        at = at if self.undurable[at] else 1 - at
        self.ends[at].sender.durable(self.undurable[at].popleft())

    @rule(at=ENDS, more=st.integers(0, 5))
    def grant(self, at: int, more: int) -> None:
        sender = self.ends[at].sender
        sender.grant(max(sender.credit_given, self.accepted_opens[at] + more))

    @invariant()
    def opens_keep_to_credit(self) -> None:
        for end in self.ends:
            assert end.receiver.state.opens <= end.sender.credit_given
            assert end.sender.opens_left >= 0

    def teardown(self) -> None:
        """Close every call, deliver everything, and look that nothing is left."""
        self.settle()
        for at, end in enumerate(self.ends):
            # What the consumers still say crosses with the close.
            for chosen in end.sender.calls.ids(Side.CONSUMER):
                self.say(at, chosen, EntryKind.MESSAGE)
                self.say(at, chosen, EntryKind.CANCEL)
            for chosen in end.sender.calls.ids(Side.PROVIDER):
                self.say(at, chosen, EntryKind.CLOSE)
        event(f"late: {min(self.late, 3)}")
        for _ in range(3):
            self.settle()
        for end in self.ends:
            assert len(end.sender.calls) == 0
            assert not end.sender.calls._closed_in

    def settle(self) -> None:
        for at in (0, 1):
            while self.outboxes[at]:
                self.seal(at, 5)
            self.seal(at, 0)
        for at in (0, 1):
            while self.wires[at]:
                self.arrive(at)
            while self.undurable[1 - at]:
                self.commit(1 - at)


def allowed(call: Call) -> list[EntryKind]:
    """What the side of this node may send next."""
    if call.here is Side.CONSUMER:
        return [kind for state, kind in REQUESTS if state is call.request_state]
    return [kind for state, kind in RESPONSES if state is call.response_state]


TestTwoNodes = TwoNodes.TestCase
TestTwoNodes.settings = settings(max_examples=100, stateful_step_count=60)
