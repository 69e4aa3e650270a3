"""Arguments and options that the registry's commands share."""

from typing import Annotated

import typer

MemberArgument = Annotated[
    str, typer.Argument(metavar="MEMBER", help="The member's id: ID/DAERAH/53.15.")
]
LegalName = Annotated[
    str | None, typer.Option("--name", metavar="TEXT", help="The member's legal name.")
]
Regions = Annotated[
    list[str] | None,
    typer.Option(
        "--region",
        metavar="CODE",
        help="A region code it speaks for: 53.15; may be given several times.",
    ),
]
Reason = Annotated[
    str, typer.Option("--reason", metavar="TEXT", help="Why: kept in the history, and told.")
]
NodeArgument = Annotated[
    str, typer.Argument(metavar="NODE", help="The node's id: ID/~labuan-bajo-1.")
]
SubsystemArgument = Annotated[
    str,
    typer.Argument(metavar="SUBSYSTEM", help="The subsystem's id: ID/DAERAH/53.15/pariwisata."),
]
Apply = Annotated[
    bool,
    typer.Option("--apply", help="Only apply: it is published when it was reviewed and approved."),
]
