"""`simpul access usage`: how agreements are used."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import print_hint, print_json, print_table, to_dict, when

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import AgreementUsage

app = group("See how agreements are used.")


@app.command(
    "usage",
    epilog=examples(
        "simpul access usage --home N",
        "simpul access usage 3f9a20 --days 1 --home N",
        "simpul access usage --on-behalf-of ID/DAERAH/61.01 --home N",
    ),
)
def usage(
    home: NodeHomeDir,
    agreement: Annotated[
        str,
        typer.Argument(metavar="[AGREEMENT]", help="Only this one; none: all.", show_default=False),
    ] = "",
    days: Annotated[
        int, typer.Option(min=1, max=3650, metavar="N", help="Count the calls of the last N days.")
    ] = 30,
    on_behalf_of: Annotated[
        str,
        typer.Option(
            "--on-behalf-of", metavar="MEMBER", help="Only calls in the name of this member."
        ),
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Show calls, refusals and volume of agreements, and how close each is to its quota.

    One that is in force and that nobody used for 180 days is marked: revoke what is not needed.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ListUsageRequest(agreement=agreement, days=days, on_behalf_of=on_behalf_of)
    answer = ask_node(home, lambda stub: stub.ListUsage(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        (
            "AGREEMENT", "SIDE", "ON BEHALF OF", "STATE", "CALLS", "REFUSED", "ASKED", "ANSWERED",
            "TODAY", "LAST",
        ),
        (
            (
                item.agreement[:12], item.side, item.on_behalf_of or "-", item.state,
                str(item.calls), str(item.refused),
                _size(item.request_bytes), _size(item.response_bytes), _today(item),
                when(item.last_call_ms) if item.last_call_ms else "never",
            )
            for item in answer.usage
        ),
        empty="No agreements: ask for one with simpul access request, or simpul access allow",
    )  # fmt: skip
    for item in answer.usage:
        if item.unused:
            print_hint(f"{item.agreement[:12]} was not used for 180 days; simpul access revoke")


def _today(item: "AgreementUsage") -> str:
    """Of this node's count against the whole limit: `37 of 5000 (0%)`."""
    if item.calls_per_day == 0:
        return "no limit"
    part = item.given_today * 100 // item.calls_per_day
    return f"{item.given_today} of {item.calls_per_day} ({part}%)"


def _size(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} B"
