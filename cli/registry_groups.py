"""`simpul registry group`: federation-wide groups of members."""

from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import print_done, print_json, print_line, print_pairs, print_table, to_dict
from security.errors import Code, SimpulError

if TYPE_CHECKING:
    from simpul.registry.v1.admin_pb2 import ChangeGroupRequest, Group

app = group(
    "Keep groups of members that providers may name in templates for access. "
    "A group permits nothing by itself."
)

Name = Annotated[str, typer.Argument(metavar="NAME", help="Like dinas-pariwisata, in lower case.")]
Members = Annotated[list[str], typer.Argument(metavar="MEMBER...", help="Like ID/DAERAH/53.15.")]

EXAMPLE = "dinas-pariwisata"


@app.command(
    "add",
    epilog=examples(f"simpul registry group add {EXAMPLE} --title 'Tourism agencies' --home R"),
)
def add(
    name: Name,
    home: RegistryHomeDir,
    title: Annotated[str, typer.Option(metavar="TEXT", help="What people call it.")],
    as_json: AsJson = False,
) -> None:
    """Make a group without members."""
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ChangeGroupRequest(group=name, step="add", title=title)
    _change(home, request, as_json=as_json)


@app.command(
    "include",
    epilog=examples(f"simpul registry group include {EXAMPLE} ID/DAERAH/53.15 --home R"),
)
def include(name: Name, members: Members, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Put members into a group. Where two may, a second person approves it (registry pending)."""
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ChangeGroupRequest(group=name, step="include", members=members)
    _change(home, request, as_json=as_json)


@app.command(
    "exclude",
    epilog=examples(f"simpul registry group exclude {EXAMPLE} ID/DAERAH/53.15 --home R"),
)
def exclude(name: Name, members: Members, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Take members out of a group: providers' nodes revoke what they have by it."""
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ChangeGroupRequest(group=name, step="exclude", members=members)
    _change(home, request, as_json=as_json)


@app.command("retire", epilog=examples(f"simpul registry group retire {EXAMPLE} --home R"))
def retire(name: Name, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """End a group for good: it has no members any more, and its name is given to no other."""
    from simpul.registry.v1 import admin_pb2

    _change(home, admin_pb2.ChangeGroupRequest(group=name, step="retire"), as_json=as_json)


@app.command("list", epilog=examples("simpul registry group list --home R"))
def list_groups(home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """List the groups, the retired ones too."""
    found = _groups(home)
    if as_json:
        print_json({"groups": [_dict(item) for item in found]})
        return
    print_table(
        ("GROUP", "STATE", "MEMBERS", "TITLE"),
        ((item.name, _state(item), str(len(item.members)), item.title) for item in found),
        empty="No groups: make one with simpul registry group add",
    )


@app.command("show", epilog=examples(f"simpul registry group show {EXAMPLE} --home R"))
def show(name: Name, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Show who is in a group."""
    found = next((item for item in _groups(home) if item.name == name), None)
    if found is None:
        raise SimpulError(Code.NOT_FOUND, f"there is no group {name[:80]!a}: list shows them all")
    if as_json:
        print_json(_dict(found))
        return
    print_pairs((("group", found.name), ("title", found.title), ("state", _state(found))))
    for member in found.members:
        print_line(member)


def _groups(home: RegistryHomeDir) -> "list[Group]":
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(home, lambda stub: stub.ListGroups(admin_pb2.ListGroupsRequest()))
    return list(answer.groups)


def _change(home: RegistryHomeDir, request: "ChangeGroupRequest", *, as_json: bool) -> None:
    from cli.admin import ask_registry

    answer = ask_registry(home, lambda stub: stub.ChangeGroup(request))
    if as_json:
        print_json({**_dict(answer.group), "directory_version": answer.directory_version})
        return
    made = answer.group
    print_done(
        f"{made.name} is {_state(made)} and has {len(made.members)} members;"
        f" the directory is at version {answer.directory_version}"
    )


def _dict(item: "Group") -> dict[str, object]:
    return {**to_dict(item), "state": _state(item)}


def _state(item: "Group") -> str:
    return "retired" if item.retired else "in use"
