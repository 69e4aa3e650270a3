"""Key files: made once, private, and refused when they are something else."""

from pathlib import Path

import pytest

from registry.directory import signers as keys
from registry.directory.layout import Role
from security.errors import Code, SimpulError


@pytest.fixture
def home(tmp_path: Path) -> Path:
    keys.create(tmp_path)
    return tmp_path


def test_keys_are_private_and_come_back_the_same(home: Path) -> None:
    loaded = keys.load(home)

    assert set(loaded) == set(Role)
    assert {path.stat().st_mode & 0o777 for path in home.iterdir()} == {0o600}
    assert len({keys.public(loaded, role).keyid for role in Role}) == len(Role)


def test_keys_are_never_overwritten(home: Path) -> None:
    before = {path: path.read_bytes() for path in home.iterdir()}

    with pytest.raises(FileExistsError):
        keys.create(home)

    assert {path: path.read_bytes() for path in home.iterdir()} == before


def test_offline_keys_may_be_elsewhere(home: Path) -> None:
    for role in set(Role) - keys.ONLINE:
        keys.key_file(home, role).unlink()

    assert set(keys.load(home)) == keys.ONLINE


@pytest.mark.parametrize("role", sorted(keys.ONLINE))
def test_a_missing_online_key_is_named(home: Path, role: Role) -> None:
    keys.key_file(home, role).unlink()

    with pytest.raises(SimpulError, match=f"{role}.pem is missing") as caught:
        keys.load(home)

    assert caught.value.code is Code.CONFIG_INVALID


@pytest.mark.parametrize("content", [b"", b"no key", b"-----BEGIN PRIVATE KEY-----\nAAAA\n"])
def test_what_is_no_key_is_refused_in_one_line(home: Path, content: bytes) -> None:
    keys.key_file(home, Role.SNAPSHOT).write_bytes(content)

    with pytest.raises(SimpulError, match="no private key") as caught:
        keys.load(home)

    assert "\n" not in caught.value.message
