"""Evidence, step 18: how an agreement was made, by one call or by two; and what breaks it."""

from dataclasses import replace

import pytest

from security.evidence import Evidence, Report, Result
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support import agreements
from tests.support.evidence import (
    DECIDE_CALL_ID,
    MINISTRY,
    OFFER_CALL_ID,
    REGENCY,
    Parcel,
    Scene,
    Side,
    unary_parcels,
)
from tests.support.evidence_judge import GOOD, export, fails, judge, results
from tests.support.evidence_making import accepted, across, decide, offer, proposal

OTHER = agreements.signed(replace(agreements.TERMS, nonce=bytes(16)))
SIDES = pytest.mark.parametrize("by", [MINISTRY, REGENCY], ids=["consumer", "provider"])
PARTY = {fixed.MINISTRY: "consumer", fixed.REGENCY: "provider"}


def shown(scene: Scene, *made: Parcel) -> Evidence:
    """Evidence of a call, with those of the calls that made its agreement that are given."""
    entries = b"".join(sealed.entry for parcel in made for sealed in parcel.entries)
    return export(
        scene,
        [*unary_parcels(scene.link), *made],
        offer_call_id=OFFER_CALL_ID if OFFER_CALL_ID in entries else None,
        decide_call_id=DECIDE_CALL_ID if DECIDE_CALL_ID in entries else None,
    )


def at_once(by: Side = REGENCY) -> Evidence:
    scene = Scene()
    return shown(scene, *offer(scene, by, answer=accepted()))


def later(by: Side) -> Evidence:
    """Asked first, decided by operators later."""
    scene = Scene()
    return shown(scene, *offer(scene, by), *decide(scene, across(by)))


def proves(evidence: Evidence, *saying: str, result: Result = Result.PROVEN) -> Report:
    report = judge(evidence)
    assert report.failed is None, report.failed
    assert results(report)["offer"] is result
    findings = " | ".join(report.steps[17].findings)
    assert all(said in findings for said in saying), findings
    return report


@SIDES
def test_18_a_proposal_accepted_in_its_answer(by: Side) -> None:
    word = "offered in" if by is REGENCY else "requested in"
    proves(at_once(by), word, f"of {by.member} (open)", f"of {across(by).member} (close)")


@SIDES
def test_18_a_proposal_accepted_later(by: Side) -> None:
    report = proves(later(by), "accepted in", f"of {across(by).member} (open)")
    assert [item.offers for item in report.parcels].count(("open",)) == 1
    assert [item.decisions for item in report.parcels].count(("open",)) == 1


@SIDES
def test_18_half_of_it_is_not_proven(by: Side) -> None:
    scene = Scene()
    proves(shown(scene, *offer(scene, by)), "no acceptance", result=Result.NOT_PROVEN)
    scene = Scene()
    decided = shown(scene, *decide(scene, across(by)))
    assert decided.offer_call_id is None
    proves(decided, "accepted in", "no offer or request", result=Result.NOT_PROVEN)


@SIDES
def test_18_an_acceptance_counts_without_word_that_it_arrived(by: Side) -> None:
    scene = Scene()
    opened, _ = decide(scene, across(by))
    proves(shown(scene, *offer(scene, by), opened), "accepted in")


@SIDES
def test_18_another_agreement_was_offered_or_accepted(by: Side) -> None:
    scene = Scene()
    other = agreement_pb2.OfferRequest(agreement=OTHER)
    fails(shown(scene, *offer(scene, by, other)), 18, saying="another agreement was offered")
    scene = Scene()
    response = agreement_pb2.OfferResponse(agreement=OTHER)
    made = offer(scene, by, answer=response)
    fails(shown(scene, *made), 18, saying="another agreement was accepted")
    scene = Scene()
    decided = decide(scene, across(by), agreement_pb2.DecideRequest(accepted=OTHER))
    made = [*offer(scene, by), *decided]
    fails(shown(scene, *made), 18, saying="another agreement was accepted")


