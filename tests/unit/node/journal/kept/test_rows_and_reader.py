"""What is kept, as it is opened again: the contract, on SQLite and on PostgreSQL."""

import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from node.journal.kept.keys import KeptKeys
from node.journal.kept.model import KeptEntry, State
from node.journal.kept.reader import KeptReader
from node.journal.model import CallFilter
from node.journal.place import Place
from node.journal.reader import JournalReader
from node.journal.store import Append
from node.journal.verify import verify
from security.errors import Code, SimpulError
from security.persons import PersonKind, Persons
from tests.unit.node.journal.builder import NOW_MS, Link, call_id, unary_call
from tests.unit.node.journal.kept.support import (
    KEYS,
    LEASE_MS,
    NIK,
    constant,
    keep,
    kept_call,
    late_of,
    open_store,
    secret,
    without_payload,
)
from tests.unit.node.journal.support import read


def contents(place: Place, number: int, keys: KeptKeys = KEYS) -> list[KeptEntry]:
    with KeptReader(place, keys) as reader:
        return reader.of_call(call_id(number))


def payloads(place: Place, number: int, keys: KeptKeys = KEYS) -> list[bytes | None]:
    found = contents(place, number, keys)
    return [None if entry.payload is None else entry.payload.data for entry in found]


def concerning(
    place: Place, *persons: tuple[PersonKind, str], keys: KeptKeys = KEYS
) -> list[bytes]:
    tags = tuple(keys.tags(kind, text) for kind, text in persons)
    with JournalReader(place) as reader:
        return [row.call_id for row in reader.list_calls(CallFilter(persons=tags))]


def test_payload_and_private_block_come_back_with_their_salts(place: Place) -> None:
    records = kept_call(Link(), 1)
    assert keep(place, records) == {}
    asked, told = contents(place, 1)
    for entry, record in ((asked, records[0]), (told, records[1])):
        (sealed,) = record.entries
        assert entry.payload is not None
        assert entry.private is not None
        assert (entry.payload.state, entry.private.state) == (State.KEPT, State.KEPT)
        assert (entry.payload.data, entry.private.data) == (sealed.payload, sealed.private)
        assert (entry.payload.salt, entry.private.salt) == (
            sealed.payload_salt, sealed.private_salt,
        )  # fmt: skip
    assert verify(place).ok


def test_what_is_not_to_be_kept_is_not_there(place: Place) -> None:
    link = Link()
    keep(place, unary_call(link, 1), kept_call(link, 2))
    asked, _ = contents(place, 1)
    assert asked.payload is not None
    assert (asked.payload.state, asked.payload.data) == (State.NOT_KEPT, None)
    assert asked.payload.salt != b""
    assert payloads(place, 2) == [b"question 2", b"answer 2"]


def test_nothing_of_it_is_readable_in_the_file(path: Path) -> None:
    keep(path, kept_call(Link(), 1))
    found = b"".join(file.read_bytes() for file in path.parent.glob("journal.db*"))
    for secret_text in (b"question 1", b"answer 1", b"x-trace", NIK.encode(), b"fine"):
        assert secret_text not in found


def test_credentials_are_never_stored_and_the_rest_is(place: Place) -> None:
    metadata = (
        ("authorization", b"Bearer of-all"),
        ("x-trace", b"7"),
        ("cookie", b"session=1"),
        ("proxy-authorization", b"Basic of-all"),
        ("x-my-secret", b"s3cret"),
    )
    keys = replace(KEYS, secret_metadata=frozenset({"x-my-secret"}))
    keep(place, kept_call(Link(), 1, metadata=metadata), keys=constant(keys))
    asked, told = contents(place, 1)
    assert asked.private is not None
    assert asked.private.state is State.KEPT_IN_PART
    data = asked.private.data or b""
    assert b"x-trace" in data
    assert NIK.encode() in data
    for word in (b"of-all", b"session", b"s3cret", b"authorization", b"cookie"):
        assert word not in data
    assert told.private is not None
    assert told.private.state is State.KEPT


