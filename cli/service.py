"""`simpul service`: what this node offers to the federation."""

from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    CommandError,
    Failure,
    failure_of,
    print_done,
    print_hint,
    print_json,
    print_line,
    print_next,
    print_table,
    refusal,
    to_dict,
)
from security.errors import Code, SimpulError

app = group("Publish gRPC services through this node, and list them.")

MAX_PROTOSET_BYTES = 16 * 1024 * 1024


@app.command(
    "publish",
    epilog=examples(
        "simpul service publish --home N --subsystem ID/DAERAH/53.15/pariwisata"
        " --target 127.0.0.1:50051",
        "simpul service publish --home N --subsystem ID/DAERAH/53.15/pariwisata"
        " --target https://wisata.internal:50051 --service wisata.v1.Wisata",
        "simpul service publish --home N --subsystem ID/DAERAH/53.15/pariwisata"
        " --target unix:///run/wisata.sock --protoset wisata.protoset",
    ),
)
def publish(
    home: NodeHomeDir,
    subsystem: Annotated[
        str, typer.Option(metavar="SUBSYSTEM", help="Of a member that this node hosts.")
    ],
    target: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="The gRPC server: HOST:PORT, http://HOST:PORT, https://HOST:PORT or unix:///PATH.",
        ),
    ],
    protoset: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="A compiled FileDescriptorSet with all imports; none: the target is asked by "
            "server reflection.",
        ),
    ] = None,
    service: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME", help="Publish only this one, pkg.v1.Name; may be given several times."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Publish the services of a gRPC server under a subsystem.

    The contract goes into the federation's directory. One that another member published must be
    matched: what differs is said (see simpul contract check). A server that describes itself is
    compared with --protoset, too. Nobody may call before an agreement allows it.

    With https:// the service shows a certificate of services.ca_file in node.toml, and the node
    shows its own: a service that asks for it knows its caller.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.PublishServiceRequest(
        subsystem=subsystem,
        target=target,
        descriptor_set=b"" if protoset is None else _read(protoset),
        services=service or [],
    )
    try:
        answer = ask_node(home, lambda stub: stub.PublishService(request))
    except SimpulError as error:
        raise _with_differences(error) from error
    if as_json:
        print_json(to_dict(answer))
        return
    for service_id in answer.service_ids:
        print_line(service_id)
    if answer.target_fault:
        print_hint(f"{target} can't be called now: {answer.target_fault}")
    elif answer.not_compared:
        print_hint(f"{target} wasn't compared with the contract: {answer.not_compared}")
    for item in answer.revisions:
        if item.revision:
            print_done(f"{item.service_id} goes by revision {item.revision} of its contract")
    print_done(f"published at {target}; the directory is at version {answer.directory_version}")
    print_next(
        f"simpul access allow --home {home} --consumer SUBSYSTEM --service {answer.service_ids[0]}"
        if answer.service_ids
        else f"simpul service list --home {home}"
    )


@app.command("list", epilog=examples("simpul service list --home N"))
def list_services(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List the services that this node publishes, with their methods."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.ListServices(admin_pb2.ListServicesRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("SERVICE", "TARGET", "METHODS"),
        ((s.id, s.target, ", ".join(map(_shown, s.methods))) for s in answer.services),
        empty="This node publishes no service yet: simpul service publish --help",
    )


def _with_differences(error: SimpulError) -> Exception:
    """The refusal, with what differs as a list for programs."""
    from security.contract_match import DIFFERENCE

    found = [text for key, text in sorted(error.details.items()) if key.startswith(DIFFERENCE)]
    if not found:
        return error
    shown = failure_of(error)
    return CommandError(
        Failure(shown.code, shown.message, shown.action, extra={"differences": found})
    )


def _shown(method: object) -> str:
    """`List(→ stream)`: streaming sides are marked, unary ones are not."""
    name = str(getattr(method, "name", ""))
    sent = "stream" if getattr(method, "client_streaming", False) else ""
    got = "stream" if getattr(method, "server_streaming", False) else ""
    return f"{name}({sent}→{got})" if sent or got else name


def _read(protoset: Path) -> bytes:
    with protoset.open("rb") as file:
        data = file.read(MAX_PROTOSET_BYTES + 1)
    if not data or len(data) > MAX_PROTOSET_BYTES:
        raise refusal(
            Code.PROTOSET_INVALID,
            f"{protoset} is empty or over {MAX_PROTOSET_BYTES} bytes: make it with protoc "
            "--include_imports --descriptor_set_out=FILE",
        )
    return data
