"""`simpul journal reconcile`: whether this node's record and another's are of the same parcels.

Unlike the rest of `simpul journal` it needs both nodes to run: they ask each other.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples
from cli.output import (
    CommandError,
    Failure,
    print_done,
    print_hint,
    print_json,
    print_table,
    progress_bar,
    to_dict,
    when,
)
from cli.times import parse_time
from security.errors import ERRORS, Code

if TYPE_CHECKING:
    from collections.abc import AsyncIterable
    from pathlib import Path

    from simpul.node.v1.admin_pb2 import (
        ParcelDifference,
        ReconciledHour,
        ReconcileJournalRequest,
        ReconcileJournalResponse,
        ReconciliationSummary,
    )

DEFAULT_SINCE = "1d"
# For people; `--json` has all.
MAX_SHOWN = 50


@dataclass(slots=True)
class _Found:
    hours: "list[ReconciledHour]" = field(default_factory=list)
    summary: "ReconciliationSummary | None" = None


def add_to(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command(
        "reconcile",
        epilog=examples(
            "simpul journal reconcile ID/~labuan-bajo-1 --home N",
            "simpul journal reconcile ID/~labuan-bajo-1 --home N --since 30d",
            "simpul journal reconcile ID/~labuan-bajo-1 --home N --since 2026-11-01"
            " --until 2026-11-08 --json",
        ),
    )(reconcile)


def reconcile(
    peer: Annotated[str, typer.Argument(metavar="NODE", help="The other node.")],
    home: NodeHomeDir,
    since: Annotated[
        str,
        typer.Option(
            metavar="TIME", help="From the hour of this time on: 7d ago, 36h, or 2026-11-01 (UTC)."
        ),
    ] = DEFAULT_SINCE,
    until: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Before this time; none: up to two minutes ago."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare this node's record with another's, and exit with 1 if a record was lost or changed.

    Both nodes must be running. Where the records are the same, a question a day is enough;
    otherwise the parcels are named that are missing here, missing there, or different. A parcel
    that its sender never heard of again, because its link was cut, is named and is no loss. Hours
    of which either node has dropped parcels, after archiving, are named and not compared.
    """
    from runtime.clock import now_ms
    from simpul.node.v1 import admin_pb2

    at_ms = now_ms()
    request = admin_pb2.ReconcileJournalRequest(
        peer=peer,
        from_ms=parse_time(since, at_ms),
        until_ms=0 if until is None else parse_time(until, at_ms),
    )
    with progress_bar("hours", quiet=as_json) as tell:
        found = _ask(home, request, tell)
    summary = found.summary
    if summary is None:
        raise CommandError(Failure(Code.INTERNAL.value, "the node gave no summary", ""))
    report = {**to_dict(summary), "hours": [to_dict(hour) for hour in found.hours]}
    if not as_json:
        _print(found.hours, summary)
    if summary.serious > 0 or summary.more:
        more = "more than " if summary.more else ""
        message = (
            f"{more}{summary.serious} parcels between this node and {peer} were lost or changed"
        )
        action = ERRORS[Code.JOURNALS_DIFFER].action
        raise CommandError(Failure(Code.JOURNALS_DIFFER.value, message, action, beside=report))
    if as_json:
        print_json(report)


def _ask(
    home: "Path", request: "ReconcileJournalRequest", tell: Callable[[int, int], None]
) -> _Found:
    import asyncio

    from cli.admin import find_node, node_admin

    async def ask() -> _Found:
        async with node_admin(find_node(home)) as stub:
            return await _take(stub.ReconcileJournal(request), tell)

    return asyncio.run(ask())


async def _take(
    events: "AsyncIterable[ReconcileJournalResponse]", tell: Callable[[int, int], None]
) -> _Found:
    found = _Found()
    async for event in events:
        match event.WhichOneof("kind"):
            case "progress":
                tell(event.progress.hours_done, event.progress.hours_total)
            case "hour":
                found.hours.append(event.hour)
            case "summary":
                found.summary = event.summary
    return found


def _print(hours: "list[ReconciledHour]", summary: "ReconciliationSummary") -> None:
    print_table(
        ("HOUR", "ACKNOWLEDGED", "THERE", "NOT ACKNOWLEDGED", "THERE", "DIFFERENCES"),
        (
            (
                when(hour.from_ms),
                str(hour.acknowledged_here),
                str(hour.acknowledged_there),
                str(hour.unacknowledged_here),
                str(hour.unacknowledged_there),
                _differences(hour),
            )
            for hour in hours
        ),
        empty="Neither node has parcels of that time",
    )
    if summary.archived_hours > 0:
        print_hint(
            f"{summary.archived_hours} hours aren't compared: an older version dropped parcels of "
            f"these and kept nothing to compare, {_dropped(summary)}"
        )
    differences = [item for hour in hours for item in hour.differences]
    if len(differences) > 0:
        print_table(
            ("SEALED", "FINDING", "LOSS", "DIRECTION", "LINK", "PARCEL", "ACKNOWLEDGED", "HASH"),
            map(_row, differences[:MAX_SHOWN]),
            empty="",
        )
    if len(differences) > MAX_SHOWN or summary.more:
        print_hint(f"The first {MAX_SHOWN} of {summary.differences}; all that were found: --json")
    cost = (
        f"{summary.questions} questions, {summary.asked_bytes} bytes asked and "
        f"{summary.answered_bytes} answered"
    )
    until = f"up to {when(summary.until_ms)}"
    if summary.serious == 0 and not summary.more:
        print_done(f"{summary.parcels} parcels {until}: no record was lost or changed ({cost})")
    else:
        print_hint(f"{summary.parcels} parcels {until}: {cost}")


def _differences(hour: "ReconciledHour") -> str:
    sides = [
        name
        for name, is_archived in (("here", hour.archived_here), ("there", hour.archived_there))
        if is_archived
    ]
    if len(sides) > 0:
        return f"archived {' and '.join(sides)}"
    return str(len(hour.differences)) if len(hour.differences) > 0 else "-"


def _dropped(summary: "ReconciliationSummary") -> str:
    times = (("here", summary.held_from_here_ms), ("there", summary.held_from_there_ms))
    return " and ".join(f"{side} up to {when(at_ms)}" for side, at_ms in times if at_ms > 0)


def _row(item: "ParcelDifference") -> Sequence[str]:
    hashes = (item.header_hash_here, item.header_hash_there)
    return (
        when(item.sealed_at_ms),
        item.finding,
        "yes" if item.serious else "no",
        "sent" if item.sent else "received",
        item.link_id.hex()[:16],
        str(item.number),
        "yes" if item.acknowledged else "no",
        " / ".join(each.hex()[:16] for each in hashes if each),
    )
