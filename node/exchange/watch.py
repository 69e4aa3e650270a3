"""What calls show of themselves: how many, how they ended, how long they took. Bounded labels."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from runtime.tracing import NO_SPAN, OFF, Span, Tracing
from security.errors import Code

_SECONDS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Unrecorded(StrEnum):
    """Why a call that was refused or lost here is in no record."""

    # Its app proved nothing, and such calls have a bound.
    UNPROVEN = "unproven"
    # The journal took no record.
    JOURNAL = "journal"


class Outcome:
    """How one call ended; `CANCELLED` until somebody says."""

    __slots__ = ("code", "status")

    def __init__(self) -> None:
        self.status = "1"
        self.code = ""

    def ended(self, status: int) -> None:
        """The service answered with this gRPC status."""
        self.status = str(status)

    def failed(self, code: Code) -> None:
        """Simpul ended the call, for this reason."""
        self.status, self.code = "", code.value


class CallMetrics:
    """Counts the calls of one worker, on either side, and ends their spans."""

    def __init__(self, registry: CollectorRegistry, tracing: Tracing = OFF) -> None:
        # Where calls' spans begin.
        self.tracing = tracing
        # Statuses are 17 and codes are a fixed table: the labels are bounded by construction.
        self._calls = Counter(
            "simpul_calls_total", "Calls that ended, by side, gRPC status, and code of ours",
            ["side", "status", "code"], registry=registry,
        )  # fmt: skip
        self._seconds = Histogram(
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

    def unrecorded(self, why: Unrecorded) -> None:
        """A call of an app ended here, and the journal has no record of it."""
        self._unrecorded.labels(why.value).inc()

    @contextmanager
    def around(self, side: str, span: Span = NO_SPAN) -> Iterator[Outcome]:
        """Around a call, on the side `consumer` or `provider`; its span ends with it."""
        outcome = Outcome()
        began_s = time.perf_counter()
        self._open.labels(side).inc()
        try:
            yield outcome
        finally:
            self._open.labels(side).dec()
            self._calls.labels(side, outcome.status, outcome.code).inc()
            self._seconds.labels(side).observe(time.perf_counter() - began_s)
            if outcome.code:
                span.end(code=outcome.code)
            else:
                span.end(status=int(outcome.status))