@SIDES
def test_18_a_no_is_no_acceptance(by: Side) -> None:
    scene = Scene()
    no = agreement_pb2.DecideRequest(declined=agreement_pb2.Decline(agreement=bytes(32)))
    made = [*offer(scene, by), *decide(scene, across(by), no)]
    fails(shown(scene, *made), 18, saying="or none")


@SIDES
def test_18_a_party_accepts_what_it_proposed_itself(by: Side) -> None:
    other = PARTY[across(by).member]
    scene = Scene()
    made = offer(scene, by, answer=accepted(), answered_by=by)
    fails(shown(scene, *made), 18, saying=f"wasn't sealed by the {other}")
    scene = Scene()
    made = [*offer(scene, by), *decide(scene, by)]
    fails(shown(scene, *made), 18, saying=f"wasn't sealed by the {other}")
    scene = Scene()
    decided = decide(scene, across(by), answered_by=across(by))
    made = [*offer(scene, by), *decided]
    saying = f"wasn't sealed by the {PARTY[by.member]}"
    fails(shown(scene, *made), 18, saying=saying)


@SIDES
def test_18_an_answer_to_another_open(by: Side) -> None:
    scene = Scene()
    made = offer(scene, by, answer=accepted(), open_digest=bytes(32))
    fails(shown(scene, *made), 18, saying="another offer")
    scene = Scene()
    made = [*offer(scene, by), *decide(scene, across(by), open_digest=bytes(32))]
    fails(shown(scene, *made), 18, saying="another offer")


@SIDES
def test_18_a_call_that_failed(by: Side) -> None:
    scene = Scene()
    fails(shown(scene, *offer(scene, by, status=13)), 18, saying="status 13")
    scene = Scene()
    made = [*offer(scene, by), *decide(scene, across(by), status=13)]
    fails(shown(scene, *made), 18, saying="status 13")


def test_18_a_call_of_another_method() -> None:
    scene = Scene()
    made = [*offer(scene, MINISTRY), *decide(scene, REGENCY, method="Revoke")]
    fails(shown(scene, *made), 18, saying="another method")
    scene = Scene()
    # The offer's call in the decision's place, and the other way round.
    swapped = replace(later(MINISTRY), offer_call_id=DECIDE_CALL_ID, decide_call_id=OFFER_CALL_ID)
    fails(swapped, 18, saying="another method")


def test_18_a_call_that_is_named_and_not_shown() -> None:
    fails(replace(GOOD, offer_call_id=OFFER_CALL_ID), 18, saying="shows nothing of it")
    fails(replace(at_once(), decide_call_id=DECIDE_CALL_ID), 18, saying="shows nothing of it")


def test_18_two_opens_or_none() -> None:
    scene = Scene()
    opened, closed = offer(scene, MINISTRY)
    fails(shown(scene, closed), 18, saying="0 opens")
    again = offer(scene, MINISTRY, proposal(MINISTRY, note="again"))[0]
    fails(shown(scene, opened, closed, again), 18, saying="2 opens")


def test_18_calls_that_are_none_of_it() -> None:
    made = replace(at_once(), agreement=None)
    fails(made, 18, saying="no agreement")


@pytest.mark.parametrize("call_id", [OFFER_CALL_ID, DECIDE_CALL_ID], ids=["offer", "decision"])
def test_18_a_call_without_its_content_or_with_another(call_id: bytes) -> None:
    fails(with_payload(call_id, None), 18, saying="without its content")
    fails(with_payload(call_id, b""), 18, saying="commit")
    fails(with_payload(call_id, b"\xff"), 18)


def with_payload(call_id: bytes, payload: bytes | None) -> Evidence:
    made = later(MINISTRY)
    parcels = tuple(
        replace(
            item,
            entries=tuple(
                replace(one, payload=payload) if call_id in one.entry else one
                for one in item.entries
            ),
        )
        for item in made.parcels
    )
    return replace(made, parcels=parcels)


def test_an_entry_of_a_decision_is_of_no_call_where_none_is_named() -> None:
    fails(replace(later(MINISTRY), decide_call_id=None), 6)
