"""`simpul registry change`: what nodes asked for and an operator must decide."""

from typing import Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_json, print_table, to_dict, when
from cli.registry_options import Reason

app = group("Decide what nodes ask for, where that is not automatic (registry.toml, [approvals]).")

ChangeArgument = Annotated[
    int, typer.Argument(metavar="NUMBER", min=1, help="The change's number in the list.")
]


@app.command("list", epilog=examples("simpul registry change list --home R"))
def change_list(
    home: RegistryHomeDir,
    every: Annotated[bool, typer.Option("--all", help="Those that were decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the changes that wait."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ListChangesRequest(all=every)
    answer = ask_registry(home, lambda stub: stub.ListChanges(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("NUMBER", "NODE", "ASKS TO", "SINCE", "STATE", "BY", "REASON"),
        (
            (
                str(item.id),
                item.node,
                item.summary,
                when(item.received_at_ms),
                item.state,
                item.decided_by or "-",
                item.reason or "-",
            )
            for item in answer.changes
        ),
        empty="Nothing waits.",
    )


@app.command("approve", epilog=examples("simpul registry change approve 12 --home R"))
def change_approve(
    number: ChangeArgument, home: RegistryHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Apply a change that waits, and publish it."""
    _decide(number, home, True, reason, as_json)


@app.command(
    "decline",
    epilog=examples("simpul registry change decline 12 --reason 'no such office' --home R"),
)
def change_decline(
    number: ChangeArgument, home: RegistryHomeDir, reason: Reason, as_json: AsJson = False
) -> None:
    """Refuse a change that waits."""
    _decide(number, home, False, reason, as_json)


def _decide(number: int, home: RegistryHomeDir, approve: bool, reason: str, as_json: bool) -> None:
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.DecideChangeRequest(id=number, approve=approve, reason=reason)
    answer = ask_registry(home, lambda stub: stub.DecideChange(request))
    if as_json:
        print_json({**to_dict(answer.change), "directory_version": answer.directory_version})
        return
    print_done(f"change {number} of {answer.change.node} is {answer.change.state}")
