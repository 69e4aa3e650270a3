"""`simpul registry member`: members, from their application to their end."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_hint,
    print_json,
    print_next,
    print_pairs,
    print_table,
    refusal,
    to_dict,
    when,
)
from cli.registry_options import Apply, LegalName, MemberArgument, Reason, Regions
from security.errors import Code

if TYPE_CHECKING:
    from simpul.registry.v1.admin_pb2 import Contact, Member, ShowMemberResponse

app = group("List members, review them, suspend them, import many.")

EXAMPLE = "ID/DAERAH/53.15"

Contacts = Annotated[
    list[str] | None,
    typer.Option(
        "--contact",
        metavar="KIND=NAME,EMAIL,PHONE",
        help="KIND is general, technical, security or data_protection; EMAIL or PHONE may be"
        " empty. May be given several times. Contacts are kept, and not published.",
    ),
]
Codes = list[str] | None


@app.command(
    "add",
    epilog=examples(
        f"simpul registry member add {EXAMPLE} --home R --name 'Kabupaten Manggarai Barat'"
        " --region 53.15",
        f"simpul registry member add {EXAMPLE} --home R --name 'Kabupaten Manggarai Barat'"
        " --contact 'data_protection=Bagian Hukum,dpo@example.go.id,' --apply",
    ),
)
def member_add(
    member: MemberArgument,
    home: RegistryHomeDir,
    legal_name: LegalName = None,
    region: Regions = None,
    contact: Contacts = None,
    apply: Apply = False,
    as_json: AsJson = False,
) -> None:
    """Add a member, or take its application."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.AddMemberRequest(
        member=member,
        legal_name=legal_name or member,
        region_codes=region or [],
        contacts=_contacts(contact),
        apply=apply,
    )
    answer = ask_registry(home, lambda stub: stub.AddMember(request))
    if as_json:
        print_json(to_dict(answer.member))
        return
    print_done(f"{answer.member.id} is a member ({answer.member.state})")
    if apply:
        print_next(f"simpul registry member review {member} --home {home}")
        return
    print_next(f"simpul registry enrol {answer.member.id} --node NAME --home {home}")


@app.command("list", epilog=examples("simpul registry member list --home R"))
def member_list(home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """List the members with their nodes and services."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    answer = ask_registry(home, lambda stub: stub.ListMembers(admin_pb2.ListMembersRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("MEMBER", "STATE", "NAME", "REGIONS", "NODES", "SERVICES"),
        _member_rows(answer.members),
        empty="No members yet: simpul registry enrol --help",
    )


@app.command("show", epilog=examples(f"simpul registry member show {EXAMPLE} --home R"))
def member_show(member: MemberArgument, home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Show all that is kept of a member: contacts, regions, subsystems, history."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ShowMemberRequest(member=member)
    answer = ask_registry(home, lambda stub: stub.ShowMember(request))
    if as_json:
        print_json(to_dict(answer))
        return
    _print_member(answer)


@app.command(
    "update",
    epilog=examples(
        f"simpul registry member update {EXAMPLE} --home R"
        " --contact 'data_protection=Bagian Hukum,dpo@example.go.id,'",
        f"simpul registry member update {EXAMPLE} --home R --contact technical=",
    ),
)
def member_update(
    member: MemberArgument,
    home: RegistryHomeDir,
    legal_name: LegalName = None,
    contact: Contacts = None,
    as_json: AsJson = False,
) -> None:
    """Change a member's name or contacts; a contact without a name is dropped."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.UpdateMemberRequest(
        member=member, legal_name=legal_name or "", contacts=_contacts(contact)
    )
    answer = ask_registry(home, lambda stub: stub.UpdateMember(request))
    if as_json:
        print_json({**to_dict(answer.member), "directory_version": answer.directory_version})
        return
    print_done(f"{member} is changed; the directory is at version {answer.directory_version}")


