"""`simpul access group|template` and `simpul registry group`, against the real admin APIs."""

import pytest

from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeNode, FakeRegistry
from tests.unit.cli.fakes_groups import ENDED, MINISTRY, OWNER

SERVICE = f"{OWNER}/pariwisata/wisata.v1.Wisata"
APPROVE = ("access", "template", "approve", "baca", "--service", SERVICE, "--purpose", "wisata")


def test_a_group_is_made_and_changed(simpul: Simpul, node: FakeNode) -> None:
    simpul("access", "group", "add", "mitra", "--title", "Partners", "--member", OWNER).ok()
    asked = node.heard.last()
    assert (asked.member, asked.group, asked.step, asked.title) == (
        OWNER, "mitra", "add", "Partners",
    )  # fmt: skip
    simpul("access", "group", "include", "mitra", MINISTRY, OWNER).ok()
    assert list(node.heard.last().members) == [MINISTRY, OWNER]
    ran = simpul("access", "group", "exclude", "mitra", MINISTRY).ok()
    assert f"{ENDED[:12]} is revoked" in ran.err
    assert "is gone" in simpul("access", "group", "drop", "mitra").ok().err
    shown = simpul("access", "group", "exclude", "mitra", MINISTRY, "--json").ok().json()
    assert shown["ended"] == [ENDED]


@pytest.mark.usefixtures("node")
def test_groups_are_shown_with_who_is_in_them(simpul: Simpul) -> None:
    listed = simpul("access", "group", "list").ok().out
    assert "mitra" in listed
    assert "Agencies (retired)" in listed
    shown = simpul("access", "group", "show", "mitra").ok().out
    for text in (MINISTRY, "wayan", "ab" * 32):
        assert text in shown
    (group,) = simpul("access", "group", "show", "mitra", "--json").ok().json()["groups"]
    assert group["members"][0]["added_by"] == "wayan"
    assert "NOT_FOUND" in simpul("access", "group", "show", "nobody").err


def test_a_template_says_all_terms(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(
        *APPROVE, "--group", "mitra", "--method", "Get", "--field", "Get/name", "--rate", "10/s",
        "--per-day", "100", "--days", "30", "--for-days", "90", "--legal-basis", "contract",
    ).ok()  # fmt: skip
    assert "no rate" not in ran.err
    asked = node.heard.last()
    assert (asked.template, asked.group, asked.federation_wide, asked.follow) == (
        "baca", "mitra", False, False,
    )  # fmt: skip
    assert (asked.terms.service_id, asked.terms.consumer) == (SERVICE, "")
    assert (asked.terms.rate.calls_per_day, asked.terms.valid_days) == (100, 30)
    (purpose,) = asked.terms.purposes
    assert (purpose.id, purpose.legal_basis, purpose.description) == (
        "wisata", "CONTRACT", "wisata",
    )  # fmt: skip
    assert asked.answers_days == 90


def test_a_template_for_the_federation_s_group(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(*APPROVE, "--federation-group", "dinas", "--follow").ok()
    assert "limits no rate" in ran.err
    asked = node.heard.last()
    assert (asked.group, asked.federation_wide, asked.follow) == ("dinas", True, True)
    assert simpul(*APPROVE, "--federation-group", "dinas", "--json").ok().json()["name"] == "baca"


def test_a_template_is_for_one_group(simpul: Simpul, node: FakeNode) -> None:
    for groups in ((), ("--group", "a", "--federation-group", "b")):
        assert "name one group" in simpul(*APPROVE, *groups).err
    assert node.heard.requests == []


def test_templates_are_shown_and_ended(simpul: Simpul, node: FakeNode) -> None:
    shown = simpul("access", "template", "show", "baca").ok().out
    for text in ("wayan", "10 a second", "the federation's, followed", ENDED, MINISTRY):
        assert text in shown
    assert node.heard.last().template == "baca"
    assert "wayan" in simpul("access", "template", "list").ok().out
    assert not node.heard.last().all
    (one,) = simpul("access", "template", "list", "--all", "--json").ok().json()["templates"]
    assert one["approved_by"] == "wayan"
    assert node.heard.last().all
    ran = simpul("access", "template", "end", "baca", "--member", OWNER).ok()
    assert "1 agreements stay in force" in ran.err
    assert node.heard.last().member == OWNER
    assert simpul("access", "template", "end", "baca", "--json").ok().json()["ended_by"] == "made"


def test_the_registry_s_groups(simpul: Simpul, registry: FakeRegistry) -> None:
    group = ("registry", "group")
    simpul(*group, "add", "dinas", "--title", "Agencies").ok()
    assert (registry.heard.last().step, registry.heard.last().title) == ("add", "Agencies")
    ran = simpul(*group, "include", "dinas", OWNER, MINISTRY).ok()
    assert "has 2 members" in ran.err
    assert list(registry.heard.last().members) == [OWNER, MINISTRY]
    made = simpul(*group, "exclude", "dinas", OWNER, "--json").ok().json()
    assert (made["state"], made["directory_version"]) == ("in use", 9)
    assert "is retired" in simpul(*group, "retire", "dinas").ok().err
    assert "Agencies" in simpul(*group, "list").ok().out
    assert simpul(*group, "list", "--json").ok().json()["groups"][0]["members"] == [OWNER]
    assert OWNER in simpul(*group, "show", "dinas").ok().out
    assert simpul(*group, "show", "dinas", "--json").ok().json()["number"] == 2
    assert "NOT_FOUND" in simpul(*group, "show", "nobody").err


def test_operators_of_a_node(simpul: Simpul, node: FakeNode) -> None:
    group = ("node", "operator")
    ran = simpul(*group, "add", "wayan", "--member", OWNER, "--role", "auditor").ok()
    assert f"wayan is auditor of {OWNER}" in ran.err
    asked = node.heard.last()
    assert (asked.user, list(asked.members), asked.role) == ("wayan", [OWNER], "auditor")
    assert simpul(*group, "add", "wayan", "--member", OWNER, "--json").ok().json()["uid"] == 2001
    assert OWNER in simpul(*group, "list").ok().out
    (one,) = simpul(*group, "list", "--json").ok().json()["operators"]
    assert one["roles"] == [{"member": OWNER, "role": "operator"}]
    assert "any member" in simpul(*group, "remove", "wayan").ok().err
    simpul(*group, "remove", "wayan", "--member", OWNER, "--json").ok()
    assert node.heard.last().member == OWNER
    assert simpul(*group, "add", "wayan").code == 2
