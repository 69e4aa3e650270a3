"""A home is made whole or not at all, and says what is wrong with it."""

import json
import shutil
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from registry import home
from registry.home import Endpoints, NewRegistry, RegistryHome
from runtime.clock import now_ms
from security import certificate
from security.errors import Code, SimpulError


@pytest.fixture
def made(first_home: Path, tmp_path: Path) -> RegistryHome:
    return RegistryHome.open(shutil.copytree(first_home, tmp_path / "registry"))


def test_a_new_home_is_private_and_complete(tmp_path: Path) -> None:
    made = home.create(tmp_path / "registry", NewRegistry(), now_ms())

    assert made.path.stat().st_mode & 0o777 == 0o700
    secrets = [*made.keys.iterdir(), made.path / "ca/authority.pem", made.path / "tls/server.pem"]
    assert len(secrets) == 10
    assert {path.stat().st_mode & 0o777 for path in secrets} == {0o600}
    assert made.root_sha256() == sha256(made.directory.read("metadata/1.root.json")).digest()
    identity = made.server_identity()
    assert certificate.dns_names(identity.certificate_der) == ("registry.id.simpul.internal",)
    assert identity.certificate_sha256 == sha256(identity.certificate_der).digest()
    assert list(made.path.parent.iterdir()) == [made.path]


def test_an_empty_folder_becomes_a_home(tmp_path: Path) -> None:
    (tmp_path / "registry").mkdir()

    home.create(tmp_path / "registry", NewRegistry(), now_ms())

    RegistryHome.open(tmp_path / "registry")


def test_nothing_is_overwritten(made: RegistryHome) -> None:
    before = made.root_file.read_bytes()
    with pytest.raises(SimpulError) as caught:
        home.create(made.path, NewRegistry(), now_ms())

    assert caught.value.code is Code.HOME_EXISTS
    assert made.root_file.read_bytes() == before


@pytest.mark.parametrize(
    "new",
    [
        NewRegistry(federation="id"),
        NewRegistry(member_classes=()),
        NewRegistry(member_classes=("daerah",)),
    ],
)
def test_a_refused_one_leaves_nothing(tmp_path: Path, new: NewRegistry) -> None:
    with pytest.raises(SimpulError):
        home.create(tmp_path / "registry", new, now_ms())

    assert list(tmp_path.iterdir()) == []


def test_a_path_too_long_for_a_socket_is_said_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(SimpulError) as caught:
        home.create(tmp_path / ("x" * 100), NewRegistry(), now_ms())

    assert caught.value.code is Code.CONFIG_INVALID
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_no_home_is_said(tmp_path: Path) -> None:
    with pytest.raises(SimpulError, match="simpul registry init") as caught:
        RegistryHome.open(tmp_path)

    assert caught.value.code is Code.HOME_MISSING


@pytest.mark.parametrize(
    ("name", "read"),
    [
        ("ca/authority.pem", RegistryHome.authority),
        ("ca/authority.crt", RegistryHome.authority),
        ("tls/server.pem", RegistryHome.server_identity),
        ("root.json", RegistryHome.root_sha256),
    ],
)
def test_a_missing_file_is_named(
    made: RegistryHome, name: str, read: Callable[[RegistryHome], object]
) -> None:
    (made.path / name).unlink()

    with pytest.raises(SimpulError, match=name) as caught:
        read(made)
    assert caught.value.code is Code.CONFIG_INVALID


def test_a_certificate_file_holds_one(made: RegistryHome) -> None:
    path = made.path / "tls/server.crt"
    path.write_bytes(path.read_bytes() * 2)

    with pytest.raises(SimpulError, match="not one") as caught:
        made.server_identity()
    assert caught.value.code is Code.CERTIFICATE_MISMATCH


def test_endpoints_are_written_whole(made: RegistryHome) -> None:
    made.write_endpoints(Endpoints("a:1", "http://b:2", "c:3", "unix:/d"))

    assert json.loads(made.endpoints_file.read_bytes()) == {
        "grpc": "a:1",
        "directory": "http://b:2",
        "metrics": "c:3",
        "admin": "unix:/d",
        "root": str(made.root_file),
    }
