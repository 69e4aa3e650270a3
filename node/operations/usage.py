"""How agreements are used here: how much, how close to the quota, and which are used no more."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.agreements.show import Shown
from node.config import journal_place
from node.journal.model import Role
from node.journal.usage import NOTHING, UsageReader, Used
from node.operations.desk import Desk
from node.policy.allowance import MS_PER_DAY, Side, day_of
from node.store.quotas import load_counts

UNUSED_DAYS: Final = 180
_SIDES: Final = {Role.PROVIDER: Side.PROVIDER, Role.CONSUMER: Side.CONSUMER}


@dataclass(frozen=True, slots=True)
class Usage:
    """One agreement, as one side of it."""

    shown: Shown
    role: Role
    used: Used
    # Calls that were given out today, where there is a limit for a day.
    given_today: int
    # It is in force, and was not used for `UNUSED_DAYS`.
    unused: bool


async def usage(desk: Desk, agreements: Sequence[Shown], days: int) -> list[Usage]:
    """How these agreements were used in the last days.

    Raises:
        SimpulError: The journal can't be read.
    """
    return await asyncio.to_thread(lambda: list(_usage(desk, agreements, days)))


def _usage(desk: Desk, agreements: Sequence[Shown], days: int) -> Iterator[Usage]:
    now_ms = desk.now_ms()
    with UsageReader(journal_place(desk.config, desk.home)) as reader:
        hashes = [shown.stored.hash for shown in agreements]
        found = reader.usage(hashes, now_ms - days * MS_PER_DAY)
    counts = load_counts(desk.store)
    for shown in agreements:
        for role in _roles(desk, shown):
            used = found.get((shown.stored.hash, role), NOTHING)
            count = counts.get(shown.stored.hash + bytes((_SIDES[role],)))
            today = count is not None and count.day == day_of(now_ms)
            yield Usage(
                shown, role, used,
                given_today=count.given if count is not None and today else 0,
                unused=shown.state == "active" and is_unused(shown, used, now_ms),
            )  # fmt: skip


def is_unused(shown: Shown, used: Used, now_ms: int) -> bool:
    """Whether nobody called by it for `UNUSED_DAYS`; one that is young has been spared so far."""
    since_ms = used.last_call_ms or max(shown.terms.valid_from_ms, shown.stored.added_at_ms)
    return now_ms - since_ms >= UNUSED_DAYS * MS_PER_DAY


def _roles(desk: Desk, shown: Shown) -> Iterator[Role]:
    if shown.terms.provider.member in desk.members:
        yield Role.PROVIDER
    if shown.terms.consumer.member in desk.members:
        yield Role.CONSUMER
