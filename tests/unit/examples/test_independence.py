"""The demo's programs would run without Simpul: they import nothing of it."""

import ast
from pathlib import Path

import pytest

from examples.generate import EXAMPLES

SIMPUL = {"cli", "node", "registry", "runtime", "security", "simpul", "protos"}
SOURCES = sorted(EXAMPLES.rglob("*.py"))


def imported(source: str) -> set[str]:
    names: set[str] = set()
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in statement.names}
        elif isinstance(statement, ast.ImportFrom) and statement.module is not None:
            names.add(statement.module.partition(".")[0])
    return names


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.relative_to(EXAMPLES).as_posix())
def test_a_program_imports_nothing_of_simpul(path: Path) -> None:
    assert not imported(path.read_text(encoding="utf-8")) & SIMPUL


def test_an_import_of_simpul_would_be_seen() -> None:
    assert imported("from security.errors import Code\nimport simpul.v1.link_pb2") <= SIMPUL
