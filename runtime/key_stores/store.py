"""Private keys by the files that stand for them: the key itself, or where it is.

    seal.pem    PKCS #8 in PEM, in the clear or encrypted (a passphrase opens it)
    seal.uri    a key in a token: `token.Reference`

Whoever reads a key needs not know which it is, but for one thing: signing with one in a token waits
for a device (`PrivateKey.on_device`).

What a thief of the folder can do: use every key that lies there in the clear. With a `.uri` and the
token's PIN he can sign while he is on this machine, and takes nothing away.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from runtime.files import create_private
from runtime.key_stores import secrets_found, token
from runtime.key_stores.secrets_found import Find, Places, nothing
from runtime.key_stores.uri import TokenUri
from security.errors import Code, SimpulError
from security.keys import Algorithm, PrivateKey
from security.pem import decrypt_pem, encrypt_pem, is_encrypted

PEM: Final = ".pem"
URI: Final = ".uri"
SUFFIXES: Final = (PEM, URI)

PIN: Final = Places("simpul-hsm-pin", "SIMPUL_HSM_PIN")
PASSPHRASE: Final = Places("simpul-key-passphrase", "SIMPUL_KEY_PASSPHRASE")


@dataclass(frozen=True, slots=True)
class KeyStore:
    """How keys are opened: the token's library, its PIN, and the passphrase of key files."""

    module: str = ""
    pin: Find = nothing
    passphrase: Find = nothing

    @classmethod
    def configured(
        cls, module: str, pin_file: str, passphrase_file: str, env: Mapping[str, str]
    ) -> "KeyStore":
        """The store that a program's `[keys]` section and its environment describe."""
        return cls(
            module,
            lambda: secrets_found.find(PIN, pin_file, env),
            lambda: secrets_found.find(PASSPHRASE, passphrase_file, env),
        )

    def read(self, file: Path) -> PrivateKey:
        """The key of a file.

        Raises:
            SimpulError: KEY_MALFORMED; CONFIG_INVALID, when the passphrase is absent or another.
        """
        data = file.read_bytes()
        if file.suffix == URI:
            reference = token.Reference.from_bytes(data)
            return token.TokenKey(reference, self._module(reference.uri), self.pin)
        if not is_encrypted(data):
            return PrivateKey.from_pem(data)
        found = self.passphrase()
        if not found:
            raise SimpulError(
                Code.CONFIG_INVALID,
                f"{file} is encrypted: give its passphrase by keys.passphrase_file, by the "
                f"variable {PASSPHRASE.variable}, or by systemd's credential "
                f"{PASSPHRASE.credential}",
            )
        try:
            return PrivateKey.from_pem(decrypt_pem(data, found.encode()))
        except SimpulError as error:
            raise SimpulError(
                Code.CONFIG_INVALID, f"{file} does not open: its passphrase is another one"
            ) from error

    def write(self, stem: Path, key: PrivateKey) -> Path:
        """Keeps a new key in a file of its own, encrypted where there is a passphrase.

        Raises:
            FileExistsError: there is one; it is untouched.
        """
        file = stem.with_name(stem.name + (URI if isinstance(key, token.TokenKey) else PEM))
        if isinstance(key, token.TokenKey):
            create_private(file, key.reference.to_bytes())
            return file
        found = self.passphrase()
        pem = key.to_pem()
        create_private(file, encrypt_pem(pem, found.encode()) if found else pem)
        return file

    def in_token(self, uri: TokenUri, algorithm: Algorithm) -> token.TokenKey:
        """The key of this name in its token: the one that is there, or a new one.

        Raises:
            SimpulError: HSM_UNAVAILABLE, HSM_PIN, HSM_KEY; CONFIG_INVALID.
        """
        held = self._module(uri)
        found = token.find(uri, held, self.pin)
        return token.make(uri, algorithm, held, self.pin) if found is None else found

    def _module(self, uri: TokenUri) -> token.Module:
        return token.module(uri.module_path or self.module)
