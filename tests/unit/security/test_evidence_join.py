"""Two files of one call are one: what either shows, once; what contradicts is refused or fails."""

from dataclasses import replace

import pytest

from security.errors import Code, SimpulError
from security.evidence import Result, parse_evidence, print_evidence
from security.evidence_format import Evidence, ShownAgreement
from security.evidence_join import join_evidence
from tests.conformance import fixed
from tests.support.evidence import (
    CALL_ID,
    MINISTRY,
    OFFER_CALL_ID,
    OTHER_CALL_ID,
    REGENCY,
    Scene,
    unary_parcels,
    watch,
)
from tests.support.evidence_judge import GOOD, SCENE, flipped, judge, results
from tests.support.evidence_making import accepted, offer
from tests.support.published import signer

AGAIN = CALL_ID[:-1] + b"\x05"


def sides(scene: Scene | None = None) -> tuple[Evidence, Evidence]:
    """What the consumer's node has, and what the provider's: each under its own checkpoint."""
    scene = scene or Scene()
    if len(scene.published) == 1:
        scene.later()
    shown = [item.shown((CALL_ID,)) for item in unary_parcels(scene.link)]
    made = []
    for node in (fixed.MINISTRY_NODE, fixed.REGENCY_NODE):
        placed, checkpoint = watch(shown, node)
        made.append(scene.evidence(placed, (checkpoint,)))
    return made[0], made[1]


def refuses(first: Evidence, second: Evidence, saying: str) -> None:
    with pytest.raises(SimpulError, match=saying) as caught:
        join_evidence(first, second)
    assert caught.value.code is Code.EVIDENCE_INVALID


def test_both_journals_are_in_the_joined_file_whatever_the_order() -> None:
    ours, theirs = sides()
    joined = join_evidence(ours, theirs)
    assert print_evidence(joined) == print_evidence(join_evidence(theirs, ours))
    report = judge(joined)
    assert report.failed is None
    assert all(len(parcel.journals) == 2 for parcel in report.parcels)
    assert parse_evidence(print_evidence(joined)) is not None


def test_a_file_joined_with_itself_is_itself() -> None:
    assert print_evidence(join_evidence(GOOD, GOOD)) == print_evidence(GOOD)


def test_what_one_side_lacks_the_other_gives() -> None:
    ours, theirs = sides()
    bare = replace(
        ours,
        agreement=None,
        directories=ours.directories[:1],
        files=tuple(SCENE.published[0].files.values()),
        parcels=tuple(
            replace(
                item,
                leaves=(),
                entries=tuple(
                    replace(one, payload=None, payload_salt=b"", private=None, private_salt=b"")
                    for one in item.entries
                ),
            )
            for item in ours.parcels
        ),
        checkpoints=(),
    )
    report = judge(join_evidence(bare, theirs))
    assert report.failed is None
    found = results(report)
    assert found["payloads"] is found["agreement"] is found["revocations"] is Result.PROVEN


def test_signatures_of_one_agreement_come_together() -> None:
    ours, theirs = sides()
    signed = ours.agreement
    assert isinstance(signed, ShownAgreement)
    half = replace(ours, agreement=replace(signed, consumer_signature=b""))
    other = replace(theirs, agreement=replace(signed, provider_signature=b""))
    assert judge(join_evidence(half, other)).failed is None


def test_of_one_directory_the_first_and_last_timestamp_stay() -> None:
    ours, _ = sides()
    first, second = (item.shown for item in SCENE.published)
    early = replace(second, timestamps=second.timestamps[:1])
    late = replace(second, timestamps=second.timestamps[1:])
    joined = join_evidence(
        replace(ours, directories=(first, late)), replace(ours, directories=(first, early))
    )
    assert second in joined.directories


def test_runs_of_roots_are_put_end_to_end() -> None:
    scene = Scene()
    scene.registry.add_root(root=signer("root 2"))
    scene.registry.add_root(snapshot=signer("snapshot 3"))
    ours, theirs = sides(scene)
    one, two, three = scene.registry.roots
    early, late = replace(ours, roots=(one, two)), replace(theirs, roots=(two, three))
    assert join_evidence(early, late).roots == join_evidence(late, early).roots == (one, two, three)
    refuses(replace(ours, roots=(one,)), replace(theirs, roots=(three,)), "same roots")
    assert join_evidence(replace(ours, roots=()), theirs).roots == (one, two, three)


def test_two_calls_two_seals_or_two_agreements_are_refused() -> None:
    ours, theirs = sides()
    refuses(ours, replace(theirs, call_id=OTHER_CALL_ID), "two different calls")
    first = theirs.parcels[0]
    resealed = replace(first, seal=flipped(first.seal, 5))
    refuses(ours, replace(theirs, parcels=(resealed, *theirs.parcels[1:])), "two seals")
    other = replace(theirs, agreement=ShownAgreement(b"another", b"", b""))
    refuses(ours, other, "different agreements")


def test_of_two_calls_that_offered_it_one_stays() -> None:
    """A party of two nodes was told at both, and each node shows the call that it had."""
    scene = Scene()
    scene.later()
    parcels = unary_parcels(scene.link)
    made = []
    for call_id, node in ((OFFER_CALL_ID, fixed.MINISTRY_NODE), (AGAIN, fixed.REGENCY_NODE)):
        opened, closed = offer(scene, REGENCY, answer=accepted(), call_id=call_id)
        shown = [item.shown((CALL_ID, call_id)) for item in (*parcels, opened, closed)]
        placed, checkpoint = watch(shown, node)
        made.append(scene.evidence(placed, (checkpoint,), offer_call_id=call_id))
    ours, theirs = made
    assert judge(ours).failed is None
    joined = join_evidence(ours, theirs)
    assert print_evidence(joined) == print_evidence(join_evidence(theirs, ours))
    report = judge(joined)
    assert report.failed is None, report.failed
    assert joined.offer_call_id == OFFER_CALL_ID
    assert not any(AGAIN in one.entry for item in joined.parcels for one in item.entries)
    found = results(report)
    assert found["offer"] is found["receipts"] is Result.PROVEN


def test_a_parcel_stays_for_what_it_acknowledges_when_its_offer_goes() -> None:
    """The offer went with the call's only receipt, on the call's own link."""
    scene = Scene()
    scene.later()
    asked, answered, _ = unary_parcels(scene.link)
    opened, _ = offer(scene, REGENCY, answer=accepted(), call_id=AGAIN)
    receipt = scene.link.send(MINISTRY, *opened.entries, ack=answered)
    first = offer(scene, REGENCY, answer=accepted())
    made = []
    for call_id, offering in ((OFFER_CALL_ID, first), (AGAIN, [receipt])):
        shown = [item.shown((CALL_ID, call_id)) for item in (asked, answered, *offering)]
        placed, checkpoint = watch(shown, fixed.MINISTRY_NODE)
        made.append(scene.evidence(placed, (checkpoint,), offer_call_id=call_id))
    joined = join_evidence(*made)
    assert receipt.hash in {item.hash for item in joined.parcels}
    report = judge(joined)
    assert report.failed is None, report.failed
    assert results(report)["receipts"] is Result.PROVEN
