"""`simpul access`: who may call what, by agreements that both sides sign."""

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_json,
    print_line,
    print_next,
    print_table,
    to_dict,
    when,
)

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import Agreement

app = group("Allow others to call, by agreements that both sides sign.")

DEFAULT_PURPOSE = "layanan-publik"
DEFAULT_DAYS = 365
MAX_DAYS = 36_500


class LegalBasis(StrEnum):
    """Law 27/2022, article 20 (2); the names are those of the agreement's format."""

    CONSENT = "CONSENT"
    CONTRACT = "CONTRACT"
    LEGAL_DUTY = "LEGAL_DUTY"
    VITAL_INTEREST = "VITAL_INTEREST"
    PUBLIC_TASK = "PUBLIC_TASK"
    LEGITIMATE_INTEREST = "LEGITIMATE_INTEREST"


class Keeper(StrEnum):
    """Which nodes keep payloads and metadata; the names are those of the agreement's format."""

    NONE = "none"
    CONSUMER = "consumer"
    PROVIDER = "provider"
    BOTH = "both"


@app.command(
    "allow",
    epilog=examples(
        "simpul access allow --home N --consumer ID/KEMENTERIAN/KOMDIGI/superapp"
        " --service ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata",
        "simpul access allow --home N --consumer ID/KEMENTERIAN/KOMDIGI/superapp"
        " --service ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata --method Get --method List"
        " --purpose layanan-wisata --legal-basis PUBLIC_TASK --days 90",
    ),
)
def allow(
    home: NodeHomeDir,
    consumer: Annotated[str, typer.Option(metavar="SUBSYSTEM", help="Who may call.")],
    service: Annotated[str, typer.Option(metavar="ID", help="A service that this node publishes.")],
    method: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            help="Only this method; may be given several times. None: every method that the "
            "contract has today.",
        ),
    ] = None,
    purpose: Annotated[
        str, typer.Option(metavar="NAME", help="What for, in lower case.")
    ] = DEFAULT_PURPOSE,
    legal_basis: Annotated[
        LegalBasis,
        typer.Option(
            metavar="BASIS",
            case_sensitive=False,
            help=f"By which right: {', '.join(LegalBasis)}.",
        ),
    ] = LegalBasis.PUBLIC_TASK,
    description: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="The purpose in words; none: its name."),
    ] = None,
    keep: Annotated[
        Keeper,
        typer.Option(
            case_sensitive=False,
            help="Which node keeps the calls' messages and metadata, encrypted: none, consumer, "
            "provider or both.",
        ),
    ] = Keeper.NONE,
    days: Annotated[
        int, typer.Option(min=1, max=MAX_DAYS, help="How long it holds.")
    ] = DEFAULT_DAYS,
    as_json: AsJson = False,
) -> None:
    """Make an agreement, sign it, and have the consumer's node countersign it.

    The consumer's node must be running. Calls are possible when this returns.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    request = admin_pb2.AllowAccessRequest(
        consumer=consumer,
        service_id=service,
        methods=method or [],
        purpose=purpose,
        legal_basis=legal_basis.value,
        purpose_description=purpose if description is None else description,
        valid_days=days,
        keep=keep.name,
    )
    made = ask_node(home, lambda stub: stub.AllowAccess(request)).agreement
    if as_json:
        print_json(to_dict(made))
        return
    print_line(made.agreement)
    print_done(
        f"{consumer} may call {listed(made.methods)} until {when(made.valid_until_ms)}"
        f" ({made.state})"
    )
    first = made.methods[0] if made.methods else "METHOD"
    print_next(f"simpul call --home CONSUMERS_HOME {service} {first} -d '{{}}'")


@app.command("list", epilog=examples("simpul access list --home N", "simpul access list --json"))
def list_agreements(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List the agreements that this node holds, as provider or as consumer."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.ListAgreements(admin_pb2.ListAgreementsRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("AGREEMENT", "SIDE", "STATE", "CONSUMER", "SERVICE", "METHODS", "PURPOSES", "UNTIL"),
        _rows(answer.agreements),
        empty="No agreements: a provider makes one with simpul access allow",
    )


def _rows(agreements: "Iterable[Agreement]") -> Iterable[tuple[str, ...]]:
    for item in agreements:
        yield (
            item.agreement,
            item.side,
            item.state,
            listed(item.consumers),
            item.service if "/" in item.service else f"{item.provider}/{item.service}",
            listed(item.methods),
            listed(item.purposes),
            when(item.valid_until_ms),
        )
