"""`simpul app`, against a node that implements the real admin API."""

from pathlib import Path

import pytest

from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import CONSUMER, FakeNode

ADD = ("app", "add", "portal", "--subsystem", CONSUMER)


def test_add_prints_the_token_alone_on_stdout(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul(*ADD, "--subsystem", f"{CONSUMER}2", "--days", "2").ok()
    assert ran.out == "simpul_app_0\n"
    assert "simpul-token" in ran.err
    asked = node.heard.last()
    assert list(asked.subsystems) == [CONSUMER, f"{CONSUMER}2"]
    assert asked.ttl_s == 2 * 86_400


@pytest.mark.usefixtures("node")
def test_add_as_json(simpul: Simpul) -> None:
    ran = simpul(*ADD, "--json").ok()
    assert ran.json() == {"name": "portal", "token": "simpul_app_0"}
    assert ran.err == ""


def test_add_with_a_certificate_makes_no_token(
    simpul: Simpul, node: FakeNode, tmp_path: Path
) -> None:
    file = tmp_path / "portal.pem"
    file.write_text("-----BEGIN CERTIFICATE-----\nAA==\n", encoding="ascii")
    assert simpul(*ADD, "--certificate", str(file), "--json").ok().json()["token"] is None
    assert node.heard.last().certificate_pem.startswith("-----BEGIN CERTIFICATE-----")


def test_a_private_key_is_not_sent_as_a_certificate(
    simpul: Simpul, node: FakeNode, tmp_path: Path
) -> None:
    file = tmp_path / "key.pem"
    file.write_text("-----BEGIN PRIVATE KEY-----\nAA==\n", encoding="ascii")
    ran = simpul(*ADD, "--certificate", str(file))
    assert ran.code == 1
    assert ran.err.startswith("simpul: APP_CREDENTIAL_WRONG: ")
    assert node.heard.requests == []


@pytest.mark.usefixtures("node")
def test_list_and_remove(simpul: Simpul) -> None:
    assert simpul("app", "list").ok().err.startswith("No apps yet")
    simpul(*ADD).ok()
    assert simpul("app", "list").ok().out.splitlines()[1].split() == [
        "portal",
        "token",
        "-",
        CONSUMER,
    ]
    (found,) = simpul("app", "list", "--json").ok().json()["apps"]
    assert found == {
        "name": "portal",
        "subsystems": [CONSUMER],
        "credential": "token",
        "expires_at_ms": None,
    }
    assert simpul("app", "remove", "portal", "--json").ok().json() == {"name": "portal"}
    again = simpul("app", "remove", "portal")
    assert again.code == 1
    assert again.err.startswith("simpul: NOT_FOUND: ")
