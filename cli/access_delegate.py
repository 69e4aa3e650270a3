"""`simpul access delegate`, `undelegate`, `delegations`: who may act for whom."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import access_sign_delegation
from cli.access_decide import Reason, print_untold
from cli.access_terms import Days, From, begin_ms
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_json,
    print_line,
    print_table,
    refusal,
    to_dict,
    when,
)
from security.errors import Code

if TYPE_CHECKING:
    from collections.abc import Iterable

    from simpul.node.v1.admin_pb2 import DelegatedAccess

ForSigning = Annotated[
    Path | None,
    typer.Option(
        "--for-signing",
        metavar="FILE",
        help="Write what is to be signed to this new file, and give nothing yet: for a member "
        "whose identity key is on another machine (simpul access sign-delegation, then "
        "import-delegation).",
    ),
]

app = group("Let another member act for one of this node's.")


@app.command(
    "delegate",
    epilog=examples(
        "simpul access delegate --home N --to ID/DAERAH/61"
        " --service ID/KEMENTERIAN/KEMENPAR/katalog/wisata.v1.Wisata --method Get"
        " --purpose layanan-wisata --days 90",
    ),
)
def delegate(
    home: NodeHomeDir,
    to: Annotated[str, typer.Option("--to", metavar="MEMBER", help="Who may act.")],
    service: Annotated[
        list[str],
        typer.Option(
            "--service",
            metavar="ID",
            help="What it may call, with the provider; may be given several times.",
        ),
    ],
    purpose: Annotated[
        list[str],
        typer.Option(
            "--purpose", metavar="NAME", help="What for, in lower case; may be given several times."
        ),
    ],
    method: Annotated[
        list[str] | None,
        typer.Option(
            "--method",
            metavar="NAME",
            help="Only this method, of one service; may be given several times. None: every method "
            "that the contracts have today.",
        ),
    ] = None,
    begins: From = None,
    days: Days = None,
    member: Annotated[
        str,
        typer.Option("--member", metavar="MEMBER", help="For whom. None: this node's only one."),
    ] = "",
    for_signing: ForSigning = None,
    as_json: AsJson = False,
) -> None:
    """Let another member ask for access, and call, in the name of one of this node's.

    It is signed by the identity key of the one acted for; the other acts with its own key, by
    agreements that name both and lie within these bounds, and may let nobody else act.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    if method and len(service) != 1:
        raise refusal(
            Code.REQUEST_MALFORMED,
            "--method is of one service: give several delegations for methods of several services",
        )
    request = admin_pb2.DelegateAccessRequest(
        delegator=member,
        delegate=to,
        services=[admin_pb2.DelegatedAccess(service_id=id_, methods=method) for id_ in service],
        purposes=purpose,
        valid_from_ms=begin_ms(begins),
        valid_days=days or 0,
    )
    if for_signing is not None:
        access_sign_delegation.draft(home, request, for_signing, as_json=as_json)
        return
    made = ask_node(home, lambda stub: stub.DelegateAccess(request))
    access_sign_delegation.print_given(made.delegation, made.untold, as_json=as_json)


@app.command(
    "undelegate",
    epilog=examples("simpul access undelegate 7c01be --home N --reason 'the contract is over'"),
)
def undelegate(
    delegation: Annotated[
        str,
        typer.Argument(
            metavar="DELEGATION", help="Its hash, or the first six letters of it or more."
        ),
    ],
    home: NodeHomeDir,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """End a delegation for good, alone and at once.

    The delegate and the providers are told; calls by it are refused there from then on, and those
    under way end.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.EndDelegationRequest(delegation=delegation, reason=reason)
    made = ask_node(home, lambda stub: stub.EndDelegation(request))
    if as_json:
        access_sign_delegation.print_as_json(made.delegation, made.untold)
        return
    over = made.delegation
    print_line(over.delegation)
    print_done(f"revoked: {over.delegate} may no longer act for {over.delegator} by this")
    print_untold(made.untold)


@app.command(
    "delegations",
    epilog=examples("simpul access delegations --home N", "simpul access delegations --json"),
)
def delegations(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List who may act for whom, as this node knows it, and what rests on it."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.ListDelegations(admin_pb2.ListDelegationsRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        (
            "DELEGATION", "SIDE", "STATE", "DELEGATOR", "DELEGATE", "MAY CALL", "PURPOSES",
            "UNTIL", "AGREEMENTS",
        ),
        (
            (
                item.delegation[:12], item.side,
                item.state if not item.reason else f"{item.state}: {item.reason}",
                item.delegator, item.delegate, _services(item.services), listed(item.purposes),
                when(item.valid_until_ms), listed(hash_[:12] for hash_ in item.agreements),
            )
            for item in answer.delegations
        ),
        empty="No delegations: give one with simpul access delegate",
    )  # fmt: skip


def _services(services: "Iterable[DelegatedAccess]") -> str:
    return ", ".join(f"{item.service_id} ({', '.join(item.methods)})" for item in services)
