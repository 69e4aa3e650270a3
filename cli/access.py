"""`simpul access`: who may call what, by agreements that both sides sign."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeAlias

import typer

from cli import (
    access_decide,
    access_delegate,
    access_groups,
    access_show,
    access_sign,
    access_sign_delegation,
    access_templates,
    access_usage,
)
from cli.access_terms import (
    DEFAULT_PURPOSE,
    AllBecause,
    ConsumerDays,
    Days,
    Fields,
    From,
    Hidden,
    Hours,
    Keep,
    LegalBasis,
    Methods,
    Note,
    PerDay,
    Rate,
    RequestFields,
    begin_ms,
    narrowing,
    say_all_because,
)
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import listed, print_done, print_hint, print_line, print_next, when

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import AccessTerms, AllowAccessResponse, RequestAccessResponse

app = group("Ask for access, allow it, decide about it: by agreements that both sides sign.")

Consumer = Annotated[
    str, typer.Option("--consumer", metavar="SUBSYSTEM", help="Whose apps may call.")
]
Service = Annotated[
    str, typer.Option("--service", metavar="ID", help="The service, with its provider.")
]
Purpose = Annotated[
    list[str] | None,
    typer.Option(
        "--purpose",
        metavar="NAME",
        help=f"What for, in lower case; may be given several times. None: {DEFAULT_PURPOSE}.",
    ),
]
Basis = Annotated[
    LegalBasis,
    typer.Option(
        "--legal-basis",
        metavar="BASIS",
        case_sensitive=False,
        help=f"By which right: {', '.join(LegalBasis)}.",
    ),
]
Description = Annotated[
    str | None,
    typer.Option("--description", metavar="TEXT", help="The purpose in words; none: its name."),
]
Replaces = Annotated[
    str,
    typer.Option(
        "--renews", metavar="AGREEMENT", help="The agreement that this one takes the place of."
    ),
]
OnBehalfOf = Annotated[
    str,
    typer.Option(
        "--on-behalf-of",
        metavar="MEMBER",
        help="In whose name the consumer will call, by a delegation of that member's (simpul "
        "access delegations); of a request only.",
    ),
]
ForSigning = Annotated[
    Path | None,
    typer.Option(
        "--for-signing",
        metavar="FILE",
        help="Write what is to be signed to this new file, and propose nothing yet: for a member "
        "whose identity key is on another machine (simpul access sign, then import).",
    ),
]


Made: TypeAlias = "AllowAccessResponse | RequestAccessResponse"
# Sends terms, with a note, to the node of this home.
Propose = Callable[[Path, "AccessTerms", str], Made]


def _request(home: Path, terms: "AccessTerms", note: str) -> "RequestAccessResponse":
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    asked = admin_pb2.RequestAccessRequest(terms=terms, note=note)
    return ask_node(home, lambda stub: stub.RequestAccess(asked))


def _allow(home: Path, terms: "AccessTerms", note: str) -> "AllowAccessResponse":
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    offer = admin_pb2.AllowAccessRequest(terms=terms, note=note)
    return ask_node(home, lambda stub: stub.AllowAccess(offer))


def _proposing(propose: Propose, *, allows: bool) -> Callable[..., None]:
    """A command that says all terms of a new agreement: to ask for it, or to allow it."""

    def command(
        home: NodeHomeDir,
        consumer: Consumer,
        service: Service,
        method: Methods = None,
        field: Fields = None,
        request_field: RequestFields = None,
        all_because: AllBecause = None,
        purpose: Purpose = None,
        legal_basis: Basis = LegalBasis.PUBLIC_TASK,
        description: Description = None,
        rate: Rate = None,
        per_day: PerDay = None,
        hours: Hours = None,
        begins: From = None,
        days: Days = None,
        keep: Keep = None,
        consumer_days: ConsumerDays = None,
        hidden: Hidden = False,
        renews: Replaces = "",
        on_behalf_of: OnBehalfOf = "",
        note: Note = "",
        for_signing: ForSigning = None,
        as_json: AsJson = False,
    ) -> None:
        terms = narrowing(
            methods=method, fields=field, request_fields=request_field, rate=rate,
            per_day=per_day, hours=hours, days=days, keep=keep, consumer_days=consumer_days,
        )  # fmt: skip
        say_all_because(terms, all_because)
        _say_whole(terms, consumer, service, purpose, legal_basis, description)
        terms.valid_from_ms, terms.hidden_from_citizens = begin_ms(begins), hidden
        terms.replaces, terms.on_behalf_of = renews, on_behalf_of
        if for_signing is not None:
            access_sign.draft(home, terms, for_signing, allows=allows, as_json=as_json)
            return
        made = propose(home, terms, note)
        _print_made(made, as_json=as_json)
        if allows and not as_json and made.agreement.state == "active":
            first = made.agreement.methods[0] if made.agreement.methods else "METHOD"
            print_next(f"simpul call --home CONSUMERS_HOME {service} {first} -d '{{}}'")

    return command


app.command(
    "request",
    help="Ask a provider for access. Its operators decide: simpul access inbox, at their node.",
    epilog=examples(
        "simpul access request --home N --consumer ID/KEMENTERIAN/KOMDIGI/superapp"
        " --service ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata --method Get"
        " --field Get/island.name --purpose layanan-wisata --rate 10/s --days 90",
        "simpul access request --home N --consumer ID/DAERAH/61/portal --on-behalf-of"
        " ID/DAERAH/61.01 --service ID/KEMENTERIAN/KEMENPAR/katalog/wisata.v1.Wisata",
    ),
)(_proposing(_request, allows=False))
app.command(
    "allow",
    help="Make an agreement, sign it, and offer it to the consumer.\n\nWhere the consumer's node "
    "agrees by itself, calls are possible when this returns.",
    epilog=examples(
        "simpul access allow --home N --consumer ID/KEMENTERIAN/KOMDIGI/superapp"
        " --service ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata",
        "simpul access allow --home N --consumer ID/KEMENTERIAN/KOMDIGI/superapp"
        " --service ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata --method Get --method List"
        " --purpose layanan-wisata --legal-basis PUBLIC_TASK --days 90",
    ),
)(_proposing(_allow, allows=True))


def _say_whole(
    terms: "AccessTerms",
    consumer: str,
    service: str,
    purposes: list[str] | None,
    legal_basis: LegalBasis,
    description: str | None,
) -> None:
    from simpul.node.v1 import admin_pb2

    terms.consumer, terms.service_id = consumer, service
    terms.purposes.extend(
        admin_pb2.AccessPurpose(
            id=name,
            legal_basis=legal_basis.value,
            description=name if description is None else description,
        )
        for name in purposes or [DEFAULT_PURPOSE]
    )


def _print_made(made: Made, *, as_json: bool) -> None:
    if as_json:
        access_decide.print_agreement(made.agreement, made.untold, made.hints)
        return
    agreement = made.agreement
    print_line(agreement.agreement)
    print_done(
        f"{access_show.consumers(agreement)} may call {listed(agreement.methods)} until "
        f"{when(agreement.valid_until_ms)} ({agreement.state})"
    )
    access_decide.print_untold(made.untold)
    for hint in made.hints:
        print_hint(hint)


for _group in (
    access_decide.app, access_delegate.app, access_show.app, access_sign.app,
    access_sign_delegation.app, access_usage.app,
):  # fmt: skip
    app.registered_commands.extend(_group.registered_commands)

app.add_typer(access_groups.app, name="group")
app.add_typer(access_templates.app, name="template")
