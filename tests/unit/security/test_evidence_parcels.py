"""Evidence, steps 5 to 7: each fails where just that step is broken."""

from dataclasses import replace

from security.evidence import Evidence
from security.seal import make_seals
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.evidence import (
    ANSWER,
    CALL_ID,
    MINISTRY,
    OTHER_CALL_ID,
    REGENCY,
    REGENCY_SEAL,
    Call,
    Link,
    Scene,
    Side,
    unary,
    unary_parcels,
    watch,
)
from tests.support.evidence_judge import (
    GOOD,
    PARCELS,
    export,
    fails,
    flipped,
    judge,
    shown,
    with_parcel,
)

# 5. headers


def test_5_a_header_that_is_none() -> None:
    fails(with_parcel(2, replace(shown(2), header=b"\x08\x01")), 5)


def test_5_no_parcels() -> None:
    fails(replace(GOOD, parcels=(), checkpoints=()), 5)


def test_5_a_header_in_two_places() -> None:
    fails(replace(GOOD, chain=(PARCELS[0].header,)), 5)


# 6. entries


def test_6_an_entry_by_a_wrong_path_or_at_a_wrong_place() -> None:
    entry = shown(0).entries[0]
    for changed in (
        replace(entry, path=()),
        replace(entry, path=(flipped(entry.path[0], 3),)),
        replace(entry, index=0),
        replace(entry, index=2),
        replace(entry, entry=flipped(entry.entry, 20)),
    ):
        fails(with_parcel(0, replace(shown(0), entries=(changed,))), 6)


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
    parcels[0].seal = make_seals(REGENCY_SEAL, [parcels[0].hash])[0]
    fails(export(scene, parcels), 7, saying="the seal isn't the member's")


def test_7_a_seal_of_another_parcel() -> None:
    other = PARCELS[2].seal
    fails(with_parcel(0, replace(shown(0), seal=other)), 7)


def test_7_a_seal_with_a_changed_place_in_its_batch() -> None:
    for at in (70, 100, len(PARCELS[0].seal) - 1):
        fails(with_parcel(0, replace(shown(0), seal=flipped(shown(0).seal, at))), 7)


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
