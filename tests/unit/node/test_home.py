import stat
from pathlib import Path

import pytest

from node.home import KeyName, NodeHome
from security.errors import Code, SimpulError
from security.keys import Algorithm, generate


def finished(path: Path) -> NodeHome:
    home = NodeHome.create(path)
    home.config.write_text("", encoding="utf-8")
    return home


def code_of(call: object) -> Code:
    with pytest.raises(SimpulError) as caught:
        call()  # type: ignore[operator]
    return caught.value.code


def test_a_new_home_is_private(tmp_path: Path) -> None:
    home = finished(tmp_path / "deep" / "home")
    home.write_key(KeyName.SEAL, generate(Algorithm.ED25519).to_pem())
    for folder in (home.path, home.keys, home.tls, home.directory, home.run):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert stat.S_IMODE(home.key_file(KeyName.SEAL).stat().st_mode) == 0o600
    assert NodeHome.open(tmp_path / "deep" / "home") == home


def test_a_home_that_is_missing_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(SimpulError) as caught:
        NodeHome.open(tmp_path / "nothing")
    assert caught.value.code is Code.HOME_MISSING
    assert "simpul node init" in caught.value.message


def test_a_registry_s_home_is_foreign(tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text("", encoding="utf-8")
    assert code_of(lambda: NodeHome.open(tmp_path)) is Code.HOME_FOREIGN
    assert code_of(lambda: NodeHome.create(tmp_path)) is Code.HOME_EXISTS


def test_a_home_of_another_federation_is_foreign(tmp_path: Path) -> None:
    home = finished(tmp_path / "home")
    home.check_federation("ID", "ID")
    with pytest.raises(SimpulError) as caught:
        home.check_federation("ID", "SG")
    assert caught.value.code is Code.HOME_FOREIGN
    assert "SG" in caught.value.message


def test_a_finished_home_is_not_made_again(tmp_path: Path) -> None:
    finished(tmp_path / "home")
    assert code_of(lambda: NodeHome.create(tmp_path / "home")) is Code.HOME_EXISTS


def test_a_folder_of_other_things_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.odt").write_text("", encoding="utf-8")
    assert code_of(lambda: NodeHome.create(tmp_path)) is Code.HOME_EXISTS
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.odt"]


def test_a_home_that_was_begun_is_taken_up(tmp_path: Path) -> None:
    home = NodeHome.create(tmp_path / "home")
    key = generate(Algorithm.ED25519)
    home.write_key(KeyName.NODE, key.to_pem())
    again = NodeHome.create(tmp_path / "home")
    assert again.read_key(KeyName.NODE).public == key.public


def test_a_key_is_never_overwritten(tmp_path: Path) -> None:
    home = NodeHome.create(tmp_path / "home")
    home.write_key(KeyName.NODE, b"first")
    with pytest.raises(FileExistsError):
        home.write_key(KeyName.NODE, b"second")
    assert home.read_pem(KeyName.NODE) == b"first"


def test_what_is_gone_is_said_by_name(tmp_path: Path) -> None:
    home = finished(tmp_path / "home")
    for read in (lambda: home.read_key(KeyName.SEAL), home.read_root, home.read_chain):
        assert code_of(read) is Code.HOME_MISSING
    home.write_key(KeyName.SEAL, b"no key")
    assert code_of(lambda: home.read_key(KeyName.SEAL)) is Code.KEY_MALFORMED


def test_a_home_has_one_program(tmp_path: Path) -> None:
    home = finished(tmp_path / "home")
    with home.lock():
        with pytest.raises(SimpulError) as caught, NodeHome.open(home.path).lock():
            pass
        assert caught.value.code is Code.HOME_LOCKED
    with home.lock():
        pass
