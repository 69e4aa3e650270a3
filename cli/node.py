"""`simpul node`: the program that an agency runs."""

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_done,
    print_hint,
    print_json,
    print_next,
    print_pairs,
    print_table,
    refusal,
    to_dict,
    when,
)
from security.errors import Code

if TYPE_CHECKING:
    from node.enrol import Enrolled
    from simpul.node.v1.admin_pb2 import StatusResponse

app = group("Set up a node, run it, and see how it does.")


MAX_ROOT_BYTES = 1024 * 1024


@app.command(
    "init",
    epilog=examples(
        "simpul node init --home N --registry 127.0.0.1:8440 --root root.json --token TOKEN",
        "simpul node init --home N --registry registry.example.go.id:8440 --root root.json"
        " --token TOKEN --listen 0.0.0.0:8442 --advertise node.example.go.id:8442",
    ),
)
def init(
    home: NodeHomeDir,
    registry: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="The registry's gRPC address.")
    ],
    root: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            exists=True,
            dir_okay=False,
            readable=True,
            help="The federation's root.json, from the registry's operator.",
        ),
    ],
    token: Annotated[
        str,
        typer.Option(
            metavar="TOKEN",
            envvar="SIMPUL_ENROLMENT_TOKEN",
            help="The one-time token, from the registry's operator.",
        ),
    ],
    listen: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT",
            help="Where other nodes connect; none: port 8442, or a free one on loopback.",
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="The same, as other nodes see it; none: as it is here."
        ),
    ] = None,
    gateway: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="Where apps connect; none: port 8441, or a free one."),
    ] = None,
    metrics: Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT", help="Where Prometheus reads; none: port 8443, or a free one."
        ),
    ] = None,
    slots: Annotated[
        int | None,
        typer.Option(min=1, help="Journals, which bound the workers; none: as many as cores."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Make a node's keys and join it to a federation.

    Compare the fingerprint that is shown with the registry's operator, by voice.
    """
    from cli.addresses import choose
    from node.enrol import EnrolOptions, enrol
    from runtime.clock import now_ms

    found = choose(registry, listen=listen, advertise=advertise, gateway=gateway, metrics=metrics)
    options = EnrolOptions(
        home=home,
        registry=registry,
        root=_read_root(root),
        token=token,
        slots=(os.cpu_count() or 1) if slots is None else slots,
        link_listen=found.listen,
        link_advertise=found.advertise,
        gateway_listen=found.gateway,
        metrics_listen=found.metrics,
    )
    joined = asyncio.run(enrol(options, now_ms))
    row = _joined(joined, found.gateway, found.advertise)
    if as_json:
        print_json(row)
        return
    shown = ("node", "member", "gateway", "link", "fingerprint")
    print_pairs((name, str(row[name])) for name in shown)
    print_done("joined: compare the fingerprint with the registry's operator, by voice")
    if joined.fault is not None:
        print_hint(f"The directory is not here yet, it comes at the start: {joined.fault.message}")
    print_next(f"simpul node serve --home {home}")


@app.command("serve", epilog=examples("simpul node serve --home N"))
def serve(home: NodeHomeDir) -> None:
    """Run the node until it is stopped (Ctrl-C or SIGTERM)."""
    from node.supervisor import serve as serve_node

    asyncio.run(serve_node(home))


@app.command("status", epilog=examples("simpul node status --home N", "simpul node status --json"))
def status(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Show the node's addresses, its directory, its workers and its links."""
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    answer = ask_node(home, lambda stub: stub.Status(admin_pb2.StatusRequest()))
    if as_json:
        print_json(to_dict(answer))
        return
    _print_status(answer)


def _print_status(answer: "StatusResponse") -> None:
    print_pairs(
        (
            ("node", answer.node),
            ("members", listed(answer.members)),
            ("gateway", answer.gateway),
            ("link", answer.link),
            ("metrics", answer.metrics or "-"),
            ("directory", f"version {answer.directory_version}"),
            ("issued", when(answer.directory_issued_at_ms)),
            ("workers", f"{answer.workers_ready} ready"),
            ("links", str(len(answer.links))),
        )
    )
    if not answer.links:
        return
    print_table(
        ("PEER", "DIALLED BY", "SENT", "RECEIVED", "LINK_ID"),
        (
            (
                link.peer,
                "us" if link.dialled else "them",
                str(link.parcels_sent),
                str(link.parcels_received),
                link.link_id.hex(),
            )
            for link in answer.links
        ),
        empty="",
    )


def _joined(joined: "Enrolled", gateway: str, link: str) -> dict[str, object]:
    return {
        "node": str(joined.token.node),
        "member": str(joined.token.member),
        "home": str(joined.home.path),
        "gateway": gateway,
        "link": link,
        "fingerprint": joined.fingerprint,
        "directory_version": None if joined.generation is None else joined.generation.version,
    }


def _read_root(file: Path) -> bytes:
    with file.open("rb") as opened:
        data = opened.read(MAX_ROOT_BYTES + 1)
    if not data or len(data) > MAX_ROOT_BYTES:
        raise refusal(
            Code.ROOT_MISMATCH, f"{file} is empty or over {MAX_ROOT_BYTES} bytes: no root.json"
        )
    return data
