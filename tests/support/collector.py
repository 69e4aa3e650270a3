"""A collector of traces, as small as can be: OTLP over HTTP on loopback, spans kept in a list."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread

from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

PATH = "/v1/traces"


@dataclass(frozen=True)
class Span:
    """A span as it came."""

    node: str
    name: str
    trace: bytes
    id: bytes
    parent: bytes
    attributes: dict[str, str]


@dataclass
class Collector:
    """What came so far."""

    url: str
    requests: list[bytes] = field(default_factory=list)

    @property
    def endpoint(self) -> str:
        """For `tracing.endpoint`."""
        return self.url + PATH

    @property
    def spans(self) -> list[Span]:
        """All spans of all requests."""
        found = []
        for data in self.requests:
            for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
                about = {a.key: a.value.string_value for a in resource.resource.attributes}
                found += [
                    Span(
                        about.get("simpul.node", ""), span.name, span.trace_id, span.span_id,
                        span.parent_span_id,
                        {a.key: a.value.string_value for a in span.attributes},
                    )
                    for scope in resource.scope_spans
                    for span in scope.spans
                ]  # fmt: skip
        return found


@contextmanager
def collecting() -> Iterator[Collector]:
    """A collector for a block; it refuses what goes to another path."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            found.requests.append(self.rfile.read(int(self.headers["content-length"])))
            self.send_response(200 if self.path == PATH else 404)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    found = Collector(f"http://127.0.0.1:{server.server_port}")
    thread = Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield found
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
