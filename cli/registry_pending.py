"""`simpul registry pending`: dangerous acts that wait for a second person."""

from typing import Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_json, print_table, to_dict, when
from cli.registry_options import Reason

app = group("Decide what another operator asked for (registry.toml, approvals.two_persons).")

ActArgument = Annotated[
    int, typer.Argument(metavar="NUMBER", min=1, help="The act's number in the list.")
]


@app.command("list", epilog=examples("simpul registry pending list --home R"))
def pending_list(
    home: RegistryHomeDir,
    every: Annotated[bool, typer.Option("--all", help="Those that were decided, too.")] = False,
    as_json: AsJson = False,
) -> None:
    """List the acts that wait, with the whole request of each."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ListPendingRequest(all=every)
    answer = ask_registry(home, lambda stub: stub.ListPending(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("NUMBER", "METHOD", "ABOUT", "REQUEST", "BY", "SINCE", "STATE", "DECIDED BY", "REASON"),
        (
            (
                str(item.id),
                item.method,
                item.subject or "-",
                item.request,
                item.proposed_by,
                when(item.proposed_at_ms),
                item.state,
                item.decided_by or "-",
                item.reason or "-",
            )
            for item in answer.acts
        ),
        empty="Nothing waits.",
    )


@app.command("approve", epilog=examples("simpul registry pending approve 3 --home R"))
def pending_approve(
    number: ActArgument, home: RegistryHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Approve an act that somebody else proposed; it is done at once."""
    _decide(number, home, True, reason, as_json)


@app.command(
    "decline",
    epilog=examples("simpul registry pending decline 3 --reason 'not agreed' --home R"),
)
def pending_decline(
    number: ActArgument, home: RegistryHomeDir, reason: Reason, as_json: AsJson = False
) -> None:
    """Decline an act, or take one's own back."""
    _decide(number, home, False, reason, as_json)


def _decide(number: int, home: RegistryHomeDir, approve: bool, reason: str, as_json: bool) -> None:
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.DecidePendingRequest(id=number, approve=approve, reason=reason)
    answer = ask_registry(home, lambda stub: stub.DecidePending(request))
    if as_json:
        print_json(to_dict(answer.act))
        return
    act = answer.act
    print_done(f"{act.method} of {act.subject or '-'} is {act.state}")
