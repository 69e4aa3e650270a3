"""Two honest nodes on one link, their parcels crossing at random: neither ever faults the other.

Each side opens, speaks, half-closes, cancels, answers, closes and refuses as its tables allow;
entries wait in outboxes, parcels wait on the wire, and what came is durable only later. In the end
all is delivered, and nothing is left to remember.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from security.call_state import REQUESTS, RESPONSES, ResponseState, Side
from security.calls import Call
from security.commitment import Tally
from security.errors import Code, SimpulError
from security.kinds import (
    Cancel,
    CancelReason,
    Close,
    EntryKind,
    HalfClose,
    Head,
    Kind,
    Message,
    Open,
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
CREDIT = 3
ENDS = st.integers(0, 1)


class TwoNodes(RuleBasedStateMachine):
    """End 0 opens calls to end 1, and end 1 to end 0."""

    def __init__(self) -> None:
        super().__init__()
        self.ends: tuple[End, End] = (pair().consumer, pair().provider)
        self.outboxes: tuple[list[OutgoingEntry], ...] = ([], [])
        # By sending end.
        self.wires: tuple[deque[PreparedParcel], ...] = (deque(), deque())
        self.undurable: tuple[deque[Received], ...] = (deque(), deque())
        self.opened = 0
        self.accepted_opens = [0, 0]
        self.answers: dict[bytes, Tally] = {}

    @initialize()
    def greet(self) -> None:
        link = pair(credit=CREDIT)
        self.ends = (link.consumer, link.provider)

    @rule(at=ENDS, unary=st.booleans())
    def begin(self, at: int, unary: bool) -> None:
        end = self.ends[at]
        kind: Open = replace(STREAM if at == 0 else BACK, unary=unary)
        call = call_id(self.opened)
        if end.sender.opens_left == 0:
            try:
                end.add(kind, call, payload=b"q" if unary else None)
            except SimpulError as error:
                assert error.code is Code.CREDIT_EXCEEDED  # noqa: PT017
                return
            raise AssertionError("opened without credit")
        self.opened += 1
        self.outboxes[at].append(end.add(kind, call, payload=b"q" if unary else None))

    @rule(at=ENDS, pick=st.integers(0, 100), which=st.integers(0, 100), answer=st.booleans())
    def speak(self, at: int, pick: int, which: int, answer: bool) -> None:
        end = self.ends[at]
        side = list(Side)[which % 2]
        calls = end.sender.calls.ids(side)
        if not calls:
            return
        chosen = calls[pick % len(calls)]
        call = end.sender.calls.get(chosen)
        assert call is not None
        kinds = allowed(call)
        if not kinds:
            return
        kind = kinds[which // 2 % len(kinds)]
        payload = None
        if kind is EntryKind.MESSAGE or (
            kind is EntryKind.CLOSE and answer and call.response_state is not ResponseState.SPEAKING
        ):
            payload = b"message"
        self.outboxes[at].append(end.add(KINDS[kind](), chosen, payload=payload))

    @rule(at=ENDS, most=st.integers(0, 5))
    def seal(self, at: int, most: int) -> None:
        box = self.outboxes[at]
        batch, box[:] = box[:most], box[most:]
        self.wires[at].append(self.ends[at].prepare(*batch))

    @rule(at=ENDS)
    def arrive(self, at: int) -> None:
        if not self.wires[at]:
            return
        prepared = self.wires[at].popleft()
        accepted = self.ends[1 - at].accept(sealed(prepared))
        assert accepted.fault is None
        for entry in accepted.entries:
            assert entry.fault is None
            kind = entry.parsed.kind
            if isinstance(kind, Open):
                self.accepted_opens[1 - at] += 1
            if entry.late:
                assert kind.kind in {EntryKind.MESSAGE, EntryKind.HALF_CLOSE, EntryKind.CANCEL}
        self.undurable[1 - at].append(Received(accepted.fields.number, accepted.header_hash))

    @rule(at=ENDS)
    def commit(self, at: int) -> None:
        if self.undurable[at]:
            self.ends[at].sender.durable(self.undurable[at].popleft())

    @rule(at=ENDS, more=st.integers(0, 3))
    def grant(self, at: int, more: int) -> None:
        sender = self.ends[at].sender
        sender.grant(max(sender.credit_given, min(self.accepted_opens[at] + CREDIT, 40) + more))

    @invariant()
    def opens_keep_to_credit(self) -> None:
        for end in self.ends:
            assert end.receiver.state.opens <= end.sender.credit_given
            assert end.sender.opens_left >= 0

    def teardown(self) -> None:
        """Close every call, deliver everything, and look that nothing is left."""
        self.settle()
        for at, end in enumerate(self.ends):
            for chosen in end.sender.calls.ids(Side.PROVIDER):
                self.outboxes[at].append(end.add(Close(0), chosen))
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
TestTwoNodes.settings = settings(max_examples=60, stateful_step_count=60)
