"""What a node puts into an evidence file, from a journal of which each parcel is known."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.evidence.contents import kept_contents
from node.evidence.export import Exported, export_evidence
from security.errors import Code, SimpulError
from security.evidence import Report, Result, print_evidence, verify
from security.evidence_join import join_evidence
from simpul.v1 import agreement_pb2
from tests.conformance import fixed
from tests.support import agreements
from tests.support.evidence import (
    CALL_ID,
    DECIDE_CALL_ID,
    MINISTRY,
    OFFER_CALL_ID,
    OTHER_CALL_ID,
    REGENCY,
    Call,
    Link,
    Parcel,
    Scene,
    Side,
    unary_parcels,
)
from tests.support.evidence_judge import streamed
from tests.support.evidence_making import accepted, across, decide, offer, proposal
from tests.unit.node.evidence.support import Home, make
from tests.unit.node.journal.kept.support import KEPT, KEYS

AGAIN_CALL_ID = CALL_ID[:-1] + b"\x05"
SIDES = pytest.mark.parametrize("side", [MINISTRY, REGENCY], ids=["consumer", "provider"])
PROPOSERS = pytest.mark.parametrize("by", [MINISTRY, REGENCY], ids=["requested", "offered"])


@pytest.fixture
def scene() -> Scene:
    made = Scene()
    made.later()
    return made


@pytest.fixture
def ours(tmp_path: Path, scene: Scene) -> Home:
    return make(tmp_path / "ours", MINISTRY, scene)


def export(home: Home, **more: object) -> Exported:
    return export_evidence(home.home, home.home.journal, CALL_ID, **more)  # type: ignore[arg-type]


def judge(done: Exported, scene: Scene) -> Report:
    return verify(print_evidence(done.evidence), scene.registry.roots[0])


def results(report: Report) -> dict[str, Result]:
    assert report.failed is None, report.failed
    return {step.name: step.result for step in report.steps}


def test_a_unary_call_is_proven_from_what_its_node_keeps(scene: Scene, ours: Home) -> None:
    ours.journal(unary_parcels(scene.link))
    done = export(ours)
    found = results(judge(done, scene))
    # The node has no directory in use here, so that none after the call's is shown.
    unproven = {name for name, result in found.items() if result is not Result.PROVEN}
    assert unproven == {
        "time stamps", "revocations", "offer", "registry's log", "payloads", "private blocks",
    }  # fmt: skip
    assert done.notes == ()
    assert len(done.evidence.parcels) == 3


def test_both_sides_show_the_same_parcels_and_join(
    tmp_path: Path, scene: Scene, ours: Home
) -> None:
    parcels = unary_parcels(scene.link)
    theirs = make(tmp_path / "theirs", REGENCY, scene)
    ours.journal(parcels)
    theirs.journal(parcels)
    mine, other = export(ours).evidence, export(theirs).evidence
    assert {item.hash for item in mine.parcels} == {item.hash for item in other.parcels}
    joined = join_evidence(mine, other)
    report = verify(print_evidence(joined), scene.registry.roots[0])
    assert report.failed is None
    assert all(len(item.journals) == 2 for item in report.parcels)


def test_nothing_of_another_call_is_in_the_file(scene: Scene, ours: Home) -> None:
    parcels = unary_parcels(scene.link)
    ours.journal(parcels)
    data = print_evidence(export(ours).evidence)
    assert OTHER_CALL_ID not in data
    (other, _) = parcels[0].entries
    assert other.entry not in data


def test_kept_contents_are_shown_and_left_out_where_that_is_asked(scene: Scene, ours: Home) -> None:
    ours.journal(unary_parcels(scene.link), keys=KEPT)
    kept = kept_contents(ours.home.journal, KEYS, CALL_ID)
    found = results(judge(export(ours, kept=kept), scene))
    assert found["payloads"] is found["private blocks"] is Result.PROVEN
    bare = export(ours, contents=False, kept=kept)
    found = results(judge(bare, scene))
    assert found["payloads"] is found["private blocks"] is Result.NOT_PRESENT
    entries = [entry for parcel in bare.evidence.parcels for entry in parcel.entries]
    assert not any(entry.payload_salt or entry.private_salt for entry in entries)


def test_a_streaming_call_is_exported_whole(scene: Scene, ours: Home) -> None:
    ours.journal(streamed(scene))
    report = judge(export(ours), scene)
    found = results(report)
    assert found["order"] is found["receipts"] is Result.PROVEN
    assert report.call is not None
    assert (report.call.requests, report.call.responses) == (2, 3)


def late_receipt(scene: Scene, between: int) -> list[Parcel]:
    """The answer is acknowledged only `between` parcels of its sender later."""
    call, link = Call(), scene.link
    asked = link.send(MINISTRY, call.open())
    answered = link.send(REGENCY, call.close(b"answer"), ack=asked)
    more = [link.send(REGENCY) for _ in range(between)]
    last = link.send(MINISTRY, ack=more[-1])
    return [asked, answered, *more, last, link.send(MINISTRY, ack=more[-1])]


def test_headers_lead_from_the_call_to_what_was_acknowledged(scene: Scene, ours: Home) -> None:
    ours.journal(late_receipt(scene, 7))
    done = export(ours)
    assert len(done.evidence.chain) == 7
    # The first receipt, and not the one after it.
    assert len(done.evidence.parcels) == 3
    assert results(judge(done, scene))["receipts"] is Result.PROVEN


def test_an_unacknowledged_answer_is_not_proven_to_have_arrived(scene: Scene, ours: Home) -> None:
    ours.journal(unary_parcels(scene.link)[:2])
    found = results(judge(export(ours), scene))
    assert found["receipts"] is Result.NOT_PROVEN


def test_a_call_that_nobody_witnessed_yet(scene: Scene, ours: Home) -> None:
    ours.journal(unary_parcels(scene.link), watched=False)
    found = results(judge(export(ours), scene))
    assert found["journals"] is Result.NOT_PRESENT
    assert found["seals"] is Result.PROVEN


@SIDES
@PROPOSERS
def test_an_offer_is_made_again_from_the_agreement_and_its_salts(
    tmp_path: Path, scene: Scene, side: Side, by: Side
) -> None:
    """Also where a sibling told of the agreement, so that no step says who proposed it."""
    home = make(tmp_path / "home", side, scene)
    home.journal([*offer(scene, by, answer=accepted()), *unary_parcels(scene.link)])
    done = export(home)
    assert (done.evidence.offer_call_id, done.evidence.decide_call_id) == (OFFER_CALL_ID, None)
    assert results(judge(done, scene))["offer"] is Result.PROVEN


@pytest.mark.parametrize("counters", [b"", bytes(range(32))], ids=["first", "countering"])
@SIDES
def test_an_offer_with_a_note_is_made_again_at_both_sides(
    tmp_path: Path, scene: Scene, side: Side, counters: bytes
) -> None:
    home = make(tmp_path / "home", side, scene)
    home.proposed("for the island's tourism office", counters)
    request = proposal(REGENCY, note="for the island's tourism office", counters=counters)
    parcels = offer(scene, REGENCY, request, accepted())
    home.journal([*parcels, *unary_parcels(scene.link)])
    done = export(home)
    assert done.evidence.offer_call_id == OFFER_CALL_ID
    assert results(judge(done, scene))["offer"] is Result.PROVEN


@SIDES
@PROPOSERS
@pytest.mark.parametrize("after_ms", [0, 90 * fixed.DAY_MS], ids=["at once", "a season later"])
def test_a_request_and_its_approval_are_made_again_at_both_sides(
    tmp_path: Path, scene: Scene, side: Side, by: Side, after_ms: int
) -> None:
    home = make(tmp_path / "home", side, scene)
    home.proposed("please", b"", by=by, accepted_after_ms=after_ms)
    asked = offer(scene, by, proposal(by, note="please"))
    decided = decide(scene, across(by))
    home.journal(asked)
    home.journal(decided, at_ms=fixed.NOW_MS + after_ms, watched=False)
    home.journal(unary_parcels(scene.link), at_ms=fixed.NOW_MS + after_ms)
    done = export(home)
    found = (done.evidence.offer_call_id, done.evidence.decide_call_id)
    assert found == (OFFER_CALL_ID, DECIDE_CALL_ID)
    assert results(judge(done, scene))["offer"] is Result.PROVEN


@SIDES
def test_a_request_whose_approval_is_not_here_is_shown_alone(
    tmp_path: Path, scene: Scene, side: Side
) -> None:
    home = make(tmp_path / "home", side, scene)
    home.proposed("", b"", by=MINISTRY)
    other = agreements.signed(replace(agreements.TERMS, nonce=bytes(16)))
    another = decide(scene, REGENCY, agreement_pb2.DecideRequest(accepted=other))
    home.journal([*offer(scene, MINISTRY), *another, *unary_parcels(scene.link)])
    done = export(home)
    assert (done.evidence.offer_call_id, done.evidence.decide_call_id) == (OFFER_CALL_ID, None)
    assert results(judge(done, scene))["offer"] is Result.NOT_PROVEN


@SIDES
def test_an_acceptance_in_the_answer_needs_no_other_call(
    tmp_path: Path, scene: Scene, side: Side
) -> None:
    """A proposal that was made again, after it had been accepted."""
    home = make(tmp_path / "home", side, scene)
    home.proposed("", b"", by=MINISTRY)
    again = offer(scene, MINISTRY, answer=accepted(), call_id=AGAIN_CALL_ID)
    parcels = [*offer(scene, MINISTRY), *decide(scene, REGENCY), *again]
    home.journal([*parcels, *unary_parcels(scene.link)])
    done = export(home)
    assert (done.evidence.offer_call_id, done.evidence.decide_call_id) == (AGAIN_CALL_ID, None)
    assert results(judge(done, scene))["offer"] is Result.PROVEN


def test_an_offer_with_another_note_is_not_this_one(
    tmp_path: Path, scene: Scene, ours: Home
) -> None:
    ours.proposed("one note", b"")
    request = proposal(REGENCY, note="another")
    ours.journal([*offer(scene, REGENCY, request, accepted()), *unary_parcels(scene.link)])
    done = export(ours)
    assert done.evidence.offer_call_id is None
    assert results(judge(done, scene))["offer"] is Result.NOT_PRESENT


def test_a_directory_that_was_never_here_is_told(tmp_path: Path, scene: Scene, ours: Home) -> None:
    bare = Home.make(tmp_path / "bare", MINISTRY, scene.registry.roots[0])
    bare.agree(agreements.signed())
    bare.journal(unary_parcels(scene.link))
    ours.journal(unary_parcels(Link(scene.published[0].hash)))
    done = export(bare)
    assert "was never here" in done.notes[0]
    # Alone it proves nothing; with the other side's file it does.
    report = judge(done, scene)
    assert report.failed is not None
    assert report.failed.number == 2
    joined = join_evidence(done.evidence, export(ours).evidence)
    assert verify(print_evidence(joined), scene.registry.roots[0]).failed is None


def test_a_call_that_is_not_there(scene: Scene, ours: Home) -> None:
    ours.journal(unary_parcels(scene.link))
    with pytest.raises(SimpulError, match="no parcel of call") as caught:
        export_evidence(ours.home, ours.home.journal, bytes(16))
    assert caught.value.code is Code.NOT_FOUND


def test_exporting_tells_how_far_it_is_and_changes_nothing(scene: Scene, ours: Home) -> None:
    ours.journal(unary_parcels(scene.link))
    before = {path: path.read_bytes() for path in ours.home.path.rglob("*.json")}
    told: list[tuple[int, int]] = []
    export(ours, progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    assert before == {path: path.read_bytes() for path in ours.home.path.rglob("*.json")}
