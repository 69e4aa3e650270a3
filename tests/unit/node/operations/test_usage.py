import dataclasses

import pytest

from node.agreements.model import stored
from node.agreements.show import Shown
from node.journal.usage import Used
from node.operations.usage import UNUSED_DAYS, is_unused
from node.policy.allowance import MS_PER_DAY
from node.store.agreement_lives import Standing
from security.agreement_life import Life
from tests.conformance import fixed
from tests.support.agreements import TERMS, signed

LONG_MS = UNUSED_DAYS * MS_PER_DAY
SHOWN = Shown(
    stored(signed(), fixed.NOW_MS), TERMS, Standing(Life.AGREED, None, ""), "active", "provider",
    waits=False, why="",
)  # fmt: skip


@pytest.mark.parametrize(
    ("last_call_ms", "now_ms", "unused"),
    [
        (None, fixed.NOW_MS + LONG_MS - 1, False),
        (None, fixed.NOW_MS + LONG_MS, True),
        (fixed.NOW_MS + 5, fixed.NOW_MS + LONG_MS + 4, False),
        (fixed.NOW_MS + 5, fixed.NOW_MS + LONG_MS + 5, True),
    ],
)
def test_what_nobody_used_for_long(last_call_ms: int | None, now_ms: int, *, unused: bool) -> None:
    assert is_unused(SHOWN, Used(last_call_ms=last_call_ms), now_ms) is unused


def test_one_that_begins_later_is_young() -> None:
    terms = dataclasses.replace(TERMS, valid_from_ms=fixed.NOW_MS + 9)
    later = dataclasses.replace(SHOWN, terms=terms)
    assert not is_unused(later, Used(), fixed.NOW_MS + LONG_MS)
