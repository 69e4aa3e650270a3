from dataclasses import replace
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.hashing import PARCEL_HOURS, PARCEL_SET, digest
from security.reconcile import (
    LEAF_HASHES,
    NOTHING,
    Comparison,
    Difference,
    Finding,
    Gathering,
    Hashes,
    HashSet,
    HourDigest,
    ParcelPlace,
    Parts,
    Said,
    SetDigest,
    check_prefix,
    hours_digest,
    judge,
    look,
)

# Few bits at the front, so that many share a prefix; and now and then any hash at all.
clustered = st.builds(
    lambda head, tail: bytes([head]) * 31 + bytes([tail]),
    st.sampled_from([0, 1, 16, 17, 255]),
    st.integers(0, 255),
)
hashes = st.one_of(clustered, st.binary(min_size=32, max_size=32))
sets = st.sets(hashes, max_size=400)


def numbered(*numbers: int) -> set[bytes]:
    return {sha256(str(number).encode()).digest() for number in numbers}


def compare(mine: set[bytes], theirs: set[bytes], at_once: int = 8) -> tuple[Comparison, int]:
    """The whole conversation, and how many hashes and digests were said in it."""
    other, said = HashSet.of(theirs), 0
    comparison = Comparison(HashSet.of(mine), other.digest())
    while not comparison.done:
        for prefix in comparison.questions(at_once):
            check_prefix(prefix)
            answer = look(other, prefix)
            said += len(answer.hashes if isinstance(answer, Hashes) else answer.digests)
            comparison.take(prefix, answer)
    return comparison, said


@given(sets, sets, st.integers(1, 20))
def test_any_two_sets_give_exactly_their_symmetric_difference(
    common: set[bytes], other: set[bytes], at_once: int
) -> None:
    for mine, theirs in ((common, other), (common | other, common), (common, common | other)):
        found, _ = compare(mine, theirs, at_once)
        assert set(found.only_here) == mine - theirs
        assert set(found.only_there) == theirs - mine
        assert found.more is False


@given(sets)
def test_equal_sets_are_asked_nothing(one: set[bytes]) -> None:
    assert compare(one, one)[1] == 0


@settings(max_examples=20)
@given(st.lists(hashes, max_size=50))
def test_a_digest_says_nothing_of_the_order_and_the_number_of_times(some: list[bytes]) -> None:
    assert HashSet.of(some).digest() == HashSet.of([*reversed(some), *some]).digest()


def test_a_digest_is_that_of_the_standard() -> None:
    low, high = sorted(numbered(1, 2))
    assert HashSet.of([high, low]).digest() == SetDigest(2, digest(PARCEL_SET, low + high))
    assert HashSet().digest() == NOTHING
    hour = HourDigest(5, SetDigest(2, b"a" * 32), NOTHING)
    five, two, none = (number.to_bytes(8, "big") for number in (5, 2, 0))
    assert hours_digest([hour]) == digest(PARCEL_HOURS, five, two, b"a" * 32, none, b"")


def test_the_ends_of_the_range_belong_to_it() -> None:
    ends = {bytes(32), b"\xff" * 32, b"\x0f" + b"\xff" * 31, b"\x10" + bytes(31)}
    found = HashSet.of(ends)
    assert found.under("0") == (bytes(32), b"\x0f" + b"\xff" * 31)
    assert found.under("ff" * 32) == (b"\xff" * 32,)
    assert [found.count(digit) for digit in "01f"] == [2, 1, 1]


def test_one_difference_in_a_hundred_thousand_costs_a_path() -> None:
    theirs = numbered(*range(100_000))
    gone = min(theirs)
    found, said = compare(theirs - {gone}, theirs)
    assert found.only_there == (gone,)
    assert found.only_here == ()
    # Three levels of sixteen digests, and one leaf.
    assert said <= 3 * 16 + LEAF_HASHES


def test_what_has_nothing_in_common_ends_at_the_limit_and_says_that_there_is_more() -> None:
    mine, theirs = HashSet.of(numbered(*range(3000))), HashSet.of(numbered(*range(5000, 8000)))
    for limits in ({"max_found": 200}, {"max_questions": 5}):
        comparison = Comparison(mine, theirs.digest(), **limits)
        asked = 0
        while not comparison.done:
            for prefix in comparison.questions(4):
                asked += 1
                comparison.take(prefix, look(theirs, prefix))
        assert comparison.more is True
        assert len(comparison.only_here) + len(comparison.only_there) <= 200
        assert asked <= limits.get("max_questions", 100)


def test_a_peer_that_lost_everything_needs_no_question() -> None:
    mine = numbered(*range(500))
    comparison = Comparison(HashSet.of(mine), NOTHING, max_found=400)
    assert comparison.done
    assert len(comparison.only_here) == 400
    assert comparison.more is True


def _asked() -> tuple[Comparison, HashSet]:
    theirs = HashSet.of(numbered(*range(1000)))
    comparison = Comparison(HashSet(), theirs.digest())
    assert comparison.questions(1) == ("",)
    return comparison, theirs


def _parts() -> tuple[SetDigest, ...]:
    said = look(_asked()[1], "")
    assert isinstance(said, Parts)
    return said.digests


