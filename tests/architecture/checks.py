"""The rules of the architecture, each a function from parsed files to a list of breaches.

A breach reads `path:line: what is wrong`. The rules are those of the architecture and the house
style; `test_architecture.py` runs them on the project and, to show that they bite, on bad snippets.
"""

import ast
import re
from collections.abc import Iterable

from tests.architecture.project import BESIDE, SOURCES, Import, Source, imports

OURS = frozenset({*SOURCES, *BESIDE, "simpul"})

# Who may import whom. `simpul` is the generated wire standard; the demo in `cli` runs the examples.
MAY_IMPORT = {
    "cli": frozenset({"cli", "node", "registry", "runtime", "security", "simpul", "examples"}),
    "node": frozenset({"node", "runtime", "security", "simpul"}),
    "registry": frozenset({"registry", "runtime", "security", "simpul"}),
    "runtime": frozenset({"runtime", "security", "simpul"}),
    "security": frozenset({"security", "simpul"}),
    "examples": frozenset({"examples"}),
}

IMPURE = frozenset(
    {
        "asyncio",
        "grpc",
        "logging",
        "multiprocessing",
        "os",
        "pathlib",
        "prometheus_client",
        "random",
        "secrets",
        "socket",
        "sqlalchemy",
        "sqlite3",
        "sqlmodel",
        "structlog",
        "subprocess",
        "threading",
        "time",
        "uuid",
    }
)
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})
CLOCK_TYPES = frozenset({"datetime", "date"})

VERDICT_NAME = re.compile(r"_*(verify|check|authorize)")

MOCKS = ("unittest.mock", "mock", "pytest_mock")

MAX_LINES = 500


def breach(source: Source, line: int, what: str) -> str:
    """One line of a report, which an editor can jump to."""
    return f"{source.path}:{line}: {what}"


def imports_run_downwards(files: Iterable[Source]) -> list[str]:
    """cli -> node, registry -> runtime -> security -> simpul; examples import nothing of Simpul."""
    return [
        breach(source, item.line, f"{source.room} must not import {item.name}")
        for source in files
        for item in imports(source)
        if (room := item.name.partition(".")[0]) in OURS and room not in MAY_IMPORT[source.room]
    ]


def is_pure(source: Source) -> bool:
    """Whether the file is a pure room: all of security/, and every rules.py and framing.py."""
    return source.room == "security" or (
        source.room in SOURCES and source.path.name in {"rules.py", "framing.py"}
    )


def pure_rooms_are_pure(files: Iterable[Source]) -> list[str]:
    """A pure room imports nothing impure, neither itself nor through other modules of ours."""
    by_module = {source.module: source for source in files}
    found: list[str] = []
    for start in filter(is_pure, by_module.values()):
        found += _clock_calls(start)
        seen, waiting = {start.module}, [start]
        while waiting:
            source = waiting.pop()
            for item in imports(source):
                if any(item.is_in(package) for package in IMPURE):
                    through = "" if source is start else f", through {source.module}"
                    where = f"{start.module} is pure and must not import {item.name}{through}"
                    found.append(breach(source, item.line, where))
                target = _resolve(item, by_module)
                if target is not None and target.module not in seen:
                    seen.add(target.module)
                    waiting.append(target)
    return found


def _resolve(item: Import, by_module: dict[str, Source]) -> Source | None:
    """The file of ours that an import names: `a.b.c` is the module itself, or a name in `a.b`."""
    return by_module.get(item.name) or by_module.get(item.name.rpartition(".")[0])


def _clock_calls(source: Source) -> list[str]:
    return [
        breach(source, node.lineno, f"a pure room asks no clock: .{node.attr}; take now_ms instead")
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and node.attr in CLOCK_CALLS
        and _last_name(node.value) in CLOCK_TYPES
    ]


def _last_name(node: ast.expr) -> str:
    match node:
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return name
        case _:
            return ""


def verdicts_raise(files: Iterable[Source]) -> list[str]:
    """verify*, check* and authorize* return no bool: a forgotten `if` would let all through."""
    return [
        breach(source, node.lineno, f"{node.name} returns bool: raise instead")
        for source in files
        for node in ast.walk(source.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and VERDICT_NAME.match(node.name) is not None
        and node.returns is not None
        and re.search(r"\bbool\b", ast.unparse(node.returns)) is not None
    ]


def no_asserts(files: Iterable[Source]) -> list[str]:
    """`python -O` removes them, so they guard nothing."""
    return [
        breach(source, node.lineno, "assert in a source: raise instead")
        for source in files
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Assert)
    ]


def files_are_short(files: Iterable[Source]) -> list[str]:
    """A file past the limit is more than one room."""
    return [
        breach(source, lines, f"{lines} lines, over {MAX_LINES}: split it")
        for source in files
        if (lines := source.text.count("\n")) > MAX_LINES
    ]


def no_mocks(files: Iterable[Source]) -> list[str]:
    """A mock agrees with whatever the test believes; a fake implements the real interface."""
    return [
        breach(source, item.line, f"{item.name}: write a fake that implements the interface")
        for source in files
        for item in imports(source)
        if any(item.is_in(package) for package in MOCKS)
    ]


def modules_have_docstrings(files: Iterable[Source]) -> list[str]:
    """Every file of the shared rooms says what it is."""
    return [
        breach(source, 1, "no module docstring")
        for source in files
        if not (ast.get_docstring(source.tree) or "").strip()
    ]


def records_are_listed(records: Iterable[str], index: str) -> list[str]:
    """Each numbered decision record, by its file name, is linked from the index's text."""
    return [
        f"docs/adr/{name}: not listed in docs/adr/README.md"
        for name in records
        if f"({name})" not in index
    ]
