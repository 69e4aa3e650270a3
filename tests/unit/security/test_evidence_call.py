"""Evidence, steps 13 to 15: each fails where just that step is broken."""

from collections.abc import Callable
from dataclasses import replace

from security.commitment import NO_MESSAGES, Tally
from security.evidence import Evidence, Result
from security.identifiers import NodeId, ServiceId
from tests.conformance import fixed
from tests.support.evidence import (
    ANSWER,
    MINISTRY,
    OTHER_CALL_ID,
    REGENCY,
    Call,
    Link,
    Parcel,
    Scene,
    unary_parcels,
)
from tests.support.evidence_judge import (
    GOOD,
    PARCELS,
    export,
    fails,
    judge,
    results,
    streamed,
)

# 13. order


def test_13_a_message_is_missing() -> None:
    scene = Scene()
    parcels = streamed(scene)
    made = export(scene, parcels)
    kept = tuple(item for item in made.parcels if item.hash != parcels[1].hash)
    fails(replace(made, parcels=kept), 13)


def test_13_an_entry_without_a_message_is_missing() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open())
    head = scene.link.send(REGENCY, call.head(), ack=asked)
    closed = scene.link.send(REGENCY, call.close(ANSWER), ack=asked)
    assert judge(export(scene, [asked, head, closed])).failed is None
    fails(export(scene, [asked, closed]), 13, saying="is missing")


def test_13_no_open() -> None:
    kept = tuple(item for item in GOOD.parcels if item.hash != PARCELS[0].hash)
    fails(replace(GOOD, parcels=kept), 13, saying="0 opens")


def sent(*entries: Callable[[Call], object]) -> Evidence:
    """A question, and what the provider says to it."""
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open())
    said = [entry(call) for entry in entries]
    answered = scene.link.send(REGENCY, *said, ack=asked)  # type: ignore[arg-type]
    return export(scene, [asked, answered])


def test_13_a_close_that_answers_another_open() -> None:
    def close(call: Call) -> object:
        call.open_digest = bytes(32)
        return call.close(ANSWER)

    fails(sent(close), 13, saying="another open")


def test_13_a_close_that_counts_what_was_not_sent() -> None:
    def more(call: Call) -> object:
        call.requests = Tally(2, bytes(32))
        return call.close(ANSWER)

    def others(call: Call) -> object:
        call.requests = NO_MESSAGES.add(bytes(32))
        return call.close(ANSWER)

    def sent_more(call: Call) -> object:
        call.responses = NO_MESSAGES.add(bytes(32))
        return call.close()

    for change in (more, others, sent_more):
        fails(sent(change), 13, saying="an entry says")


def test_13_an_entry_after_the_close() -> None:
    fails(sent(lambda call: call.close(ANSWER), lambda call: call.answer(b"x")), 13)


# 14. parties


def test_14_an_answer_of_another_member() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open(), call.close(ANSWER))
    fails(export(scene, [asked]), 14, saying="is not of the provider")


def test_14_a_question_of_another_member() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(REGENCY, call.open())
    fails(export(scene, [asked]), 14, saying="is not of the consumer")


def test_14_a_refusal_of_a_member_of_the_node_that_was_asked_is_not_the_provider_s() -> None:
    scene = Scene()
    call = Call()
    elsewhere = ServiceId.parse(f"ID/DAERAH/74.07/pariwisata/{fixed.SERVICE}")
    call.kind = replace(call.kind, service=elsewhere)
    asked = scene.link.send(MINISTRY, call.open())
    refused = scene.link.send(REGENCY, call.refuse("SUBSYSTEM_UNKNOWN", 5), ack=asked)
    parties = next(
        step for step in judge(export(scene, [asked, refused])).steps if step.name == "parties"
    )
    assert parties.result is Result.NOT_PROVEN
    assert "ID/DAERAH/74.07 said nothing" in parties.findings[-1]


# 15. receipts


def test_15_a_later_parcel_was_acknowledged_and_headers_lead_back() -> None:
    scene = Scene()
    parcels, chain = chained(scene)
    made = export(scene, parcels, chain=chain)
    report = judge(made)
    assert report.failed is None
    assert results(report)["receipts"] is Result.PROVEN
    assert results(judge(replace(made, chain=())))["order"] is Result.PROVEN
    # Without the headers between, the receipt proves nothing here.
    fails(replace(made, chain=()), 15, saying="acknowledges nothing")


def chained(scene: Scene) -> tuple[list[Parcel], tuple[bytes, ...]]:
    """The answer, three more parcels of its sender, and a receipt for the last of these."""
    call = Call()
    asked = scene.link.send(MINISTRY, call.open())
    answered = scene.link.send(REGENCY, call.close(ANSWER), ack=asked)
    more = [scene.link.send(REGENCY, Call(OTHER_CALL_ID).ask(bytes([n]))) for n in range(3)]
    receipt = scene.link.send(MINISTRY, ack=more[-1])
    return [asked, answered, receipt], tuple(item.header for item in more)


def test_15_a_header_too_many() -> None:
    scene = Scene()
    parcels, chain = chained(scene)
    beside = Link(scene.published[0].hash, fixed.fixed_bytes("another link", 32))
    stray = beside.send(REGENCY, Call(OTHER_CALL_ID).ask(b"x")).header
    fails(export(scene, parcels, chain=(*chain, stray)), 15, saying="leads to no receipt")


def test_15_a_receipt_of_another_number() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open())
    wrong = replace(asked, fields=replace(asked.fields, number=5))
    wrong.header = asked.header
    answered = scene.link.send(REGENCY, call.close(ANSWER), ack=wrong)
    fails(export(scene, [asked, answered]), 15, saying="another number")


def test_15_a_receipt_by_the_sender_itself() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open())
    own = scene.link.send(MINISTRY, ack=asked)
    fails(export(scene, [asked, own]), 15, saying="another node")


def test_15_a_parcel_that_acknowledges_nothing() -> None:
    scene = Scene()
    parcels = unary_parcels(scene.link)
    idle = scene.link.send(MINISTRY)
    fails(export(scene, [*parcels, idle]), 15, saying="acknowledges nothing")


OTHER_NODE = NodeId.parse("ID/~another-1")


def test_14_an_answer_to_another_node() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open())
    answered = scene.link.send(REGENCY, call.close(ANSWER), ack=asked, to=OTHER_NODE)
    fails(export(scene, [asked, answered]), 14, saying="between other nodes")


def test_15_a_receipt_to_another_node_than_the_sender_s() -> None:
    scene = Scene()
    asked = scene.link.send(MINISTRY, Call().open())
    receipt = scene.link.send(REGENCY, ack=asked, to=OTHER_NODE)
    fails(export(scene, [asked, receipt]), 15, saying="sent by another node")


def test_15_a_header_that_its_own_sender_acknowledges() -> None:
    scene = Scene()
    parcels = unary_parcels(scene.link)
    own = scene.link.send(REGENCY)
    receipt = scene.link.send(REGENCY, ack=own)
    made = export(scene, [*parcels, receipt], chain=(own.header,))
    fails(made, 15, saying="what went to another node")
