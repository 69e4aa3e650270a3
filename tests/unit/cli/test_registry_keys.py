"""`simpul registry keys`, against a registry that implements the real API."""

from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeRegistry


def test_keys_are_rotated(simpul: Simpul, registry: FakeRegistry) -> None:
    ran = simpul("registry", "keys", "rotate", "member-bins", "contract-bins").ok()
    assert "version 8" in ran.out + ran.err
    assert list(registry.heard.last().roles) == ["member-bins", "contract-bins"]
    told = simpul("registry", "keys", "rotate", "members", "--json").ok().json()
    assert [item["role"] for item in told["keys"]] == ["members"]


def test_a_rotation_of_nothing_is_a_mistake(simpul: Simpul, registry: FakeRegistry) -> None:
    assert simpul("registry", "keys", "rotate").code == 2
    assert registry.heard.requests == []
