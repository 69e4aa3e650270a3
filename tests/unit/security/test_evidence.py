"""What good evidence says; and the container: any changed bit fails at step 1."""

import random
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security.evidence import STEPS, Result, print_evidence, verify
from security.evidence_format import MAGIC
from security.hashing import EVIDENCE, HASH_BYTES, digest
from tests.conformance import fixed
from tests.support.evidence import (
    ANSWER,
    ISSUED_MS,
    MINISTRY,
    REGENCY,
    WITNESSED_S,
    Call,
    Scene,
    unary,
)
from tests.support.evidence_judge import (
    GOOD,
    ROOT,
    export,
    flipped,
    judge,
    results,
    streamed,
)

# What good evidence says.


def test_a_unary_call_is_proven_as_far_as_the_file_goes() -> None:
    report = judge(GOOD)
    found = results(report)
    absent = {"time stamps", "offer", "registry's log"}
    assert {name for name, result in found.items() if result is Result.NOT_PRESENT} == absent
    assert all(result is Result.PROVEN for name, result in found.items() if name not in absent), (
        found
    )
    assert report.call is not None
    assert (report.call.consumer, report.call.method) == (str(fixed.SUPER_APP), "Get")
    assert (report.call.outcome, report.call.status) == ("closed", 0)
    asked, answered, receipt = report.parcels
    assert (asked.member, answered.member) == (str(fixed.MINISTRY), str(fixed.REGENCY))
    assert asked.received
    assert answered.received
    assert receipt.entries == ()
    assert (asked.claimed_ms, asked.not_before_ms) == (fixed.NOW_MS, ISSUED_MS)
    assert asked.not_after_ms == WITNESSED_S * 1000 + 999
    assert report.warnings == ()


def test_the_steps_are_numbered_from_one_without_a_gap() -> None:
    assert [number for number, _, _, _ in STEPS] == list(range(1, 22))
    assert len({name for _, name, _, _ in STEPS}) == len(STEPS)


def test_a_streaming_call_is_proven() -> None:
    scene = Scene()
    report = judge(export(scene, streamed(scene)))
    assert report.failed is None
    assert report.call is not None
    assert (report.call.requests, report.call.responses) == (2, 3)
    assert results(report)["receipts"] is Result.PROVEN


def test_an_unfinished_call_is_not_proven_to_have_ended_and_no_step_fails() -> None:
    scene = Scene()
    asked = scene.link.send(MINISTRY, Call().open())
    report = judge(export(scene, [asked]))
    found = results(report)
    assert report.failed is None
    assert found["order"] is found["receipts"] is found["parties"] is Result.NOT_PROVEN
    assert report.call is not None
    assert report.call.outcome == "unfinished"


def test_a_cancelled_call_says_so() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open(), call.cancel())
    report = judge(export(scene, [asked]))
    assert report.call is not None
    assert report.call.outcome == "cancelled"


def test_a_refused_call_is_proven_with_its_code() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open())
    refused = scene.link.send(REGENCY, call.refuse(), ack=asked)
    report = judge(export(scene, [asked, refused]))
    assert report.failed is None
    assert report.call is not None
    assert (report.call.outcome, report.call.code) == ("refused", "ACCESS_NO_AGREEMENT")


def test_a_call_outside_its_agreement_is_evidence_all_the_same() -> None:
    scene = Scene()
    call = Call(kind=replace(Call().kind, method="Watch"))
    asked = scene.link.send(MINISTRY, call.open())
    refused = scene.link.send(REGENCY, call.refuse("ACCESS_METHOD"), ack=asked)
    report = judge(export(scene, [asked, refused]))
    assert report.failed is None
    assert results(report)["permission"] is Result.NOT_PROVEN
    assert "ACCESS_METHOD" in report.steps[16].findings[0]


def test_without_contents_the_file_is_smaller_and_says_so() -> None:
    bare = unary(Scene(), contents=False)
    report = judge(bare)
    assert report.failed is None
    found = results(report)
    assert found["payloads"] is found["private blocks"] is Result.NOT_PRESENT
    assert ANSWER not in print_evidence(bare)


def test_a_salt_without_its_payload_is_told() -> None:
    salted = replace(
        GOOD,
        parcels=tuple(
            replace(
                item,
                entries=tuple(replace(one, payload=None, private=None) for one in item.entries),
            )
            for item in GOOD.parcels
        ),
    )
    report = judge(salted)
    assert results(report)["payloads"] is Result.NOT_PRESENT
    assert "2 salts are here" in " ".join(report.steps[19].findings)


# 1. container


def test_1_every_flipped_bit_fails() -> None:
    small = print_evidence(unary(Scene(), contents=False))
    for at in range(len(small)):
        for bit in range(8):
            report = verify(flipped(small, at, bit), ROOT)
            failed = report.failed
            assert failed is not None, (at, bit)
            assert failed.number == 1
            assert failed.name == "container"


def test_a_flipped_bit_fails_also_where_the_digest_is_made_anew() -> None:
    """No byte is without a signature, a hash or a rule over it."""
    data = print_evidence(GOOD)
    places = range(len(MAGIC), len(data) - HASH_BYTES)
    for at in random.Random(5).sample(places, 300):
        report = verify(redigest(flipped(data, at, at % 8)), ROOT)
        assert report.failed is not None, at


def redigest(data: bytes) -> bytes:
    return data[:-HASH_BYTES] + digest(EVIDENCE, data[:-HASH_BYTES])


@pytest.mark.parametrize("length", [0, 10, 19, 40, 5000])
def test_1_a_cut_file(length: int) -> None:
    report = verify(print_evidence(GOOD)[:length], ROOT)
    assert report.failed is not None
    assert report.failed.number == 1


@given(st.binary(max_size=300))
@settings(max_examples=50)
def test_1_anything_else_fails_and_raises_nothing(data: bytes) -> None:
    report = verify(data, data)
    assert report.failed is not None
    assert report.failed.number == 1
