"""A moment as an operator types it: a date, a date with a time, or how long ago.

    2026-11-24            that day's first moment, UTC
    2026-11-24T08:30      UTC, unless a zone follows: 2026-11-24T15:30+07:00
    90s 15m 2h 3d 4w      ago

Pure: `now_ms` is an argument.
"""

import re
from datetime import UTC, datetime
from types import MappingProxyType

from cli.output import refusal
from security.errors import Code

_AGO = re.compile(r"([0-9]{1,9})([smhdw])")
_UNIT_MS = MappingProxyType(
    {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
)


def parse_time(text: str, now_ms: int) -> int:
    """Milliseconds since the epoch, UTC.

    Raises:
        SimpulError: REQUEST_MALFORMED, with the forms that there are.
    """
    ago = _AGO.fullmatch(text.strip())
    if ago is not None:
        return max(0, now_ms - int(ago[1]) * _UNIT_MS[ago[2]])
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise refusal(
            Code.REQUEST_MALFORMED,
            f"{text!r} is no time: give a date (2026-11-24), one with a time (2026-11-24T08:30, "
            "UTC, or with a zone) or how long ago (90s, 15m, 2h, 3d, 4w)",
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0, int(moment.timestamp() * 1000))
