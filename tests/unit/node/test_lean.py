"""What a node's processes load: every module stays in memory for as long as they run."""

import os
import subprocess
import sys

import pytest

# Loaded where it is needed: for a migration, at a command, for another process's work.
WORKER = (
    "sqlmodel", "sqlalchemy.orm", "alembic", "tuf", "typer", "cli", "urllib3", "psycopg",
    "opentelemetry", "rfc3161_client", "node.supervisor", "node.store",
)  # fmt: skip
SUPERVISOR = (
    "alembic", "cli", "typer", "psycopg", "obstore", "opentelemetry", "node.worker",
    "node.gateway.asgi", "node.link.link",
)  # fmt: skip


@pytest.mark.parametrize(
    ("program", "without"), [("node.entry", WORKER), ("node.supervisor", SUPERVISOR)]
)
def test_a_process_loads_what_it_needs(program: str, without: tuple[str, ...]) -> None:
    code = f"import {program}, sys; print(*sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    loaded = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
    ).stdout.split()
    assert program in loaded
    assert [name for name in without if name in loaded] == []
