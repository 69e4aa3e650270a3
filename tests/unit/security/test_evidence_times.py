"""Evidence, steps 8 to 12: each fails where just that step is broken."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from security.checkpoint import parse_checkpoint
from security.evidence import Evidence, Result
from security.evidence_format import ShownStamp
from security.hashing import sha256
from security.note import Note
from security.timestamp import make_request
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories, tsa
from tests.support.evidence import (
    CALL_ID,
    ISSUED_MS,
    MINISTRY_SEAL,
    WITNESSES,
    Link,
    Scene,
    policy,
    unary,
    unary_parcels,
    watch,
)
from tests.support.evidence_judge import (
    GOOD,
    PARCELS,
    SCENE,
    export,
    fails,
    flipped,
    judge,
    results,
    shown,
    with_parcel,
)

# 8. journals


def test_8_a_parcel_at_another_place_of_the_tree() -> None:
    leaf = shown(1).leaves[0]
    for changed in (
        replace(leaf, path=leaf.path[:-1]),
        replace(leaf, index=leaf.index + 1),
        replace(leaf, path=(flipped(leaf.path[0], 1), *leaf.path[1:])),
    ):
        leaves = (changed,)
        fails(with_parcel(1, replace(shown(1), leaves=leaves)), 8)


def test_8_a_checkpoint_of_another_log() -> None:
    for more in ({"log": "simpul/ID/~nobody-1/0"}, {"key": fixed.key("another node")}):
        shown = [item.shown((CALL_ID,)) for item in PARCELS]
        placed, checkpoint = watch(shown, fixed.MINISTRY_NODE, **more)
        fails(SCENE.evidence(placed, (checkpoint,)), 8)


def test_8_a_checkpoint_of_another_text_under_the_same_signature() -> None:
    checkpoint = GOOD.checkpoints[0]
    note = parse_checkpoint(checkpoint.note).note
    lines = note.text.split("\n")
    lines[1] = "5"
    changed = replace(checkpoint, note=Note("\n".join(lines), note.signatures).to_bytes())
    fails(rechecked(changed.note), 8)


def rechecked(note: bytes) -> Evidence:
    """With another note, under which the parcels are said to stand."""
    return replace(
        GOOD,
        checkpoints=(replace(GOOD.checkpoints[0], note=note),),
        parcels=tuple(
            replace(
                item, leaves=tuple(replace(leaf, checkpoint=sha256(note)) for leaf in item.leaves)
            )
            for item in GOOD.parcels
        ),
    )


def test_8_a_checkpoint_that_is_not_there_or_not_used() -> None:
    fails(replace(GOOD, checkpoints=()), 8)
    bare = tuple(replace(item, leaves=()) for item in GOOD.parcels)
    fails(replace(GOOD, parcels=bare), 8)


def test_8_without_a_journal_no_time_is_bounded_and_no_step_fails() -> None:
    bare = tuple(replace(item, leaves=()) for item in GOOD.parcels)
    report = judge(replace(GOOD, parcels=bare, checkpoints=()))
    found = results(report)
    assert report.failed is None
    assert found["journals"] is found["cosignatures"] is Result.NOT_PRESENT
    assert found["times"] is found["revocations"] is Result.NOT_PROVEN


# 9. cosignatures


def test_9_fewer_than_the_quorum() -> None:
    shown = [item.shown((CALL_ID,)) for item in PARCELS]
    placed, checkpoint = watch(shown, fixed.MINISTRY_NODE, names=WITNESSES[:1])
    fails(SCENE.evidence(placed, (checkpoint,)), 9, saying="1 witnesses cosigned")


def test_9_a_witness_that_the_policy_does_not_name_counts_for_nothing() -> None:
    shown = [item.shown((CALL_ID,)) for item in PARCELS]
    names = (WITNESSES[0], "stranger.example/1")
    placed, checkpoint = watch(shown, fixed.MINISTRY_NODE, names=names)
    fails(SCENE.evidence(placed, (checkpoint,)), 9)


def test_9_a_false_cosignature() -> None:
    note = parse_checkpoint(GOOD.checkpoints[0].note).note
    last = note.signatures[-1]
    false = replace(last, signature=flipped(last.signature, 20))
    fails(rechecked(Note(note.text, (*note.signatures[:-1], false)).to_bytes()), 9)


def test_9_no_witnesses_is_no_quorum() -> None:
    scene = Scene(watched=policy(quorum=0, names=()))
    report = judge(export_unwatched(scene))
    assert report.failed is None
    assert results(report)["cosignatures"] is Result.NOT_PRESENT


def export_unwatched(scene: Scene) -> Evidence:
    scene.later()
    shown = [item.shown((CALL_ID,)) for item in unary_parcels(scene.link)]
    placed, checkpoint = watch(shown, fixed.MINISTRY_NODE, names=())
    return scene.evidence(placed, (checkpoint,))


# 10. time stamps


@pytest.fixture(scope="module")
def authority() -> Iterator[tsa.Authority]:
    if tsa.OPENSSL is None:
        pytest.skip("no openssl here")
    with tsa.authority() as running:
        yield running


def stamped(running: tsa.Authority, text: bytes | None = None, name: str = "TSA") -> Evidence:
    watched = policy()
    watched.time.CopyFrom(
        directory_pb2.TimePolicy(
            authorities=[
                directory_pb2.TimestampAuthority(
                    name="TSA", certificate=running.certificate, url="http://tsa.example/tsa"
                )
            ],
            every_ms=1000,
            max_age_ms=2000,
            overdue=directory_pb2.TIME_OVERDUE_WARN,
        )
    )
    made = unary(Scene(watched=watched))
    wanted = parse_checkpoint(made.checkpoints[0].note).note.text.encode()
    answer = running.answer(make_request(text or wanted).data)
    stamp = ShownStamp(name, answer)
    return replace(made, checkpoints=(replace(made.checkpoints[0], stamps=(stamp,)),))


def test_10_a_stamp_is_proven(authority: tsa.Authority) -> None:
    report = judge(stamped(authority))
    assert report.failed is None, report.failed
    assert results(report)["time stamps"] is Result.PROVEN
    assert all(parcel.stamped_ms is not None for parcel in report.parcels)


def test_10_a_stamp_of_another_text(authority: tsa.Authority) -> None:
    fails(stamped(authority, b"another text"), 10)


def test_10_an_authority_that_the_policy_does_not_name(authority: tsa.Authority) -> None:
    fails(stamped(authority, name="Other"), 10, saying="no time-stamp authority")


# 11. times


def test_11_a_directory_that_had_expired_by_then() -> None:
    scene = Scene()
    files = {
        path: data
        for path, data in scene.published[0].files.items()
        if path == "policy" or path.startswith("members/")
    }
    scene.published[0] = scene.registry.publish(7, files, ISSUED_MS, life_ms=30_000)
    scene.link = Link(scene.published[0].hash)
    fails(unary(scene), 11, saying="had expired")


def test_11_a_parcel_that_was_witnessed_before_its_directory() -> None:
    scene = Scene()
    shown = [item.shown((CALL_ID,)) for item in unary_parcels(scene.link)]
    early = ISSUED_MS // 1000 - 120
    placed, checkpoint = watch(shown, fixed.MINISTRY_NODE, time_s=early)
    fails(scene.evidence(placed, (checkpoint,)), 11, saying="names a directory of")


def test_11_a_claim_outside_its_bounds_is_not_believed() -> None:
    for off_ms in (-10 * 60_000, 10 * 60_000):
        scene = Scene()
        scene.link.now_ms += off_ms
        report = judge(export(scene, unary_parcels(scene.link)))
        assert results(report)["times"] is Result.NOT_PROVEN
        assert any("claims" in warning for warning in report.warnings)


# 12. revocations


def revoked(
    at_ms: int, key_id: bytes, *, published_ms: int, since_ms: int | None = None
) -> Evidence:
    """The ministry's key is revoked, and the file's second directory says so."""
    scene = Scene()
    record = directories.ministry_record()
    record.number = 2
    record.revoked_keys.add(key_id=key_id, revoked_at_ms=at_ms, suspected_since_ms=since_ms)
    scene.later(directories.regency_record(), record, at_ms=published_ms)
    return unary(scene)


MINISTRY_IDENTITY = fixed.key(f"{fixed.MINISTRY} identity").public.key_id
SOON, DAY = fixed.NOW_MS + 5_000, fixed.NOW_MS + fixed.DAY_MS


@pytest.mark.parametrize("key_id", [MINISTRY_SEAL.public.key_id, MINISTRY_IDENTITY])
def test_12_a_key_that_was_revoked_by_then(key_id: bytes) -> None:
    fails(revoked(SOON, key_id, published_ms=SOON + 2_000), 12, saying="only by")


def test_12_a_key_that_was_revoked_later_was_good_then() -> None:
    made = revoked(DAY - 5_000, MINISTRY_SEAL.public.key_id, published_ms=DAY)
    report = judge(made)
    assert report.failed is None
    assert results(report)["revocations"] is Result.PROVEN
    assert "was revoked later" in " ".join(report.steps[11].findings)


def test_12_a_revocation_does_not_reach_back_by_its_date() -> None:
    """A directory was in force after *not after* that didn't list it: the date is made up."""
    scene = Scene()
    first = scene.published[0]
    files = {
        path: data
        for path, data in first.files.items()
        if path == "policy" or path.startswith("members/")
    }
    scene.published[0] = scene.registry.publish(
        7, files, ISSUED_MS, last_issued_at_ms=fixed.NOW_MS + 60_000
    )
    scene.link = Link(scene.published[0].hash)
    record = directories.ministry_record()
    record.number = 2
    record.revoked_keys.add(key_id=MINISTRY_SEAL.public.key_id, revoked_at_ms=SOON)
    scene.later(directories.regency_record(), record, at_ms=DAY)
    assert judge(unary(scene)).failed is None


def test_12_a_suspicion_is_a_warning() -> None:
    made = revoked(DAY - 5_000, MINISTRY_SEAL.public.key_id, published_ms=DAY, since_ms=SOON)
    report = judge(made)
    assert report.failed is None
    assert any("is suspected since" in warning for warning in report.warnings)


def test_12_a_revoked_key_without_any_time() -> None:
    made = revoked(DAY - 5_000, MINISTRY_SEAL.public.key_id, published_ms=DAY)
    bare = tuple(replace(item, leaves=()) for item in made.parcels)
    fails(replace(made, parcels=bare, checkpoints=()), 12, saying="nothing shows")
