"""`simpul registry operator|pending`, against the real admin API."""

import json
from pathlib import Path

import pytest

from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeRegistry
from tests.unit.cli.fakes_operators import GRANT


def test_a_request_is_made_once_and_its_key_is_private(simpul: Simpul, tmp_path: Path) -> None:
    profile = tmp_path / "p"
    ran = simpul("registry", "operator", "request", "anna", "--home", str(profile)).ok()
    assert ran.out.strip() == str(profile / "request.der")
    assert (profile / "operator.pem").stat().st_mode & 0o777 == 0o600
    again = simpul("registry", "operator", "request", "anna", "--home", str(profile))
    assert "HOME_EXISTS" in again.err
    bad = simpul("registry", "operator", "request", "Anna B", "--home", str(tmp_path / "q"))
    assert "ID_MALFORMED" in bad.err
    assert not (tmp_path / "q").exists()


def test_an_operator_is_enrolled_listed_and_removed(
    simpul: Simpul, registry: FakeRegistry, tmp_path: Path
) -> None:
    request = tmp_path / "request.der"
    request.write_bytes(b"der")
    args = ("--role", "auditor", "--request", str(request))
    assert simpul("registry", "operator", "add", "anna", *args).ok().json() == GRANT
    assert registry.heard.last().certificate_request == b"der"
    assert simpul("registry", "operator", "grant", "anna").ok().json() == GRANT
    assert "NOT_FOUND" in simpul("registry", "operator", "grant", "budi").err
    assert "auditor" in simpul("registry", "operator", "list").ok().out
    ran = simpul("registry", "operator", "role", "anna", "--role", "operator").ok()
    assert "anna is operator" in ran.err
    simpul("registry", "operator", "remove", "anna").ok()
    assert registry.heard.last().operator == "anna"


def test_what_waits_is_decided(simpul: Simpul, registry: FakeRegistry) -> None:
    assert "budi" in simpul("registry", "pending", "list").ok().out
    assert "is approved" in simpul("registry", "pending", "approve", "3").ok().err
    assert (registry.heard.last().id, registry.heard.last().approve) == (3, True)
    assert simpul("registry", "pending", "decline", "3").code == 2
    ran = simpul("registry", "pending", "decline", "3", "--reason", "no", "--json").ok()
    assert ran.json()["state"] == "declined"


@pytest.mark.parametrize("text", ["", "[]", "{}", json.dumps({**GRANT, "registry": 1})])
def test_what_is_no_grant_is_not_accepted(simpul: Simpul, tmp_path: Path, text: str) -> None:
    profile, file = tmp_path / "p", tmp_path / "g.json"
    simpul("registry", "operator", "request", "anna", "--home", str(profile)).ok()
    file.write_text(text)
    ran = simpul("registry", "operator", "accept", str(file), "--home", str(profile))
    assert "REQUEST_MALFORMED" in ran.err
    assert not (profile / "operator.json").exists()
    missing = simpul("registry", "operator", "accept", str(file), "--home", str(tmp_path / "q"))
    assert "HOME_MISSING" in missing.err
