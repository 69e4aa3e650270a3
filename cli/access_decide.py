"""`simpul access approve`, `decline`, `withdraw`, `revoke`: what an operator decides."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from cli.access_terms import (
    ConsumerDays,
    Days,
    Fields,
    Hours,
    Keep,
    Methods,
    Note,
    PerDay,
    Rate,
    RequestFields,
    narrowing,
)
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import print_done, print_hint, print_json, print_line, refusal, to_dict
from security.errors import Code

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import (
        AccessTerms,
        Agreement,
        DecideAgreementResponse,
        Untold,
    )

app = group("Decide about agreements.")

AgreementArgument = Annotated[
    str,
    typer.Argument(metavar="AGREEMENT", help="Its hash, or the first six letters of it or more."),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why; the other side is told.")
]
Narrow = Annotated[
    bool,
    typer.Option(
        "--narrow",
        help="Offer less than what was asked for: what the other options name, the rest as asked.",
    ),
]


@app.command(
    "approve",
    epilog=examples(
        "simpul access approve 3f9a20 --home N",
        "simpul access approve 3f9a20 --home N --narrow --method Get --field Get/island.name"
        " --rate 2/s --note 'names are enough'",
    ),
)
def approve(
    agreement: AgreementArgument,
    home: NodeHomeDir,
    narrow: Narrow = False,
    method: Methods = None,
    field: Fields = None,
    request_field: RequestFields = None,
    purpose: Annotated[
        list[str] | None,
        typer.Option("--purpose", metavar="NAME", help="Only this purpose of those asked for."),
    ] = None,
    rate: Rate = None,
    per_day: PerDay = None,
    hours: Hours = None,
    days: Days = None,
    keep: Keep = None,
    consumer_days: ConsumerDays = None,
    note: Note = "",
    as_json: AsJson = False,
) -> None:
    """Sign what the other side proposed; or, with --narrow, offer less.

    A counter-offer may only be narrower than the request; the consumer's operators accept it, or
    its node does by itself.
    """
    from simpul.node.v1 import admin_pb2

    terms = narrowing(
        methods=method, fields=field, request_fields=request_field, rate=rate, per_day=per_day,
        hours=hours, days=days, keep=keep, consumer_days=consumer_days,
    )  # fmt: skip
    terms.purposes.extend(
        admin_pb2.AccessPurpose(id=name, legal_basis="PUBLIC_TASK") for name in purpose or []
    )
    if narrow != (terms != admin_pb2.AccessTerms()):
        raise refusal(
            Code.REQUEST_MALFORMED,
            "terms are given without --narrow: with it, they make a counter-offer"
            if not narrow
            else "--narrow names nothing that would be less: give --method, --field, --rate ...",
        )
    made = _decide(home, agreement, "counter" if narrow else "accept", note, terms)
    _print_decided(made, "offered" if narrow else "signed", as_json=as_json)


@app.command(
    "decline", epilog=examples("simpul access decline 3f9a20 --home N --reason 'no legal basis'")
)
def decline(
    agreement: AgreementArgument, home: NodeHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Say no to what the other side proposed."""
    _print_decided(_decide(home, agreement, "decline", reason), "declined", as_json=as_json)


@app.command("withdraw", epilog=examples("simpul access withdraw 3f9a20 --home N"))
def withdraw(
    agreement: AgreementArgument, home: NodeHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """Take back what this side proposed."""
    _print_decided(_decide(home, agreement, "withdraw", reason), "withdrawn", as_json=as_json)


@app.command(
    "revoke", epilog=examples("simpul access revoke 3f9a20 --home N --reason 'no longer needed'")
)
def revoke(
    agreement: AgreementArgument, home: NodeHomeDir, reason: Reason = "", as_json: AsJson = False
) -> None:
    """End an agreement for good, alone and at once.

    New calls are refused here when this returns, and calls under way end. The other side is told.
    """
    _print_decided(_decide(home, agreement, "revoke", reason), "revoked", as_json=as_json)


def print_agreement(agreement: "Agreement", untold: "Untold", hints: Iterable[str] = ()) -> None:
    """An agreement as JSON, with why the other side has not heard of it, if so, and hints."""
    said = to_dict(untold) if untold.code else None
    print_json({**to_dict(agreement), "untold": said, "hints": list(hints)})


def print_untold(untold: "Untold") -> None:
    """Say where the other side has not heard of it yet."""
    if untold.code:
        print_hint(
            f"The other side has not heard of it yet ({untold.code}: {untold.message}). "
            "This node tries again by itself."
        )


def _decide(
    home: NodeHomeDir,
    agreement: str,
    decision: str,
    reason: str,
    terms: "AccessTerms | None" = None,
) -> "DecideAgreementResponse":
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.DecideAgreementRequest(
        agreement=agreement, decision=decision, reason=reason, terms=terms
    )
    return ask_node(home, lambda stub: stub.DecideAgreement(request))


def _print_decided(made: "DecideAgreementResponse", what: str, *, as_json: bool) -> None:
    if as_json:
        print_agreement(made.agreement, made.untold)
        return
    print_line(made.agreement.agreement)
    print_done(f"{what}: {made.agreement.agreement[:12]} is {made.agreement.state}")
    print_untold(made.untold)
