"""`simpul access group`: consumers that a provider put together, for its templates."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    print_done,
    print_hint,
    print_json,
    print_pairs,
    print_table,
    to_dict,
    when,
)
from security.errors import Code, SimpulError

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import ChangeGroupRequest, ConsumerGroup

app = group(
    "Keep groups of consumers, for templates. They are kept by this node alone, in its own state."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Like mitra-wisata, in lower case.")]
Members = Annotated[list[str], typer.Argument(metavar="MEMBER...", help="Like ID/DAERAH/53.15.")]
Owner = Annotated[
    str,
    typer.Option("--member", metavar="MEMBER", help="Whose. None: the only one on this node."),
]
WIDE = "the federation's"


@app.command(
    "add", epilog=examples("simpul access group add mitra-wisata --title 'Our partners' --home N")
)
def add(
    name: Name,
    home: NodeHomeDir,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What people call it.")],
    member: Owner = "",
    as_json: AsJson = False,
) -> None:
    """Make a group without members."""
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ChangeGroupRequest(member=member, group=name, step="add", title=title)
    _change(home, request, as_json=as_json)


@app.command(
    "include", epilog=examples("simpul access group include mitra-wisata ID/DAERAH/53.15 --home N")
)
def include(
    name: Name, members: Members, home: NodeHomeDir, member: Owner = "", as_json: AsJson = False
) -> None:
    """Put consumers into a group, each known by its identity key from now on.

    Compare the key that show prints with the consumer's operator, by voice: by that key its
    requests are answered.
    """
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ChangeGroupRequest(
        member=member, group=name, step="include", members=members
    )
    _change(home, request, as_json=as_json)


@app.command(
    "exclude", epilog=examples("simpul access group exclude mitra-wisata ID/DAERAH/53.15 --home N")
)
def exclude(
    name: Name, members: Members, home: NodeHomeDir, member: Owner = "", as_json: AsJson = False
) -> None:
    """Take consumers out of a group. What they have by its templates is revoked at once."""
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ChangeGroupRequest(
        member=member, group=name, step="exclude", members=members
    )
    _change(home, request, as_json=as_json)


@app.command("drop", epilog=examples("simpul access group drop mitra-wisata --home N"))
def drop(name: Name, home: NodeHomeDir, member: Owner = "", as_json: AsJson = False) -> None:
    """Forget a group that no template in force names. What came of it is revoked at once."""
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ChangeGroupRequest(member=member, group=name, step="drop")
    _change(home, request, as_json=as_json)


@app.command("list", epilog=examples("simpul access group list --home N"))
def list_groups(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List this node's groups, and those of the federation, which its registry keeps."""
    found = _groups(home)
    if as_json:
        print_json({"groups": [to_dict(item) for item in found]})
        return
    print_table(
        ("GROUP", "OF", "MEMBERS", "TITLE"),
        ((item.name, item.owner or WIDE, str(len(item.members)), _title(item)) for item in found),
        empty="No groups: make one with simpul access group add",
    )


@app.command("show", epilog=examples("simpul access group show mitra-wisata --home N"))
def show(name: Name, home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Show who is in a group, since when and by whom."""
    found = [item for item in _groups(home) if item.name == name]
    if not found:
        raise SimpulError(Code.NOT_FOUND, f"there is no group {name[:80]!a}: list shows them all")
    if as_json:
        print_json({"groups": [to_dict(item) for item in found]})
        return
    for item in found:
        print_pairs((("group", item.name), ("of", item.owner or WIDE), ("title", _title(item))))
        print_table(
            ("MEMBER", "SINCE", "BY", "IDENTITY_KEY"),
            (
                (
                    each.member,
                    when(each.added_at_ms) if each.added_at_ms else "-",
                    each.added_by or "-",
                    each.identity_key_id.hex() or "-",
                )
                for each in item.members
            ),
            empty="Nobody is in it.",
        )


def _groups(home: Path) -> "list[ConsumerGroup]":
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.ListGroups(admin_pb2.ListGroupsRequest()))
    return list(answer.groups)


def _change(home: Path, request: "ChangeGroupRequest", *, as_json: bool) -> None:
    from cli.admin import ask_node

    answer = ask_node(home, lambda stub: stub.ChangeGroup(request))
    if as_json:
        print_json(to_dict(answer))
        return
    made = answer.group
    if request.step == "drop":
        print_done(f"{made.name} of {made.owner} is gone")
    else:
        print_done(f"{made.name} of {made.owner} has {len(made.members)} members")
    for agreement in answer.ended:
        print_hint(f"agreement {agreement[:12]} is revoked")


def _title(item: "ConsumerGroup") -> str:
    return f"{item.title} (retired)" if item.retired else item.title
