"""One trace through both nodes: its spans, whose children they are, and what they don't hold."""

import asyncio
from collections.abc import Mapping

import pytest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from node.calls import HalfClose, Message, OutboundRequest, Trailers
from runtime.otlp import OpenTelemetry
from security.identifiers import NodeId
from tests.conformance import fixed
from tests.support.pair import FakeCall, Pair, ServiceSide, pair, unary

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = f"00-{TRACE}-{SPAN}-01".encode()
STATE = ("tracestate", b"vendor=1,other=2")
CONSUMER = ["gateway", "exchange.ask", "link.send"]
PROVIDER = ["exchange.provide", "link.receive", "service"]


class Collected:
    """The spans of both nodes."""

    def __init__(self, *nodes: NodeId, sample: float = 1.0) -> None:
        self._exporters = {node: InMemorySpanExporter() for node in nodes}
        self.tracing: Mapping[NodeId, OpenTelemetry] = {
            node: OpenTelemetry(SimpleSpanProcessor(exporter), sample, {"simpul_node": node})
            for node, exporter in self._exporters.items()
        }

    def of(self, node: NodeId) -> dict[str, ReadableSpan]:
        return {span.name: span for span in self._exporters[node].get_finished_spans()}

    @property
    def consumer(self) -> dict[str, ReadableSpan]:
        return self.of(fixed.MINISTRY_NODE)

    @property
    def provider(self) -> dict[str, ReadableSpan]:
        return self.of(fixed.REGENCY_NODE)


def both(sample: float = 1.0) -> Collected:
    return Collected(fixed.MINISTRY_NODE, fixed.REGENCY_NODE, sample=sample)


def is_child(span: ReadableSpan, parent: ReadableSpan) -> bool:
    return span.parent is not None and span.parent.span_id == parent.context.span_id


def seen(made: Pair, key: str = "traceparent") -> list[bytes]:
    (request,) = made.provider.services.seen
    return values(request, key)


def values(request: OutboundRequest, key: str) -> list[bytes]:
    return [value for name, value in request.metadata if name == key]


def check_joined(found: Collected) -> None:
    consumer, provider = found.consumer, found.provider
    assert sorted(consumer) == sorted(CONSUMER)
    assert sorted(provider) == sorted(PROVIDER)
    assert is_child(consumer["exchange.ask"], consumer["gateway"])
    assert is_child(consumer["link.send"], consumer["exchange.ask"])
    assert is_child(provider["exchange.provide"], consumer["exchange.ask"])
    assert is_child(provider["link.receive"], provider["exchange.provide"])
    assert is_child(provider["service"], provider["exchange.provide"])
    traces = {span.context.trace_id for span in (*consumer.values(), *provider.values())}
    assert len(traces) == 1
    for span in (*consumer.values(), *provider.values()):
        assert span.start_time is not None
        assert span.end_time is not None
        assert span.start_time <= span.end_time


async def test_a_unary_call_is_one_trace_from_app_to_service() -> None:
    found = both()
    async with pair(tracing=found.tracing) as made:
        call = await made.consumer.run(unary(metadata=(("traceparent", PARENT), STATE)))
        assert call.trailers.status == 0
        check_joined(found)
        gateway, service = found.consumer["gateway"], found.provider["service"]
        assert f"{gateway.context.trace_id:032x}" == TRACE
        assert gateway.parent is not None
        assert f"{gateway.parent.span_id:016x}" == SPAN
        # The service works for the provider's span, and has what the app said beside it.
        assert seen(made) == [f"00-{TRACE}-{service.context.span_id:016x}-01".encode()]
        assert seen(made, "tracestate") == [STATE[1]]
        (call_id,) = values(made.provider.services.seen[0], "simpul-call-id")
        for span in (found.consumer["exchange.ask"], found.provider["exchange.provide"]):
            assert span.attributes is not None
            assert span.attributes["simpul.call_id"] == call_id.decode()


async def test_a_stream_is_one_trace_too() -> None:
    async def echo(side: ServiceSide) -> None:
        while isinstance(event := await side.incoming.get(), Message):
            await side.outgoing.put(event)
        await side.outgoing.put(Trailers(0))

    found = both()
    async with pair(tracing=found.tracing) as made:
        made.provider.services.on_stream = echo
        call = FakeCall("Import", Message(b"1"), HalfClose(), metadata=(("traceparent", PARENT),))
        assert (await made.consumer.run(call)).trailers.status == 0
        await asyncio.sleep(0)
        check_joined(found)


async def test_without_a_traceparent_the_consumers_node_begins_the_trace() -> None:
    found = both()
    async with pair(tracing=found.tracing) as made:
        await made.consumer.run(unary())
        check_joined(found)
        assert found.consumer["gateway"].parent is None
        assert len(seen(made)) == 1


@pytest.mark.parametrize("node", [fixed.MINISTRY_NODE, fixed.REGENCY_NODE])
async def test_one_node_traces_and_the_other_does_not(node: NodeId) -> None:
    found = Collected(node)
    async with pair(tracing=found.tracing) as made:
        await made.consumer.run(unary(metadata=(("traceparent", PARENT),)))
        (came,) = seen(made)
        last = found.of(node)["exchange.ask" if node == fixed.MINISTRY_NODE else "service"]
        assert came == f"00-{TRACE}-{last.context.span_id:016x}-01".encode()


async def test_off_the_app_s_own_words_arrive_as_they_were() -> None:
    odd = (("traceparent", PARENT), STATE, ("traceparent", b"nonsense"))
    async with pair() as made:
        await made.consumer.run(unary(metadata=odd))
        assert seen(made) == [PARENT, b"nonsense"]
        assert seen(made, "tracestate") == [STATE[1]]


async def test_what_the_caller_does_not_sample_is_passed_on_and_kept_nowhere() -> None:
    found = both()
    async with pair(tracing=found.tracing) as made:
        await made.consumer.run(unary(metadata=(("traceparent", PARENT[:-1] + b"0"),)))
        assert found.consumer == found.provider == {}
        assert seen(made)[0].startswith(f"00-{TRACE}-".encode())
        assert seen(made)[0].endswith(b"-00")


async def test_a_refusal_says_its_code_in_the_trace() -> None:
    found = both()
    async with pair(tracing=found.tracing) as made:
        made.provider.agree()
        await made.consumer.run(unary())
        for span in (found.consumer["gateway"], found.provider["exchange.provide"]):
            assert span.attributes is not None
            assert str(span.attributes["simpul.code"]).startswith("ACCESS_")
        assert "service" not in found.provider


async def test_a_span_holds_nothing_of_a_call_s_content_and_the_record_nothing_of_a_span() -> None:
    secrets = (("x-secret", b"rahasia"), ("simpul-user", b"budi"), ("simpul-subject", b"3171010"))
    found = both()
    async with pair(tracing=found.tracing) as made:
        metadata = (*secrets, ("traceparent", PARENT))
        await made.consumer.run(unary(data=b"pertanyaan", metadata=metadata))
        for span in (*found.consumer.values(), *found.provider.values()):
            text = f"{span.to_json()}"
            for word in ("rahasia", "budi", "3171010", "pertanyaan"):
                assert word not in text
        # It travels in the private block alone, which may be erased; the record stays whole.
        for half in (made.consumer, made.provider):
            for record in half.journal.records:
                kept = record.header + b"".join(entry.entry for entry in record.entries)
                assert TRACE.encode() not in kept
            blocks = [e.private or b"" for r in half.journal.records for e in r.entries]
            assert any(TRACE.encode() in block for block in blocks)