FEW = tuple(sorted(numbered(*range(1000)))[:3])


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (Parts(()), "sixteen"),
        (Parts(_parts()[:15]), "sixteen"),
        (Parts((*_parts()[:15], SetDigest(1, b"x" * 32))), "as many"),
        (Parts((SetDigest(1000, b""), *[NOTHING] * 15)), "contradict"),
        (Hashes(FEW), "as many"),
    ],
)
def test_an_answer_that_does_not_fit_is_refused(said: Said, why: str) -> None:
    comparison, _ = _asked()
    with pytest.raises(SimpulError, match=why) as caught:
        comparison.take("", said)
    assert caught.value.code is Code.REQUEST_MALFORMED


@pytest.mark.parametrize(
    ("hashes", "why"),
    [
        (FEW[::-1], "ascending"),
        ((FEW[0], FEW[0], FEW[1]), "ascending"),
        ((*FEW[:2], b"\xff" * 32), "prefix"),
    ],
)
def test_hashes_that_do_not_fit_are_refused(hashes: tuple[bytes, ...], why: str) -> None:
    comparison = Comparison(HashSet(), SetDigest(100, b"x" * 32))
    comparison.questions(1)
    comparison.take("", Parts((SetDigest(3, b"y" * 32), SetDigest(97, b"z" * 32), *[NOTHING] * 14)))
    assert comparison.questions(1) == ("0",)
    with pytest.raises(SimpulError, match=why):
        comparison.take("0", Hashes(hashes))


def test_an_answer_to_no_question_is_refused() -> None:
    comparison, theirs = _asked()
    with pytest.raises(SimpulError, match="not asked"):
        comparison.take("0", look(theirs, "0"))


@pytest.mark.parametrize("prefix", ["A", "g", " ", "0" * 65, "é"])
def test_a_prefix_that_is_none_is_refused(prefix: str) -> None:
    with pytest.raises(SimpulError) as caught:
        check_prefix(prefix)
    assert caught.value.code is Code.REQUEST_MALFORMED


def test_a_hash_of_another_length_is_corruption() -> None:
    with pytest.raises(SimpulError) as caught:
        Gathering().add(b"short")
    assert caught.value.code is Code.JOURNAL_CORRUPT


SENT = ParcelPlace(
    b"h" * 32, b"l" * 32, sent=True, number=3, sealed_at_ms=5, acknowledged=True, last_number=3
)
TAKEN = replace(SENT, sent=False)
# Whoever has it has a later one too, which the other side has as well.
INNER, INNER_TAKEN = replace(SENT, last_number=9), replace(TAKEN, last_number=9)


@pytest.mark.parametrize(
    ("here", "there", "finding", "serious"),
    [
        # What was sent and acknowledged, the other side has lost.
        (SENT, None, Finding.MISSING_THERE, True),
        # What was sent as the link was cut, the other side never had.
        (replace(SENT, acknowledged=False), None, Finding.MISSING_THERE, False),
        # What came from the other side, before others that it has: that side has lost it.
        (INNER_TAKEN, None, Finding.MISSING_THERE, True),
        (replace(INNER_TAKEN, acknowledged=False), None, Finding.MISSING_THERE, True),
        # The last that came: the other side was killed as it recorded it.
        (TAKEN, None, Finding.MISSING_THERE, False),
        # And the other way round.
        (None, TAKEN, Finding.MISSING_HERE, True),
        (None, replace(TAKEN, acknowledged=False), Finding.MISSING_HERE, False),
        (None, INNER, Finding.MISSING_HERE, True),
        (None, replace(INNER, acknowledged=False), Finding.MISSING_HERE, True),
        (None, SENT, Finding.MISSING_HERE, False),
        # One place, two parcels.
        (
            replace(SENT, acknowledged=False),
            replace(SENT, header_hash=b"i" * 32, acknowledged=False),
            Finding.DIFFERENT,
            True,
        ),
    ],
)
def test_what_a_difference_means(
    here: ParcelPlace | None, there: ParcelPlace | None, finding: Finding, serious: bool
) -> None:
    found, moved = judge([here] if here else [], [there] if there else [])
    assert found == (Difference(finding, here, there, serious),)
    assert moved == 0


def test_the_last_few_that_came_may_all_have_been_lost_with_their_senders_process() -> None:
    few = [replace(TAKEN, header_hash=bytes([n]) * 32, number=n, last_number=9) for n in (7, 8, 9)]
    assert [item.serious for item in judge(few, [])[0]] == [False] * 3
    assert [item.serious for item in judge(few[:2], [])[0]] == [True] * 2


def test_a_parcel_that_both_have_differs_in_nothing_but_its_heading() -> None:
    assert judge([SENT], [replace(SENT, acknowledged=False)]) == ((), 1)


def test_differences_are_in_the_order_of_time() -> None:
    late = replace(SENT, header_hash=b"x" * 32, number=9, sealed_at_ms=9)
    found, _ = judge([late], [replace(TAKEN, number=2)])
    assert [item.place.sealed_at_ms for item in found] == [5, 9]
