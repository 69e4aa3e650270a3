"""`simpul node operator`: who of the machine's users works for which member."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import print_done, print_json, print_table, to_dict

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import NodeOperator

app = group(
    "Let users of this machine work for members, each for his own only. They give the socket of "
    "node.toml (operators.socket) as --home."
)

User = Annotated[str, typer.Argument(metavar="USER", help="A user of this machine.")]


@app.command(
    "add",
    epilog=examples(
        "simpul node operator add wayan --member ID/DAERAH/53.15 --home N",
        "simpul node operator add made --member ID/DAERAH/53.15 --role auditor --home N",
        "simpul access inbox --home /run/simpul/labuan-bajo.sock",
    ),
)
def add(
    user: User,
    home: NodeHomeDir,
    member: Annotated[
        list[str],
        typer.Option("--member", metavar="MEMBER", help="For whom; may be given several times."),
    ],
    role: Annotated[
        str,
        typer.Option(
            metavar="ROLE", help="operator: acts for the member; auditor: only looks at its own."
        ),
    ] = "operator",
    as_json: AsJson = False,
) -> None:
    """Give a user a role for members that this node hosts."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.AddOperatorRequest(user=user, members=member, role=role)
    made = ask_node(home, lambda stub: stub.AddOperator(request)).operator
    if as_json:
        print_json(to_dict(made))
        return
    print_done(f"{user} is {role} of {', '.join(member)}")


@app.command("list", epilog=examples("simpul node operator list --home N"))
def list_operators(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List the operators with their roles."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    found = ask_node(home, lambda stub: stub.ListOperators(admin_pb2.ListOperatorsRequest()))
    if as_json:
        print_json({"operators": [to_dict(item) for item in found.operators]})
        return
    print_table(
        ("USER", "UID", "MEMBER", "ROLE"),
        [row for item in found.operators for row in _rows(item)],
        empty="No operators: whoever runs the node does everything",
    )


@app.command(
    "remove", epilog=examples("simpul node operator remove wayan --member ID/DAERAH/53.15 --home N")
)
def remove(
    user: User,
    home: NodeHomeDir,
    member: Annotated[
        str, typer.Option("--member", metavar="MEMBER", help="For whom no more. None: for all.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """Take a user's roles away. His next call is refused."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.RemoveOperatorRequest(user=user, member=member)
    ask_node(home, lambda stub: stub.RemoveOperator(request))
    if as_json:
        print_json({"user": user, "member": member})
        return
    print_done(f"{user} works no more for {member or 'any member of this node'}")


def _rows(item: "NodeOperator") -> list[tuple[str, ...]]:
    return [(item.user, str(item.uid), role.member, role.role) for role in item.roles]
