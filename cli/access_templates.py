"""`simpul access template`: terms that are approved once, for whoever is in a group."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.access_groups import Owner
from cli.access_terms import (
    AllBecause,
    ConsumerDays,
    Days,
    Fields,
    Hidden,
    Hours,
    Keep,
    LegalBasis,
    Methods,
    PerDay,
    Rate,
    RequestFields,
    narrowing,
    say_all_because,
)
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_hint,
    print_json,
    print_line,
    print_next,
    print_pairs,
    print_table,
    refusal,
    to_dict,
    when,
)
from security.errors import Code

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import Template

app = group(
    "Approve terms once: requests that fit, from whoever is in a group, are signed at once."
)

SERVICE = "ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata"

Name = Annotated[str, typer.Argument(metavar="NAME", help="Like baca-wisata, in lower case.")]


@app.command(
    "approve",
    epilog=examples(
        f"simpul access template approve baca-wisata --group mitra-wisata --service {SERVICE}"
        " --method Get --field Get/island.name --purpose layanan-wisata --rate 10/s --home N",
        "simpul access template approve baca-dinas --federation-group dinas-pariwisata"
        f" --service {SERVICE} --purpose layanan-wisata --days 90 --for-days 180 --home N",
    ),
)
def approve(
    name: Name,
    home: NodeHomeDir,
    service: Annotated[
        str, typer.Option("--service", metavar="ID", help="The service, with its provider.")
    ],
    purpose: Annotated[
        list[str],
        typer.Option("--purpose", metavar="NAME", help="What for; may be given several times."),
    ],
    local_group: Annotated[
        str, typer.Option("--group", metavar="NAME", help="A group of this node's.")
    ] = "",
    federation_group: Annotated[
        str,
        typer.Option(
            "--federation-group",
            metavar="NAME",
            help="A group of the federation: those who are in it now, for as long as they are.",
        ),
    ] = "",
    follow: Annotated[
        bool,
        typer.Option(
            "--follow",
            help="Answer also who joins the federation's group later: then the registry decides "
            "who may have these terms.",
        ),
    ] = False,
    method: Methods = None,
    field: Fields = None,
    request_field: RequestFields = None,
    all_because: AllBecause = None,
    legal_basis: Annotated[
        LegalBasis,
        typer.Option(
            "--legal-basis",
            metavar="BASIS",
            case_sensitive=False,
            help=f"By which right: {', '.join(LegalBasis)}.",
        ),
    ] = LegalBasis.PUBLIC_TASK,
    description: Annotated[
        str,
        typer.Option("--description", metavar="TEXT", help="The purpose in words; none: its name."),
    ] = "",
    rate: Rate = None,
    per_day: PerDay = None,
    hours: Hours = None,
    days: Days = None,
    keep: Keep = None,
    consumer_days: ConsumerDays = None,
    hidden: Hidden = False,
    for_days: Annotated[
        int,
        typer.Option(
            "--for-days", min=0, max=36_500, help="How long it answers requests. 0: 365 days."
        ),
    ] = 0,
    as_json: AsJson = False,
) -> None:
    """Approve terms for a group, in your name: what fits them needs no operator any more.

    A request may say less, never more; of other requests an operator decides as ever. Whoever
    leaves the group loses at once what it has by the template.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    if bool(local_group) == bool(federation_group):
        raise refusal(Code.REQUEST_MALFORMED, "name one group: --group, or --federation-group")
    terms = narrowing(
        methods=method, fields=field, request_fields=request_field, rate=rate,
        per_day=per_day, hours=hours, days=days, keep=keep, consumer_days=consumer_days,
    )  # fmt: skip
    say_all_because(terms, all_because)
    terms.service_id, terms.hidden_from_citizens = service, hidden
    terms.purposes.extend(
        admin_pb2.AccessPurpose(
            id=item, legal_basis=legal_basis.value, description=description or item
        )
        for item in purpose
    )
    request = admin_pb2.ApproveTemplateRequest(
        template=name,
        group=local_group or federation_group,
        federation_wide=bool(federation_group),
        follow=follow,
        terms=terms,
        answers_days=for_days,
    )
    made = ask_node(home, lambda stub: stub.ApproveTemplate(request)).template
    if as_json:
        print_json(to_dict(made))
        return
    print_done(
        f"{made.name} answers {len(made.members)} members of {made.group} until "
        f"{when(made.expires_at_ms)}"
    )
    if not terms.HasField("rate"):
        print_hint("It limits no rate: each of them may call as often as it likes (--rate)")
    print_next(f"simpul access template show {made.name}")


@app.command("end", epilog=examples("simpul access template end baca-wisata --home N"))
def end(name: Name, home: NodeHomeDir, member: Owner = "", as_json: AsJson = False) -> None:
    """Have a template answer nothing more. What it answered stays agreed: revoke it one by one."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.EndTemplateRequest(member=member, template=name)
    ended = ask_node(home, lambda stub: stub.EndTemplate(request)).template
    if as_json:
        print_json(to_dict(ended))
        return
    print_done(f"{ended.name} is ended")
    living = [item.agreement[:12] for item in ended.agreements if item.state == "agreed"]
    if living:
        print_hint(f"{len(living)} agreements stay in force: {listed(living)}")


@app.command("list", epilog=examples("simpul access template list --home N"))
def list_templates(
    home: NodeHomeDir,
    every: Annotated[
        bool, typer.Option("--all", help="Those that are expired or ended, too.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List the templates by which requests are answered here."""
    found = _templates(home, "", every=every)
    if as_json:
        print_json({"templates": [to_dict(item) for item in found]})
        return
    print_table(
        ("TEMPLATE", "OF", "STATE", "GROUP", "AGREEMENTS", "APPROVED BY", "UNTIL"),
        (
            (
                item.name, item.owner, item.state, _group(item), str(len(item.agreements)),
                item.approved_by, when(item.expires_at_ms),
            )
            for item in found
        ),
        empty="No templates: every request waits for an operator (simpul access inbox)",
    )  # fmt: skip


@app.command("show", epilog=examples("simpul access template show baca-wisata --home N"))
def show(name: Name, home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Show what a template permits, who approved it, and the agreements that came of it."""
    found = _templates(home, name, every=True)
    if as_json:
        print_json({"templates": [to_dict(item) for item in found]})
        return
    for item in found:
        ended = f" (ended by {item.ended_by}, {when(item.ended_at_ms)})" if item.ended_by else ""
        print_pairs(
            (
                ("template", f"{item.name} of {item.owner}"),
                ("state", f"{item.state}{ended}"),
                ("group", _group(item)),
                ("answers", listed(item.members) if item.members else "nobody now"),
                ("approved by", f"{item.approved_by}, {when(item.approved_at_ms)}"),
                ("answers until", when(item.expires_at_ms)),
                *((term.term, term.says) for term in item.terms),
            )
        )
        print_line("")
        print_table(
            ("AGREEMENT", "CONSUMER", "STATE", "SIGNED"),
            (
                (each.agreement, each.member, each.state, when(each.at_ms))
                for each in item.agreements
            ),
            empty="No agreement came of it yet.",
        )


def _templates(home: Path, name: str, *, every: bool) -> "list[Template]":
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.ListTemplatesRequest(template=name, all=every)
    return list(ask_node(home, lambda stub: stub.ListTemplates(request)).templates)


def _group(item: "Template") -> str:
    if not item.federation_wide:
        return item.group
    return f"{item.group} (the federation's{', followed' if item.follow else ''})"
