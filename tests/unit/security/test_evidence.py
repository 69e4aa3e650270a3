"""Each numbered step of verifying evidence fails where just that step is broken, by its number."""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security.agreement import agreement_hash
from security.checkpoint import parse_checkpoint
from security.errors import Code, SimpulError
from security.evidence import STEPS, Evidence, Report, Result, print_evidence, verify
from security.evidence_format import ShownParcel, ShownStamp
from security.hashing import HASH_BYTES, sha256
from security.note import Note
from security.private import Private, make_private
from security.statement import make_statement, statement_hash
from security.timestamp import make_request
from simpul.v1 import agreement_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import agreements, directories, tsa
from tests.support.evidence import (
    ANSWER,
    CALL_ID,
    ISSUED_MS,
    MINISTRY,
    MINISTRY_SEAL,
    OFFER_CALL_ID,
    OTHER_CALL_ID,
    REGENCY,
    REGENCY_SEAL,
    WITNESSED_S,
    WITNESSES,
    Call,
    Link,
    Parcel,
    Scene,
    Side,
    policy,
    signed_agreement,
    unary,
    unary_parcels,
    watch,
)
from tests.support.published import Registry, signer

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


def with_parcel(number: int, change: Callable[[ShownParcel], ShownParcel]) -> Evidence:
    """Change the nth parcel in the order of sending: 0 the question, 1 the answer, 2 a receipt."""
    wanted = PARCELS[number].hash
    return replace(
        GOOD,
        parcels=tuple(change(item) if item.hash == wanted else item for item in GOOD.parcels),
    )


PARCELS: list[Parcel] = unary_parcels(Link(SCENE.published[0].hash))


def export(
    scene: Scene, parcels: list[Parcel], *, contents: bool = True, **more: object
) -> Evidence:
    """As a node does it: with one cosigned checkpoint over all parcels."""
    if len(scene.published) == 1:
        scene.later()
    shown = [item.shown((CALL_ID, OFFER_CALL_ID), contents=contents) for item in parcels]
    placed, checkpoint = watch(shown, fixed.MINISTRY_NODE)
    return scene.evidence(placed, (checkpoint,), **more)


def flipped(data: bytes, at: int, bit: int = 0) -> bytes:
    return data[:at] + bytes([data[at] ^ (1 << bit)]) + data[at + 1 :]


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


def streamed(scene: Scene) -> list[Parcel]:
    kind = replace(Call().kind, method="List", unary=False)
    call, link = Call(kind=kind), scene.link
    first = link.send(MINISTRY, call.open(), call.ask(b"a"))
    head = link.send(REGENCY, call.answer(b"1"), call.answer(b"2"), ack=first)
    second = link.send(MINISTRY, call.ask(b"b"), call.half_close(), ack=head)
    last = link.send(REGENCY, call.answer(b"3"), call.close(), ack=second)
    return [first, head, second, last, link.send(MINISTRY, ack=last)]


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
    """What is changed by somebody who can hash: never proven to be something else."""
    data = print_evidence(GOOD)
    original = judge(GOOD)
    chosen = random.Random(5).sample(
        range(len(b"simpul evidence v1\n"), len(data) - HASH_BYTES), 300
    )
    changed = 0
    for at in chosen:
        report = verify(redigest(flipped(data, at, at % 8)), ROOT)
        if report.failed is None:
            assert (report.call, report.parcels) == (original.call, original.parcels), at
            changed += 1
    # White space in roots and timestamps, which alone aren't hashed: nearly nothing.
    assert changed < 10


def redigest(data: bytes) -> bytes:
    from security.hashing import EVIDENCE, digest

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


# 2. roots


def test_2_the_root_of_another_federation() -> None:
    fails(GOOD, 2, Registry("another").roots[0], saying="isn't the root given")


def test_2_what_is_no_root() -> None:
    fails(GOOD, 2, b"{}")


def test_2_no_roots() -> None:
    fails(replace(GOOD, roots=()), 2)


def rotated() -> Scene:
    """A registry whose root keys changed before the directory of the call."""
    registry = Registry()
    registry.add_root(root=signer("root 2"), timestamp=signer("timestamp 2"))
    registry.add_root(snapshot=signer("snapshot 3"))
    return Scene(registry)


def test_2_roots_lead_forward_from_the_one_given() -> None:
    scene = rotated()
    made = unary(scene)
    for root in scene.registry.roots:
        report = judge(made, root)
        assert report.failed is None, report.failed


def test_2_a_root_is_missing_on_the_way() -> None:
    scene = rotated()
    made = unary(scene)
    fails(
        replace(made, roots=made.roots[::2]), 2, scene.registry.roots[0], saying="go from version"
    )
    fails(
        replace(made, roots=made.roots[2:]), 2, scene.registry.roots[0], saying="begin at version"
    )


