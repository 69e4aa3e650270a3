"""`simpul registry subsystem`: members' information systems and their life."""

from typing import Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_json, print_table, to_dict
from cli.registry_options import Apply, Reason, SubsystemArgument

app = group("List subsystems, review them, suspend them.")

EXAMPLE = "ID/DAERAH/53.15/pariwisata"


@app.command(
    "add",
    epilog=examples(f"simpul registry subsystem add {EXAMPLE} --name Pariwisata --home R"),
)
def subsystem_add(
    subsystem: SubsystemArgument,
    home: RegistryHomeDir,
    name: Annotated[str, typer.Option(metavar="TEXT", help="What people call it.")] = "",
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Add a subsystem, or apply for one. A node that publishes a service adds its own."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.AddSubsystemRequest(subsystem=subsystem, name=name, apply=apply)
    answer = ask_registry(home, lambda stub: stub.AddSubsystem(request))
    if as_json:
        print_json(to_dict(answer.subsystem))
        return
    print_done(f"{subsystem} is {answer.subsystem.state}")


@app.command("list", epilog=examples("simpul registry subsystem list --home R"))
def subsystem_list(
    home: RegistryHomeDir,
    member: Annotated[
        str, typer.Option(metavar="MEMBER", help="Of one member only: ID/DAERAH/53.15.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the subsystems."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ListSubsystemsRequest(member=member)
    answer = ask_registry(home, lambda stub: stub.ListSubsystems(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("SUBSYSTEM", "STATE", "NAME"),
        ((item.id, item.state, item.name) for item in answer.subsystems),
        empty="No subsystems yet: they come with the first service",
    )


@app.command("review", epilog=examples(f"simpul registry subsystem review {EXAMPLE} --home R"))
def subsystem_review(
    subsystem: SubsystemArgument,
    home: RegistryHomeDir,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Take an application into review."""
    _set_state(subsystem, home, "in review", reason, as_json)


@app.command("approve", epilog=examples(f"simpul registry subsystem approve {EXAMPLE} --home R"))
def subsystem_approve(
    subsystem: SubsystemArgument,
    home: RegistryHomeDir,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Approve what was reviewed, and publish it."""
    _set_state(subsystem, home, "active", reason, as_json)


@app.command(
    "decline",
    epilog=examples(f"simpul registry subsystem decline {EXAMPLE} --reason 'exists' --home R"),
)
def subsystem_decline(
    subsystem: SubsystemArgument, home: RegistryHomeDir, reason: Reason, as_json: AsJson = False
) -> None:
    """Decline what was reviewed."""
    _set_state(subsystem, home, "declined", reason, as_json)


@app.command("withdraw", epilog=examples(f"simpul registry subsystem withdraw {EXAMPLE} --home R"))
def subsystem_withdraw(
    subsystem: SubsystemArgument,
    home: RegistryHomeDir,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Take an application back."""
    _set_state(subsystem, home, "withdrawn", reason, as_json)


@app.command("suspend", epilog=examples(f"simpul registry subsystem suspend {EXAMPLE} --home R"))
def subsystem_suspend(
    subsystem: SubsystemArgument,
    home: RegistryHomeDir,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Suspend a subsystem: nodes refuse its calls, and calls to it."""
    _set_state(subsystem, home, "suspended", reason, as_json)


@app.command("resume", epilog=examples(f"simpul registry subsystem resume {EXAMPLE} --home R"))
def subsystem_resume(
    subsystem: SubsystemArgument,
    home: RegistryHomeDir,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """Make a suspended subsystem active again."""
    _set_state(subsystem, home, "active", reason, as_json)


@app.command(
    "remove",
    epilog=examples(f"simpul registry subsystem remove {EXAMPLE} --reason 'shut down' --home R"),
)
def subsystem_remove(
    subsystem: SubsystemArgument, home: RegistryHomeDir, reason: Reason, as_json: AsJson = False
) -> None:
    """Remove a subsystem, for good."""
    _set_state(subsystem, home, "removed", reason, as_json)


def _set_state(
    subsystem: str, home: RegistryHomeDir, state: str, reason: str, as_json: bool
) -> None:
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.SetSubsystemStateRequest(subsystem=subsystem, state=state, reason=reason)
    answer = ask_registry(home, lambda stub: stub.SetSubsystemState(request))
    if as_json:
        print_json({**to_dict(answer.subsystem), "directory_version": answer.directory_version})
        return
    print_done(
        f"{subsystem} is {answer.subsystem.state};"
        f" the directory is at version {answer.directory_version}"
    )
