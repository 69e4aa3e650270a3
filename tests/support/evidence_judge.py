"""Judging evidence in tests: which step fails, and that none after it is judged."""

from dataclasses import replace

import pytest

from security.errors import Code, SimpulError
from security.evidence import Evidence, Report, Result, print_evidence, verify
from security.evidence_format import ShownParcel
from tests.conformance import fixed
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
    unary,
    unary_parcels,
    watch,
)

SCENE = Scene()
GOOD = unary(SCENE)
ROOT = SCENE.registry.roots[0]


def judge(evidence: Evidence, root: bytes = ROOT) -> Report:
    return verify(print_evidence(evidence), root)


def results(report: Report) -> dict[str, Result]:
    return {step.name: step.result for step in report.steps}


def fails(evidence: Evidence, number: int, root: bytes = ROOT, *, saying: str = "") -> None:
    """It fails at that step; those before passed, and none after is judged."""
    report = judge(evidence, root)
    failed = report.failed
    assert failed is not None, results(report)
    assert failed.number == number, (failed.number, failed.findings)
    assert saying in " ".join(failed.findings)
    assert all(step.result is Result.NOT_JUDGED for step in report.steps[number:])
    assert all(step.result is not Result.FAILED for step in report.steps[: number - 1])
    with pytest.raises(SimpulError) as caught:
        report.require_sound()
    assert caught.value.code is Code.EVIDENCE_INVALID
    assert caught.value.details["step"] == str(number)


def shown(number: int) -> ShownParcel:
    """The nth parcel in the order of sending: 0 the question, 1 the answer, 2 a receipt."""
    return next(item for item in GOOD.parcels if item.hash == PARCELS[number].hash)


def with_parcel(number: int, changed: ShownParcel) -> Evidence:
    """Put another one in the place of the nth parcel."""
    wanted = PARCELS[number].hash
    return replace(
        GOOD,
        parcels=tuple(changed if item.hash == wanted else item for item in GOOD.parcels),
    )


PARCELS: list[Parcel] = unary_parcels(Link(SCENE.published[0].hash))


def export(
    scene: Scene, parcels: list[Parcel], *, contents: bool = True, **more: object
) -> Evidence:
    """As a node does it: with one cosigned checkpoint over all parcels."""
    if len(scene.published) == 1:
        scene.later()
    shown = [
        item.shown((CALL_ID, OFFER_CALL_ID, DECIDE_CALL_ID), contents=contents) for item in parcels
    ]
    placed, checkpoint = watch(shown, fixed.MINISTRY_NODE)
    return scene.evidence(placed, (checkpoint,), **more)


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


def streamed(scene: Scene) -> list[Parcel]:
    kind = replace(Call().kind, method="List", unary=False)
    call, link = Call(kind=kind), scene.link
    first = link.send(MINISTRY, call.open(), call.ask(b"a"))
    head = link.send(REGENCY, call.answer(b"1"), call.answer(b"2"), ack=first)
    second = link.send(MINISTRY, call.ask(b"b"), call.half_close(), ack=head)
    last = link.send(REGENCY, call.answer(b"3"), call.close(), ack=second)
    return [first, head, second, last, link.send(MINISTRY, ack=last)]