def test_2_a_root_that_the_one_before_did_not_sign() -> None:
    scene = rotated()
    made = unary(scene)
    stranger = Registry("stranger")
    stranger.add_root()
    forged = (made.roots[0], stranger.roots[1], *made.roots[2:])
    fails(replace(made, roots=forged), 2, scene.registry.roots[0])


# 3. directories


def test_3_no_directory() -> None:
    fails(replace(GOOD, directories=(), files=()), 3)


def test_3_a_directory_rests_on_a_root_before_the_one_given() -> None:
    registry = Registry()
    scene = Scene(registry)
    scene.registry.add_root(root=signer("root 2"))
    made = unary(scene)
    assert judge(made, registry.roots[0]).failed is None
    fails(made, 3, registry.roots[1], saying="oldest root.json")


def test_3_a_file_is_missing_or_one_too_many() -> None:
    for number in range(len(GOOD.files)):
        left = GOOD.files[:number] + GOOD.files[number + 1 :]
        report = judge(replace(GOOD, files=left))
        if report.failed is None:
            # A record of the later directory: whether a key was revoked then isn't known.
            assert results(report)["revocations"] is Result.NOT_PROVEN
        else:
            assert report.failed.number in {3, 7}
    fails(replace(GOOD, files=(*GOOD.files, b"more")), 3, saying="named by no directory")


def test_3_a_timestamp_of_other_keys() -> None:
    forged = Registry("forger").publish(7, {"policy": b"x"}, ISSUED_MS)
    shown = SCENE.published[0].shown
    changed = replace(shown, timestamps=forged.shown.timestamps)
    fails(replace(GOOD, directories=(changed, SCENE.published[1].shown)), 3)


def test_3_a_timestamp_names_another_snapshot() -> None:
    first, second = (item.shown for item in SCENE.published)
    changed = replace(first, timestamps=second.timestamps)
    fails(replace(GOOD, directories=(changed, second)), 3, saying="another snapshot")


def test_3_timestamps_out_of_order_too_many_or_none() -> None:
    first, second = (item.shown for item in SCENE.published)
    for timestamps in (second.timestamps[::-1], second.timestamps[:1] * 2, ()):
        changed = replace(second, timestamps=timestamps)
        fails(replace(GOOD, directories=(first, changed)), 3)


def test_3_two_directories_of_one_version() -> None:
    scene = Scene()
    files = dict(scene.published[0].files)
    other = scene.registry.publish(7, {"policy": files["policy"]}, ISSUED_MS + 1)
    scene.published.append(other)
    fails(unary(scene), 3, scene.registry.roots[0], saying="one version")


def test_3_a_member_that_the_wrong_bin_lists() -> None:
    scene = Scene()
    wanted = {
        path: data for path, data in scene.published[0].files.items() if path.startswith("members/")
    }
    policy_file = {"policy": scene.published[0].files["policy"]}
    scene.published[0] = scene.registry.publish(7, policy_file | wanted, ISSUED_MS, misplaced=True)
    scene.link = Link(scene.published[0].hash)
    fails(unary(scene), 3, saying="not its own")


# 4. records


def test_4_a_policy_of_another_federation() -> None:
    other = policy()
    other.federation = "MY"
    fails(unary(Scene(watched=other)), 4)


def test_4_a_statement_that_its_own_key_did_not_sign() -> None:
    record = directories.regency_record()
    record.statement.signature = flipped(record.statement.signature, 0)
    fails(unary(Scene(records=(record, directories.ministry_record()))), 4)


def test_4_another_federation_is_named() -> None:
    fails(replace(GOOD, federation="MY"), 4)


# 5. headers


def test_5_a_header_that_is_none() -> None:
    fails(with_parcel(2, lambda item: replace(item, header=b"\x08\x01")), 5)


def test_5_no_parcels() -> None:
    fails(replace(GOOD, parcels=(), checkpoints=()), 5)


def test_5_a_header_in_two_places() -> None:
    fails(replace(GOOD, chain=(PARCELS[0].header,)), 5)


# 6. entries


def test_6_an_entry_by_a_wrong_path_or_at_a_wrong_place() -> None:
    for change in (
        lambda entry: replace(entry, path=()),
        lambda entry: replace(entry, path=(flipped(entry.path[0], 3),)),
        lambda entry: replace(entry, index=0),
        lambda entry: replace(entry, index=2),
        lambda entry: replace(entry, entry=flipped(entry.entry, 20)),
    ):
        fails(
            with_parcel(0, lambda item, by=change: replace(item, entries=(by(item.entries[0]),))), 6
        )


