"""`simpul conformance`: a node of ours passes it, one that breaks rules fails by their numbers.

The checking node must be stopped meanwhile.
"""

from pathlib import Path

from node.conformance.run import CHECKS
from tests.scenario.harness import Federation, done, refused, serving, simpul
from tests.scenario.test_processes import Regency


def test_a_node_of_ours_keeps_the_standard(federation: Federation, home: Path) -> None:
    checked = Regency(federation, home / "a", "53.03", "checked-1")
    checking = Regency(federation, home / "b", "53.04", "checking-1")
    with serving(checked.home, home / "checked.log") as (node, _):
        address = done("node", "status", "--home", node.home, "--json").json["link"]
        with serving(checking.home, home / "checking.log"):
            refused("HOME_LOCKED", "conformance", address, "--home", checking.home)
        report = done("conformance", address, "--home", checking.home, "--json").json
        assert report["node"] == "ID/~checked-1"
        assert {check["result"] for check in report["checks"]} == {"passed"}
        assert report["passed"] == len(report["checks"]) > 50
        assert report["ok"]
        wrong = ("conformance", "127.0.0.1:1", "--home", checking.home)
        refused("NODE_UNKNOWN", *wrong)
        refused("PEER_UNREACHABLE", *wrong, "--node", "ID/~checked-1")


# What `broken_node` doesn't look at, and what is seen then; the parcel that goes back in time has
# no entries, and so is not answered.
RED = {
    "a greeting sent 2 minutes ago": "link",
    "a greeting sent 2 minutes ahead": "link",
    "a parcel sealed 2 minutes ahead": "taken",
    "a parcel sealed before the one before it": "nothing",
    "a seal of another key": "taken",
}
BROKEN = str(Path(__file__).parent / "broken_node")


def test_a_node_that_breaks_rules_fails_by_their_numbers(
    federation: Federation, home: Path
) -> None:
    checked = Regency(federation, home / "a", "53.05", "checked-2")
    checking = Regency(federation, home / "b", "53.06", "checking-2")
    with serving(checked.home, home / "checked.log", PYTHONPATH=BROKEN):
        address = done("node", "status", "--home", checked.home, "--json").json["link"]
        told = simpul("conformance", address, "--home", checking.home)
    assert told.status == 1, told.err
    assert f"{len(CHECKS) - len(RED)} of {len(CHECKS)} checks passed" in told.out + told.err
    rows = {line.split()[0]: line for line in told.out.splitlines() if line.strip()}
    for number, check in enumerate(CHECKS, 1):
        row = rows[str(number)]
        assert check.name in row
        seen = RED.get(check.name)
        if seen is None:
            assert " passed " in row
        else:
            assert f"{seen}, expected {min(check.expected)}" in row
            assert " failed " in row
