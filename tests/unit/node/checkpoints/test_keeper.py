"""Signing, cosigning and stamping of a real journal, and what stops a node."""

import shutil
import time
from pathlib import Path

from node.checkpoints.keeper import Keeper
from security import certificate
from security.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint, verify_checkpoint
from security.cosignature import cosign, verified_cosignatures
from security.errors import Code
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.unit.node.checkpoints.support import KEY, ORIGIN, Place

CERTIFICATE = certificate.make_authority("TSA", fixed.NOW_MS, 7)[1]
REFUSE = directory_pb2.TIME_OVERDUE_REFUSE
WARN = directory_pb2.TIME_OVERDUE_WARN


def sizes(place: Place) -> list[tuple[int, bool]]:
    return [(item.size, item.quorum_at_ms is not None) for item in place.store.listed(limit=100)]


def round_of(place: Place, keeper: Keeper | None = None) -> None:
    made = keeper or place.start()
    made.sign()
    made.cosign()
    made.stamp()


def test_what_grew_is_signed_and_cosigned_and_nothing_else(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(3)
    keeper = place.start()
    for grown in (0, 0, 300, 0):
        if grown:
            place.grow(grown)
        place.clock.now_ms += 8000
        round_of(place, keeper)
    assert sizes(place) == [(303, True), (3, True)]
    newest = place.store.newest(0)
    assert newest is not None
    signed = parse_checkpoint(newest.note)
    verify_checkpoint(signed, ORIGIN, KEY.public)
    (witness,) = place.view.policy.oversight.witnesses
    assert len(verified_cosignatures(signed.note, [witness.key])) == 1
    on_disk = place.latest.load(0)
    assert on_disk is not None
    assert on_disk.checkpoint == signed.checkpoint
    assert place.refusals == []
    first = place.store.first_covering(0, 2)
    assert first is not None
    assert first.size == 3


def test_an_empty_journal_has_nothing_to_sign(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(0)
    round_of(place)
    assert sizes(place) == []


def test_a_restart_goes_on(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    for count in (3, 4):
        place.grow(count)
        round_of(place)
    assert sizes(place) == [(7, True), (3, True)]


def test_after_a_crash_between_file_and_database_the_database_learns_it(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(3)
    place.start().sign()
    with place.store._write.begin() as connection:
        connection.exec_driver_sql("DELETE FROM checkpoints")
    round_of(place)
    assert sizes(place) == [(3, True)]


def test_a_lost_file_is_made_up_for_by_the_database(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(3)
    round_of(place)
    (place.home / "checkpoints" / "slot-0").unlink()
    place.grow(1)
    round_of(place)
    assert sizes(place)[0] == (4, True)


def test_a_witness_that_is_down_delays_and_nothing_more(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", witnesses=("w1", "w2", "w3"), quorum=2)
    keeper = place.start()
    place.grow(3)
    round_of(place, keeper)
    place.witnesses.down = {"w2", "w3"}
    place.grow(1)
    round_of(place, keeper)
    assert sizes(place) == [(4, False), (3, True)]
    place.witnesses.down = {"w3"}
    place.clock.now_ms += 60_000
    round_of(place, keeper)
    assert sizes(place) == [(4, True), (3, True)]
    place.witnesses.down = set()
    place.clock.now_ms += 60_000
    round_of(place, keeper)
    newest = place.store.newest(0)
    assert newest is not None
    assert len(parse_checkpoint(newest.note).note.signatures) == 4
    assert place.refusals == []


def test_who_is_down_is_left_alone_for_a_while(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(1)
    keeper = place.start()
    round_of(place, keeper)
    place.grow(1)
    place.witnesses.down = {"w1"}
    place.witnesses.asked.clear()
    for _ in range(10):
        round_of(place, keeper)
    assert place.witnesses.asked == ["w1"]


def test_nothing_is_signed_before_enough_witnesses_have_answered(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", witnesses=("w1", "w2", "w3"), quorum=2)
    place.grow(3)
    place.witnesses.down = {"w1", "w2"}
    keeper = place.start()
    round_of(place, keeper)
    assert sizes(place) == []
    assert place.refusals == []
    place.witnesses.down = {"w1"}
    place.clock.now_ms += 60_000
    round_of(place, keeper)
    assert sizes(place) == [(3, True)]


def backup(place: Place) -> Path:
    copy = place.home.with_name("backup")
    shutil.copytree(place.home, copy)
    return copy


def restore(place: Place, copy: Path) -> None:
    shutil.rmtree(place.home)
    shutil.copytree(copy, place.home)


def test_a_restored_home_is_noticed_by_the_witness_before_a_signature(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(3)
    round_of(place)
    copy = backup(place)
    place.grow(4)
    round_of(place)
    restore(place, copy)
    keeper = place.start()
    keeper.sign()
    assert keeper.refusal is not None
    assert keeper.refusal.code is Code.JOURNAL_RESTORED_OR_FORKED
    assert "w1 has a checkpoint of 7 parcels, and the journal has 3" in keeper.refusal.message
    assert place.refusals == [keeper.refusal]
    assert place.alerts(Code.JOURNAL_RESTORED_OR_FORKED) == 1
    assert sizes(place) == [(3, True)]


def test_a_restored_home_that_went_on_is_a_fork(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(3)
    round_of(place)
    copy = backup(place)
    place.grow(4)
    round_of(place)
    restore(place, copy)
    place.link.name = "another"
    place.grow(9)
    keeper = place.start()
    keeper.sign()
    keeper.cosign()
    assert keeper.refusal is not None
    assert "aren't the journal's" in keeper.refusal.message
    assert sizes(place) == [(3, True)]


def test_an_empty_journal_in_the_place_of_a_lost_one_is_noticed(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(3)
    round_of(place)
    shutil.rmtree(place.home)
    place.home.mkdir()
    place.grow(0)
    keeper = place.start()
    keeper.sign()
    assert keeper.refusal is not None


def test_a_restored_journal_alone_is_noticed_without_witnesses(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", witnesses=())
    place.grow(3)
    copy = backup(place)
    place.grow(4)
    round_of(place)
    assert sizes(place) == [(7, False)]
    for suffix in ("", "-wal", "-shm"):
        (place.home / f"journal.db{suffix}").unlink(missing_ok=True)
    shutil.copy(copy / "journal.db", place.journal)
    keeper = place.start()
    keeper.sign()
    assert keeper.refusal is not None
    assert "this node itself has a checkpoint of 7" in keeper.refusal.message


def test_a_rollback_while_it_runs_is_noticed(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(3)
    keeper = place.start()
    round_of(place, keeper)
    copy = backup(place)
    place.grow(4)
    round_of(place, keeper)
    for suffix in ("-wal", "-shm"):
        (place.home / f"journal.db{suffix}").unlink(missing_ok=True)
    shutil.copy(copy / "journal.db", place.journal)
    round_of(place, keeper)
    assert keeper.refusal is not None
    assert keeper.refusal.code is Code.JOURNAL_RESTORED_OR_FORKED


def test_a_witness_that_was_shown_more_meanwhile_tells(tmp_path: Path) -> None:
    """Two copies of one node run: the one that signs second is told by the witness."""
    first = Place(tmp_path / "node")
    first.grow(3)
    keeper = first.start()
    round_of(first, keeper)
    shutil.copytree(first.home, tmp_path / "twin")
    twin = Place(tmp_path / "twin")
    twin.witnesses = first.witnesses
    twin_keeper = twin.start()
    twin_keeper.sign()
    twin.grow(2)
    round_of(twin, twin_keeper)
    assert twin_keeper.refusal is None
    first.link.name = "elsewhere"
    first.grow(5)
    first.clock.now_ms += 60_000
    round_of(first, keeper)
    assert keeper.refusal is not None
    assert keeper.refusal.code is Code.JOURNAL_RESTORED_OR_FORKED
    assert first.alerts(Code.WITNESS_REFUSED) >= 1


def test_a_lying_witness_stops_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", witnesses=("w1", "w2"), quorum=1)
    place.grow(3)
    # What it shows is cosigned by it, and was never signed by this node.
    false = sign_checkpoint(Checkpoint(ORIGIN, 99, bytes(32)), fixed.key("a liar"))
    line = cosign(false.note.text, "w2", fixed.key("w2"), 1)
    place.witnesses.desks["w2"]._store.swap(
        ORIGIN, None, false.note.with_signatures([line]).to_bytes()
    )
    keeper = place.start()
    round_of(place, keeper)
    assert keeper.refusal is None
    assert sizes(place) == [(3, True)]
    assert place.alerts(Code.WITNESS_REFUSED) >= 1


def time_policy(
    overdue: "directory_pb2.TimeOverdue.ValueType", names: tuple[str, ...] = ("t1", "t2")
) -> directory_pb2.TimePolicy:
    return directory_pb2.TimePolicy(
        authorities=[
            directory_pb2.TimestampAuthority(
                name=name, certificate=CERTIFICATE, url="http://nowhere"
            )
            for name in names
        ],
        every_ms=60_000,
        max_age_ms=600_000,
        overdue=overdue,
    )


def stamped(place: Place) -> list[int]:
    return [item.size for item in place.store.listed(limit=100) if len(item.timestamps) > 0]


def test_the_newest_is_stamped_as_often_as_the_policy_says(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", time=time_policy(REFUSE))
    keeper = place.start()
    for _ in range(10):
        place.grow(1)
        round_of(place, keeper)
        place.clock.now_ms += 20_000
    assert stamped(place) == [10, 7, 4, 1]
    assert place.authorities.asked == ["t1"] * 4


def test_the_next_authority_is_asked_where_one_fails(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", time=time_policy(REFUSE))
    place.authorities.down = {"t1"}
    place.grow(1)
    round_of(place)
    assert place.authorities.asked == ["t1", "t2"]
    assert stamped(place) == [1]
    assert place.latest.stamps_failing_since() is None


def test_past_the_limit_new_calls_are_refused_also_after_a_restart(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", time=time_policy(REFUSE))
    place.authorities.down = {"t1", "t2"}
    place.grow(1)
    round_of(place)
    assert place.latest.stamps_failing_since() == place.clock()
    place.clock.now_ms += 600_000
    keeper = place.start()
    round_of(place, keeper)
    assert keeper.refusal is None
    place.clock.now_ms += 1
    round_of(place, keeper)
    assert keeper.refusal is not None
    assert keeper.refusal.code is Code.TIMESTAMP_OVERDUE
    again = place.start()
    again.stamp()
    assert again.refusal is not None
    place.authorities.down = set()
    place.clock.now_ms += 60_000
    again.stamp()
    assert again.refusal is None
    assert place.latest.stamps_failing_since() is None
    assert [item if item is None else item.code for item in place.refusals] == [
        Code.TIMESTAMP_OVERDUE,
        Code.TIMESTAMP_OVERDUE,
        None,
    ]


def test_where_the_federation_only_warns_calls_go_on(tmp_path: Path) -> None:
    place = Place(tmp_path / "node", time=time_policy(WARN))
    place.authorities.down = {"t1", "t2"}
    place.grow(1)
    keeper = place.start()
    round_of(place, keeper)
    place.clock.now_ms += 700_000
    round_of(place, keeper)
    assert keeper.refusal is None
    assert place.alerts(Code.TIMESTAMP_OVERDUE) == 1


def test_the_threads_sign_cosign_and_sign_the_last_at_the_end(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(1)
    keeper = place.start()
    keeper.start()
    deadline = time.monotonic() + 10
    while sizes(place) != [(1, True)] and time.monotonic() < deadline:
        time.sleep(0.02)
    place.grow(2)
    keeper.stop()
    assert sizes(place) == [(3, True), (1, True)]


def test_a_broken_store_ends_no_thread(tmp_path: Path) -> None:
    place = Place(tmp_path / "node")
    place.grow(1)
    keeper = place.start()
    hidden = place.home / "hidden"
    place.journal.rename(hidden)
    place.journal.write_bytes(b"no database" * 100)
    round_of(place, keeper)
    assert place.alerts(Code.JOURNAL_CORRUPT) == 1
    for suffix in ("-wal", "-shm"):
        (place.home / f"journal.db{suffix}").unlink(missing_ok=True)
    hidden.rename(place.journal)
    round_of(place, keeper)
    assert sizes(place) == [(1, True)]
