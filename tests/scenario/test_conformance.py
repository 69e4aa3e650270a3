"""`simpul conformance`: a real node of ours passes it; the checking node must be stopped."""

from pathlib import Path

from tests.scenario.harness import Federation, done, refused, serving
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
        wrong = ("conformance", "127.0.0.1:1", "--home", checking.home)
        refused("NODE_UNKNOWN", *wrong)
        refused("PEER_UNREACHABLE", *wrong, "--node", "ID/~checked-1")
