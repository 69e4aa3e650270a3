"""Two nodes that compare their records: equal, then one has lost a parcel, then was restored.

What was sealed within two minutes may be under way and is not compared. So both nodes are started
again with supervisors whose clock is a day ahead, and compare what was sealed before that. Their
workers' clock is as it was.
"""

import shutil
import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from tests.scenario.harness import (
    GET_KOMODO,
    WISATA,
    Federation,
    call,
    done,
    refused,
    serving,
    simpul,
    until,
)
from tests.scenario.test_processes import Regency
from tests.scenario.test_starting import DAYS_LATER

CALLS = 10
LATER = {"PYTHONPATH": str(DAYS_LATER), "TEST_DAYS_LATER": "1"}
ASKING, ASKED = "ID/~asking-1", "ID/~asked-1"


def test_two_records_are_compared_and_what_one_lost_is_named(
    federation: Federation, home: Path
) -> None:
    asking = Regency(federation, home / "a", "53.01", "asking-1")
    asked = Regency(federation, home / "b", "53.02", "asked-1")
    backup = home / "backup.db"
    with (
        serving(asked.home, home / "asked.log"),
        serving(asking.home, home / "asking.log") as (node, _),
    ):
        token = _introduced(asking, asked)
        _call(node.gateway, asked, token)
        _back_up(asked.home, backup)
        for _ in range(CALLS):
            _call(node.gateway, asked, token)

    until_then = ("--since", "2h", "--until", datetime.now(UTC).isoformat())

    with serving(asking.home, home / "asking.later.log", **LATER) as (node, _):
        with serving(asked.home, home / "asked.later.log", **LATER):
            report = _compared(asking, ASKED, until_then)
            # An offer and 11 calls, with two parcels each.
            assert report["parcels"] >= 2 * (CALLS + 2)
            assert (_found(report), report["more"]) == ([], False)
            ran = done("journal", "reconcile", ASKING, "--home", asked.home, *until_then)
            assert "no record was lost" in ran.err
            refused("NODE_UNKNOWN", "journal", "reconcile", "ID/~nobody", "--home", asked.home)
            refused("REQUEST_MALFORMED", "journal", "reconcile", ASKED, "--home", asked.home)

        gone = _lose_a_parcel(asked.home)
        with serving(asked.home, home / "asked.lost.log", **LATER):
            (found,) = _differences(asking, ASKED, until_then)
            assert (found["finding"], found["header_hash_here"]) == ("missing there", gone)
            (found,) = _differences(asked, ASKING, until_then)
            assert (found["finding"], found["header_hash_there"]) == ("missing here", gone)

        for suffix in ("", "-wal", "-shm"):
            (asked.home / f"journal.db{suffix}").unlink(missing_ok=True)
        shutil.copy(backup, asked.home / "journal.db")
        with serving(asked.home, home / "asked.restored.log", **LATER):
            until(
                lambda: _refused(node.gateway, asked, token), what="the refusal of a restored one"
            )
            # Calls are refused, and the records can be compared all the same.
            missing = _differences(asking, ASKED, until_then)
            assert {item["finding"] for item in missing} == {"missing there"}
            # The questions that it had acknowledged: its own last answers show nothing.
            assert len(missing) >= CALLS
            assert len(_differences(asked, ASKING, until_then)) == len(missing)


def _introduced(asking: Regency, asked: Regency) -> str:
    asking.publish()
    asked.publish()
    done(
        "access", "allow", "--home", asked.home, "--consumer", asking.subsystem,
        "--service", f"{asked.subsystem}/{WISATA}",
    )  # fmt: skip
    added = done("app", "add", "a", "--home", asking.home, "--subsystem", asking.subsystem)
    return added.out.strip()


def _call(gateway: str, asked: Regency, token: str) -> None:
    metadata = {"simpul-to": asked.subsystem, "simpul-token": token}
    told = call(gateway, f"/{WISATA}/Get", metadata, GET_KOMODO)
    assert told.status == "OK", told


def _refused(gateway: str, asked: Regency, token: str) -> bool:
    metadata = {"simpul-to": asked.subsystem, "simpul-token": token}
    return (
        call(gateway, f"/{WISATA}/Get", metadata, GET_KOMODO).code == "JOURNAL_RESTORED_OR_FORKED"
    )


def _compared(regency: Regency, peer: str, when: Sequence[str]) -> Any:
    return simpul("journal", "reconcile", peer, "--home", regency.home, *when, "--json").json


def _differences(regency: Regency, peer: str, when: Sequence[str]) -> list[dict[str, Any]]:
    """What an operator is told, with exit code 1."""
    refused(
        "JOURNALS_DIFFER", "journal", "reconcile", peer, "--home", regency.home, "--since", "2d"
    )
    return _found(_compared(regency, peer, when))


def _found(report: Any) -> list[dict[str, Any]]:
    """The differences that mean a loss."""
    every = [item for hour in report["hours"] for item in hour["differences"]]
    return [item for item in every if item["serious"]]


def _back_up(home: Path, to: Path) -> None:
    with sqlite3.connect(home / "journal.db") as journal, sqlite3.connect(to) as copy:
        journal.backup(copy)
    journal.close()
    copy.close()


def _lose_a_parcel(home: Path) -> str:
    """Deletes one that was received and acknowledged; returns its header hash."""
    with sqlite3.connect(home / "journal.db") as journal:
        (gone,) = journal.execute(
            "DELETE FROM parcels WHERE rowid = (SELECT p.rowid FROM parcels p"
            " JOIN links l ON l.id = p.link JOIN names n ON n.id = l.peer"
            " WHERE n.text = ? AND p.direction = 1 AND p.number = 3 LIMIT 1)"
            " RETURNING header_hash",
            (ASKING,),
        ).fetchone()
    journal.close()
    return bytes(gone).hex()