@app.command(
    "region",
    epilog=examples(
        "simpul registry member region ID/DAERAH/91.07 --end 91.07 --begin 92.03"
        " --at 2026-01-01 --home R",
        "simpul registry member region ID/DAERAH/92.05 --begin 92.05 --predecessor 91.08 --home R",
    ),
)
def member_region(
    member: MemberArgument,
    home: RegistryHomeDir,
    end: Annotated[Codes, typer.Option(metavar="CODE", help="A code that it loses.")] = None,
    begin: Annotated[Codes, typer.Option(metavar="CODE", help="A code that it gets.")] = None,
    at: Annotated[
        str, typer.Option(metavar="DATE", help="From when on, 2026-01-01 in UTC; none: now.")
    ] = "",
    predecessor: Annotated[
        Codes, typer.Option(metavar="CODE", help="Another's code that BEGIN takes the place of.")
    ] = None,
    successor: Annotated[
        Codes, typer.Option(metavar="CODE", help="Another's code that takes the place of END.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """End and begin region codes: they split, merge and change, and members stay who they are."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ChangeRegionsRequest(
        member=member,
        at_ms=_day_ms(at),
        end=end or [],
        begin=begin or [],
        predecessors=predecessor or [],
        successors=successor or [],
    )
    answer = ask_registry(home, lambda stub: stub.ChangeRegions(request))
    if as_json:
        print_json(to_dict(answer))
        return
    codes = [item.code for item in answer.regions if not item.valid_until_ms]
    print_done(
        f"{member} speaks for {listed(codes)};"
        f" the directory is at version {answer.directory_version}"
    )


@app.command(
    "import",
    epilog=examples(
        "simpul registry member import members.csv --home R --dry-run",
        "simpul registry member import members.csv --home R",
    ),
)
def member_import(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            help="CSV in UTF-8 with a first line of names: member, legal_name, regions,"
            " subsystems (their short names, with spaces between); and, for contacts,"
            " general_name, general_email, general_phone, and so on for technical, security and"
            " data_protection.",
        ),
    ],
    home: RegistryHomeDir,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would come of it.")
    ] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="List the good lines where others are bad.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List many members from a file: all of them, or none and a word on each bad line."""
    from cli.registry_import import import_file

    done = import_file(home, file, dry_run=dry_run, skip_bad=skip_bad, quiet=as_json)
    if as_json:
        print_json(done.as_json())
    else:
        for error in done.errors:
            print_hint(f"line {error.line}: {error.code}: {error.message}")
        if dry_run:
            print_done(f"{done.listed} would be listed, {len(done.errors)} lines are bad")
        elif done.directory_version:
            print_done(
                f"{done.listed} members are listed, {len(done.errors)} lines were bad;"
                f" the directory is at version {done.directory_version}"
            )
    if done.errors and not skip_bad:
        raise refusal(
            Code.CHANGE_INVALID,
            f"{len(done.errors)} lines of {file} are bad and nothing was listed: mend them, or"
            " leave them out with --skip-bad",
        )


