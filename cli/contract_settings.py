"""What an operator says of a contract: the options, and the terms that they become."""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import refusal
from security.errors import Code

if TYPE_CHECKING:
    from security.regions import Choice
    from simpul.node.v1 import admin_pb2
    from simpul.v1 import directory_pb2

Title = Annotated[str | None, typer.Option(metavar="TEXT", help="For people.")]
Steward = Annotated[
    str | None, typer.Option(metavar="OFFICE", help="The office that answers questions.")
]
Maturity = Annotated[
    str | None,
    typer.Option(metavar="WORD", help="draft, trial, recommended or retired; draft at first."),
]
Regions = Annotated[
    str | None,
    typer.Option(
        metavar="CODES", help="For whose members and calls by region it is, 53,53.15; empty: all."
    ),
]
Licence = Annotated[str | None, typer.Option(metavar="SPDX", help="As in CC-BY-4.0.")]
Successor = Annotated[
    str | None, typer.Option(metavar="PACKAGE", help="What takes its place, as in wisata.v2.")
]


def settings(
    title: str | None,
    steward: str | None,
    maturity: str | None,
    regions: str | None,
    licence: str | None,
) -> "admin_pb2.ContractSettings":
    """What was said; what wasn't stays as it is."""
    from simpul.node.v1 import admin_pb2

    return admin_pb2.ContractSettings(
        title=title, steward=steward, maturity=maturity, regions=regions, licence=licence
    )


def rules_for(
    shown: "admin_pb2.ShowContractResponse",
    services: Sequence[str],
    enclosing: bool | None,
    choice: str | None,
) -> "Iterator[directory_pb2.ServiceRules]":
    """The rules of services by region, of which one part may stay as it is.

    Raises:
        SimpulError: CHANGE_INVALID for a choice that is none; PROTOSET_LACKS_SERVICE.
    """
    from security.regions import Choice, RegionRules, read_region_rules
    from simpul.v1 import directory_pb2

    card = shown.contract.card
    all_of_it = [item.service for item in card.revisions[-1].services]
    on_card = {
        item.service: RegionRules(
            item.regions.enclosing, Choice(max(item.regions.choice, Choice.ONE))
        )
        for item in card.terms.rules
    }
    for service in services or all_of_it:
        if service not in all_of_it:
            raise refusal(
                Code.PROTOSET_LACKS_SERVICE,
                f"{card.package} has no service {service}; it has {', '.join(all_of_it)}",
            )
        before = on_card.get(service) or read_region_rules(shown.descriptor_set, service)
        rules = RegionRules(
            before.enclosing if enclosing is None else enclosing,
            before.choice if choice is None else _choice(choice),
        )
        yield directory_pb2.ServiceRules(service=service, regions=rules.to_proto())


def _choice(text: str) -> "Choice":
    from security.regions import Choice

    try:
        return Choice[text.upper().replace("-", "_").replace(" ", "_")]
    except KeyError:
        words = ", ".join(item.name.lower().replace("_", "-") for item in Choice)
        raise refusal(
            Code.CHANGE_INVALID, f"{text!r} is no way to choose: it is one of {words}"
        ) from None
