"""The command as a whole: every subcommand's help, the version, a quick start, completion."""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import typer

from cli.main import app
from tests.architecture.project import PROJECT
from tests.unit.cli.conftest import Simpul


def commands() -> Iterator[tuple[str, ...]]:
    """The words of every command that does something, however deep."""
    waiting: list[tuple[tuple[str, ...], object]] = [((), typer.main.get_command(app))]
    while waiting:
        words, command = waiting.pop()
        inner = getattr(command, "commands", None)
        if inner is None:
            yield words
        else:
            waiting += [((*words, name), item) for name, item in inner.items()]


COMMANDS = sorted(commands())


def test_the_commands_that_operators_know_are_there() -> None:
    known = {
        *(("registry", name) for name in ("init", "serve", "enrol", "status")),
        *(("registry", "member", name) for name in ("add", "list", "suspend", "resume")),
        *(("registry", "node", name) for name in ("list", "revoke")),
        *(("node", name) for name in ("init", "serve", "status")),
        *(("service", name) for name in ("publish", "list")),
        *(("access", name) for name in ("allow", "list")),
        *(("app", name) for name in ("add", "list", "remove")),
        *(("journal", name) for name in ("list", "show", "verify")),
        ("call",),
        ("explain",),
    }
    assert known <= set(COMMANDS)


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example(simpul: Simpul, words: tuple[str, ...]) -> None:
    ran = simpul(*words, "--help").ok()
    usage, _, rest = ran.out.partition("\n\n")
    assert usage.startswith(f"Usage: simpul {' '.join(words)}")
    assert rest.strip()[0].isupper(), "it says what it does"
    _, found, examples = ran.out.partition("Examples:\n")
    assert found
    assert f"simpul {' '.join(words)}" in examples


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_option_is_explained(words: tuple[str, ...]) -> None:
    command: Any = typer.main.get_command(app)
    for word in words:
        command = command.commands[word]
    assert [p.name for p in command.params if not getattr(p, "help", None)] == []


def test_help_fits_80_columns_but_for_examples(simpul: Simpul) -> None:
    for words in [(), *COMMANDS]:
        told = simpul(*words, "--help").ok().out.partition("Examples:")[0]
        assert max(map(len, told.splitlines())) <= 80, words


def test_the_groups_stand_in_the_order_of_use(simpul: Simpul) -> None:
    told = simpul("--help").ok().out
    places = [told.index(f"\n  {name} ") for name in ("registry", "node", "service", "call")]
    assert places == sorted(places)


def test_the_version(simpul: Simpul) -> None:
    ran = simpul.process("--version").ok()
    assert ran.out.startswith("simpul ")
    assert ran.out.count("\n") == 1


def test_help_loads_nothing_slow() -> None:
    slow = (
        "grpc",
        "google.protobuf",
        "cryptography",
        "sqlalchemy",
        "pydantic",
        "rich",
        "structlog",
    )
    code = f"import sys, cli.main; print([m for m in {slow!r} if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=PROJECT,
        env={"PYTHONPATH": f"{PROJECT}:{PROJECT}/protos"},
    )
    assert ran.stdout == "[]\n"


def test_completion_is_typers_own(simpul: Simpul) -> None:
    words = {"COMP_WORDS": "simpul jour", "COMP_CWORD": "1", "_SIMPUL_COMPLETE": "complete_bash"}
    assert "journal" in simpul.process(**words).out.split()
