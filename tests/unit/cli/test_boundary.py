"""Exit codes and the one form of errors."""

import pytest
import typer
from typer.testing import CliRunner

from cli.boundary import Boundary, asks_for_json
from cli.output import CommandError, Failure
from security.errors import ERRORS, Code, SimpulError
from tests.unit.cli.conftest import Ran, Simpul
from tests.unit.cli.fakes import FakeNode

FAULTS: dict[str, BaseException] = {
    "simpul": SimpulError(Code.CONFLICT, "two\nlines [bold]"),
    "failure": CommandError(Failure("DATA_LOSS", "torn", "look", {"call_id": "00"})),
    "bug": ZeroDivisionError("secret 4711"),
    "interrupt": KeyboardInterrupt(),
    "exit": typer.Exit(7),
    "abort": typer.Abort(),
}

app = typer.Typer(cls=Boundary, rich_markup_mode=None)


@app.callback()
def root(*, debug: bool = False) -> None:
    """Has options."""
    del debug


@app.command()
def fail(how: str, as_json: bool = typer.Option(False, "--json")) -> None:
    """Fails as asked."""
    del as_json
    raise FAULTS[how]


@app.command()
def work() -> None:
    """Does nothing, well."""


def run(*args: str) -> Ran:
    result = CliRunner().invoke(app, list(args))
    return Ran(result.exit_code, result.stdout, result.stderr)


def test_done_is_0() -> None:
    assert run("work") == Ran(0, "", "")


def test_a_refusal_is_one_line_and_what_to_do() -> None:
    action = ERRORS[Code.CONFLICT].action
    assert run("fail", "simpul") == Ran(1, "", f"simpul: CONFLICT: two lines [bold]\n  {action}\n")


def test_as_json_stdout_has_the_error_too() -> None:
    ran = run("fail", "simpul", "--json")
    assert ran.json() == {
        "error": {
            "code": "CONFLICT",
            "message": "two lines [bold]",
            "action": ERRORS[Code.CONFLICT].action,
        }
    }
    assert ran.err.startswith("simpul: CONFLICT: two lines [bold]\n")


def test_a_failure_brings_its_own_keys() -> None:
    error = run("fail", "failure", "--json").json()["error"]
    assert error == {"code": "DATA_LOSS", "message": "torn", "action": "look", "call_id": "00"}


def test_a_bug_shows_no_traceback_and_no_text_of_its_own() -> None:
    ran = run("fail", "bug")
    assert ran.code == 1
    assert ran.err.startswith("simpul: INTERNAL: unexpected ZeroDivisionError")
    assert "--debug" in ran.err
    assert "4711" not in ran.err
    assert "Traceback" not in ran.err


def test_debug_shows_where_a_bug_came_from(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "Traceback" in run("--debug", "fail", "bug").err
    monkeypatch.setenv("SIMPUL_DEBUG", "1")
    assert "Traceback" in run("fail", "bug").err
    monkeypatch.setenv("SIMPUL_DEBUG", "0")
    assert "Traceback" not in run("fail", "bug").err


def test_ctrl_c_is_130_and_quiet() -> None:
    assert run("fail", "interrupt") == Ran(130, "", "")


def test_an_exit_keeps_its_code_and_an_abort_is_1() -> None:
    assert run("fail", "exit").code == 7
    assert run("fail", "abort") == Ran(1, "", "")


@pytest.mark.parametrize(
    "args",
    [
        ("nonsense",),
        ("fail",),
        ("fail", "simpul", "--nonsense"),
        ("fail", "simpul", "too much"),
    ],
)
def test_wrong_usage_is_2_in_the_same_form(args: tuple[str, ...]) -> None:
    ran = run(*args)
    assert ran.code == 2
    assert ran.err.startswith("simpul: USAGE: ")
    assert "--help" in ran.err.splitlines()[1]
    assert ran.out == ""
    found = run(*args, "--json")
    assert found.code == 2
    assert found.json()["error"]["code"] == "USAGE"


def test_a_group_alone_shows_its_help(simpul: Simpul) -> None:
    ran = simpul("registry")
    assert (ran.code, ran.out) == (2, "")
    assert ran.err.startswith("Usage: simpul registry")


def test_json_after_the_dashes_is_an_argument() -> None:
    assert asks_for_json(["explain", "--json"])
    assert not asks_for_json(["explain", "--", "--json"])


def test_a_reader_that_goes_away_is_no_fault(simpul: Simpul) -> None:
    with simpul.start("explain", "--json") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        assert process.wait(10) == 1
        assert process.stderr.read() == ""


def test_a_pipe_gets_no_colours(simpul: Simpul, node: FakeNode) -> None:
    assert "\x1b" not in simpul.process("node", "status").ok().out
    node.heard.refusals["Status"] = SimpulError(Code.OVERLOADED, "later")
    ran = simpul.process("node", "status")
    assert ran.err.startswith("simpul: OVERLOADED: later\n")
