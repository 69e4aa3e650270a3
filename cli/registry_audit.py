"""`simpul registry audit`: what operators asked, and what came of it."""

from typing import Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_json, print_table, to_dict, when

app = group("Read the audit trail, and check that nothing in it was changed.")


@app.command("list", epilog=examples("simpul registry audit list --home R"))
def audit_list(
    home: RegistryHomeDir,
    start: Annotated[
        int | None, typer.Option(min=0, help="The first entry's number; none: the newest ones.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List attempts, allowed or not: before each act, and after it."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ListAuditRequest(start=start, count=count)
    answer = ask_registry(home, lambda stub: stub.ListAudit(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("NUMBER", "AT", "WHO", "METHOD", "ABOUT", "STAGE", "CODE"),
        (
            (
                str(item.number),
                when(item.at_ms),
                item.actor,
                item.method,
                item.subject or "-",
                item.stage,
                item.code or "-",
            )
            for item in answer.entries
        ),
        empty="Nothing was asked yet.",
    )


@app.command("verify", epilog=examples("simpul registry audit verify --home R"))
def audit_verify(home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Check the whole trail against its tree. Keep size and root to compare them later."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.VerifyAuditRequest()
    answer = ask_registry(home, lambda stub: stub.VerifyAudit(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_done(f"unchanged: {answer.size} entries, root {answer.root.hex()}")
