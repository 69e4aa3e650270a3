"""How long something is kept, as people write it: `400 days`, `12 hours`, `10 years`.

A year is 365 days. Months aren't taken: they have no length.
"""

import re
from typing import Final

from security.errors import Code, SimpulError

_HOUR_MS: Final = 3600 * 1000
_UNITS: Final = {
    "hour": _HOUR_MS,
    "day": 24 * _HOUR_MS,
    "week": 7 * 24 * _HOUR_MS,
    "year": 365 * 24 * _HOUR_MS,
}
_PERIOD: Final = re.compile(r"([1-9][0-9]{0,5}) (hour|day|week|year)s?")


def parse_period(text: str) -> int:
    """Returns the milliseconds of a period.

    Raises:
        SimpulError: CONFIG_INVALID.
    """
    found = _PERIOD.fullmatch(text)
    if found is None:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{text[:40]!r} is no period: write it like 400 days, with hours, days, weeks or years",
        )
    return int(found[1]) * _UNITS[found[2]]
