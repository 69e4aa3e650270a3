"""What calls show of themselves: how many, how they ended, how long they took. Bounded labels."""

from __future__ import annotations

import time
from collections import Counter as Counts
from enum import StrEnum
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter, Gauge

from runtime.metrics import Later, Tally, TallyHistogram
from runtime.tracing import NO_SPAN, OFF, Span, Tracing
from security.errors import Code

SIDES: Final = ("consumer", "provider")
_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Unrecorded(StrEnum):
    """Why a call that was refused or lost here is in no record."""

    # Its app proved nothing, and such calls have a bound.
    UNPROVEN = "unproven"
    # The journal took no record.
    JOURNAL = "journal"


class Outcome:
    """One call, for a `with` block, and how it ended; `CANCELLED` until somebody says."""

    __slots__ = ("_began_s", "_code", "_metrics", "_side", "_span", "_status")

    def __init__(self, metrics: CallMetrics, side: str, span: Span) -> None:
        self._metrics, self._side, self._span = metrics, side, span
        self._status: int | None = 1
        self._code = ""
        self._began_s = time.perf_counter()

    def ended(self, status: int) -> None:
        """The service answered with this gRPC status."""
        self._status = status

    def failed(self, code: Code) -> None:
        """Simpul ended the call, for this reason."""
        self._status, self._code = None, code.value

    def __enter__(self) -> Self:
        self._metrics.begun(self._side)
        return self

    def __exit__(self, *_: object) -> None:
        took_s = time.perf_counter() - self._began_s
        self._metrics.ended(self._side, self._status, self._code, took_s)
        if self._status is None:
            self._span.end(code=self._code)
        else:
            self._span.end(status=self._status)


class CallMetrics:
    """Counts the calls of one worker, on either side, and ends their spans.

    The counts are shown a moment later (`runtime.metrics.Later`).
    """

    def __init__(self, registry: CollectorRegistry, tracing: Tracing = OFF) -> None:
        # Where calls' spans begin.
        self.tracing = tracing
        # Statuses are 17 and codes are a fixed table: the labels are bounded by construction.
        self._calls = Counter(
            "simpul_calls_total", "Calls that ended, by side, gRPC status, and code of ours",
            ["side", "status", "code"], registry=registry,
        )  # fmt: skip
        self._seconds = TallyHistogram(
            "simpul_call_seconds", "From the first event of a call to the last, by side",
            ["side"], buckets=_SECONDS, registry=registry,
        )  # fmt: skip
        self._open = Gauge(
            "simpul_calls_open", "Calls under way, by side",
            ["side"], registry=registry, multiprocess_mode="livesum",
        )  # fmt: skip
        self._unrecorded = Counter(
            "simpul_calls_unrecorded_total", "Calls refused or lost here that no record tells of",
            ["why"], registry=registry,
        )  # fmt: skip
        self._under_way = dict.fromkeys(SIDES, 0)
        self._took = {side: Tally(_SECONDS) for side in SIDES}
        self._ended: Counts[tuple[str, int | None, str]] = Counts()
        self._later = Later(self._write)

    def unrecorded(self, why: Unrecorded) -> None:
        """A call of an app ended here, and the journal has no record of it."""
        self._unrecorded.labels(why.value).inc()

    def around(self, side: str, span: Span = NO_SPAN) -> Outcome:
        """Around a call, on the side `consumer` or `provider`; its span ends with it."""
        return Outcome(self, side, span)

    def begun(self, side: str) -> None:
        """A call began."""
        self._under_way[side] += 1
        self._later.touch()

    def ended(self, side: str, status: int | None, code: str, took_s: float) -> None:
        """A call ended: by a service's status, or by a code of ours."""
        self._under_way[side] -= 1
        self._ended[side, status, code] += 1
        self._took[side].observe(took_s)
        self._later.touch()

    def _write(self) -> None:
        for side, count in self._under_way.items():
            self._open.labels(side).set(count)
            self._seconds.labels(side).take(self._took[side])
        for (side, status, code), count in self._ended.items():
            shown = "" if status is None else str(status)
            self._calls.labels(side, shown, code).inc(count)
        self._ended.clear()
