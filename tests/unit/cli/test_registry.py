"""`simpul registry`, against a registry that implements the real admin API."""

from pathlib import Path

import pytest

from registry import config
from registry.home import RegistryHome
from security.errors import Code, SimpulError
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeRegistry

MEMBER = "ID/DAERAH/53.15"
NODE = "ID/~labuan-bajo-1"


def test_enrol_prints_the_token_alone_on_stdout(simpul: Simpul, registry: FakeRegistry) -> None:
    args = ("--name", "Manggarai Barat", "--region", "53.15", "--region", "53", "--hours", "2")
    ran = simpul("registry", "enrol", MEMBER, "--node", "labuan-bajo-1", *args).ok()
    assert ran.out == "simpul1_abc\n"
    next_command = (
        "simpul node init --home labuan-bajo-1 --registry 127.0.0.1:8450"
        " --root /srv/r/root.json --token TOKEN"
    )
    assert next_command in ran.err
    asked = registry.heard.requests[1]
    assert (asked.member, asked.node_name, asked.ttl_s) == (MEMBER, "labuan-bajo-1", 7200)
    assert (asked.legal_name, list(asked.region_codes)) == ("Manggarai Barat", ["53.15", "53"])


@pytest.mark.usefixtures("registry")
def test_enrol_as_json(simpul: Simpul) -> None:
    ran = simpul("registry", "enrol", MEMBER, "--node", "labuan-bajo-1", "--json").ok()
    assert ran.json() == {
        "token": "simpul1_abc",
        "member": MEMBER,
        "node": NODE,
        "expires_at_ms": 1_700_000_000_000,
        "member_is_new": False,
        "registry": "127.0.0.1:8450",
        "root": "/srv/r/root.json",
    }
    assert ran.err == ""


def test_a_member_enrolled_without_a_name_is_listed_under_its_id(
    simpul: Simpul, registry: FakeRegistry
) -> None:
    ran = simpul("registry", "enrol", "ID/DAERAH/74.07", "--node", "wakatobi-1").ok()
    assert "ID/DAERAH/74.07 is a new member, listed as 'ID/DAERAH/74.07'" in ran.err
    assert registry.heard.requests[1].legal_name == "ID/DAERAH/74.07"


@pytest.mark.usefixtures("registry")
def test_status(simpul: Simpul) -> None:
    assert "127.0.0.1:8450" in simpul("registry", "status").ok().out
    found = simpul("registry", "status", "--json").ok().json()
    assert found["directory_version"] == 7
    assert set(found) == {
        "federation",
        "grpc",
        "directory_url",
        "root_file",
        "directory_version",
        "members",
        "nodes",
        "services",
        "metrics",
        "member_classes",
    }


def test_member_add(simpul: Simpul, registry: FakeRegistry) -> None:
    ran = simpul("registry", "member", "add", MEMBER, "--name", "X", "--region", "53.15").ok()
    assert f"simpul registry enrol {MEMBER}" in ran.err
    assert registry.heard.last().legal_name == "X"
    assert simpul("registry", "member", "add", MEMBER, "--json").ok().json()["id"] == MEMBER


@pytest.mark.usefixtures("registry")
def test_member_list(simpul: Simpul) -> None:
    head, row = simpul("registry", "member", "list").ok().out.splitlines()
    assert head.split() == ["MEMBER", "STATE", "NAME", "REGIONS", "NODES", "SERVICES"]
    assert row.split()[:2] == [MEMBER, "active"]
    (member,) = simpul("registry", "member", "list", "--json").ok().json()["members"]
    assert set(member) == {"id", "legal_name", "state", "region_codes", "nodes", "services"}


