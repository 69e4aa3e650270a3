"""`simpul contract check`: whether a service matches a contract, before it is published."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.contract_adopt import Named, read_named
from cli.options import AsJson, NodeHomeDir, examples
from cli.output import (
    CommandError,
    Failure,
    print_done,
    print_hint,
    print_json,
    print_table,
    to_dict,
)
from security.errors import ERRORS, Code

if TYPE_CHECKING:
    from simpul.node.v1 import admin_pb2

EPILOG = examples(
    "simpul contract check wisata.v1 --home N --target 127.0.0.1:50051",
    "simpul contract check wisata.v1@2 --home N --protoset wisata.protoset --json",
)


def check(
    named: Named,
    home: NodeHomeDir,
    target: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS", help="The gRPC server, which is asked by server reflection."
        ),
    ] = "",
    protoset: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="A FileDescriptorSet with all imports, in place of a server.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Compare a service with a contract, and list every difference.

    What counts is what a caller can tell: methods, and fields by number, name, type and presence;
    neither fewer nor more. Comments, options, file names and further methods don't. Without @REV
    it is compared with the newest revision that it matches. Exits with 1 where it differs.
    """
    from cli.admin import ask_node
    from cli.protos import read_protoset
    from simpul.node.v1 import admin_pb2

    if bool(target) == (protoset is not None):
        raise typer.BadParameter("give either --target or --protoset")
    package, revision = read_named(named)
    request = admin_pb2.CheckContractRequest(
        package=package,
        revision=revision,
        target=target,
        descriptor_set=b"" if protoset is None else read_protoset(protoset),
    )
    answer = ask_node(home, lambda stub: stub.CheckContract(request))
    found = sum(len(each.differences) for each in answer.services)
    if not as_json:
        _show(answer)
    if found:
        code = Code.CONTRACT_DIFFERS
        message = f"{found} differences from {package}, revision {answer.revision}"
        beside = to_dict(answer) if as_json else {}
        raise CommandError(Failure(code.value, message, ERRORS[code].action, beside=beside))
    if as_json:
        print_json(to_dict(answer))
        return
    print_done(f"it matches {package}, revision {answer.revision}")


def _show(answer: "admin_pb2.CheckContractResponse") -> None:
    print_table(
        ("WHERE", "WHAT DIFFERS"),
        (
            (difference.element, difference.what)
            for service in answer.services
            for difference in service.differences
        ),
        empty="Nothing differs.",
    )
    for service in answer.services:
        if not service.offered:
            print_hint(f"{service.service} isn't implemented here, and wasn't compared")
        if service.beside:
            print_hint(
                f"{service.service} has methods that the contract lacks, and nobody can call them "
                f"through the federation: {', '.join(service.beside)}"
            )
