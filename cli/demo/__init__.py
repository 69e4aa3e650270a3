"""`simpul demo`: a federation on this machine, with real data.

It needs the `examples` folder, which a checkout has and an installed package lacks.
"""

import asyncio
import contextlib
import os
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any

import typer

import examples as _examples
from cli.options import AsJson, examples, group
from cli.output import print_done, print_hint, print_json, print_next, refusal
from security.errors import Code

__all__ = ["app"]

# Imported so that a package without them is told apart where the groups are mounted.
_ = _examples

app = group("Run a federation on this machine: a registry, nodes, services with real data.")

MIN_NODES = 3
DEFAULT_NODES = 6
EXIT_FAILED = 1

Nodes = Annotated[
    int,
    typer.Option(
        min=MIN_NODES,
        metavar="N",
        help="How many nodes: the super app's ministry, the transport ministry, and regencies.",
    ),
]


@app.command(
    "up",
    epilog=examples(
        "simpul demo up --home /tmp/fed",
        "simpul demo up --home /tmp/fed --nodes 12",
        "simpul call --home /tmp/fed/komdigi-1 ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata List"
        " -d '{\"limit\": 3}'",
    ),
)
def up(
    home: Annotated[
        Path,
        typer.Option(
            "--home",
            envvar="SIMPUL_HOME",
            metavar="DIR",
            help="A new or empty folder, for everything.",
        ),
    ],
    nodes: Nodes = DEFAULT_NODES,
    as_json: AsJson = False,
) -> None:
    """Keep a federation running in the foreground until Ctrl-C or SIGTERM.

    When all is up, HOME/federation.json says where everything is. Further nodes, members and
    services can be added with the ordinary commands.
    """
    _until_stopped(_up(home, nodes, as_json))


@app.command("run", epilog=examples("simpul demo run", "simpul demo run --nodes 3 --json"))
def run(
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            metavar="DIR",
            help="A new or empty folder, which is kept; none: one that is removed at the end.",
        ),
    ] = None,
    nodes: Nodes = DEFAULT_NODES,
    as_json: AsJson = False,
) -> None:
    """Bring a federation up, exchange real data, check every step, and stop it.

    Exits with 0 only if every check passed.
    """
    with contextlib.ExitStack() as stack:
        if home is None:
            # A short path: sockets have room for about a hundred bytes.
            parent = "/tmp" if Path("/tmp").is_dir() else None  # noqa: S108  (a folder of its own)
            home = Path(
                stack.enter_context(tempfile.TemporaryDirectory(prefix="simpul-", dir=parent))
            )
        passed = _until_stopped(_run(home, nodes, as_json))
    # None: it was stopped before it had checked all.
    if not passed:
        raise typer.Exit(EXIT_FAILED)


async def _up(home: Path, nodes: int, as_json: bool) -> None:
    from cli.demo.cast import KOMDIGI
    from cli.demo.federation import running

    loop = asyncio.get_running_loop()
    began_s = loop.time()
    async with running(home, _cast(nodes), print_done) as federation:
        took_s = loop.time() - began_s
        federation.children.on_end = lambda child: print_hint(
            f"{child.name} ended with status {child.process.returncode}: see {child.log}"
        )
        if as_json:
            print_json(federation.document())
        print_done(f"all is up after {took_s:.1f} s: {federation.home / 'federation.json'}")
        first = federation.providers[0].who.service_id
        print_next(
            f"simpul call --home {federation.consumer.home} {first} List -d '{{\"limit\": 3}}'",
            f"simpul journal list --home {federation.home / KOMDIGI.node}",
        )
        print_hint("Ctrl-C stops every process.")
        await asyncio.Event().wait()


async def _run(home: Path, nodes: int, as_json: bool) -> bool:
    from cli.demo.run import run_demo

    return await run_demo(home, _cast(nodes), as_json=as_json)


def _cast(nodes: int) -> "tuple[Any, ...]":
    from cli.demo.cast import participants

    try:
        return participants(nodes)
    except ValueError as error:
        raise refusal(Code.CONFIG_INVALID, f"--nodes {nodes}: {error}") from error


def _until_stopped(work: Coroutine[Any, Any, bool | None]) -> bool | None:
    """Runs `work`; Ctrl-C and SIGTERM cancel it, so that it stops what it started.

    Returns what it returns, None where it was stopped.
    """
    # Connections that end, as all do here, are no news; it is read when grpc is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")

    async def main() -> bool | None:
        task = asyncio.ensure_future(work)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, task.cancel)
        try:
            return await task
        except asyncio.CancelledError:
            sys.stderr.write("stopped\n")
            return None
        except BaseExceptionGroup as errors:
            # Several things were under way; the first that failed is what matters.
            raise _first(errors) from None

    return asyncio.run(main())


def _first(errors: BaseExceptionGroup[BaseException]) -> BaseException:
    found = errors.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
