"""The table of a life: every pair of states is decided, and what is not in it is refused."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.life import PUBLISHED, TABLE, Standing, Why, check_step
from security.errors import Code, SimpulError

FINAL = {Standing.REMOVED}


@pytest.mark.parametrize(("before", "after"), list(product(Standing, Standing)))
def test_a_pair_that_is_not_in_the_table_is_refused(before: Standing, after: Standing) -> None:
    if (before, after) in TABLE:
        check_step("X", before, after, "why")
        return
    with pytest.raises(SimpulError) as caught:
        check_step("X", before, after, "why")
    assert caught.value.code is Code.CONFLICT
    assert caught.value.details["state"] == before


@pytest.mark.parametrize(("pair", "why"), list(TABLE.items()))
def test_a_reason_is_needed_where_the_table_says_so(
    pair: tuple[Standing, Standing], why: Why
) -> None:
    if why is Why.MAY_BE_SAID:
        check_step("X", *pair, "")
        return
    with pytest.raises(SimpulError) as caught:
        check_step("X", *pair, " ")
    assert caught.value.code is Code.CHANGE_INVALID


@pytest.mark.parametrize("reason", ["x" * 1001, "two\nlines", "\x1b[31m"])
def test_a_reason_is_one_short_line(reason: str) -> None:
    with pytest.raises(SimpulError) as caught:
        check_step("X", Standing.ACTIVE, Standing.SUSPENDED, reason)
    assert caught.value.code is Code.CHANGE_INVALID


def test_to_decline_and_to_remove_need_a_reason() -> None:
    said = {after for (_, after), why in TABLE.items() if why is Why.MUST_BE_SAID}
    assert said == {Standing.DECLINED, Standing.REMOVED}


@given(st.lists(st.sampled_from(Standing), max_size=20))
def test_no_walk_leaves_a_final_state_or_publishes_without_a_review(walk: list[Standing]) -> None:
    state, seen = Standing.APPLIED, [Standing.APPLIED]
    for wanted in walk:
        try:
            check_step("X", state, wanted, "why")
        except SimpulError:
            continue
        assert state not in FINAL
        state = wanted
        seen.append(state)
    if set(seen) & PUBLISHED:
        assert Standing.IN_REVIEW in seen[: seen.index(Standing.ACTIVE)]
