"""The authority's key may be encrypted; its passphrase comes from where the operator keeps it."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from registry import passphrases
from registry.home import RegistryHome
from security.errors import Code, SimpulError
from tests.unit.registry.running import run

WORDS = "correct horse battery"
ONLY_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


def encrypt(home: Path) -> None:
    file = home / "ca/authority.pem"
    key = load_pem_private_key(file.read_bytes(), None)
    encryption = BestAvailableEncryption(WORDS.encode())
    file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, encryption))


@ONLY_SQLITE
async def test_a_registry_with_an_encrypted_key_issues_certificates(
    own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encrypt(own_home)
    monkeypatch.setenv(passphrases.VARIABLE, WORDS)
    async with run(own_home) as registry:
        await registry.joined()


@ONLY_SQLITE
@pytest.mark.parametrize(
    ("known", "text"), [(None, "passphrase_file"), ("", "encrypted"), ("another", "another one")]
)
def test_without_its_passphrase_it_is_refused(own_home: Path, known: str | None, text: str) -> None:
    encrypt(own_home)

    with pytest.raises(SimpulError, match=text) as caught:
        RegistryHome.open(own_home).authority(lambda: known)

    assert caught.value.code is Code.CONFIG_INVALID


def test_systemd_comes_first_then_the_file_then_the_variable(tmp_path: Path) -> None:
    (tmp_path / passphrases.CREDENTIAL).write_text("of systemd\nmore")
    file = tmp_path / "file"
    file.write_text("of the file\n")
    env = {passphrases.VARIABLE: "of the variable"}
    credentials = {"CREDENTIALS_DIRECTORY": str(tmp_path)}

    assert passphrases.find(str(file), env | credentials) == "of systemd"
    assert passphrases.find(str(file), env) == "of the file"
    assert passphrases.find("", env) == "of the variable"
    assert passphrases.find("", {}) is None


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe\n"])
def test_a_file_without_a_passphrase_is_said(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "file"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(SimpulError) as caught:
        passphrases.find(str(file), {})

    assert caught.value.code is Code.CONFIG_INVALID
