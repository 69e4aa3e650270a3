"""`simpul node doctor`: which part doesn't work, why, and the command that mends it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.options import AsJson, NodeHomeDir, examples
from cli.output import print_hint, print_json, print_line, print_table

if TYPE_CHECKING:
    from node.doctor.examine import Running
    from node.doctor.model import Finding

MARKS = {"well": "✓", "warning": "!", "fault": "✗", "unknown": "?"}


def add_to(app: typer.Typer) -> None:
    """Adds the command to the group."""
    app.command(
        "doctor", epilog=examples("simpul node doctor --home N", "simpul node doctor --json")
    )(doctor)


def doctor(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Look at configuration, disk, keys, clock, registry, other nodes and services.

    Ends with 1 where something doesn't work, and with 0 where all works or only could be better.
    """
    from node.doctor.examine import examine
    from node.doctor.model import Health
    from node.home import NodeHome
    from runtime.clock import now_ms

    found = list(examine(NodeHome.open(home), os.environ, now_ms(), lambda: _ask(home)))
    bad = [item for item in found if item.health in {Health.FAULT, Health.UNKNOWN}]
    if as_json:
        print_json({"well": not bad, "findings": [_row(item) for item in found]})
    else:
        _print(found)
    if bad:
        raise typer.Exit(1)


def _ask(home: Path) -> "Running":
    from cli.admin import ask_node
    from node.doctor.examine import Running
    from node.doctor.model import raised, well
    from security.errors import SimpulError
    from simpul.node.v1 import admin_pb2

    try:
        status = ask_node(home, lambda stub: stub.Status(admin_pb2.StatusRequest()))
        listed = ask_node(home, lambda stub: stub.ListServices(admin_pb2.ListServicesRequest()))
    except SimpulError as error:
        return Running(raised("node", error), {})
    said = f"{status.workers_ready} workers serve, {len(status.links)} links are up"
    return Running(well("node", said), {item.id: item.target for item in listed.services})


def _row(item: "Finding") -> dict[str, object]:
    return {
        "what": item.what,
        "health": item.health.value,
        "said": item.said,
        "mend": item.mend or None,
        "code": None if item.code is None else item.code.value,
    }


def _print(found: "Iterable[Finding]") -> None:
    rows = list(found)
    print_table(
        ("", "WHAT", "HOW IT IS"),
        ((MARKS[item.health.value], item.what, item.said) for item in rows),
        empty="",
    )
    todo = [item for item in rows if item.mend]
    if not todo:
        print_hint("All is well.")
        return
    print_line("")
    for item in todo:
        code = "" if item.code is None else f" (simpul explain {item.code})"
        print_line(f"{item.what}: {item.mend}{code}")
