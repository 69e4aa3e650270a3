"""Options that many commands share, and the form of the examples under a command's help."""

from pathlib import Path
from typing import Annotated

import typer

# What an option says for standard input.
STDIN = "-"

NodeHomeDir = Annotated[
    Path,
    typer.Option("--home", envvar="SIMPUL_HOME", metavar="DIR", help="The node's home folder."),
]
RegistryHomeDir = Annotated[
    Path,
    typer.Option("--home", envvar="SIMPUL_HOME", metavar="DIR", help="The registry's home folder."),
]
AsJson = Annotated[
    bool, typer.Option("--json", help="Print JSON with stable keys, and nothing else, on stdout.")
]


def examples(*commands: str) -> str:
    """An epilog: `Examples:` and one command a line."""
    # The mark keeps the lines as they are: they are there to be copied.
    return "\b\nExamples:\n" + "\n".join(f"  {command}" for command in commands)


def group(help_text: str) -> typer.Typer:
    """A group of subcommands; alone it prints its help."""
    return typer.Typer(
        help=help_text, no_args_is_help=True, add_completion=False, rich_markup_mode=None
    )
