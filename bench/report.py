"""What a run found: tables for the terminal, JSON to keep, and a picture."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

from bench.ways import BARE, DIRECT, ENVOY, SIMPUL

Found = dict[str, Any]

_WAYS: Final = (DIRECT, BARE, ENVOY, SIMPUL)
_BUSY: Final = "unary 1 KiB, 256 at once"
_ALONE: Final = "unary 1 KiB, 1 at once"
_STREAM: Final = "server stream, 16 KiB messages"
_BOTH: Final = "both ways, 16 KiB messages"
# Where there is no terminal to ask.
_COLUMNS: Final = 150
# A load above this, before the run, says that the machine was not alone.
_NOISY_LOAD: Final = 1.5


@dataclass(frozen=True, slots=True)
class Bar:
    """One row of what is to be reached; `measured` gives the figure and whether the bar is met."""

    figure: str
    bar: str
    aim: str
    measured: Callable[[Found], tuple[str, bool]]


def _case(found: Found, case: str, way: str, key: str) -> float:
    return float(found["cases"][case][way][key])


def _ratio(case: str, key: str, way: str, least: float) -> Callable[[Found], tuple[str, bool]]:
    def measured(found: Found) -> tuple[str, bool]:
        ratio = _case(found, case, SIMPUL, key) / _case(found, case, way, key)
        return f"{ratio:.2f}", ratio >= least

    return measured


def _alone(found: Found) -> tuple[str, bool]:
    commit = float(found["machine"]["median_commit_ms"])
    ours, bare = (_case(found, _ALONE, way, "p50_ms") for way in (SIMPUL, BARE))
    return (
        f"{ours:.2f} ms, and the bar is {2 * bare + 3 * commit:.2f} ms",
        ours <= 2 * bare + 3 * commit,
    )


def _at_half(found: Found) -> tuple[str, bool]:
    p99 = float(found["at_half"][SIMPUL]["p99_ms"])
    return f"{p99:.1f} ms at {found['at_half'][SIMPUL]['rate']:,.0f}/s", p99 <= 20


def _ml_dsa(found: Found) -> tuple[str, bool]:
    ratio = found["ml_dsa"]["ML_DSA_65"] / found["ml_dsa"]["ED25519"]
    return f"{ratio:.2f}", ratio >= 0.8


def _slow(found: Found) -> tuple[str, bool]:
    rate = found["slow_signer"]["calls_per_s at 256"]
    return f"{rate:,.0f} calls/s", rate >= 1000


def _memory(found: Found) -> tuple[str, bool]:
    idle, after = found["long_run"]["memory_idle_mb"], found["long_run"]["memory_mb"]
    growth = max(after[role] / idle[role] - 1 for role in idle)
    idle, after = max(idle.values()), max(after.values())
    text = f"{idle:.0f} MB, {after:.0f} MB after {found['long_run']['calls']:,} ({growth:+.0%})"
    return text, idle <= 150 and growth <= 0.1


def _start(found: Found) -> tuple[str, bool]:
    return f"{found['start']['median_s']:.2f} s", found["start"]["median_s"] <= 2


BARS: Final = (
    Bar("unary 1 KiB, 256 at once: calls/s, to the bare pair", "2 times", "5 times",
        _ratio(_BUSY, "calls_per_s", BARE, 2)),
    Bar("the same, to the Envoy pair", "0.4", "1.0", _ratio(_BUSY, "calls_per_s", ENVOY, 0.4)),
    Bar("unary 1 KiB, alone: p50", "2.0 times the bare pair's and 3 commits",
        "1.2 times and 3 commits", _alone),
    Bar("server stream 16 KiB: MB/s, to the bare pair", "0.5", "1.0",
        _ratio(_STREAM, "mb_per_s", BARE, 0.5)),
    Bar("both ways 16 KiB: MB/s, to the bare pair", "0.5", "1.0",
        _ratio(_BOTH, "mb_per_s", BARE, 0.5)),
    Bar("p99 at half of the saturation rate", "20 ms", "8 ms", _at_half),
    Bar("ML-DSA-65 seals: calls/s at 256, to Ed25519", "0.8", "0.95", _ml_dsa),
    Bar("100 signatures/s, one peer", "1,000 calls/s", "3,000", _slow),
    Bar("memory of a node, idle / after many calls", "150 MB / +10 %", "100 MB / +3 %", _memory),
    Bar("node start to first call", "2 s", "1 s", _start),
)  # fmt: skip


def show(found: Found, console: Console | None = None) -> None:
    """Print the tables."""
    console = console or Console(width=_COLUMNS if not Console().is_terminal else None)
    about = found["machine"]
    console.print(
        f"{found['at']}, {about['cores']} cores of {about['processor']}, {about['system']}, "
        f"Python {about['python']}, {about['filesystem']}: a commit takes "
        f"{about['median_commit_ms']:.2f} ms. {found['plan']['rounds']} rounds, medians; "
        f"{found['took_s']:.0f} s in all."
    )
    if found["load_before"] > _NOISY_LOAD:
        console.print(
            f"[yellow]The machine was not alone (load {found['load_before']:.1f}): "
            "compare ratios only, and measure again.[/yellow]"
        )
    console.print(_throughput(found))
    console.print(_processor(found))
    console.print(_bars(found))


def _throughput(found: Found) -> Table:
    table = Table(title="calls/s or MB/s, and p50 / p99 / p99.9 in ms")
    table.add_column("case")
    for way in _WAYS:
        table.add_column(way, justify="right")
    table.add_column("to bare", justify="right")
    table.add_column("to Envoy", justify="right")
    for case, ways in found["cases"].items():
        key = "mb_per_s" if "mb_per_s" in ways[SIMPUL] else "calls_per_s"
        ours = ways[SIMPUL][key]
        table.add_row(
            case,
            *(_cell(ways[way], key) for way in _WAYS),
            *(f"{ours / ways[way][key]:.2f}" for way in (BARE, ENVOY)),
        )
    return table


def _cell(medians: dict[str, float], key: str) -> str:
    unit = " MB/s" if key == "mb_per_s" else ""
    latencies = " / ".join(f"{medians[f'p{name}_ms']:.2f}" for name in ("50", "99", "99.9"))
    return f"{medians[key]:,.0f}{unit}\n[dim]{latencies}[/dim]"


def _processor(found: Found) -> Table:
    table = Table(title="processor time for each call, in microseconds: near node / far node")
    table.add_column("case")
    for way in _WAYS[1:]:
        table.add_column(way, justify="right")
    for case, ways in found["cases"].items():
        used = [ways[way]["cpu_us_per_call"] for way in _WAYS[1:]]
        table.add_row(case, *(f"{each['near']:,.0f} / {each['far']:,.0f}" for each in used))
    return table


def _bars(found: Found) -> Table:
    table = Table(title="what is to be reached")
    for name in ("figure", "bar", "aim", "measured", "met"):
        table.add_column(name)
    for bar in BARS:
        measured, met = bar.measured(found)
        table.add_row(bar.figure, bar.bar, bar.aim, measured, "yes" if met else "[red]no[/red]")
    per_call = found["long_run"]["journal_bytes_per_call"]
    table.add_row(
        "journal bytes for each call", "", "", f"{per_call['near']} / {per_call['far']}", ""
    )
    return table


def keep(found: Found, folder: Path) -> Path:
    """Write the figures, and the picture, by the plan's name; returns the figures' file."""
    folder.mkdir(parents=True, exist_ok=True)
    name = found["plan"]["name"]
    file = folder / f"{name}.json"
    rows = [
        {"figure": bar.figure, "bar": bar.bar, "measured": text, "met": met}
        for bar in BARS
        for text, met in [bar.measured(found)]
    ]
    text = json.dumps({**found, "bars": rows}, indent=2, ensure_ascii=False)
    file.write_text(text + "\n", encoding="utf-8")
    (folder / f"{name}.svg").write_text(picture(found), encoding="utf-8")
    return file


_COLOURS: Final = {DIRECT: "#9aa0a6", BARE: "#c58b2a", ENVOY: "#3d7ab8", SIMPUL: "#2f8f5b"}
_ROW_HEIGHT: Final = 14
_LEFT: Final = 230
_WIDTH: Final = 560


def picture(found: Found) -> str:
    """A bar chart as SVG: each case's throughput in shares of the bare pair's, drawn to 6 times."""
    most = 6.0
    shown = (BARE, ENVOY, SIMPUL)
    parts: list[str] = []
    y = 40
    for case, ways in found["cases"].items():
        key = "mb_per_s" if "mb_per_s" in ways[SIMPUL] else "calls_per_s"
        parts.append(f'<text x="8" y="{y + 26}">{case}</text>')
        for way in shown:
            ratio = ways[way][key] / ways[BARE][key]
            width = min(ratio, most) / most * _WIDTH
            parts.append(
                f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="{_ROW_HEIGHT - 2}" '
                f'fill="{_COLOURS[way]}"/>'
                f'<text x="{_LEFT + width + 4:.1f}" y="{y + 10}" class="n">'
                f"{ways[way][key]:,.0f} ({ratio:.1f})</text>"
            )
            y += _ROW_HEIGHT
        y += 10
    legend = "".join(
        f'<rect x="{_LEFT + 150 * place}" y="12" width="12" height="12" fill="{_COLOURS[way]}"/>'
        f'<text x="{_LEFT + 150 * place + 18}" y="22">{way}</text>'
        for place, way in enumerate(shown)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_LEFT + _WIDTH + 130}" height="{y + 10}" '
        'font-family="sans-serif" font-size="12"><style>.n{font-size:10px;fill:#444}</style>'
        f'<rect width="100%" height="100%" fill="#fff"/>{legend}{"".join(parts)}</svg>\n'
    )
