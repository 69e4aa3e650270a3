"""`simpul registry replica`: what concerns a registry's home and database as a whole."""

import os
from pathlib import Path
from typing import Annotated

import typer

from cli.options import AsJson, RegistryHomeDir, examples
from cli.output import print_done, print_json, print_next, print_pairs


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `simpul registry`."""
    app.command("replica", epilog=examples("simpul registry replica R2 --home R"))(replica)


def replica(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="The replica's home; a new folder.")],
    home: RegistryHomeDir,
    as_json: AsJson = False,
) -> None:
    """Make a second home of this registry, for another process on the same PostgreSQL.

    It has the same keys: carry it to its machine as you would carry them. Either may stop at any
    time. Nodes go to the other where they are told both addresses (grpc.public and
    directory.public_url, with commas between).
    """
    from registry import config
    from registry import replica as replicas
    from registry.home import RegistryHome

    made = replicas.create(RegistryHome.open(home), path, os.environ)
    settings = config.load(made.settings_file, os.environ)
    row = {
        "home": str(made.path),
        "grpc": str(settings.grpc.listen),
        "directory": str(settings.directory.listen),
    }
    if as_json:
        print_json(row)
        return
    print_pairs(row.items())
    print_done("made: it holds the registry's keys, so keep the folder to yourself")
    print_next(f"simpul registry serve --home {path}")