@pytest.mark.parametrize(("verb", "state"), [("suspend", "suspended"), ("resume", "active")])
def test_a_members_state(simpul: Simpul, registry: FakeRegistry, verb: str, state: str) -> None:
    assert state in simpul("registry", "member", verb, MEMBER).ok().err
    assert registry.heard.last().state == state
    found = simpul("registry", "member", verb, MEMBER, "--json").ok().json()
    assert (found["id"], found["state"], found["directory_version"]) == (MEMBER, state, 9)


@pytest.mark.usefixtures("registry")
def test_node_list(simpul: Simpul) -> None:
    assert "ABCD-EFGH" in simpul("registry", "node", "list").ok().out
    (node,) = simpul("registry", "node", "list", "--json").ok().json()["nodes"]
    assert node["fingerprint"] == "ABCD-EFGH"
    assert node["certificate_expires_at_ms"] == 1_700_000_000_000


def test_node_revoke(simpul: Simpul, registry: FakeRegistry) -> None:
    assert "version 10" in simpul("registry", "node", "revoke", NODE).ok().err
    assert registry.heard.last().node == NODE
    found = simpul("registry", "node", "revoke", NODE, "--json").ok().json()
    assert found == {"node": NODE, "directory_version": 10}


def test_a_refusal(simpul: Simpul, registry: FakeRegistry) -> None:
    registry.heard.refusals["RevokeNode"] = SimpulError(Code.NODE_UNKNOWN, "no such node")
    ran = simpul("registry", "node", "revoke", NODE)
    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("simpul: NODE_UNKNOWN: no such node\n")


def test_init_makes_a_home_and_says_what_is_next(simpul: Simpul) -> None:
    found = simpul("registry", "init", "--json", "--grpc", "127.0.0.1:31999").ok().json()
    assert found["federation"] == "ID"
    assert found["grpc"] == "127.0.0.1:31999"
    assert Path(found["root"]).is_file()
    again = simpul("registry", "init")
    assert again.code == 1
    assert again.err.startswith("simpul: HOME_EXISTS: ")


def test_init_says_to_all_by_which_host_it_is_reached(simpul: Simpul) -> None:
    simpul(
        "registry", "init", "--public", "registry.example.go.id", "--grpc", "0.0.0.0:8440",
        "--directory", "0.0.0.0:8439", "--witness", "0.0.0.0:8437",
    ).ok()  # fmt: skip
    home = RegistryHome.open(simpul.home)
    settings = config.load(home.settings_file, {})
    assert settings.grpc.public == "registry.example.go.id:8440"
    assert settings.directory.public_url == "http://registry.example.go.id:8439"
    published = [path.read_bytes() for path in simpul.home.rglob("*policy*") if path.is_file()]
    assert any(b"http://registry.example.go.id:8437" in data for data in published)


def test_init_for_people(simpul: Simpul, tmp_path: Path) -> None:
    ran = simpul("registry", "init", "--home", str(tmp_path / "r"), "--federation", "MY").ok()
    assert f"simpul registry serve --home {tmp_path / 'r'}" in ran.err
    assert "MY" in ran.out


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("--grpc", "nowhere"), Code.CONFIG_INVALID),
        (("--grpc", "unix:/tmp/x"), Code.CONFIG_INVALID),
        (("--federation", "lower"), Code.ID_MALFORMED),
        # Nodes would be told to come to 0.0.0.0.
        (("--grpc", "0.0.0.0:8440"), Code.CONFIG_INVALID),
        (("--directory", "[::]:8439"), Code.CONFIG_INVALID),
        (("--witness", "0.0.0.0:8437"), Code.CONFIG_INVALID),
        (("--public", "::"), Code.CONFIG_INVALID),
        (("--public", "registry:8440"), Code.CONFIG_INVALID),
        (("--public", "http://registry"), Code.CONFIG_INVALID),
    ],
)
def test_init_refuses(simpul: Simpul, args: tuple[str, str], code: Code) -> None:
    ran = simpul("registry", "init", *args)
    assert ran.code == 1
    assert ran.err.startswith(f"simpul: {code}: ")
    assert not simpul.home.exists()
