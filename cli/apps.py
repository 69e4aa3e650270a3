"""`simpul app`: the programs that may call through this node."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_hint,
    print_json,
    print_line,
    print_table,
    refusal,
    to_dict,
    when,
)
from security.errors import Code

app = group("Let programs call through this node.")

SECONDS_PER_DAY = 86_400
MAX_CERTIFICATE_BYTES = 64 * 1024


@app.command(
    "add",
    epilog=examples(
        "simpul app add superapp --home C --subsystem ID/KEMENTERIAN/KOMDIGI/superapp",
        "simpul app add portal --home C --subsystem ID/KEMENTERIAN/KOMDIGI/superapp"
        " --certificate portal.pem",
    ),
)
def add(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A name of your choice.")],
    home: NodeHomeDir,
    subsystem: Annotated[
        list[str],
        typer.Option(metavar="SUBSYSTEM", help="For whom it may call; may be given several times."),
    ],
    certificate: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="PEM of the client certificate that it will show; none: a token is made.",
        ),
    ] = None,
    days: Annotated[
        int, typer.Option(min=0, help="How long the credential lives; 0: until removed.")
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Add a program. Its token is printed once, here, and stored only as a hash."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.AddAppRequest(
        name=name,
        subsystems=subsystem,
        certificate_pem="" if certificate is None else _read(certificate),
        ttl_s=days * SECONDS_PER_DAY,
    )
    answer = ask_node(home, lambda stub: stub.AddApp(request))
    if as_json:
        print_json({"name": answer.name, "token": answer.token or None})
        return
    if answer.token:
        print_line(answer.token)
        print_hint(
            "Shown once. Send it with each call, as metadata: simpul-token. The app reaches the"
            f" node at the gateway's address: simpul node status --home {home}"
        )
    print_done(f"{answer.name} may call for {listed(subsystem)}")


@app.command("list", epilog=examples("simpul app list --home C"))
def list_apps(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List the programs that may call through this node."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.ListApps(admin_pb2.ListAppsRequest()))
    if as_json:
        apps = [
            {**to_dict(item), "expires_at_ms": item.expires_at_ms or None} for item in answer.apps
        ]
        print_json({"apps": apps})
        return
    print_table(
        ("NAME", "CREDENTIAL", "EXPIRES", "SUBSYSTEMS"),
        (
            (item.name, item.credential, when(item.expires_at_ms), listed(item.subsystems))
            for item in answer.apps
        ),
        empty="No apps yet: simpul app add --help",
    )


@app.command("remove", epilog=examples("simpul app remove superapp --home C"))
def remove(
    name: Annotated[str, typer.Argument(metavar="NAME", help="As `simpul app list` shows it.")],
    home: NodeHomeDir,
    as_json: AsJson = False,
) -> None:
    """Remove a program: its calls are refused when this returns."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    ask_node(home, lambda stub: stub.RemoveApp(admin_pb2.RemoveAppRequest(name=name)))
    if as_json:
        print_json({"name": name})
        return
    print_done(f"{name} may no longer call")


def _read(certificate: Path) -> str:
    with certificate.open("rb") as file:
        data = file.read(MAX_CERTIFICATE_BYTES + 1)
    if not data.lstrip().startswith(b"-----BEGIN CERTIFICATE-----") or (
        len(data) > MAX_CERTIFICATE_BYTES
    ):
        raise refusal(
            Code.APP_CREDENTIAL_WRONG,
            f"{certificate} is no certificate in PEM form: it begins with "
            "-----BEGIN CERTIFICATE-----",
        )
    # A certificate is ASCII; what isn't is refused by the node.
    return data.decode("ascii", "replace")
