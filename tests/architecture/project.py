"""The project's own files, parsed: what the architecture tests walk over.

Generated code, virtual environments and caches are no part of it.
"""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

PROJECT = Path(__file__).resolve().parents[2]

# The rooms whose code runs in a program of ours, and everything else that is Python.
SOURCES = ("cli", "node", "registry", "runtime", "security")
BESIDE = ("bench", "examples", "tests", "tools")

GENERATED = ("_pb2.py", "_pb2_grpc.py")


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path below the project, its text, its syntax tree."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The first folder: `node` for `node/link/rules.py`."""
        return self.path.parts[0]

    @property
    def module(self) -> str:
        """The import name: `node.link.rules`; a package goes by its folder."""
        parts = self.path.with_suffix("").parts
        return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@dataclass(frozen=True, slots=True)
class Import:
    """One imported name. `name` is `a.b.c` for `import a.b.c` and for `from a.b import c`."""

    name: str
    line: int

    def is_in(self, package: str) -> bool:
        """Whether `package` is this name or holds it."""
        return self.name == package or self.name.startswith(package + ".")


def parse(path: str, text: str) -> Source:
    """A `Source` from text, as the self-tests make them."""
    return Source(PurePosixPath(path), text, ast.parse(text))


def sources(*rooms: str) -> list[Source]:
    """Every Python file of ours in `rooms`, in the order of its path."""
    return [
        parse(str(path.relative_to(PROJECT)), path.read_text(encoding="utf-8"))
        for room in rooms
        for path in sorted((PROJECT / room).rglob("*.py"))
        if not path.name.endswith(GENERATED)
    ]


def imports(source: Source) -> Iterator[Import]:
    """All imports: at the top, in a function, under TYPE_CHECKING, by string."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Import(names=names):
                yield from (Import(alias.name, node.lineno) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                base = _absolute(source, module, level)
                yield from (Import(f"{base}.{alias.name}", node.lineno) for alias in names)
            case ast.Call(func=func, args=[ast.Constant(value=str(name)), *_]) if _imports(func):
                yield Import(name, node.lineno)
            case _:
                pass


def _imports(func: ast.expr) -> bool:
    name = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
    return name in {"import_module", "__import__"}


def _absolute(source: Source, module: str | None, level: int) -> str:
    if level == 0:
        return module or ""
    package = source.path.parts[:-1]
    above = package[: len(package) - (level - 1)]
    return ".".join([*above, *([module] if module is not None else [])])
