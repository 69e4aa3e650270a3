"""Which roles are signed anew, by hand-made ages and by any."""

from hypothesis import given
from hypothesis import strategies as st

from registry.directory.layout import FAMILIES, bin_names
from registry.directory.renewal import due

DAY_MS = 24 * 60 * 60 * 1000
NOW = 1_700_000_000_000
DEAD = 7 * DAY_MS

BINS = [name for family in FAMILIES for name in bin_names(family)]


def test_what_is_young_is_left() -> None:
    assert due({"m-00": NOW + 31 * DAY_MS, "root": NOW + 91 * DAY_MS}, NOW, DEAD, 3) == ()


def test_what_is_due_is_signed_oldest_first_within_the_allowance() -> None:
    ages = {f"m-0{n}": NOW + (29 - n) * DAY_MS for n in range(5)}

    assert due(ages, NOW, DEAD, 3) == ("m-04", "m-03", "m-02")


def test_what_presses_is_signed_whatever_the_allowance() -> None:
    ages = dict.fromkeys(BINS, NOW + DEAD)

    assert set(due(ages, NOW, DEAD, 0)) == set(BINS)


def test_each_role_is_due_by_its_own_life() -> None:
    left = NOW + 50 * DAY_MS

    assert due({"members": left, "c-1f": left, "targets": left}, NOW, DEAD, 9) == (
        "members",
        "targets",
    )


@given(
    st.dictionaries(st.sampled_from(BINS), st.integers(-60, 60)),
    st.integers(0, 10),
)
def test_none_that_presses_is_ever_forgotten(days: dict[str, int], allowance: int) -> None:
    ages = {name: NOW + left * DAY_MS for name, left in days.items()}

    chosen = due(ages, NOW, DEAD, allowance)

    assert {name for name, left in days.items() if left <= 7} <= set(chosen)
    assert all(days[name] <= 30 for name in chosen)
    assert len(chosen) <= allowance + sum(left <= 7 for left in days.values())
    assert len(set(chosen)) == len(chosen)
