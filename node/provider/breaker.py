"""When a service that did not answer is tried again. Pure: the clock is an argument.

Closed: every call may try. After a failure it pauses, and calls fail at once; when the pause is
over, one attempt is made. Each failure in a row doubles the pause, up to a bound; an attempt that
succeeds closes it.
"""

from __future__ import annotations

from typing import Final

FIRST_PAUSE_S: Final = 0.1
MAX_PAUSE_S: Final = 5.0


class Breaker:
    """Of one target."""

    __slots__ = ("_pause_s", "_until_s")

    def __init__(self) -> None:
        self._pause_s = 0.0
        self._until_s = 0.0

    @property
    def closed(self) -> bool:
        """The last attempt succeeded, or there was none."""
        return self._pause_s == 0

    def left_s(self, now_s: float) -> float:
        """How much of the pause is left; 0 where an attempt may be made."""
        return 0.0 if self.closed else max(self._until_s - now_s, 0.0)

    def failed(self, now_s: float) -> float:
        """An attempt failed; returns the pause that follows."""
        self._pause_s = min(2 * self._pause_s, MAX_PAUSE_S) or FIRST_PAUSE_S
        self._until_s = now_s + self._pause_s
        return self._pause_s

    def succeeded(self) -> None:
        """An attempt succeeded."""
        self._pause_s = 0.0
