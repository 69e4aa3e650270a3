"""What `simpul demo run` prints: a line for each step, the app's table, the calls."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cli.demo.calls import CallNote
from cli.output import PIPE_COLUMNS
from examples.komdigi.app import Trip, table


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one step went; `detail` is what it saw, or why it failed."""

    title: str
    passed: bool
    detail: str
    ms: float


class Show:
    """Prints to stdout; to stderr where stdout is for JSON. In a pipe each line is whole."""

    def __init__(self, *, beside_json: bool) -> None:
        stream = sys.stderr if beside_json else sys.stdout
        width = None if stream.isatty() else PIPE_COLUMNS
        self._console = Console(
            file=stream, highlight=False, markup=False, emoji=False, width=width
        )

    def heading(self, text: str) -> None:
        """What comes next."""
        self._console.print(Text(f"\n{text}", "bold"))

    def done(self, text: str) -> None:
        """Something that was done on the way."""
        self._console.print(Text.assemble(("✓ ", "green"), text))

    def step(self, result: StepResult) -> None:
        """One check."""
        mark = ("✓ ", "green") if result.passed else ("✗ ", "bold red")
        detail = (result.detail, "dim" if result.passed else "red")
        time = (f"  {result.ms:.0f} ms", "dim")
        self._console.print(Text.assemble(mark, result.title, ": ", detail, time))

    def trips(self, found: Sequence[Trip]) -> None:
        """The super app's own table."""
        for line in table(found).splitlines():
            self._console.print(Text(f"    {line}", "cyan"))

    def calls(self, notes: Sequence[CallNote]) -> None:
        """Every call of the demo's apps."""
        shown = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="bold")
        for name in ("CALL ID", "KIND", "CONSUMER", "PROVIDER", "METHOD", "STATUS"):
            shown.add_column(name, overflow="fold")
        shown.add_column("MS", justify="right")
        for note in notes:
            status = f"{note.status} {note.code}".strip()
            style = "green" if note.status == "OK" else "yellow"
            shown.add_row(
                note.call_id,
                note.kind,
                _short(note.consumer),
                _short(note.provider),
                note.method.partition(".")[2].removeprefix("v1."),
                Text(status, style),
                f"{note.ms:.0f}",
            )
        if self._console.is_terminal:
            self._console.print(shown)
            return
        with self._console.capture() as capture:
            self._console.print(shown)
        for line in capture.get().splitlines():
            self._console.print(line.rstrip())

    def end(self, results: Sequence[StepResult], seconds: float) -> None:
        """The last line."""
        failed = [result.title for result in results if not result.passed]
        if failed:
            text = f"{len(failed)} of {len(results)} checks failed: {', '.join(failed)}"
            self._console.print(Text(f"\n✗ {text}", "bold red"))
            return
        self._console.print(
            Text(f"\n✓ all {len(results)} checks passed, in {seconds:.1f} s", "bold green")
        )


def _short(subsystem: str) -> str:
    """`KOMDIGI/superapp`: federation and class are the same for all, or clear."""
    return "/".join(subsystem.split("/")[2:])
