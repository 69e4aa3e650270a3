"""Moments as operators type them."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli.times import parse_time
from security.errors import Code, SimpulError

NOW_MS = 1_800_000_000_000
JAKARTA = timezone(timedelta(hours=7))


@pytest.mark.parametrize(
    ("text", "at"),
    [
        ("2026-11-24", datetime(2026, 11, 24, tzinfo=UTC)),
        ("2026-11-24T08:30", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
        ("2026-11-24T08:30Z", datetime(2026, 11, 24, 8, 30, tzinfo=UTC)),
        (" 2026-11-24T08:30+07:00 ", datetime(2026, 11, 24, 8, 30, tzinfo=JAKARTA)),
    ],
)
def test_dates(text: str, at: datetime) -> None:
    assert parse_time(text, NOW_MS) == at.timestamp() * 1000


@pytest.mark.parametrize(
    ("text", "ago_s"), [("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259_200), ("1w", 604_800)]
)
def test_how_long_ago(text: str, ago_s: int) -> None:
    assert parse_time(text, NOW_MS) == NOW_MS - ago_s * 1000


def test_nothing_is_before_the_epoch() -> None:
    assert parse_time("999999999w", NOW_MS) == 0
    assert parse_time("1901-01-01", NOW_MS) == 0


@given(st.text())
def test_any_other_text_is_refused_and_nothing_else_is_raised(text: str) -> None:
    try:
        assert parse_time(text, NOW_MS) >= 0
    except SimpulError as error:
        assert error.code is Code.REQUEST_MALFORMED  # noqa: PT017 - most texts are refused
