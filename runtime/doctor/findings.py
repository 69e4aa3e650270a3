"""What a check finds."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

from security.errors import ERRORS, Code, SimpulError


class Health(StrEnum):
    """How something is. Only a fault keeps the program, or a part of it, from its work."""

    WELL = "well"
    WARNING = "warning"
    FAULT = "fault"
    # It couldn't be looked at, because of another fault.
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at, how it is, and what to do about it: empty where nothing is to be done."""

    what: str
    health: Health
    said: str
    mend: str = ""
    code: Code | None = None


Check = Callable[[], Iterable[Finding]]


def well(what: str, said: str) -> Finding:
    """All is in order."""
    return Finding(what, Health.WELL, said)


def warning(what: str, said: str, mend: str) -> Finding:
    """It works, and won't for ever."""
    return Finding(what, Health.WARNING, said, mend)


def fault(what: str, said: str, mend: str, code: Code | None = None) -> Finding:
    """It doesn't work."""
    return Finding(what, Health.FAULT, said, mend, code)


def raised(what: str, error: SimpulError) -> Finding:
    """A fault that the program itself would have named."""
    return Finding(what, Health.FAULT, error.message, ERRORS[error.code].action, error.code)


def safely(what: str, check: Check) -> Iterator[Finding]:
    """A check that can't be made is a finding too: the others are made all the same."""
    try:
        yield from check()
    except SimpulError as error:
        yield raised(what, error)
    except (OSError, ValueError) as error:
        yield Finding(
            what,
            Health.UNKNOWN,
            f"it can't be looked at: {error}",
            "run simpul as the user that the program runs as",
        )
