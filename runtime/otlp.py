"""`runtime.tracing` by OpenTelemetry's SDK: spans, and their way to a collector.

Imported only where tracing is on. Nothing of the environment is asked (`OTEL_...`), nothing is
global, and the libraries' own complaints, a traceback for each attempt, are not shown.

Source: W3C Trace Context, "Traceparent Header Field Values"; OpenTelemetry, "Trace SDK".
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Callable, Sequence
from typing import Final, Self

import structlog
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.sdk.trace.sampling import ParentBased, TraceIdRatioBased
from opentelemetry.trace import (
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    Tracer,
    set_span_in_context,
)
from opentelemetry.trace import Span as OtelSpan

from runtime.tracing import Attributes, Span
from security.errors import SimpulError

_log = structlog.stdlib.get_logger(__name__)

# Spans that wait for the collector; what is more is dropped.
MAX_WAITING: Final = 2048
EXPORT_EVERY_MS: Final = 1000
EXPORT_TIMEOUT_S: Final = 5.0
STOP_TIMEOUT_S: Final = 3.0
# A collector that takes nothing is worth one line in so long a time.
QUIET_S: Final = 60.0

# Version 00, and later ones, which may have more fields behind the four.
_TRACEPARENT: Final = re.compile(
    rb"(?!ff)[0-9a-f]{2}-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)
_FIRST_VERSION: Final = b"00"
# Attributes' names in OpenTelemetry's form: the first `_` is a dot, but here.
_NAMES: Final = {"rpc_grpc_status_code": "rpc.grpc.status_code"}


def open_telemetry(endpoint: str, sample: float, about: Attributes) -> OpenTelemetry:
    """Trace into the collector at `endpoint`."""
    logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)
    exporter = _Told(OTLPSpanExporter(endpoint=endpoint, timeout=EXPORT_TIMEOUT_S))
    processor = BatchSpanProcessor(
        exporter, max_queue_size=MAX_WAITING, schedule_delay_millis=EXPORT_EVERY_MS
    )
    return OpenTelemetry(processor, sample, about)


class OpenTelemetry:
    """`Tracing`.

    Args:
        processor: Takes the spans that ended.
        sample: As `tracing.start` says.
        about: As `tracing.start` says.
    """

    def __init__(self, processor: SpanProcessor, sample: float, about: Attributes) -> None:
        self._provider = TracerProvider(
            sampler=ParentBased(TraceIdRatioBased(sample)),
            resource=Resource(_known(about)),
            shutdown_on_exit=False,
        )
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("simpul")

    def begin(
        self,
        name: str,
        parent: Sequence[bytes],
        *,
        began_ns: int | None = None,
        **about: object,
    ) -> Span:
        """As `Tracing.begin`."""
        span = self._tracer.start_span(
            name, _context_of(parent), attributes=_known(about), start_time=began_ns or None
        )
        return _Span(self._tracer, span)

    def now_ns(self) -> int:
        """As `Tracing.now_ns`."""
        return time.time_ns()

    async def close(self) -> None:
        """As `Tracing.close`."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await asyncio.to_thread(self._provider.shutdown)


class _Span:
    """`Span`."""

    __slots__ = ("_span", "_tracer")

    def __init__(self, tracer: Tracer, span: OtelSpan) -> None:
        self._tracer = tracer
        self._span = span

    @property
    def traceparent(self) -> bytes | None:
        context = self._span.get_span_context()
        return b"00-%032x-%016x-%02x" % (context.trace_id, context.span_id, context.trace_flags)

    def child(self, name: str, *, began_ns: int | None = None, **about: object) -> Span:
        context = set_span_in_context(self._span, Context())
        span = self._tracer.start_span(
            name, context, attributes=_known(about), start_time=began_ns or None
        )
        return _Span(self._tracer, span)

    def end(self, *, status: int | None = None, code: str | None = None) -> None:
        # One that ended, or is not sampled, takes nothing more.
        if not self._span.is_recording():
            return
        self._span.set_attributes(_known({"rpc_grpc_status_code": status, "simpul_code": code}))
        if code is not None or status:
            self._span.set_status(Status(StatusCode.ERROR))
        self._span.end()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        self.end(code=error.code.value if isinstance(error, SimpulError) else None)

    @property
    def ends_with(self) -> Callable[[asyncio.Future[None]], None] | None:
        return self._end_with

    def _end_with(self, future: asyncio.Future[None]) -> None:
        future.add_done_callback(lambda _: self.end())


class _Told(SpanExporter):
    """An exporter whose failures are told, in words and seldom."""

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._quiet_until_s = 0.0

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        result = self._inner.export(spans)
        now_s = time.monotonic()
        if result is not SpanExportResult.SUCCESS and now_s >= self._quiet_until_s:
            self._quiet_until_s = now_s + QUIET_S
            _log.warning("the collector takes no spans: they are lost", spans=len(spans))
        return result

    def shutdown(self) -> None:
        self._inner.shutdown()


def _known(about: Attributes) -> dict[str, str | int]:
    return {
        _NAMES.get(key, key.replace("_", ".", 1)): _shown(value)
        for key, value in about.items()
        if value is not None
    }


def _shown(value: object) -> str | int:
    if isinstance(value, bytes):
        return value.hex()
    return value if isinstance(value, int) else str(value)


def _context_of(parent: Sequence[bytes]) -> Context:
    """The caller's span, if it names just one; otherwise nobody's, and a trace begins."""
    match = _TRACEPARENT.fullmatch(parent[0]) if len(parent) == 1 else None
    if match is None or (parent[0].startswith(_FIRST_VERSION) and match[4] is not None):
        return Context()
    flags = TraceFlags(int(match[3], 16) & TraceFlags.SAMPLED)
    context = SpanContext(int(match[1], 16), int(match[2], 16), is_remote=True, trace_flags=flags)
    return set_span_in_context(NonRecordingSpan(context), Context())
