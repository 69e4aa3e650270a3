"""`simpul registry revoke`: one command for the moment when something was captured."""

import re
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples
from cli.output import print_done, print_json, print_next, refusal
from security.errors import Code

if TYPE_CHECKING:
    from simpul.registry.v1.admin_pb2_grpc import RegistryAdminAsyncStub

_KEY = re.compile(r"[0-9a-f]{64}")


def add_to(app: typer.Typer) -> None:
    """Adds the command to `simpul registry`."""
    app.command(
        "revoke",
        epilog=examples(
            "simpul registry revoke ID/~labuan-bajo-1 --home R",
            "simpul registry revoke ID/DAERAH/53.15 --reason 'captured' --home R",
            "simpul registry revoke KEY_ID --home R",
        ),
    )(revoke)


def revoke(
    id_: Annotated[
        str,
        typer.Argument(
            metavar="ID", help="A node, a member, or a key by its whole id in hexadecimal."
        ),
    ],
    home: RegistryHomeDir,
    reason: Annotated[
        str, typer.Option("--reason", metavar="TEXT", help="Why; a member's is told to it.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Have a node, a key or a member refused by every connected node within two seconds.

    Nodes and keys for good; a member is suspended, and resumed by `member resume`.
    """
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    async def ask(stub: "RegistryAdminAsyncStub") -> int:
        if _KEY.fullmatch(id_):
            key = admin_pb2.RevokeKeyRequest(key=bytes.fromhex(id_))
            return (await stub.RevokeKey(key)).directory_version
        if "/~" in id_:
            node = admin_pb2.RevokeNodeRequest(node=id_)
            return (await stub.RevokeNode(node)).directory_version
        if not reason:
            raise refusal(Code.CHANGE_INVALID, "a member is told why: give --reason")
        member = admin_pb2.SetMemberStateRequest(member=id_, state="suspended", reason=reason)
        return (await stub.SetMemberState(member)).directory_version

    version = ask_registry(home, ask)
    if as_json:
        print_json({"id": id_, "directory_version": version})
        return
    print_done(f"{id_} is refused from directory {version} on")
    if not _KEY.fullmatch(id_) and "/~" not in id_:
        print_next(
            f"simpul registry member remove {id_} --reason TEXT --home {home}  # for good",
            f"simpul registry member resume {id_} --home {home}",
        )