def test_a_late_payload_stands_beside_what_came_before(place: Place) -> None:
    asked, told = kept_call(Link(), 1)
    early = [asked, without_payload(told)]
    assert keep(place, early) == {}
    assert payloads(place, 1) == [b"question 1", None]
    assert keep(place, late=[late_of(told)]) == {}
    assert payloads(place, 1) == [b"question 1", b"answer 1"]


def test_a_late_payload_may_be_in_the_group_of_its_parcel_and_come_twice(place: Place) -> None:
    asked, told = kept_call(Link(), 1)
    late = late_of(told)
    assert keep(place, [asked, without_payload(told)], late=[late, late]) == {}
    assert keep(place, late=[late]) == {}
    assert payloads(place, 1) == [b"question 1", b"answer 1"]


def test_a_late_payload_of_an_unknown_parcel_is_left_out(place: Place) -> None:
    _, told = kept_call(Link(), 1)
    assert keep(place, unary_call(Link("other"), 2), late=[late_of(told)]) == {}
    assert contents(place, 1) == []


def test_a_group_that_goes_in_twice_is_kept_once(place: Place) -> None:
    records = kept_call(Link(), 1)
    keep(place, records)
    assert keep(place, records) == {}
    assert payloads(place, 1) == [b"question 1", b"answer 1"]


def test_without_keys_what_wants_keeping_is_refused_and_nothing_else(place: Place) -> None:
    link = Link()
    refused = keep(place, unary_call(link, 1), kept_call(Link("b"), 2), keys=None)
    assert {number: error.code for number, error in refused.items()} == {1: Code.INTERNAL}
    gone = constant(KeptKeys((), ()))
    refused = keep(place, kept_call(Link("b"), 2), unary_call(link, 3), keys=gone)
    assert {number: error.code for number, error in refused.items()} == {0: Code.KEY_UNKNOWN}
    assert verify(place).calls == 2


def test_a_new_key_is_used_from_the_next_transaction_on(place: Place) -> None:
    held = [KEYS]
    store = open_store(place, lambda: held[0])
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=LEASE_MS)
    link = Link()
    head = store.append(lease, head, [Append(tuple(kept_call(link, 1)))], now_ms=NOW_MS).head
    held[0] = replace(KEYS, wrapping=(*KEYS.wrapping, secret("wrap-2")))
    store.append(lease, head, [Append(tuple(kept_call(link, 2)))], now_ms=NOW_MS)
    store.close()
    only_new = replace(KEYS, wrapping=(secret("wrap-2"),))
    assert payloads(place, 2, only_new) == [b"question 2", b"answer 2"]
    asked, _ = contents(place, 1, only_new)
    assert asked.payload is not None
    assert asked.payload.state is State.KEY_GONE
    assert payloads(place, 1, held[0]) == [b"question 1", b"answer 1"]


# Parcel 0 for parcel 2, and the other way round.
SWAPPED = """
    UPDATE TABLE SET idx = idx + 9 WHERE idx IN (0, 2);
    UPDATE TABLE SET idx = 11 - idx WHERE idx IN (9, 11);
"""


@pytest.mark.parametrize(
    "script",
    [
        SWAPPED.replace("TABLE", "kept_parts"),
        SWAPPED.replace("TABLE", "kept_keys"),
        "DELETE FROM kept_parts WHERE part = 2; UPDATE kept_parts SET part = 2;",
        "UPDATE kept_parts SET data = CAST(data || x'00' AS BLOB);",
        "UPDATE kept_keys SET wrapped = CAST(substr(wrapped, 1, 39) || x'00' AS BLOB);",
    ],
    ids=["moved", "keys moved", "another part", "changed", "key changed"],
)
def test_rows_that_were_moved_or_changed_do_not_open(path: Path, script: str) -> None:
    keep(path, kept_call(Link(), 1), kept_call(Link("b"), 2))
    connection = sqlite3.connect(path)
    connection.executescript(script)
    connection.close()
    with pytest.raises(SimpulError) as caught:
        contents(path, 1)
    assert caught.value.code is Code.JOURNAL_CORRUPT


