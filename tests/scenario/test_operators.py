"""Operators on other machines: a real registry over mutual TLS, and what each person may do."""

import json
from pathlib import Path

from runtime.ports import free_addresses
from tests.scenario.harness import Process, done, read_json, refused

MEMBER = "ID/DAERAH/53.15"


def test_two_persons_and_an_auditor(home: Path) -> None:
    place = home / "r"
    done("registry", "init", "--home", place)
    (address,) = free_addresses(1)
    with (place / "registry.toml").open("a") as settings:
        settings.write(f'\n[admin]\nlisten = "{address}"\n')
    process = Process(home / "r.log", "registry", "serve", "--home", place)
    try:
        process.until_file(place / "run" / "endpoints.json")
        _work(home, place)
    finally:
        assert process.stop() == 0


def _work(home: Path, place: Path) -> None:
    anna, budi = _enrolled(home, place, "anna", "auditor"), home / "budi"
    add = ("registry", "member", "add", MEMBER, "--name", "Mabar")
    refused("OPERATOR_REFUSED", *add, "--home", anna)
    assert done("registry", "member", "list", "--home", anna, "--json").json["members"] == []
    _enrolled(home, place, "budi", "operator")
    done(*add, "--home", budi)
    remove = ("registry", "member", "remove", MEMBER, "--reason", "merged")
    refused("APPROVAL_PENDING", *remove, "--home", budi)
    refused("OPERATOR_REFUSED", "registry", "pending", "approve", 1, "--home", budi)
    refused("OPERATOR_REFUSED", "registry", "pending", "approve", 1, "--home", anna)
    done("registry", "pending", "approve", 1, "--home", place)
    shown = done("registry", "member", "show", MEMBER, "--home", anna, "--json").json
    assert shown["member"]["state"] == "removed"
    done("registry", "operator", "remove", "budi", "--home", place)
    refused("OPERATOR_REFUSED", "registry", "status", "--home", budi)
    found = done("registry", "audit", "list", "--home", anna, "--json").json["entries"]
    told = [(item["actor"], item["method"], item["code"]) for item in found]
    assert ("anna", "AddMember", "OPERATOR_REFUSED") in told
    assert ("budi", "SetMemberState", "APPROVAL_PENDING") in told
    assert ("local administrator", "DecidePending", "OK") in told
    assert done("registry", "audit", "verify", "--home", anna, "--json").json["size"] > len(told)


def _enrolled(home: Path, place: Path, name: str, role: str) -> Path:
    profile, grant = home / name, home / f"{name}.json"
    request = done("registry", "operator", "request", name, "--home", profile).out.strip()
    add = ("registry", "operator", "add", name, "--role", role, "--request", request)
    grant.write_text(json.dumps(done(*add, "--home", place).json))
    done("registry", "operator", "accept", grant, "--home", profile)
    assert read_json(profile / "operator.json")["name"] == name
    return profile
