"""A check, and what became of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from enum import StrEnum

from node.conformance.probe import Probe


class Result(StrEnum):
    """What became of a check."""

    PASSED = "passed"
    FAILED = "failed"
    # The node refused for want of room before the check could be made.
    NOT_MADE = "not made"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that the standard says, tried on a connection of its own.

    `attempt` says in a word what was seen, or raises the SimpulError with which the stream ended.
    """

    name: str
    # A heading of docs/spec.
    section: str
    # A code, or a word of `attempt`; any of them is right.
    expected: frozenset[str]
    attempt: Callable[[Probe], Awaitable[str]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """A check that was made; numbers count from 1."""

    number: int
    check: Check
    result: Result
    seen: str
    # The other side's own words, or ours.
    detail: str = ""


def check(
    name: str, section: str, *expected: str, attempt: Callable[[Probe], Awaitable[str]]
) -> Check:
    """A row of a table of checks."""
    return Check(name, section, frozenset(expected), attempt)
