"""The one place that asks the clock.

Everything else takes `now_ms`: milliseconds since 1970-01-01 UTC, as an int. Wiring modules call
`now_ms()` once per event and hand the value on, so that one event has one time, and tests choose
it.
"""

import time

NS_PER_MS = 1_000_000


def now_ms() -> int:
    """Milliseconds since the epoch, UTC. Steps with the system clock; never use it to time out."""
    return time.time_ns() // NS_PER_MS
