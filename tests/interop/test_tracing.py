"""One trace through two nodes, collected as an operator would: by OTLP over HTTP."""

from collections.abc import Iterator

import pytest

from tests.interop.calling import ask
from tests.interop.federation import Ways, federation
from tests.interop.probe import KINDS, Side
from tests.scenario.harness import until
from tests.support.collector import Collector, Span, collecting

TRACE, APP = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
PARENT = ("traceparent", f"00-{TRACE}-{APP}-01")
CHAIN = ("gateway", "exchange.ask", "exchange.provide", "service")


@pytest.fixture(scope="module")
def collector() -> Iterator[Collector]:
    with collecting() as found:
        yield found


@pytest.fixture(scope="module")
def traced(collector: Collector) -> Iterator[Ways]:
    with federation(SIMPUL_NODE__TRACING__ENDPOINT=collector.endpoint) as found:
        yield found


async def echo(side: Side) -> None:
    """Answers what comes."""
    while (message := await side.read()) is not None:
        await side.write(message)


@pytest.mark.parametrize("kind", KINDS)
async def test_both_nodes_spans_are_in_the_apps_trace(
    traced: Ways, collector: Collector, kind: str
) -> None:
    name = traced.probe.behave(echo)
    state = ("tracestate", "vendor=1")
    found = await ask(traced.nodes, kind, name, b"rahasia", metadata=(PARENT, state))
    assert (found.code, found.messages) == (0, (b"rahasia",))
    (side,) = traced.probe.wait(name)
    call_id = str(found.value("simpul-call-id"))

    def spans() -> dict[str, Span] | None:
        asked = [s for s in collector.spans if s.attributes.get("simpul.call_id") == call_id]
        ids = {span.id for span in asked} | {span.parent for span in asked}
        mine = {s.name: s for s in collector.spans if s.id in ids or s.parent in ids}
        return mine if {*CHAIN, "link.send", "link.receive"} <= mine.keys() else None

    by_name = until(spans, 10, "all spans of the call")
    parent = bytes.fromhex(APP)
    for each in CHAIN:
        span = by_name[each]
        assert (span.trace.hex(), span.parent) == (TRACE, parent), each
        parent = span.id
    assert side.values("traceparent") == [f"00-{TRACE}-{parent.hex()}-01"]
    assert side.values("tracestate") == ["vendor=1"]
    assert by_name["gateway"].node == "ID/~konsumen"
    assert by_name["service"].node == "ID/~penyedia"
    assert not any(b"rahasia" in data for data in collector.requests)


async def test_untraced_nodes_carry_what_the_app_says(ways: Ways) -> None:
    name = ways.probe.behave(echo)
    for kind in KINDS:
        said = (PARENT, ("tracestate", "a=1"), ("tracestate", "b=2"))
        assert (await ask(ways.nodes, kind, name, b"x", metadata=said)).code == 0
    for side in ways.probe.wait(name, 4):
        assert side.values("traceparent") == [PARENT[1]]
        assert side.values("tracestate") == ["a=1", "b=2"]
