"""What is printed, in a pipe and on a terminal."""

import io
import json

import pytest

from cli.output import (
    Failure,
    listed,
    print_failure,
    print_json,
    print_pairs,
    print_table,
    to_dict,
    when,
)
from simpul.node.v1 import admin_pb2

Captured = pytest.CaptureFixture[str]

ROWS = [("ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata", "x" * 60), ("b", "c")]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_row_in_a_pipe_is_one_line_with_nothing_cut(capsys: Captured) -> None:
    print_table(("SERVICE", "MORE"), ROWS, empty="none")
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        f"{'SERVICE':45}MORE",
        f"{ROWS[0][0]:45}{'x' * 60}",
        f"{'b':45}c",
    ]


@pytest.mark.parametrize("colours", [True, False])
def test_a_table_on_a_terminal_folds_to_its_width(
    monkeypatch: pytest.MonkeyPatch, colours: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stdout", terminal)
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    if not colours:
        monkeypatch.setenv("NO_COLOR", "1")
    print_table(("SERVICE", "MORE"), ROWS, empty="none")
    text = terminal.getvalue()
    assert ("\x1b[1m" in text) or not colours
    assert "\x1b[3" not in text
    if not colours:
        assert max(map(len, text.replace("\x1b[1m", "").replace("\x1b[0m", "").splitlines())) <= 80
    assert text.replace("\n", "").count("x") >= 60


def test_an_empty_table_says_so_on_stderr(capsys: Captured) -> None:
    print_table(("A",), [], empty="none yet")
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "none yet\n")


def test_pairs_are_aligned(capsys: Captured) -> None:
    print_pairs((("a", "1"), ("long", "2")))
    assert capsys.readouterr().out == "a     1\nlong  2\n"


def test_what_came_from_outside_cant_steer_the_terminal(capsys: Captured) -> None:
    print_pairs((("name", "a\x1b[2Jb\nc [red]d"),))
    print_failure(Failure("X", "a\nb [red]", "c"), as_json=False)
    captured = capsys.readouterr()
    assert captured.out == "name  a [2Jb c [red]d\n"
    assert captured.err == "simpul: X: a b [red]\n  c\n"


def test_json_is_one_document_with_text_as_it_is(capsys: Captured) -> None:
    print_json({"name": "Kabupaten é"})
    out = capsys.readouterr().out
    assert "é" in out
    assert json.loads(out) == {"name": "Kabupaten é"}


def test_a_message_becomes_snake_case_hex_and_integers() -> None:
    link = admin_pb2.LinkStatus(peer="ID/~a", link_id=b"\xab\xcd", parcels_sent=2**40)
    found = to_dict(admin_pb2.StatusResponse(members=["m"], links=[link]))
    assert found["members"] == ["m"]
    assert found["directory_version"] == 0
    assert found["directory_hash"] == ""
    assert found["links"] == [
        {
            "peer": "ID/~a",
            "dialled": False,
            "link_id": "abcd",
            "parcels_sent": 2**40,
            "parcels_received": 0,
        }
    ]


def test_an_absent_message_is_null() -> None:
    assert to_dict(admin_pb2.AllowAccessResponse()) == {
        "agreement": None,
        "hints": [],
        "untold": None,
    }


def test_times_are_utc_and_none_is_a_dash() -> None:
    assert when(1_700_000_000_000) == "2023-11-14 22:13:20Z"
    assert when(0) == when(None) == "-"
    assert listed([]) == "-"
    assert listed(["a", "b"]) == "a, b"
