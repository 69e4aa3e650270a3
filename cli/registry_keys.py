"""`simpul registry keys`: new keys for what the registry signs alone, under traffic."""

from typing import Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_hint, print_json, print_table, to_dict

app = group("The directory's online keys: rotate those of members, contracts and their bins.")


@app.command(
    "rotate",
    epilog=examples(
        "simpul registry keys rotate member-bins --home R",
        "simpul registry keys rotate member-bins contract-bins members contracts --home R",
    ),
)
def rotate(
    roles: Annotated[
        list[str],
        typer.Argument(
            metavar="ROLE...", help="member-bins, contract-bins, members and contracts."
        ),
    ],
    home: RegistryHomeDir,
    as_json: AsJson = False,
) -> None:
    """Make new keys, have them listed, and sign anew what the old ones signed; nothing stops.

    Keys of snapshot and timestamp are the root's to list: simpul registry root rotate --online.
    """
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.RotateKeysRequest(roles=roles)
    answer = ask_registry(home, lambda stub: stub.RotateKeys(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(("ROLE", "KEY"), ((item.role, item.key_id) for item in answer.keys), empty="")
    print_done(f"the directory is at version {answer.directory_version}")
    print_hint("Registries on the same database need the files of R/keys, too: copy them.")
