"""The reference lists every metric, and the generated pages are what the sources say."""

import ast
import re

import pytest

from security.errors import ERRORS
from tests.architecture.project import PROJECT
from tools import generate_docs
from tools.wire_dump import Field, fields

METRICS = PROJECT / "docs" / "reference" / "metrics.md"
KINDS = {
    "Counter": "counter",
    "Gauge": "gauge",
    "Histogram": "histogram",
    "TallyHistogram": "histogram",
}


def metrics(text: str) -> dict[str, str]:
    """Name and kind of each metric that a source makes."""
    found = {}
    for node in ast.walk(ast.parse(text)):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
            continue
        first = node.args[0] if node.args else None
        if node.func.id in KINDS and isinstance(first, ast.Constant):
            found[str(first.value)] = KINDS[node.func.id]
    return found


def test_every_metric_is_listed_with_its_kind_and_no_other() -> None:
    made: dict[str, str] = {}
    for room in ("node", "registry", "runtime"):
        for path in sorted((PROJECT / room).rglob("*.py")):
            made |= metrics(path.read_text(encoding="utf-8"))
    text = METRICS.read_text(encoding="utf-8")
    listed = dict(re.findall(r"^\| `(simpul_[a-z_]+)` \| ([a-z]+) \|", text, re.MULTILINE))
    assert listed == made


def test_a_metric_in_a_source_is_found() -> None:
    text = 'x = Counter("simpul_a_total", "A", registry=r)\ny = Gauge("simpul_b", "B")\nz = f("c")'
    assert metrics(text) == {"simpul_a_total": "counter", "simpul_b": "gauge"}


@pytest.mark.parametrize("name", sorted(generate_docs.pages()))
def test_a_generated_page_is_fresh(name: str) -> None:
    committed = (PROJECT / name).read_text(encoding="utf-8")
    assert committed == generate_docs.pages()[name], "run python -m tools.generate_docs"


def test_pages_say_what_they_are_about() -> None:
    pages = generate_docs.pages()
    assert all(f"| `{code}` |" in pages["docs/reference/errors.md"] for code in ERRORS)
    assert "`gateway.listen`" in pages["docs/reference/configuration.md"]
    assert "| `journal.slots` | integer | computed |" in pages["docs/reference/configuration.md"]
    assert "## simpul node init" in pages["docs/reference/cli.md"]


def test_a_message_is_shown_field_by_field() -> None:
    from simpul.v1 import parcel_pb2  # noqa: PLC0415 - beside its only use

    header = parcel_pb2.Header(
        federation="ID",
        number=300,
        received=parcel_pb2.Received(number=0, header_hash=b"\xab"),
    )
    data = header.SerializeToString(deterministic=True)
    assert list(fields(parcel_pb2.Header.DESCRIPTOR, data)) == [
        Field("1202", "federation", "ID"),
        Field("38ac02", "number", "300"),
        Field("4a05", "received", "5 bytes, below"),
        Field("0800", "received.number", "0"),
        Field("1201", "received.header_hash", "ab"),
    ]


def test_another_wire_type_is_refused() -> None:
    from simpul.v1 import parcel_pb2  # noqa: PLC0415 - beside its only use

    with pytest.raises(ValueError, match="wire type 5"):
        list(fields(parcel_pb2.Header.DESCRIPTOR, b"\x0d\x00\x00\x00\x00"))
