"""Spans of a program's own in its callers' traces, by OpenTelemetry; off unless it is configured.

What is off imports nothing and does nothing: `OFF` begins spans that are nobody's. What is on needs
the extra `simpul[tracing]` and sends spans to a collector by OTLP over HTTP, from a thread of its
own; a collector that does not answer costs no call anything, and one line in the log a minute.

Rules: a caller's decision on sampling is kept; a `traceparent` that is not one begins a new trace;
spans hold what the metrics' labels and the log hold, and nothing of a call's content.

Source: W3C Trace Context, "Traceparent Header"; OpenTelemetry, "Trace SDK".
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, Self

from security.errors import Code, SimpulError

TRACEPARENT: Final = "traceparent"

# Names as Python has them, `rpc_method` for `rpc.method`; bytes are shown in hex, None not at all.
Attributes = Mapping[str, object]


class Span(Protocol):
    """A stretch of time in a call's life."""

    @property
    def traceparent(self) -> bytes | None:
        """What whoever works for this span is told; None: nothing of ours."""
        ...

    def child(self, name: str, *, began_ns: int | None = None, **about: object) -> Span:
        """Begin a span within this one; now, or at a time of `Tracing.now_ns`."""
        ...

    def end(self, *, status: int | None = None, code: str | None = None) -> None:
        """End it, with a gRPC status or a code of ours; a second time changes nothing."""
        ...

    def __enter__(self) -> Self:
        """Use it for a block, at whose end it ends."""
        ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        """End it, with the code of what was raised."""
        ...

    @property
    def ends_with(self) -> Callable[[asyncio.Future[None]], None] | None:
        """Has the span end when a future is done; None where there is nothing to end."""
        ...


class Tracing(Protocol):
    """Where a program's spans go."""

    def begin(
        self,
        name: str,
        parent: Sequence[bytes],
        *,
        began_ns: int | None = None,
        **about: object,
    ) -> Span:
        """Begin a span under a caller's `traceparent`: its values, as they came."""
        ...

    def now_ns(self) -> int:
        """The time, for spans that are begun later than what they show; 0 where nobody asks."""
        ...

    async def close(self) -> None:
        """Send what waits, for a few seconds at most."""
        ...


class _NoSpan:
    traceparent: bytes | None = None

    def child(self, name: str, *, began_ns: int | None = None, **about: object) -> Span:
        del name, began_ns, about
        return self

    def end(self, *, status: int | None = None, code: str | None = None) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        pass

    ends_with: Callable[[asyncio.Future[None]], None] | None = None


NO_SPAN: Final[Span] = _NoSpan()


class _Off:
    def begin(
        self,
        name: str,
        parent: Sequence[bytes],
        *,
        began_ns: int | None = None,
        **about: object,
    ) -> Span:
        del name, parent, began_ns, about
        return NO_SPAN

    def now_ns(self) -> int:
        return 0

    async def close(self) -> None:
        pass


OFF: Final[Tracing] = _Off()


def start(
    endpoint: str | None, sample: float, about: Attributes, *, setting: str = "tracing.endpoint"
) -> Tracing:
    """Begin to trace into the collector at `endpoint`; None: `OFF`.

    Args:
        endpoint: The URL of OTLP over HTTP, `http://127.0.0.1:4318/v1/traces`.
        sample: Of calls without a caller's trace, the part that gets one: 0 to 1.
        about: Of the program: names and values that stand with every span.
        setting: The configuration's key of `endpoint`, for the error's text.

    Raises:
        SimpulError: The packages aren't installed (CONFIG_INVALID).
    """
    if endpoint is None:
        return OFF
    try:
        from runtime.otlp import open_telemetry  # noqa: PLC0415 - only where it is on
    except ImportError:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{setting} needs packages that are not installed: pip install 'simpul[tracing]'",
            key=setting,
        ) from None
    return open_telemetry(endpoint, sample, about)
