"""`simpul node`: the program that an agency runs."""

from typing import TYPE_CHECKING

from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    listed,
    print_json,
    print_pairs,
    print_table,
    to_dict,
    when,
)

if TYPE_CHECKING:
    from simpul.node.v1.admin_pb2 import StatusResponse

app = group("Set up a node, run it, and see how it does.")


@app.command("serve", epilog=examples("simpul node serve --home N"))
def serve(home: NodeHomeDir) -> None:
    """Run the node until it is stopped (Ctrl-C or SIGTERM)."""
    from node.supervisor import serve as serve_node

    serve_node(home)


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
