"""`simpul registry member|subsystem|node|change`, against the real admin API."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeRegistry
from tests.unit.cli.fakes_life import MEMBER, NODE

SUBSYSTEM = f"{MEMBER}/pariwisata"
STATES = {
    "review": "in review",
    "approve": "active",
    "decline": "declined",
    "withdraw": "withdrawn",
    "suspend": "suspended",
    "resume": "active",
    "remove": "removed",
}


@pytest.mark.parametrize(("group", "subject"), [("member", MEMBER), ("subsystem", SUBSYSTEM)])
@pytest.mark.parametrize(("command", "state"), list(STATES.items()))
def test_steps_of_a_life(
    simpul: Simpul, registry: FakeRegistry, group: str, subject: str, command: str, state: str
) -> None:
    ran = simpul("registry", group, command, subject, "--reason", "why").ok()
    assert f"{subject} is {state}" in ran.err
    assert (registry.heard.last().state, registry.heard.last().reason) == (state, "why")
    shown = simpul("registry", group, command, subject, "--reason", "why", "--json").ok().json()
    assert shown["directory_version"] == 9


@pytest.mark.parametrize("command", ["decline", "remove"])
def test_some_steps_need_a_reason(simpul: Simpul, registry: FakeRegistry, command: str) -> None:
    for group, subject in (("member", MEMBER), ("subsystem", SUBSYSTEM)):
        assert simpul("registry", group, command, subject).code == 2
    assert registry.heard.requests == []


def test_an_application_with_contacts(simpul: Simpul, registry: FakeRegistry) -> None:
    args = ("--contact", "data_protection=Bagian Hukum,dpo@b.id,", "--apply")
    simpul("registry", "member", "add", MEMBER, "--name", "Mabar", *args).ok()
    asked = registry.heard.last()
    (contact,) = asked.contacts
    assert (contact.kind, contact.name, contact.email) == (
        "data_protection",
        "Bagian Hukum",
        "dpo@b.id",
    )
    assert asked.apply


def test_a_contact_is_dropped_by_an_empty_name(simpul: Simpul, registry: FakeRegistry) -> None:
    simpul("registry", "member", "update", MEMBER, "--contact", "technical=").ok()
    assert [(c.kind, c.name) for c in registry.heard.last().contacts] == [("technical", "")]
    ran = simpul("registry", "member", "update", MEMBER, "--contact", "technical=a,b")
    assert "CHANGE_INVALID" in ran.err


@pytest.mark.usefixtures("registry")
def test_all_that_is_kept_is_shown(simpul: Simpul) -> None:
    out = simpul("registry", "member", "show", MEMBER).ok().out
    for part in ("Mabar", "security contact", "53.10", "in review", "complete"):
        assert part in out
    assert simpul("registry", "member", "show", MEMBER, "--json").ok().json()["history"]


def test_regions_change_on_a_day(simpul: Simpul, registry: FakeRegistry) -> None:
    args = ("--end", "91.07", "--begin", "92.03", "--at", "2026-01-01", "--predecessor", "91.08")
    ran = simpul("registry", "member", "region", MEMBER, *args).ok()
    assert "speaks for 92.03;" in ran.err
    asked = registry.heard.last()
    assert (asked.at_ms, list(asked.predecessors)) == (1_767_225_600_000, ["91.08"])
    ran = simpul("registry", "member", "region", MEMBER, "--end", "91.07", "--at", "tomorrow")
    assert "CHANGE_INVALID" in ran.err


@pytest.fixture
def members_file(tmp_path: Path) -> Path:
    path = tmp_path / "members.csv"
    path.write_text("member,legal_name\nID/DAERAH/1,Satu\nID/DAERAH/2,bad\n", encoding="utf-8")
    return path


@pytest.mark.usefixtures("registry")
def test_an_import_says_what_is_wrong_with_each_line(simpul: Simpul, members_file: Path) -> None:
    ran = simpul("registry", "member", "import", str(members_file))
    assert ran.code == 1
    assert "line 3: CHANGE_INVALID: bad name" in ran.err
    assert "nothing was listed" in ran.err
    ran = simpul("registry", "member", "import", str(members_file), "--skip-bad").ok()
    assert "1 members are listed, 1 lines were bad" in ran.err
    shown = simpul("registry", "member", "import", str(members_file), "--skip-bad", "--json")
    assert shown.ok().json()["errors"][0]["line"] == 3


@pytest.mark.usefixtures("registry")
def test_a_dry_run_lists_nothing(simpul: Simpul, members_file: Path) -> None:
    members_file.write_text("member,legal_name\nID/DAERAH/1,Satu\n", encoding="utf-8")
    ran = simpul("registry", "member", "import", str(members_file), "--dry-run").ok()
    assert "1 would be listed, 0 lines are bad" in ran.err


def test_subsystems(simpul: Simpul, registry: FakeRegistry) -> None:
    simpul("registry", "subsystem", "add", SUBSYSTEM, "--name", "Pariwisata", "--apply").ok()
    assert registry.heard.last().apply
    assert "Pariwisata" in simpul("registry", "subsystem", "list", "--member", MEMBER).ok().out
    assert registry.heard.last().member == MEMBER


def test_a_node_is_removed(simpul: Simpul, registry: FakeRegistry) -> None:
    simpul("registry", "node", "remove", NODE).ok()
    assert registry.heard.last().node == NODE


def test_changes_are_decided(simpul: Simpul, registry: FakeRegistry) -> None:
    assert "take links at a:1" in simpul("registry", "change", "list", "--all").ok().out
    assert registry.heard.last().all
    simpul("registry", "change", "approve", "12").ok()
    assert (registry.heard.last().id, registry.heard.last().approve) == (12, True)
    assert simpul("registry", "change", "decline", "12").code == 2
    simpul("registry", "change", "decline", "12", "--reason", "no").ok()
    assert registry.heard.last().reason == "no"


def test_a_token_to_host(simpul: Simpul, registry: FakeRegistry) -> None:
    ran = simpul("registry", "enrol", MEMBER, "--node", "labuan-bajo-1", "--host").ok()
    assert f"simpul node host {MEMBER}" in ran.err
    assert registry.heard.requests[1].host


def test_the_audit_trail(simpul: Simpul, registry: FakeRegistry) -> None:
    out = simpul("registry", "audit", "list", "--start", "7").ok().out
    assert "CONFLICT" in out
    assert registry.heard.last().start == 7
    simpul("registry", "audit", "list").ok()
    assert not registry.heard.last().HasField("start")
    ran = simpul("registry", "audit", "verify").ok()
    assert f"8 entries, root {'72' * 32}" in ran.err
