"""Spans by OpenTelemetry: whose trace they join, what they hold, and that `off` costs nothing."""

import asyncio
import logging
import subprocess
import sys
from collections.abc import Iterator

import pytest
import structlog
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from runtime import otlp, tracing
from runtime.otlp import OpenTelemetry
from security.errors import Code, SimpulError
from tests.support.collector import Collector, collecting

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()


def made(sample: float = 1.0) -> tuple[OpenTelemetry, InMemorySpanExporter]:
    exporter = InMemorySpanExporter()
    return OpenTelemetry(SimpleSpanProcessor(exporter), sample, {"service_name": "t"}), exporter


def ended(exporter: InMemorySpanExporter) -> dict[str, ReadableSpan]:
    return {span.name: span for span in exporter.get_finished_spans()}


def test_a_span_joins_its_callers_trace_and_hands_it_on() -> None:
    traced, exporter = made()
    with traced.begin("outer", [PARENT]) as outer, outer.child("inner") as inner:
        assert outer.traceparent is not None
        assert inner.traceparent is not None
        assert outer.traceparent.startswith(f"00-{TRACE}-".encode())
        assert inner.traceparent != outer.traceparent
    spans = ended(exporter)
    assert spans["outer"].parent is not None
    assert f"{spans['outer'].parent.span_id:016x}" == SPAN
    assert spans["outer"].parent.is_remote
    assert spans["inner"].parent == spans["outer"].context
    assert f"{spans['inner'].context.trace_id:032x}" == TRACE
    assert spans["inner"].resource.attributes == {"service.name": "t"}


@pytest.mark.parametrize(
    "parent",
    [
        [], [PARENT, PARENT], [b""], [b"00"], [PARENT.upper()], [PARENT + b"-x"],
        [b"ff" + PARENT[2:]],
        [f"00-{'0' * 32}-{SPAN}-01".encode()], [f"00-{TRACE}-{'0' * 16}-01".encode()],
        [PARENT[:-1]], [b" " + PARENT], [b"\xff" * 55],
    ],
)  # fmt: skip
def test_what_is_no_traceparent_begins_a_trace(parent: list[bytes]) -> None:
    traced, exporter = made()
    with traced.begin("outer", parent) as span:
        assert span.traceparent is not None
        assert TRACE.encode() not in span.traceparent
    assert ended(exporter)["outer"].parent is None


def test_a_later_version_may_say_more() -> None:
    traced, _ = made()
    span = traced.begin("outer", [b"cc" + PARENT[2:] + b"-what-comes"])
    assert (span.traceparent or b"").startswith(f"00-{TRACE}-".encode())


def test_the_callers_decision_on_sampling_is_kept() -> None:
    traced, exporter = made(sample=0.0)
    traced.begin("asked for", [PARENT]).end()
    with traced.begin("not wanted", [PARENT[:-1] + b"0"]) as span:
        span.child("nor this").end()
        assert (span.traceparent or b"").endswith(b"-00")
    traced.begin("nobody's", []).end()
    assert set(ended(exporter)) == {"asked for"}


def test_how_it_ended_is_said_once() -> None:
    traced, exporter = made()
    span = traced.begin("ok", [], rpc_method="a/B", simpul_call_id=b"\1\2", simpul_peer=None)
    span.end(status=0)
    span.end(status=13)
    traced.begin("failed", []).end(status=5)
    with pytest.raises(SimpulError), traced.begin("refused", []):
        raise SimpulError(Code.OVERLOADED, "full")
    spans = ended(exporter)
    assert spans["ok"].attributes == {
        "rpc.method": "a/B", "simpul.call_id": "0102", "rpc.grpc.status_code": 0,
    }  # fmt: skip
    assert spans["ok"].status.is_unset
    assert not spans["failed"].status.is_ok
    assert (spans["refused"].attributes or {})["simpul.code"] == "OVERLOADED"


async def test_a_span_may_end_with_a_future() -> None:
    traced, exporter = made()
    future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tell = traced.begin("sent", []).ends_with
    assert tell is not None
    tell(future)
    assert not ended(exporter)
    future.set_result(None)
    await asyncio.sleep(0)
    assert "sent" in ended(exporter)


async def test_off_is_nobodys_and_does_nothing() -> None:
    off = tracing.start(None, 1.0, {})
    assert off is tracing.OFF
    with off.begin("x", [PARENT]) as span:
        assert span.traceparent is None
        assert span.child("y", began_ns=1) is span
        assert span.ends_with is None
        span.end(status=1, code="X")
    assert off.now_ns() == 0
    await off.close()


def test_off_imports_nothing() -> None:
    program = (
        "import sys, node.worker, node.entry, runtime.tracing\n"
        "runtime.tracing.start(None, 1.0, {})\n"
        "found = [m for m in sys.modules if m.startswith(('opentelemetry.sdk', "
        "'opentelemetry.exporter', 'requests'))]\n"
        "assert not found, found"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program], check=False, capture_output=True, text=True,
        env={"PYTHONPATH": ".:protos"},
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr


def test_without_its_packages_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "runtime.otlp", None)
    with pytest.raises(SimpulError) as caught:
        tracing.start("http://127.0.0.1:4318/v1/traces", 1.0, {})
    assert caught.value.code is Code.CONFIG_INVALID
    assert "simpul[tracing]" in caught.value.message


@pytest.fixture
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture
def _quiet_afterwards() -> Iterator[None]:
    yield
    logging.getLogger("opentelemetry").setLevel(logging.NOTSET)


@pytest.mark.usefixtures("_quiet_afterwards")
async def test_what_waits_leaves_at_the_end(collector: Collector) -> None:
    traced = tracing.start(collector.endpoint, 1.0, {"simpul_node": "ID/~x"})
    traced.begin("gateway", [PARENT]).end(status=0)
    await traced.close()
    (span,) = collector.spans
    assert (span.node, span.name) == ("ID/~x", "gateway")
    assert (span.trace.hex(), span.parent.hex()) == (TRACE, SPAN)


@pytest.mark.usefixtures("_quiet_afterwards")
async def test_a_collector_that_takes_nothing_costs_a_line_in_the_log(
    collector: Collector, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(otlp, "EXPORT_EVERY_MS", 10)
    traced = tracing.start(f"{collector.url}/wrong", 1.0, {})
    with structlog.testing.capture_logs() as lines:
        for _ in range(5):
            traced.begin("gateway", []).end()
            await asyncio.sleep(0.03)
        await traced.close()
    assert len(collector.requests) > 1
    assert [line["event"] for line in lines] == ["the collector takes no spans: they are lost"]
