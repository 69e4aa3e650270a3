"""Checkpoints of a real node, cosigned by a real registry; and a node that was restored."""

import shutil
from pathlib import Path
from typing import Any

from tests.scenario.harness import Federation, done, serving, until
from tests.scenario.test_processes import Regency


def checkpoints(home: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = done("journal", "checkpoints", "--home", home, "--json").json[
        "checkpoints"
    ]
    return found


def is_covered(home: Path) -> bool:
    """Whether the newest checkpoint is cosigned, and covers the whole journal."""
    (slot,) = [item for item in done("journal", "verify", "--home", home, "--json").json["slots"]
               if item["size"] > 0]  # fmt: skip
    newest = checkpoints(home)
    return (
        len(newest) > 0
        and newest[0]["size"] == slot["size"]
        and newest[0]["quorum_at_ms"] is not None
        and len(newest[0]["cosigned_by"]) == 1
    )


def test_a_journal_is_witnessed_and_a_restored_one_is_refused(
    federation: Federation, home: Path
) -> None:
    regency = Regency(federation, home, "53.08", "restored-1")
    with serving(regency.home, home / "first.log"):
        regency.publish()
        until(regency.answers)
    # Stopping signs what came last.
    assert is_covered(regency.home)
    shutil.copytree(
        regency.home, home / "backup", symlinks=True, ignore=shutil.ignore_patterns("*.sock")
    )
    with serving(regency.home, home / "second.log"):
        until(regency.answers)
    assert is_covered(regency.home)
    tiles = done("journal", "tiles", "--home", regency.home, "-o", home / "tiles", "--json").json
    assert tiles["slots"][0]["size"] == checkpoints(regency.home)[0]["size"]

    archives = home / "archives"
    made = done("journal", "archive", "--home", regency.home, "--to", archives,
                "--before", "2100-01-01", "--json").json  # fmt: skip
    assert made["archives"][0]["end"] == checkpoints(regency.home)[0]["size"]
    judged = done("journal", "archive", "verify", archives, "--home", regency.home, "--json").json
    (found,) = judged["archives"]
    # By the real keys of the node, its witness and its members.
    assert (found["signatures_judged"], found["cosignatures_judged"], found["seals_judged"]) == (
        True,
        True,
        True,
    )
    assert found["quorum_at_ms"] is not None

    shutil.rmtree(regency.home)
    shutil.copytree(home / "backup", regency.home, symlinks=True)
    before = checkpoints(regency.home)
    with serving(regency.home, home / "restored.log") as (_, node):
        until(lambda: regency.ask().code == "JOURNAL_RESTORED_OR_FORKED", what="the refusal")
        assert "put the newest journal back" in node.text
    assert checkpoints(regency.home) == before