class TestPersons:
    def test_a_citizen_is_found_however_the_number_is_written(self, place: Place) -> None:
        link = Link()
        other = Persons(subject="3171234567890124")
        keep(place, kept_call(link, 1), kept_call(link, 2, other), kept_call(link, 3))
        for spelling in (
            NIK,
            "3171 2345 6789 0123",
            " 3171-2345-6789-0123",
            "\uff13\uff11\uff17\uff11" + NIK[4:],
        ):
            found = concerning(place, (PersonKind.SUBJECT, spelling))
            assert found == [call_id(3), call_id(1)]
        assert concerning(place, (PersonKind.USER, NIK)) == []

    def test_several_persons_must_all_be_of_the_call(self, place: Place) -> None:
        link = Link()
        keep(
            place,
            kept_call(link, 1, Persons(NIK, user="budi")),
            kept_call(link, 2, Persons(NIK, user="siti")),
            kept_call(link, 3, Persons(user="Budi ", issue="AB/12")),
        )
        subject, user = (PersonKind.SUBJECT, NIK), (PersonKind.USER, "BUDI")
        assert concerning(place, subject, user) == [call_id(1)]
        assert concerning(place, user) == [call_id(3), call_id(1)]
        assert concerning(place, (PersonKind.ISSUE, "ab/12")) == [call_id(3)]

    def test_persons_may_be_asked_for_in_any_order(self, place: Place) -> None:
        link = Link()
        clerk = Persons(user="siti")
        keep(place, *(kept_call(link, number, clerk) for number in range(1, 9)))
        keep(place, kept_call(link, 9, Persons(NIK, user="siti")))
        subject, user = (PersonKind.SUBJECT, NIK), (PersonKind.USER, "siti")
        assert concerning(place, user, subject) == concerning(place, subject, user) == [call_id(9)]

    def test_with_other_conditions_and_a_limit(self, place: Place) -> None:
        link = Link()
        keep(place, *(kept_call(link, number) for number in range(1, 5)))
        tags = (KEYS.tags(PersonKind.SUBJECT, NIK),)
        with JournalReader(place) as reader:
            newest = reader.list_calls(CallFilter(persons=tags, limit=2))
            assert [row.call_id for row in newest] == [call_id(4), call_id(3)]
            after = CallFilter(persons=tags, limit=2, below=newest[-1].key)
            assert [row.call_id for row in reader.list_calls(after)] == [call_id(2), call_id(1)]
            assert reader.list_calls(CallFilter(persons=tags, method="List")) == []
            assert len(reader.list_calls(CallFilter(persons=tags, method="Get"))) == 4

    def test_persons_are_found_where_nothing_else_is_kept(self, place: Place) -> None:
        asked, told = kept_call(Link(), 1)
        keep(place, [replace(asked, kept=()), replace(told, kept=())])
        assert concerning(place, (PersonKind.SUBJECT, NIK)) == [call_id(1)]
        assert payloads(place, 1) == [None, None]

    def test_every_index_key_is_looked_under(self, place: Place) -> None:
        link = Link()
        keep(place, kept_call(link, 1))
        both = replace(KEYS, index=(*KEYS.index, secret("index-2")))
        keep(place, kept_call(link, 2), keys=constant(both))
        wanted = (PersonKind.SUBJECT, NIK)
        assert concerning(place, wanted, keys=both) == [call_id(2), call_id(1)]
        new = replace(KEYS, index=(secret("index-2"),))
        assert concerning(place, wanted, keys=new) == [call_id(2)]

    def test_the_look_up_reads_by_the_index(self, path: Path) -> None:
        keep(path, kept_call(Link(), 1))
        plan = read(
            path,
            "EXPLAIN QUERY PLAN SELECT calls.id FROM calls JOIN call_persons ON call = calls.id "
            "JOIN terms ON terms.id = calls.terms WHERE tag = x'00' "
            "ORDER BY call_persons.opened_at_ms DESC, call DESC LIMIT 10",
        )
        steps = [str(row[3]) for row in plan]
        assert steps[0].startswith("SEARCH call_persons USING PRIMARY KEY (tag=?)")
        assert not any("TEMP B-TREE" in step or step.startswith("SCAN") for step in steps)
