"""`simpul member`: the members that a node hosts, and their keys."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.key_options import KeyAlgorithm, TokenKeyUri
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    print_done,
    print_hint,
    print_json,
    print_next,
    print_table,
    to_dict,
    when,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from simpul.node.v1 import admin_pb2
    from simpul.node.v1.admin_pb2 import ListKeysResponse, RotateKeyResponse

app = group("The members that a node hosts: their keys, and the nodes that seal for them.")

MemberArgument = Annotated[
    str, typer.Argument(metavar="MEMBER", help="The member's id: ID/DAERAH/53.15.")
]
NodeArgument = Annotated[
    str, typer.Argument(metavar="NODE", help="The other node's id: ID/~labuan-bajo-2.")
]
EXAMPLE = "ID/DAERAH/53.15"


@app.command("show", epilog=examples("simpul member show --home N"))
def show(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Show the hosted members' keys, and which nodes ask to seal for them."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.ListKeys(admin_pb2.ListKeysRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("MEMBER", "NODE", "KEY", "FROM", "UNTIL", "FINGERPRINT"),
        _rows(answer),
        empty="No keys are listed yet.",
    )
    for member in answer.members:
        where = "here" if member.identity_here else "on another node"
        print_hint(f"{member.member}: statement {member.statement}, identity key {where}")
        for asked in member.requests:
            print_next(
                f"simpul member approve {member.member} {asked.node}"
                f" --fingerprint FINGERPRINT --home {home}"
            )


@app.command(
    "approve",
    epilog=examples(
        f"simpul member approve {EXAMPLE} ID/~labuan-bajo-2 --home N"
        " --fingerprint ABCD-EFGH-IJKL-MNOP-QRST-UVWX"
    ),
)
def approve(
    member: MemberArgument,
    node: NodeArgument,
    home: NodeHomeDir,
    fingerprint: Annotated[
        str,
        typer.Option(metavar="TEXT", help="As the other node's operator reads it, by voice."),
    ],
    as_json: AsJson = False,
) -> None:
    """List another node's seal key in the member's next statement."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ApproveNodeRequest(member=member, node=node, fingerprint=fingerprint)
    answer = ask_node(home, lambda stub: stub.ApproveNode(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_done(f"{node} seals for {member}; the directory is at version {answer.directory_version}")


@app.command("drop", epilog=examples(f"simpul member drop {EXAMPLE} ID/~labuan-bajo-2 --home N"))
def drop(
    member: MemberArgument, node: NodeArgument, home: NodeHomeDir, as_json: AsJson = False
) -> None:
    """Have a node seal no more for a member."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.DropNodeRequest(member=member, node=node)
    answer = ask_node(home, lambda stub: stub.DropNode(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_done(
        f"{node} seals no more for {member}; the directory is at version {answer.directory_version}"
    )


@app.command(
    "rotate-seal",
    epilog=examples(
        f"simpul member rotate-seal {EXAMPLE} --home N",
        f"simpul member rotate-seal {EXAMPLE} --home N --key 'pkcs11:token=simpul;object=seal-2'",
    ),
)
def rotate_seal(
    member: MemberArgument,
    home: NodeHomeDir,
    key: TokenKeyUri = None,
    key_algorithm: KeyAlgorithm = "ed25519",
    as_json: AsJson = False,
) -> None:
    """Replace this node's seal key for a member, under traffic."""
    from simpul.node.v1 import admin_pb2

    answer = rotate(home, admin_pb2.KEY_KIND_SEAL, member, key, key_algorithm)
    if as_json:
        print_json(to_dict(answer))
    elif answer.asked:
        print_done("a new key is made; the member's other node must list it")
        print_next(f"simpul member approve {member} NODE --fingerprint FINGERPRINT --home THERE")
    else:
        print_done(f"the new seal key is valid from {when(answer.valid_from_ms)}")


@app.command(
    "rotate-identity", epilog=examples(f"simpul member rotate-identity {EXAMPLE} --home N")
)
def rotate_identity(
    member: MemberArgument,
    home: NodeHomeDir,
    key: TokenKeyUri = None,
    key_algorithm: KeyAlgorithm = "ed25519",
    as_json: AsJson = False,
) -> None:
    """Replace a member's identity key: the old one signs the new one, and partners follow."""
    from simpul.node.v1 import admin_pb2

    answer = rotate(home, admin_pb2.KEY_KIND_IDENTITY, member, key, key_algorithm)
    if as_json:
        print_json(to_dict(answer))
        return
    print_done(f"{member} has a new identity key, {answer.key_id.hex()[:16]}")


def rotate(
    home: NodeHomeDir,
    kind: "admin_pb2.KeyKind.ValueType",
    member: str = "",
    uri: str | None = None,
    algorithm: str = "ed25519",
) -> "RotateKeyResponse":
    """Has the node of `home` replace a key."""
    from cli.admin import ask_node
    from cli.key_options import ALGORITHMS
    from cli.key_options import algorithm as named
    from simpul.node.v1 import admin_pb2
    from simpul.v1 import keys_pb2

    named(algorithm)
    request = admin_pb2.RotateKeyRequest(
        kind=kind,
        member=member,
        key_uri=uri or "",
        algorithm=keys_pb2.KeyAlgorithm.Value(f"KEY_ALGORITHM_{ALGORITHMS[algorithm]}"),
    )
    return ask_node(home, lambda stub: stub.RotateKey(request))


def _rows(answer: "ListKeysResponse") -> "Iterator[tuple[str, ...]]":
    for member in answer.members:
        for key in member.seal_keys:
            times = (when(key.valid_from_ms), when(key.valid_until_ms))
            yield (member.member, key.node, key.key_id.hex()[:16], *times, key.fingerprint or "-")
        for key in member.requests:
            yield (member.member, key.node, key.key_id.hex()[:16], "asks", "-", key.fingerprint)
