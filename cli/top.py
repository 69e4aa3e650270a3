"""`simpul node top`: what a node does now, look after look."""

import itertools
import sys
import time
import urllib.request
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples
from cli.output import print_json_line, print_line, refusal
from security.errors import Code

if TYPE_CHECKING:
    from rich.console import RenderableType

    from cli.top_figures import Figures, Look
    from simpul.node.v1.admin_pb2 import StatusResponse

TIMEOUT_S = 5.0
MAX_BYTES = 16 * 1024 * 1024
SHOWN_REFUSALS = 8
KIB = 1024


def add_to(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command(
        "top",
        epilog=examples(
            "simpul node top --home N",
            "simpul node top --home N --every 10 --count 6 --json",
        ),
    )(top)


def top(
    home: NodeHomeDir,
    every: Annotated[
        float, typer.Option(min=0.2, max=3600, help="Seconds from one look to the next.")
    ] = 2.0,
    count: Annotated[
        int, typer.Option(min=0, help="End after so many; 0: when it is stopped (Ctrl-C).")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Show what a node does now: calls, latency, refusals, links, journal.

    On a terminal one view is drawn again and again; with --json, or in a pipe, each look is a line
    or a block of its own.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    def ask() -> "StatusResponse":
        return ask_node(home, lambda stub: stub.Status(admin_pb2.StatusRequest()))

    status = ask()
    if not status.metrics:
        raise refusal(
            Code.CONFIG_INVALID, f"the node at {home} shows no metrics: set metrics.listen"
        )
    looks = itertools.count() if count == 0 else range(count)
    try:
        if as_json or not sys.stdout.isatty():
            _write_each(home, status.metrics, every, looks, as_json=as_json)
        else:
            _draw_each(home, status.metrics, every, looks)
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


def _write_each(
    home: Path, metrics: str, every: float, looks: "itertools.count[int] | range", *, as_json: bool
) -> None:
    before = _look(home, metrics)
    for _ in looks:
        time.sleep(every)
        after = _look(home, metrics)
        figures = _compare(before, after)
        if as_json:
            print_json_line({"at_ms": time.time_ns() // 1_000_000, **asdict(figures)})
        else:
            print_line("\n".join(f"{name}: {said}" for name, said in rows(figures, time.time())))
            print_line("")
        before = after


def _draw_each(
    home: Path, metrics: str, every: float, looks: "itertools.count[int] | range"
) -> None:
    from rich.live import Live

    before = _look(home, metrics)
    with Live(screen=True, auto_refresh=False) as live:
        for _ in looks:
            time.sleep(every)
            after = _look(home, metrics)
            live.update(_drawn(_compare(before, after), every), refresh=True)
            before = after


def _drawn(figures: "Figures", every: float) -> "RenderableType":
    from rich.table import Table

    at = datetime.now(UTC).strftime("%H:%M:%S UTC")
    table = Table(title=f"{at}, every {every:g} s; Ctrl-C ends", show_header=False, box=None)
    table.add_column(style="bold", justify="right")
    table.add_column()
    for name, said in rows(figures, time.time()):
        table.add_row(name, said)
    return table


def rows(figures: "Figures", now_s: float) -> list[tuple[str, str]]:
    """The lines of one look: what, and how it is."""
    shown = []
    for side, name in (("consumer", "calls out"), ("provider", "calls in")):
        found = figures.sides[side]
        shown.append(
            (
                name,
                (
                    f"{found.calls_per_s:,.1f}/s, {found.open:,} open, p50 {_ms(found.p50_s)}, "
                    f"p99 {_ms(found.p99_s)}, {found.failed_per_s:,.1f}/s not OK"
                ),
            )
        )
    shown += [
        ("refused or failed", _refused(figures)),
        (
            "parcels",
            (
                f"{figures.parcels_per_s['sent']:,.1f}/s sent, "
                f"{figures.parcels_per_s['received']:,.1f}/s received"
            ),
        ),
        ("links", f"{figures.links['shared']} shared, {figures.links['child']} child"),
        ("services", f"{figures.services_paused} don't answer" if figures.services_paused else "-"),
        (
            "journal",
            f"{figures.journal_parcels:,} parcels, {_size(figures.journal_bytes)}"
            + (f"; {figures.alerts} alerts about checkpoints" if figures.alerts else ""),
        ),
        (
            "directory",
            (
                f"version {figures.directory_version}, "
                f"{max(0, now_s - figures.directory_issued_s):,.0f} s old"
            ),
        ),
        ("certificate", f"{(figures.certificate_ends_s - now_s) / 86_400:,.1f} days left"),
    ]
    return shown


def _refused(figures: "Figures") -> str:
    refused = [f"{code} {times:,}" for code, times in figures.refused.items()]
    if len(refused) > SHOWN_REFUSALS:
        refused[SHOWN_REFUSALS:] = [f"{len(refused) - SHOWN_REFUSALS} more codes"]
    return ", ".join(refused) or "none"


def _compare(before: "Look", after: "Look") -> "Figures":
    from cli.top_figures import compare

    return compare(before, after)


def _look(home: Path, metrics: str) -> "Look":
    from cli.top_figures import read_look

    try:
        with urllib.request.urlopen(f"http://{metrics}/metrics", timeout=TIMEOUT_S) as answer:
            text = answer.read(MAX_BYTES).decode()
            return read_look(text, time.monotonic())
    except (OSError, ValueError) as error:
        raise refusal(
            Code.NOT_RUNNING,
            f"the node at {home} shows no metrics at {metrics} ({error}): simpul node doctor",
        ) from error


def _ms(seconds: float | None) -> str:
    return "-" if seconds is None else f"{1000 * seconds:,.1f} ms"


def _size(size: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if size < KIB:
            return f"{size:,.1f} {unit}"
        size /= KIB
    return f"{size:,.1f} GiB"
