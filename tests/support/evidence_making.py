"""The calls by which the small federation's agreement was proposed and accepted.

Each on a link of its own. What a test changes, it gives; the rest is as it should be.
"""

from dataclasses import replace

from google.protobuf.message import Message

from security.agreement import agreement_hash
from security.evidence import Evidence
from security.identifiers import MemberId, ServiceId
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support import agreements, delegations, directories
from tests.support.evidence import (
    CALL_ID,
    DECIDE_CALL_ID,
    MINISTRY,
    OFFER_CALL_ID,
    REGENCY,
    Call,
    Link,
    Parcel,
    Scene,
    Side,
    signed_agreement,
)


def acting(agreement: agreement_pb2.SignedAgreement, on_behalf_of: MemberId | None) -> Evidence:
    """An unfinished call under that agreement, in the name of a third member."""
    records = (directories.regency_record(), directories.ministry_record(), delegations.record())
    scene = Scene(records=records)
    named = agreement_hash(agreement.agreement)
    call = Call(kind=replace(Call().kind, agreement=named, on_behalf_of=on_behalf_of))
    asked = scene.link.send(MINISTRY, call.open())
    return replace(scene.evidence([asked.shown((CALL_ID,))]), agreement=signed_agreement(agreement))


def across(side: Side) -> Side:
    return REGENCY if side is MINISTRY else MINISTRY


def half(by: Side) -> agreement_pb2.SignedAgreement:
    """As its proposer signed it."""
    both = agreements.signed()
    if by is REGENCY:
        both.consumer_signature = b""
    else:
        both.provider_signature = b""
    return both


def proposal(by: Side, *, note: str = "", counters: bytes = b"") -> agreement_pb2.OfferRequest:
    return agreement_pb2.OfferRequest(agreement=half(by), note=note, counters=counters)


def accepted() -> agreement_pb2.OfferResponse:
    """The answer of a node that agrees by itself."""
    return agreement_pb2.OfferResponse(agreement=agreements.signed())


def offer(
    scene: Scene,
    by: Side,
    request: Message | None = None,
    answer: Message | None = None,
    *,
    call_id: bytes = OFFER_CALL_ID,
    answered_by: Side | None = None,
    open_digest: bytes = b"",
    status: int = 0,
) -> list[Parcel]:
    """A proposal, and by default an answer that leaves it to operators."""
    return _call(
        scene,
        by,
        (call_id, "Offer"),
        request or proposal(by),
        answer or agreement_pb2.OfferResponse(),
        answered_by=answered_by,
        open_digest=open_digest,
        status=status,
    )


def decide(
    scene: Scene,
    by: Side,
    request: Message | None = None,
    *,
    method: str = "Decide",
    answered_by: Side | None = None,
    open_digest: bytes = b"",
    status: int = 0,
) -> list[Parcel]:
    """An operator's yes, later."""
    return _call(
        scene,
        by,
        (DECIDE_CALL_ID, method),
        request or agreement_pb2.DecideRequest(accepted=agreements.signed()),
        agreement_pb2.DecideResponse(),
        answered_by=answered_by,
        open_digest=open_digest,
        status=status,
    )


def _call(
    scene: Scene,
    by: Side,
    call: tuple[bytes, str],
    request: Message,
    answer: Message,
    *,
    answered_by: Side | None,
    open_digest: bytes,
    status: int,
) -> list[Parcel]:
    call_id, method = call
    asking, asked = fixed.TOURISM, fixed.SUPER_APP
    if by is MINISTRY:
        asking, asked = asked, asking
    kind = replace(
        Call().kind,
        consumer=asking,
        service=ServiceId(asked, "simpul.v1.Agreements"),
        method=method,
        agreement=None,
        purpose=None,
    )
    made = Call(call_id, kind)
    link = Link(scene.published[0].hash, fixed.fixed_bytes(f"link of {call_id.hex()}", 32))
    opened = link.send(by, made.open(request.SerializeToString()))
    other = answered_by or across(by)
    made.open_digest = open_digest or made.open_digest
    ack = opened if other is across(by) else None
    closed = link.send(other, made.close(answer.SerializeToString(), status), ack=ack)
    return [opened, closed]
