"""`simpul purpose`: what a member uses data for, in its register."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.access_terms import LegalBasis
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import print_done, print_json, print_pairs, print_table, to_dict

if TYPE_CHECKING:
    from simpul.v1.directory_pb2 import Activity

app = group("Keep the register of what a member uses data for: its purposes, in versions.")

Name = Annotated[str, typer.Argument(metavar="NAME", help="Like layanan-wisata, in lower case.")]
Member = Annotated[
    str,
    typer.Option("--member", metavar="MEMBER", help="Whose. None: the only one on this node."),
]


def _text(option: str, says: str) -> object:
    return typer.Option(option, metavar="TEXT", help=says)


Title = Annotated[str, _text("--title", "What people call it.")]
Text = Annotated[str, _text("--purpose", "What the data are for, in a sentence.")]
Retention = Annotated[str, _text("--retention", "How long they are kept, in words.")]
Officer = Annotated[str, _text("--officer", "The data-protection officer: an office's address.")]
Basis = Annotated[
    LegalBasis | None,
    typer.Option(
        "--legal-basis", metavar="BASIS", case_sensitive=False,
        help=f"By which right: {', '.join(LegalBasis)}.",
    ),
]  # fmt: skip
Visible = Annotated[
    bool | None,
    typer.Option("--visible/--hidden", help="Whether citizens may see the calls."),
]


@app.command(
    "add",
    epilog=examples(
        "simpul purpose add layanan-wisata --home N --title 'Tourist map'"
        " --purpose 'Show islands and their sights to visitors' --legal-basis PUBLIC_TASK"
        " --retention '30 days' --officer pdp@komdigi.example"
    ),
)
def add(
    home: NodeHomeDir, name: Name, title: Title, purpose: Text, retention: Retention,
    officer: Officer, legal_basis: Basis = LegalBasis.PUBLIC_TASK, visible: Visible = True,
    member: Member = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """Add a purpose to the register, and publish it in the directory."""
    activity = _activity(name, title, purpose, retention, officer, legal_basis, visible=visible)
    _put(home, member, "add", activity, as_json=as_json)


@app.command(
    "revise", epilog=examples("simpul purpose revise layanan-wisata --retention '7 days' --home N")
)
def revise(
    home: NodeHomeDir, name: Name, title: Title = "", purpose: Text = "", retention: Retention = "",
    officer: Officer = "", legal_basis: Basis = None, visible: Visible = None,
    member: Member = "", as_json: AsJson = False,
) -> None:  # fmt: skip
    """Publish the next version of a purpose; what isn't said stays as it was.

    Earlier versions stay in the directory. With another legal basis, agreements must be made anew.
    """
    activity = _activity(name, title, purpose, retention, officer, legal_basis, visible=visible)
    _put(home, member, "revise", activity, as_json=as_json)


@app.command("retire", epilog=examples("simpul purpose retire layanan-wisata --home N"))
def retire(home: NodeHomeDir, name: Name, member: Member = "", as_json: AsJson = False) -> None:
    """End a purpose for good: no call may name it any more."""
    from simpul.v1 import directory_pb2

    _put(home, member, "retire", directory_pb2.Activity(id=name), as_json=as_json)


@app.command(
    "list",
    epilog=examples(
        "simpul purpose list --home N", "simpul purpose list --member ID/DAERAH/53.15 --json"
    ),
)
def list_purposes(
    home: NodeHomeDir,
    member: Annotated[
        str, typer.Option("--member", metavar="MEMBER", help="Any member. None: those here.")
    ] = "",
    as_json: AsJson = False,
) -> None:
    """List the purposes of a member, each by its newest version."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ListPurposesRequest(member=member)
    answer = ask_node(home, lambda stub: stub.ListPurposes(request))
    newest = {(item.member, item.activity.id): item for item in answer.purposes}
    if as_json:
        shown = [{"member": i.member, **_dict(i.activity)} for i in newest.values()]
        print_json({"purposes": shown})
        return
    print_table(
        ("MEMBER", "PURPOSE", "VERSION", "STATE", "LEGAL_BASIS", "TITLE"),
        (
            (i.member, i.activity.id, str(i.activity.version), _state(i.activity),
             _basis(i.activity), i.activity.title)
            for i in newest.values()
        ),
        empty="No purposes: add one with simpul purpose add",
    )  # fmt: skip


@app.command("show", epilog=examples("simpul purpose show layanan-wisata --home N"))
def show(home: NodeHomeDir, name: Name, member: Member = "", as_json: AsJson = False) -> None:
    """Show every version of a purpose, the newest last."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ListPurposesRequest(member=member, id=name)
    answer = ask_node(home, lambda stub: stub.ListPurposes(request))
    shown = [{"member": item.member, **_dict(item.activity)} for item in answer.purposes]
    if as_json:
        print_json({"versions": shown})
        return
    for version in shown:
        print_pairs((key, str(value)) for key, value in version.items())


def _put(home: Path, member: str, step: str, activity: "Activity", *, as_json: bool) -> None:
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.PutPurposeRequest(member=member, step=step, activity=activity)
    done = ask_node(home, lambda stub: stub.PutPurpose(request))
    if as_json:
        print_json({"member": done.member, **_dict(done.activity)})
        return
    made = done.activity
    print_done(f"{made.id} of {done.member}: version {made.version}, {_state(made)}")


def _activity(
    name: str, title: str, purpose: str, retention: str, officer: str,
    legal_basis: LegalBasis | None, *, visible: bool | None,
) -> "Activity":  # fmt: skip
    from simpul.v1 import agreement_pb2, directory_pb2

    basis = "UNSPECIFIED" if legal_basis is None else legal_basis.value
    seen = "UNSPECIFIED" if visible is None else "VISIBLE" if visible else "HIDDEN"
    return directory_pb2.Activity(
        id=name,
        title=title,
        purpose=purpose,
        retention=retention,
        officer=officer,
        legal_basis=agreement_pb2.LegalBasis.Value(f"LEGAL_BASIS_{basis}"),
        citizen_visibility=agreement_pb2.CitizenVisibility.Value(f"CITIZEN_VISIBILITY_{seen}"),
    )


def _dict(activity: "Activity") -> dict[str, object]:
    shown = to_dict(activity)
    shown["legal_basis"] = _basis(activity)
    shown["citizen_visibility"] = "hidden" if activity.citizen_visibility == 2 else "visible"  # noqa: PLR2004
    return shown


def _basis(activity: "Activity") -> str:
    from simpul.v1 import agreement_pb2

    return agreement_pb2.LegalBasis.Name(activity.legal_basis).removeprefix("LEGAL_BASIS_")


def _state(activity: "Activity") -> str:
    return "retired" if activity.retired else "in use"