def test_6_an_entry_of_another_call() -> None:
    scene = Scene()
    parcels = unary_parcels(scene.link)
    shown = [item.shown((CALL_ID, OTHER_CALL_ID)) for item in parcels]
    placed, checkpoint = watch(shown, fixed.MINISTRY_NODE)
    fails(scene.evidence(placed, (checkpoint,)), 6, saying="of call")


def test_6_no_entries() -> None:
    bare = tuple(replace(item, entries=()) for item in GOOD.parcels)
    fails(replace(GOOD, parcels=bare), 6)


def test_6_entries_of_two_links() -> None:
    scene = Scene()
    call = Call()
    asked = scene.link.send(MINISTRY, call.open())
    other = Link(scene.published[0].hash, fixed.fixed_bytes("another link", 32))
    answered = other.send(REGENCY, call.close(ANSWER))
    fails(export(scene, [asked, answered]), 6, saying="several links")


# 7. seals


def resealed(side: Side) -> Evidence:
    scene = Scene()
    call = Call()
    asked = scene.link.send(side, call.open())
    return export(scene, [asked, scene.link.send(REGENCY, call.close(ANSWER), ack=asked)])


def test_7_a_seal_by_another_key_under_the_members_key_id() -> None:
    scene = Scene()
    parcels = unary_parcels(scene.link)
    from security.seal import make_seals

    parcels[0].seal = make_seals(REGENCY_SEAL, [parcels[0].hash])[0]
    fails(export(scene, parcels), 7, saying="the seal isn't the member's")


def test_7_a_seal_of_another_parcel() -> None:
    other = PARCELS[2].seal
    fails(with_parcel(0, lambda item: replace(item, seal=other)), 7)


def test_7_a_seal_with_a_changed_place_in_its_batch() -> None:
    for at in (70, 100, len(PARCELS[0].seal) - 1):
        fails(with_parcel(0, lambda item, at=at: replace(item, seal=flipped(item.seal, at))), 7)


def test_7_a_key_that_no_directory_lists() -> None:
    stranger = Side(fixed.MINISTRY, fixed.MINISTRY_NODE, fixed.key("stranger"))
    fails(resealed(stranger), 7, saying="no directory in the file lists key")


def test_7_a_key_outside_its_dates() -> None:
    scene = Scene()
    scene.link.now_ms += 365 * fixed.DAY_MS
    fails(export(scene, unary_parcels(scene.link)), 7, saying="wasn't valid")


def test_7_a_suspended_member_is_told() -> None:
    record = directories.ministry_record()
    record.state = directory_pb2.MEMBER_STATE_SUSPENDED
    report = judge(unary(Scene(records=(directories.regency_record(), record))))
    assert report.failed is None
    assert any("was suspended" in warning for warning in report.warnings)


# 8. journals


def test_8_a_parcel_at_another_place_of_the_tree() -> None:
    for change in (
        lambda leaf: replace(leaf, path=leaf.path[:-1]),
        lambda leaf: replace(leaf, index=leaf.index + 1),
        lambda leaf: replace(leaf, path=(flipped(leaf.path[0], 1), *leaf.path[1:])),
    ):
        fails(
            with_parcel(1, lambda item, by=change: replace(item, leaves=(by(item.leaves[0]),))), 8
        )


def test_8_a_checkpoint_of_another_log() -> None:
    for more in ({"log": "simpul/ID/~nobody-1/0"}, {"key": fixed.key("another node")}):
        shown = [item.shown((CALL_ID,)) for item in PARCELS]
        placed, checkpoint = watch(shown, fixed.MINISTRY_NODE, **more)  # type: ignore[arg-type]
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


# 13. order


def test_13_a_message_is_missing() -> None:
    scene = Scene()
    parcels = streamed(scene)
    made = export(scene, parcels)
    kept = tuple(item for item in made.parcels if item.hash != parcels[1].hash)
    fails(replace(made, parcels=kept), 13)


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
    from security.commitment import NO_MESSAGES, Tally

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


# 16. agreement


def test_16_no_agreement_is_not_present() -> None:
    report = judge(replace(GOOD, agreement=None))
    found = results(report)
    assert report.failed is None
    assert found["agreement"] is found["permission"] is Result.NOT_PRESENT


def test_16_one_signature_is_missing_or_another_s() -> None:
    good = signed_agreement()
    for change in (
        replace(good, consumer_signature=b""),
        replace(good, provider_signature=b""),
        replace(good, consumer_signature=good.provider_signature),
        replace(good, provider_signature=flipped(good.provider_signature, 5)),
    ):
        fails(replace(GOOD, agreement=change), 16)


