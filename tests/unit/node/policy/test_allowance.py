"""Limits as a machine: never more than was agreed, whatever the clock does."""

from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.policy.allowance import MS_PER_DAY, DayCount, Ledger, Share, day_of
from security.agreement import RateTerm
from security.errors import Code, SimpulError

KEY: Final = b"agreement"
WHOLE: Final = Share()
# 00:00 of a day in Western Indonesia Time.
MIDNIGHT: Final = 20_000 * MS_PER_DAY - 7 * 3_600_000
A_SECOND: Final = RateTerm(10, 20, 0)
A_DAY: Final = RateTerm(0, 0, 5)


def refused(ledger: Ledger, rate: RateTerm, now_ms: int, share: Share = WHOLE) -> SimpulError:
    with pytest.raises(SimpulError) as caught:
        ledger.take(KEY, rate, share, 1, now_ms)
    return caught.value


def test_a_burst_and_then_the_rate() -> None:
    ledger = Ledger()
    assert ledger.take(KEY, A_SECOND, WHOLE, 100, MIDNIGHT) == 20
    error = refused(ledger, A_SECOND, MIDNIGHT)
    assert error.code is Code.ACCESS_RATE
    assert error.details["retry_after_ms"] == "100"
    assert refused(ledger, A_SECOND, MIDNIGHT + 99).code is Code.ACCESS_RATE
    assert ledger.take(KEY, A_SECOND, WHOLE, 100, MIDNIGHT + 100) == 1


def test_a_bucket_is_never_fuller_than_its_burst() -> None:
    ledger = Ledger()
    ledger.take(KEY, A_SECOND, WHOLE, 100, MIDNIGHT)
    assert ledger.take(KEY, A_SECOND, WHOLE, 100, MIDNIGHT + MS_PER_DAY) == 20


def test_a_day_has_so_many_and_the_next_one_again() -> None:
    ledger = Ledger()
    assert ledger.take(KEY, A_DAY, WHOLE, 3, MIDNIGHT) == 3
    assert ledger.take(KEY, A_DAY, WHOLE, 3, MIDNIGHT + 1) == 2
    error = refused(ledger, A_DAY, MIDNIGHT + 2)
    assert error.code is Code.ACCESS_QUOTA
    assert error.details["retry_after_ms"] == str(MS_PER_DAY - 2)
    assert refused(ledger, A_DAY, MIDNIGHT + MS_PER_DAY - 1).code is Code.ACCESS_QUOTA
    assert ledger.take(KEY, A_DAY, WHOLE, 9, MIDNIGHT + MS_PER_DAY) == 5


def test_days_are_those_of_western_indonesia() -> None:
    assert day_of(MIDNIGHT) == day_of(MIDNIGHT - 1) + 1


def test_a_clock_that_goes_back_gives_nothing() -> None:
    ledger = Ledger()
    ledger.take(KEY, A_DAY, WHOLE, 5, MIDNIGHT)
    assert refused(ledger, A_DAY, MIDNIGHT - MS_PER_DAY).code is Code.ACCESS_QUOTA
    ledger = Ledger()
    ledger.take(KEY, A_SECOND, WHOLE, 20, MIDNIGHT)
    refused(ledger, A_SECOND, MIDNIGHT - 5000)
    assert refused(ledger, A_SECOND, MIDNIGHT).code is Code.ACCESS_RATE


def test_a_stored_count_goes_on() -> None:
    ledger = Ledger()
    ledger.restore(KEY, A_DAY, DayCount(day_of(MIDNIGHT), 4), MIDNIGHT)
    assert ledger.take(KEY, A_DAY, WHOLE, 9, MIDNIGHT) == 1
    assert ledger.count(KEY) == DayCount(day_of(MIDNIGHT), 5)


def test_both_limits_hold() -> None:
    ledger = Ledger()
    assert ledger.take(KEY, RateTerm(10, 20, 25), WHOLE, 100, MIDNIGHT) == 20
    assert ledger.take(KEY, RateTerm(10, 20, 25), WHOLE, 100, MIDNIGHT + 10_000) == 5


def test_each_agreement_has_its_own_count_and_is_forgotten_with_it() -> None:
    ledger = Ledger()
    ledger.take(KEY, A_DAY, WHOLE, 5, MIDNIGHT)
    assert ledger.take(b"other", A_DAY, WHOLE, 5, MIDNIGHT) == 5
    ledger.keep(frozenset({KEY}))
    assert ledger.count(b"other") is None
    assert ledger.count(KEY) is not None


@pytest.mark.parametrize("nodes", [2, 3, 7])
def test_shares_of_all_nodes_are_never_more_than_the_whole_day(nodes: int) -> None:
    total = 0
    for _ in range(nodes):
        ledger = Ledger()
        try:
            total += ledger.take(KEY, A_DAY, Share(1, nodes), 100, MIDNIGHT)
        except SimpulError as error:
            assert error.code is Code.ACCESS_QUOTA  # noqa: PT017 - a share may be none
    assert total <= A_DAY.calls_per_day


def test_a_node_without_a_share_begins_nothing() -> None:
    assert refused(Ledger(), A_SECOND, MIDNIGHT, Share(0, 1)).code is Code.ACCESS_RATE
    assert refused(Ledger(), A_DAY, MIDNIGHT, Share(0, 1)).code is Code.ACCESS_QUOTA


@given(
    rate=st.builds(RateTerm, st.integers(1, 50), st.integers(1, 50), st.integers(0, 200)),
    steps=st.lists(st.tuples(st.integers(-3000, 3000), st.integers(1, 60)), max_size=40),
)
def test_never_more_than_burst_and_rate_over_any_time(
    rate: RateTerm, steps: list[tuple[int, int]]
) -> None:
    ledger, now_ms, latest_ms, given_out = Ledger(), MIDNIGHT, MIDNIGHT, 0
    # The count begins with the first call.
    for moved_ms, wanted in [(0, 1), *steps]:
        now_ms += moved_ms
        latest_ms = max(latest_ms, now_ms)
        try:
            given_out += ledger.take(KEY, rate, WHOLE, wanted, now_ms)
        except SimpulError:
            continue
    assert given_out <= rate.burst + rate.calls_per_second * (latest_ms - MIDNIGHT) / 1000
    if rate.calls_per_day and day_of(latest_ms) == day_of(MIDNIGHT):
        assert given_out <= rate.calls_per_day


def test_a_clock_that_goes_back_takes_nothing_away() -> None:
    ledger = Ledger()
    ledger.take(KEY, A_SECOND, WHOLE, 10, MIDNIGHT)
    assert ledger.take(KEY, A_SECOND, WHOLE, 10, MIDNIGHT - 5000) == 10
