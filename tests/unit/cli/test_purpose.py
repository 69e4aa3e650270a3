"""`simpul purpose`, against a node that implements the real admin API."""

import pytest

from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeNode

ADD = (
    "purpose", "add", "layanan-wisata", "--title", "Tourist map", "--purpose", "Show islands",
    "--legal-basis", "consent", "--retention", "30 days", "--officer", "pdp@x.example",
)  # fmt: skip


def test_add_says_all_of_it(simpul: Simpul, node: FakeNode) -> None:
    made = simpul(*ADD, "--hidden", "--json").ok().json()
    assert made["member"] == "ID/KEMENTERIAN/KOMDIGI"
    assert (made["id"], made["version"], made["legal_basis"]) == ("layanan-wisata", 1, "CONSENT")
    assert made["citizen_visibility"] == "hidden"
    asked = node.heard.last()
    assert (asked.step, asked.member) == ("add", "")
    assert (asked.activity.retention, asked.activity.officer) == ("30 days", "pdp@x.example")


def test_a_revision_says_only_what_changes(simpul: Simpul, node: FakeNode) -> None:
    simpul("purpose", "revise", "layanan-wisata", "--retention", "7 days").ok()
    activity = node.heard.last().activity
    assert (activity.retention, activity.title, activity.legal_basis) == ("7 days", "", 0)


def test_the_list_has_the_newest_and_show_every_version(simpul: Simpul, node: FakeNode) -> None:
    simpul(*ADD).ok()
    assert "retired" in simpul("purpose", "retire", "layanan-wisata").ok().err
    (newest,) = simpul("purpose", "list", "--json").ok().json()["purposes"]
    assert (newest["version"], newest["retired"]) == (2, True)
    versions = simpul("purpose", "show", "layanan-wisata", "--json").ok().json()["versions"]
    assert [version["version"] for version in versions] == [1, 2]
    assert "retired" in simpul("purpose", "list").ok().out
    assert "Show islands" in simpul("purpose", "show", "layanan-wisata").ok().out
    assert len(node.purposes) == 2


@pytest.mark.usefixtures("node")
def test_what_is_missing_is_wrong_usage(simpul: Simpul) -> None:
    assert simpul("purpose", "add", "layanan-wisata").code == 2
    assert simpul(*ADD, "--legal-basis", "whim").code == 2
