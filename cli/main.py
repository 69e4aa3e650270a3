"""The `simpul` command: its groups of subcommands, and nothing else.

Each group is a file of this folder; what they share is in `options`, `output`, `admin` and
`boundary`. Modules that are slow to load are imported inside the commands that need them, so that
help and completion are quick.
"""

import importlib
from typing import Annotated, Any

import typer

from cli import (
    access,
    apps,
    call,
    catalogue,
    conformance,
    consent,
    contract,
    evidence,
    explain,
    gather,
    journal,
    member,
    node,
    purpose,
    registry,
    service,
)
from cli.boundary import Boundary
from cli.options import examples

# In the order in which a newcomer needs them.
ORDER = (
    "registry", "node", "member", "contract", "catalogue", "service", "purpose", "access",
    "consent", "app", "call", "journal", "evidence", "conformance", "explain", "demo",
)  # fmt: skip


class Root(Boundary):
    """The root command, with its groups in a useful order."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ANN401  (typer has no public name for it)
        """The names for the help."""
        return sorted(super().list_commands(ctx), key=_place)


def _place(name: str) -> int:
    return ORDER.index(name) if name in ORDER else len(ORDER)


app = typer.Typer(
    name="simpul",
    cls=Root,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "simpul registry init --home R --federation ID",
        "simpul node status --home N",
        "simpul explain ACCESS_NO_AGREEMENT",
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"simpul {version('simpul')}")
        raise typer.Exit


@app.callback()
def root(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
    _debug: Annotated[
        bool,
        typer.Option("--debug", envvar="SIMPUL_DEBUG", help="Show where an error came from."),
    ] = False,
) -> None:
    """Simpul: public bodies call each other's gRPC services, and can prove what was asked.

    Exit codes: 0 done, 1 refused or failed, 2 wrong usage.
    """


def _mount() -> None:
    app.add_typer(registry.app, name="registry")
    app.add_typer(node.app, name="node")
    app.add_typer(member.app, name="member")
    app.add_typer(contract.app, name="contract")
    app.add_typer(catalogue.app, name="catalogue")
    app.add_typer(service.app, name="service")
    app.add_typer(purpose.app, name="purpose")
    app.add_typer(access.app, name="access")
    app.add_typer(consent.app, name="consent")
    app.add_typer(apps.app, name="app")
    app.command("call", epilog=call.EPILOG)(call.call)
    app.add_typer(gather.app, name="gather")
    app.add_typer(journal.app, name="journal")
    app.add_typer(evidence.app, name="evidence")
    app.command("conformance", epilog=conformance.EPILOG)(conformance.conformance)
    app.command("explain", epilog=explain.EPILOG)(explain.explain)
    _mount_demo()


def _mount_demo() -> None:
    """The demo, where it is installed: it needs the examples, which a package may lack."""
    try:
        demo = importlib.import_module("cli.demo")
    except ModuleNotFoundError as error:
        if error.name == "cli.demo" or (error.name or "").startswith("examples"):
            return
        raise
    # A folder without its __init__.py is imported too, and empty.
    found = getattr(demo, "app", None)
    if found is not None:
        app.add_typer(found, name="demo")


_mount()


def main() -> None:
    """The entry point of the `simpul` command."""
    app(prog_name="simpul")


if __name__ == "__main__":
    main()
