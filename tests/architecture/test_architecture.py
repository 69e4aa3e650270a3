"""The architecture's rules, on the project; and on bad snippets, which shows that they bite."""

from collections.abc import Callable, Iterable

import pytest

from tests.architecture import checks
from tests.architecture.project import BESIDE, PROJECT, SOURCES, Source, parse, sources

Rule = Callable[[Iterable[Source]], list[str]]

RULES: list[tuple[Rule, tuple[str, ...]]] = [
    (checks.imports_run_downwards, (*SOURCES, "examples")),
    (checks.pure_rooms_are_pure, SOURCES),
    (checks.verdicts_raise, SOURCES),
    (checks.no_asserts, (*SOURCES, "examples", "tools")),
    (checks.files_are_short, (*SOURCES, *BESIDE)),
    (checks.no_mocks, ("tests",)),
    (checks.modules_have_docstrings, ("security", "runtime")),
]

GOOD = '"""A module."""\n'

BAD: list[tuple[Rule, str, str]] = [
    (checks.imports_run_downwards, "node/a.py", "import registry.app"),
    (checks.imports_run_downwards, "registry/a.py", "from node.link import rules"),
    (checks.imports_run_downwards, "runtime/a.py", "import node"),
    (checks.imports_run_downwards, "security/a.py", "from runtime import clock"),
    (checks.imports_run_downwards, "node/a.py", "from cli import main"),
    (checks.imports_run_downwards, "node/a.py", "import tests.support"),
    (checks.imports_run_downwards, "examples/a.py", "from simpul.v1 import parcel_pb2"),
    (checks.imports_run_downwards, "examples/a/b.py", "def f():\n    import security.keys"),
    (checks.imports_run_downwards, "node/a.py", "from ..registry import app"),
    (checks.imports_run_downwards, "node/a.py", 'importlib.import_module("registry.app")'),
    (checks.verdicts_raise, "node/a.py", "def verify_seal(x) -> bool: ..."),
    (checks.verdicts_raise, "node/a.py", "async def _check(x) -> bool | None: ..."),
    (checks.verdicts_raise, "node/a.py", "class A:\n    def authorize(self) -> 'bool': ..."),
    (checks.no_asserts, "node/a.py", "def f(x):\n    assert x"),
    (checks.files_are_short, "node/a.py", "x = 1\n" * (checks.MAX_LINES + 1)),
    (checks.no_mocks, "tests/a.py", "from unittest import mock"),
    (checks.no_mocks, "tests/a.py", "from unittest.mock import Mock"),
    (checks.no_mocks, "tests/a.py", "import pytest_mock"),
    (checks.modules_have_docstrings, "security/a.py", "x = 1"),
    (checks.modules_have_docstrings, "security/__init__.py", ""),
    *[
        (checks.pure_rooms_are_pure, path, text)
        for path in ("security/a/b.py", "node/link/rules.py", "node/gateway/framing.py")
        for text in (
            *[f"import {name}" for name in sorted(checks.IMPURE)],
            "from grpc import aio",
            "from os.path import join",
            "import datetime\nx = datetime.datetime.now()",
            "from datetime import datetime\nx = datetime.utcnow()",
            "from datetime import date\nx = date.today()",
        )
    ],
]

FINE: list[tuple[Rule, str, str]] = [
    (checks.imports_run_downwards, "cli/a.py", "import node, registry, runtime, security, simpul"),
    (checks.imports_run_downwards, "node/link/a.py", "from .rules import x"),
    (checks.imports_run_downwards, "node/a.py", "import registry_tools"),
    (checks.imports_run_downwards, "examples/a.py", "import grpc\nfrom wisata.v1 import x"),
    (checks.pure_rooms_are_pure, "node/link/service.py", "import grpc, asyncio, os"),
    (checks.pure_rooms_are_pure, "security/a.py", "import hashlib\nfrom datetime import datetime"),
    (
        checks.verdicts_raise,
        "node/a.py",
        "def verify(x) -> None: ...\ndef is_listed(x) -> bool: ...",
    ),
    (checks.no_mocks, "tests/a.py", "import unittest"),
    (checks.files_are_short, "node/a.py", "x = 1\n" * checks.MAX_LINES),
]


def name(value: object) -> str:
    return str(getattr(value, "__name__", ""))


@pytest.mark.parametrize(("rule", "rooms"), RULES, ids=name)
def test_the_project_keeps_the_rule(rule: Rule, rooms: tuple[str, ...]) -> None:
    files = sources(*rooms)
    assert files, "a rule that walks over nothing proves nothing"
    assert rule(files) == []


@pytest.mark.parametrize(("rule", "path", "text"), BAD)
def test_the_rule_sees_the_breach(rule: Rule, path: str, text: str) -> None:
    found = rule([parse(path, text)])
    assert len(found) == 1
    assert found[0].startswith(f"{path}:")


@pytest.mark.parametrize(("rule", "path", "text"), FINE)
def test_the_rule_lets_the_rest_be(rule: Rule, path: str, text: str) -> None:
    assert rule([parse(path, text)]) == []


def test_a_pure_room_is_not_impure_through_another_module() -> None:
    files = [
        parse("node/link/rules.py", "from node.link.model import Link"),
        parse("node/link/model.py", "from node.link import store"),
        parse("node/link/store.py", "import sqlite3"),
    ]
    (found,) = checks.pure_rooms_are_pure(files)
    assert found.startswith("node/link/store.py:1: node.link.rules is pure")


def test_every_rule_has_a_snippet_that_breaks_it() -> None:
    assert {rule for rule, _, _ in BAD} == {rule for rule, _ in RULES}


def test_generated_code_is_not_walked() -> None:
    assert not [s for s in sources(*SOURCES, *BESIDE) if s.path.name.endswith("_pb2.py")]


def test_each_decision_record_is_listed() -> None:
    folder = PROJECT / "docs" / "adr"
    records = sorted(path.name for path in folder.glob("[0-9]*.md"))
    assert records
    assert checks.records_are_listed(records, (folder / "README.md").read_text("utf-8")) == []


def test_an_unlisted_decision_record_is_seen() -> None:
    index = "- [0001](0001-first.md)"
    assert checks.records_are_listed(["0001-first.md"], index) == []
    assert len(checks.records_are_listed(["0001-first.md", "0002-second.md"], index)) == 1