def test_16_another_agreement() -> None:
    other = agreements.signed(replace(agreements.TERMS, nonce=bytes(16)))
    fails(
        replace(GOOD, agreement=signed_agreement(other)), 16, saying="the one that the open names"
    )


def false_identity() -> Evidence:
    """A captured registry lists another identity key, and a seal key under it."""
    scene_record = directories.ministry_record()
    false = fixed.key("false identity")
    view = directories.statement_view(fixed.MINISTRY, fixed.MINISTRY_NODE, false, MINISTRY_SEAL)
    scene_record.statement.CopyFrom(make_statement(view, false))
    return unary(Scene(records=(directories.regency_record(), scene_record)))


def test_16_a_key_that_the_registry_made_up() -> None:
    fails(false_identity(), 16, saying="nothing in the file shows")
    known = agreements.CONSUMER_IDENTITY.public
    fails(replace(false_identity(), identity_keys=(known,)), 16, saying="successions")


def test_16_a_key_that_is_not_needed() -> None:
    fails(replace(GOOD, identity_keys=(fixed.key("spare").public,)), 16, saying="isn't needed")


def succeeded() -> Evidence:
    """The ministry's identity key changed between the agreement and the call."""
    record = directories.ministry_record()
    old, new = agreements.CONSUMER_IDENTITY, fixed.key("new identity")
    first = directories.statement_view(fixed.MINISTRY, fixed.MINISTRY_NODE, old, MINISTRY_SEAL)
    second = replace(
        first,
        number=2,
        identity_key=new.public,
        previous=statement_hash(record.statement.statement),
    )
    record.statement.CopyFrom(make_statement(second, new, old))
    record.successions.append(record.statement)
    made = unary(Scene(records=(directories.regency_record(), record)))
    return replace(made, identity_keys=(old.public,))


def test_16_a_successor_s_seals_count() -> None:
    report = judge(succeeded())
    assert report.failed is None, report.failed
    fails(replace(succeeded(), identity_keys=()), 16)


# 17 has no way to fail: what isn't permitted is not proven (above). 18. offer


def offered(change: Callable[[agreement_pb2.SignedAgreement], None] | None = None) -> Evidence:
    scene = Scene()
    parcels = unary_parcels(scene.link)
    kind = replace(
        Call().kind,
        consumer=fixed.TOURISM,
        service=replace(
            Call().kind.service, subsystem=fixed.SUPER_APP, service="simpul.v1.Agreements"
        ),
        method="Offer",
        agreement=None,
        purpose=None,
    )
    signed = agreements.signed()
    if change is not None:
        change(signed)
    call = Call(OFFER_CALL_ID, kind)
    link = Link(scene.published[0].hash, fixed.fixed_bytes("offer link", 32))
    request = agreement_pb2.OfferRequest(agreement=signed).SerializeToString()
    response = agreement_pb2.OfferResponse(agreement=signed).SerializeToString()
    asked = link.send(REGENCY, call.open(request))
    answered = link.send(MINISTRY, call.close(response), ack=asked)
    return export(scene, [*parcels, asked, answered], offer_call_id=OFFER_CALL_ID)


def test_18_the_offer_is_proven() -> None:
    report = judge(offered())
    assert report.failed is None, report.failed
    assert results(report)["offer"] is Result.PROVEN


def test_18_another_agreement_was_offered() -> None:
    def change(signed: agreement_pb2.SignedAgreement) -> None:
        signed.agreement = agreements.signed(replace(agreements.TERMS, nonce=bytes(16))).agreement

    fails(offered(change), 18, saying="another agreement")


def test_18_an_offer_without_its_content() -> None:
    made = offered()
    bare = tuple(
        replace(
            item,
            entries=tuple(
                replace(one, payload=None) if OFFER_CALL_ID in one.entry else one
                for one in item.entries
            ),
        )
        for item in made.parcels
    )
    fails(replace(made, parcels=bare), 18, saying="without its content")


# 20 and 21: contents


def with_entry(number: int, **fields: object) -> Evidence:
    return with_parcel(
        number,
        lambda item: replace(
            item,
            entries=tuple(replace(one, **fields) for one in item.entries),  # type: ignore[arg-type]
        ),
    )


def test_20_another_message() -> None:
    fails(with_entry(1, payload=b"\x0a\x05Rinca"), 20)
    fails(with_entry(1, payload_salt=bytes(16)), 20)
    fails(with_entry(1, payload=None, payload_salt=bytes(15)), 20)


def test_21_another_private_block() -> None:
    fails(with_entry(0, private=make_private(Private(user="operator-8"))), 21)
    fails(with_entry(1, private_salt=bytes(16)), 21)


def test_a_hash_is_the_agreement_s() -> None:
    assert Call().kind.agreement == agreement_hash(agreements.signed().agreement)