@app.command("review", epilog=examples(f"simpul registry member review {EXAMPLE} --home R"))
def member_review(
    member: MemberArgument, home: RegistryHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Take an application into review."""
    _set_state(member, home, "in review", reason, as_json)


@app.command("approve", epilog=examples(f"simpul registry member approve {EXAMPLE} --home R"))
def member_approve(
    member: MemberArgument, home: RegistryHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Approve an applicant that was reviewed, and publish it."""
    _set_state(member, home, "active", reason, as_json)


@app.command(
    "decline",
    epilog=examples(f"simpul registry member decline {EXAMPLE} --reason 'no mandate' --home R"),
)
def member_decline(
    member: MemberArgument, home: RegistryHomeDir, reason: Reason, as_json: AsJson = False
) -> None:
    """Decline an applicant that was reviewed; it may apply again."""
    _set_state(member, home, "declined", reason, as_json)


@app.command("withdraw", epilog=examples(f"simpul registry member withdraw {EXAMPLE} --home R"))
def member_withdraw(
    member: MemberArgument, home: RegistryHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Take an application back; it can't be approved any more."""
    _set_state(member, home, "withdrawn", reason, as_json)


@app.command("suspend", epilog=examples(f"simpul registry member suspend {EXAMPLE} --home R"))
def member_suspend(
    member: MemberArgument, home: RegistryHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Suspend a member: every connected node refuses its calls within two seconds."""
    _set_state(member, home, "suspended", reason, as_json)


@app.command("resume", epilog=examples(f"simpul registry member resume {EXAMPLE} --home R"))
def member_resume(
    member: MemberArgument, home: RegistryHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Make a suspended member active again."""
    _set_state(member, home, "active", reason, as_json)


@app.command(
    "remove",
    epilog=examples(f"simpul registry member remove {EXAMPLE} --reason 'merged' --home R"),
)
def member_remove(
    member: MemberArgument, home: RegistryHomeDir, reason: Reason, as_json: AsJson = False
) -> None:
    """Remove a member, for good: its code is never given to another."""
    _set_state(member, home, "removed", reason, as_json)


def _set_state(member: str, home: RegistryHomeDir, state: str, reason: str, as_json: bool) -> None:
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.SetMemberStateRequest(member=member, state=state, reason=reason)
    answer = ask_registry(home, lambda stub: stub.SetMemberState(request))
    if as_json:
        print_json({**to_dict(answer.member), "directory_version": answer.directory_version})
        return
    print_done(
        f"{answer.member.id} is {answer.member.state};"
        f" the directory is at version {answer.directory_version}"
    )


def _member_rows(found: "Iterable[Member]") -> Iterable[tuple[str, ...]]:
    for item in found:
        yield (
            item.id,
            item.state,
            item.legal_name or "-",
            listed(item.region_codes),
            listed(item.nodes),
            str(len(item.services)),
        )


def _print_member(answer: "ShowMemberResponse") -> None:
    member = answer.member
    print_pairs(
        (
            ("member", member.id),
            ("name", member.legal_name),
            ("state", member.state),
            ("nodes", listed(member.nodes)),
            ("services", listed(member.services)),
            ("subsystems", listed(f"{item.id} ({item.state})" for item in answer.subsystems)),
            *(
                (f"{item.kind} contact", listed(filter(None, (item.name, item.email, item.phone))))
                for item in answer.contacts
            ),
        )
    )
    print_table(
        ("REGION", "FROM", "UNTIL", "AFTER", "BEFORE"),
        (
            (
                item.code,
                when(item.valid_from_ms),
                when(item.valid_until_ms),
                listed(item.predecessors),
                listed(item.successors),
            )
            for item in answer.regions
        ),
        empty="It speaks for no region.",
    )
    print_table(
        ("AT", "WHO", "FROM", "TO", "BY", "REASON"),
        (
            (
                when(event.at_ms),
                event.subject,
                event.before or "-",
                event.after,
                event.actor,
                event.reason or "-",
            )
            for event in answer.history
        ),
        empty="",
    )


def _contacts(texts: list[str] | None) -> "list[Contact]":
    from simpul.registry.v1 import admin_pb2

    made = []
    for text in texts or []:
        kind, equals, rest = text.partition("=")
        parts = [part.strip() for part in rest.split(",")]
        if not equals or len(parts) not in {1, 3}:
            raise refusal(
                Code.CHANGE_INVALID,
                f"--contact {text} is not KIND=NAME,EMAIL,PHONE: write both commas",
            )
        name, email, phone = (*parts, "", "")[:3]
        made.append(admin_pb2.Contact(kind=kind, name=name, email=email, phone=phone))
    return made


def _day_ms(text: str) -> int:
    if not text:
        return 0
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)
    except ValueError:
        raise refusal(
            Code.CHANGE_INVALID, f"--at {text} is no date: write it as 2026-01-01"
        ) from None
    return int(day.timestamp() * 1000)
