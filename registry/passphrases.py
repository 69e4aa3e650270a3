"""The passphrase of the authority's key, where that is in an encrypted file.

In this order: systemd's credential `simpul-ca-passphrase` (LoadCredentialEncrypted=), the file that
`authority.passphrase_file` names, the variable SIMPUL_REGISTRY_CA_PASSPHRASE. It is read at a start
and held nowhere; the key itself is in memory, in the clear, for as long as the registry runs.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from runtime.key_stores import secrets_found
from runtime.key_stores.secrets_found import Find, Places, nothing
from security.errors import Code, SimpulError
from security.pem import decrypt_pem, is_encrypted

__all__ = ["CREDENTIAL", "VARIABLE", "Find", "find", "nothing", "opened"]

CREDENTIAL: Final = "simpul-ca-passphrase"
VARIABLE: Final = "SIMPUL_REGISTRY_CA_PASSPHRASE"


def find(file: str, env: Mapping[str, str]) -> str | None:
    """The passphrase, from the first place that has one; None, where none has.

    Raises:
        SimpulError: CONFIG_INVALID, when `file` is named and can't be read.
    """
    return secrets_found.find(Places(CREDENTIAL, VARIABLE), file, env)


def opened(key_pem: bytes, where: Path, passphrase: Find) -> bytes:
    """A key in PEM, in the clear.

    Raises:
        SimpulError: CONFIG_INVALID, when it is encrypted and the passphrase is absent or another.
    """
    if not is_encrypted(key_pem):
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
