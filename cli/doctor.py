"""`simpul node doctor` and `simpul registry doctor`: which part fails, why, and what mends it."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from cli.options import AsJson, NodeHomeDir, RegistryHomeDir, examples
from cli.output import print_hint, print_json, print_line, print_table

if TYPE_CHECKING:
    from node.doctor.examine import Running
    from runtime.doctor.findings import Finding

MARKS = {"well": "✓", "warning": "!", "fault": "✗", "unknown": "?"}


def add_to_node(app: typer.Typer) -> None:
    """Adds the node's doctor to its group."""
    app.command(
        "doctor", epilog=examples("simpul node doctor --home N", "simpul node doctor --json")
    )(node_doctor)


def add_to_registry(app: typer.Typer) -> None:
    """Adds the registry's doctor to its group."""
    app.command(
        "doctor",
        epilog=examples("simpul registry doctor --home R", "simpul registry doctor --json"),
    )(registry_doctor)


def node_doctor(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Look at configuration, disk, keys, clock, registry, other nodes and services.

    Ends with 1 where something doesn't work, and with 0 where all works or only could be better.
    """
    from node.doctor.examine import examine
    from node.home import NodeHome
    from runtime.clock import now_ms

    _tell(examine(NodeHome.open(home), os.environ, now_ms(), lambda: _ask(home)), as_json=as_json)


def registry_doctor(home: RegistryHomeDir, as_json: AsJson = False) -> None:
    """Look at configuration, disk, database, directory, keys, certificates and nodes.

    Ends with 1 where something doesn't work, and with 0 where all works or only could be better.
    """
    from registry.doctor.examine import examine
    from registry.home import RegistryHome
    from runtime.clock import now_ms

    place = RegistryHome.open(home)
    _tell(examine(place, os.environ, now_ms(), lambda: _ask_registry(home)), as_json=as_json)


def _tell(findings: "Iterable[Finding]", *, as_json: bool) -> None:
    from runtime.doctor.findings import Health

    found = list(findings)
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
    from runtime.doctor.findings import raised, well
    from security.errors import SimpulError
    from simpul.node.v1 import admin_pb2

    try:
        status = ask_node(home, lambda stub: stub.Status(admin_pb2.StatusRequest()))
        listed = ask_node(home, lambda stub: stub.ListServices(admin_pb2.ListServicesRequest()))
    except SimpulError as error:
        return Running(raised("node", error), {})
    said = f"{status.workers_ready} workers serve, {len(status.links)} links are up"
    return Running(well("node", said), {item.id: item.target for item in listed.services})


def _ask_registry(home: Path) -> "Finding":
    from cli.admin import ask_registry
    from runtime.doctor.findings import raised, well
    from security.errors import SimpulError
    from simpul.registry.v1 import admin_pb2

    try:
        status = ask_registry(home, lambda stub: stub.Status(admin_pb2.StatusRequest()))
    except SimpulError as error:
        return raised("registry", error)
    return well("registry", f"it runs: {status.members} members, {status.nodes} nodes")


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
