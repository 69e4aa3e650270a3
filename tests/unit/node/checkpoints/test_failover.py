"""A journal in PostgreSQL, and a fail-over to a database that lacks what was signed already."""

from pathlib import Path
from urllib.parse import urlsplit

import psycopg
import pytest

from node.journal.place import PostgresPlace
from security.errors import Code
from tests.support.postgres import new_database, server
from tests.unit.node.checkpoints.support import Place
from tests.unit.node.checkpoints.test_keeper import round_of


def ran(*commands: str) -> None:
    with psycopg.connect(server().get_uri(), autocommit=True) as connection:
        for command in commands:
            connection.execute(command.encode())


def name(database: PostgresPlace) -> str:
    return urlsplit(str(database)).path[1:]


def end_sessions(of: str) -> str:
    return (
        "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "  # noqa: S608 - our own name
        f"WHERE datname = '{of}'"
    )


def replica(database: PostgresPlace) -> str:
    """A copy as of now, which follows no further."""
    of = name(database)
    ran(end_sessions(of), f"CREATE DATABASE {of}_behind TEMPLATE {of}")
    return f"{of}_behind"


def fail_over(database: PostgresPlace, behind: str) -> None:
    """From now on the copy answers at the same address. Sessions have ended."""
    of = name(database)
    ran(
        end_sessions(of),
        f"ALTER DATABASE {of} RENAME TO {of}_lost",
        f"ALTER DATABASE {behind} RENAME TO {of}",
    )


@pytest.mark.parametrize("grown", [0, 2, 9])
def test_a_database_that_is_behind_is_noticed_before_anything_is_signed(
    tmp_path: Path, grown: int
) -> None:
    """Also where it has grown since, to less or more than was signed."""
    database = new_database()
    place = Place(tmp_path / "node", database=database)
    place.grow(3)
    keeper = place.start()
    round_of(place, keeper)
    behind = replica(database)
    place.grow(4)
    # The first round meets sessions that have ended.
    for _ in range(2):
        round_of(place, keeper)
    before = place.latest.load(0)
    assert before is not None
    assert before.checkpoint.size == 7
    fail_over(database, behind)
    if grown:
        place.grow(grown)
    for _ in range(3):
        round_of(place, keeper)
    assert keeper.refusal is not None
    assert keeper.refusal.code is Code.JOURNAL_RESTORED_OR_FORKED
    assert place.latest.load(0) == before
    (witness,) = place.view.policy.oversight.witnesses
    known = place.witnesses.latest(witness, before.checkpoint.origin)
    assert known is not None
    assert known.checkpoint == before.checkpoint
