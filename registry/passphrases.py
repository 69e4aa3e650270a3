"""The passphrase of the authority's key, where that is in an encrypted file.

In this order: systemd's credential `simpul-ca-passphrase` (LoadCredentialEncrypted=), the file that
`authority.passphrase_file` names, the variable SIMPUL_REGISTRY_CA_PASSPHRASE. It is read at a start
and held nowhere; the key itself is in memory, in the clear, for as long as the registry runs.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from security.errors import Code, SimpulError
from security.pem import decrypt_pem

CREDENTIAL: Final = "simpul-ca-passphrase"
VARIABLE: Final = "SIMPUL_REGISTRY_CA_PASSPHRASE"

_ENCRYPTED: Final = b"-----BEGIN ENCRYPTED PRIVATE KEY-----"

Find = Callable[[], str | None]


def nothing() -> str | None:
    """No passphrase is known."""
    return None


def find(file: str, env: Mapping[str, str]) -> str | None:
    """The passphrase, from the first place that has one; None, where none has.

    Raises:
        SimpulError: CONFIG_INVALID, when `file` is named and can't be read.
    """
    if folder := env.get("CREDENTIALS_DIRECTORY"):
        credential = Path(folder) / CREDENTIAL
        if credential.is_file():
            return _first_line(credential)
    if file:
        return _first_line(Path(file))
    return env.get(VARIABLE)


def opened(key_pem: bytes, where: Path, passphrase: Find) -> bytes:
    """A key in PEM, in the clear.

    Raises:
        SimpulError: CONFIG_INVALID, when it is encrypted and the passphrase is absent or another.
    """
    if not key_pem.lstrip().startswith(_ENCRYPTED):
        return key_pem
    found = passphrase()
    if not found:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"{where} is encrypted: give its passphrase by authority.passphrase_file, by the "
            f"variable {VARIABLE}, or by systemd's credential {CREDENTIAL}",
        )
    try:
        return decrypt_pem(key_pem, found.encode())
    except SimpulError as error:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{where} does not open: its passphrase is another one"
        ) from error


def _first_line(path: Path) -> str:
    try:
        return path.read_text().splitlines()[0]
    except (OSError, UnicodeDecodeError, IndexError) as error:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{path} holds no passphrase in its first line"
        ) from error
