"""What the commands print: tables and pairs for people, JSON for programs, errors in one form.

It decides no wording but that of errors. Rules: results go to stdout, everything else to stderr;
with `--json` stdout holds one JSON document, or JSON lines where results arrive one by one, and
nothing else; keys are snake_case and stay; bytes are lower-case hex; times are milliseconds since
the epoch, UTC, as integers. On a terminal tables fold to its width; in a pipe a row is one line.
Colours are off where the stream is no terminal, and with NO_COLOR.

Source: docs/reference, "The simpul command".
"""

import json
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, TextIO

from security.errors import ERRORS, Code, SimpulError

if TYPE_CHECKING:
    from google.protobuf.message import Message
    from rich.console import Console

# Wider than any row: in a pipe nothing is folded or cut.
PIPE_COLUMNS = 10_000
INDENT = 2

Json = Mapping[str, object]


def _nothing() -> Json:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Failure:
    """An error as it is shown.

    `extra` is added to the `error` object of its JSON form; `beside` stands beside that object,
    where a command fails and has a result all the same.
    """

    code: str
    message: str
    action: str
    extra: Json = field(default_factory=_nothing)
    beside: Json = field(default_factory=_nothing)


class CommandError(Exception):
    """Ends a command with a failure that is no `SimpulError`: a service's own status, say."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.message)
        self.failure = failure


def failure_of(error: SimpulError) -> Failure:
    """The error with the action that the table of errors names for its code."""
    return Failure(error.code.value, error.message, ERRORS[error.code].action)


def refusal(code: Code, message: str) -> SimpulError:
    """A `SimpulError` made here, its message in one line."""
    return SimpulError(code, " ".join(message.split()))


def print_json(value: Json) -> None:
    """The command's one JSON document."""
    _write(sys.stdout, json.dumps(value, ensure_ascii=False, indent=INDENT))


def print_json_line(value: Json) -> None:
    """One of several results, at once."""
    _write(sys.stdout, json.dumps(value, ensure_ascii=False, separators=(",", ":")))


def print_line(text: str) -> None:
    """A result for people."""
    _write(sys.stdout, text)


def print_hint(text: str) -> None:
    """What to know or to do next, on stderr and dim."""
    _console(sys.stderr).print(text, style="dim", soft_wrap=True)


def print_done(text: str) -> None:
    """What was done, on stderr: a tick and one line."""
    from rich.text import Text

    _console(sys.stderr).print(Text.assemble(("✓ ", "green"), text), soft_wrap=True)


def print_next(*commands: str) -> None:
    """The commands that usually follow, ready to be copied."""
    console = _console(sys.stderr)
    console.print("\nNext:", style="dim")
    for command in commands:
        console.print(f"  {command}", soft_wrap=True)


def print_failure(failure: Failure, *, as_json: bool) -> None:
    """The error's line and its action on stderr; with `as_json` an object on stdout as well."""
    from rich.text import Text

    console = _console(sys.stderr)
    message = " ".join(failure.message.split())
    # Assembled, not written as markup: a message may hold brackets.
    head = Text.assemble(("simpul: ", "bold"), (f"{failure.code}: ", "bold red"), message)
    console.print(head, soft_wrap=True)
    if failure.action:
        console.print(Text(f"  {failure.action}", "dim"), soft_wrap=True)
    if as_json:
        error = {
            "code": failure.code,
            "message": message,
            "action": failure.action,
            **failure.extra,
        }
        print_json_line({**failure.beside, "error": error})


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, empty: str) -> None:
    """Rows under their columns' names; `empty` as a hint where there are none."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    for row in rows:
        table.add_row(*map(plain, row))
    if table.row_count == 0:
        print_hint(empty)
        return
    _print_aligned(table)


def print_pairs(pairs: Iterable[tuple[str, str]]) -> None:
    """Names and values, one pair a line, aligned."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), show_header=False)
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in pairs:
        table.add_row(plain(name), plain(value))
    _print_aligned(table)


def to_dict(message: "Message") -> dict[str, object]:
    """Every field of a message by its own name: integers as such, bytes as hex, absent as null."""
    return {
        item.name: _value(message, item.name, repeated=item.is_repeated, optional=item.has_presence)
        for item in message.DESCRIPTOR.fields
    }


def when(at_ms: int | None) -> str:
    """A time for people, in UTC to the second; `-` for none and for 0."""
    if not at_ms:
        return "-"
    return datetime.fromtimestamp(at_ms / 1000, tz=UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def listed(items: Iterable[str]) -> str:
    """A list for people; `-` where it is empty."""
    return ", ".join(items) or "-"


def _value(message: "Message", name: str, *, repeated: bool, optional: bool) -> object:
    value = getattr(message, name)
    if repeated:
        return [_one(item) for item in value]
    if optional and not message.HasField(name):
        return None
    return _one(value)


def _one(value: object) -> object:
    from google.protobuf.message import Message

    match value:
        case bytes():
            return value.hex()
        case Message():
            return to_dict(value)
        case _:
            return value


@contextmanager
def progress_bar(what: str, *, quiet: bool = False) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where that is a terminal; to be told how much is done, and of how much."""
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeRemainingColumn,
    )

    console = _console(sys.stderr)
    columns = (TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    disabled = quiet or not console.is_terminal
    with Progress(*columns, console=console, disable=disabled, transient=True) as bar:
        task = bar.add_task(what, total=None)

        def tell(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield tell


def _console(stream: TextIO) -> "Console":
    from rich.console import Console

    width = None if stream.isatty() else PIPE_COLUMNS
    return Console(file=stream, highlight=False, markup=False, emoji=False, width=width)


def _print_aligned(table: object) -> None:
    console = _console(sys.stdout)
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    # The last column is padded to its width, which helps nobody in a file.
    _write(sys.stdout, "\n".join(line.rstrip() for line in capture.get().splitlines()))


def plain(text: str) -> str:
    """A cell is one line: what came from outside can't break the table or steer the terminal."""
    return "".join(c if c.isprintable() else " " for c in text)


def _write(stream: TextIO, text: str) -> None:
    stream.write(text + "\n")
    stream.flush()
