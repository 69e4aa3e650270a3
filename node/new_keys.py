"""Where a new node's keys are to lie, as its operator says: files, or tokens (PKCS#11).

The node's own key and its TLS key are files always: the one greets on every link, the other is
read by the TLS library. What is chosen here goes into `node.toml`, so that the node opens the keys
as they were made.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from node.home import KeyName, NodeHome
from runtime.key_stores.store import SUFFIXES, KeyStore
from runtime.key_stores.token import TokenKey
from runtime.key_stores.uri import TokenUri
from security.errors import Code, SimpulError
from security.keys import Algorithm, PrivateKey, generate


@dataclass(frozen=True, slots=True)
class NewKeys:
    """What `simpul node init` and `host` are told. A key without a URI is made in a file."""

    identity: TokenUri | None = None
    seal: TokenUri | None = None
    algorithm: Algorithm = Algorithm.ED25519
    # Of `[keys]` in node.toml; empty: not said.
    module: str = ""
    pin_file: str = ""
    passphrase_file: str = ""

    def uri(self, name: KeyName) -> TokenUri | None:
        """Where a key is to be made; None: in a file."""
        return {KeyName.IDENTITY: self.identity, KeyName.SEAL: self.seal}.get(name)

    def store(self, home: NodeHome, env: Mapping[str, str]) -> KeyStore:
        """What makes and opens them."""
        pin, passphrase = (
            str(home.path / file) if file else "" for file in (self.pin_file, self.passphrase_file)
        )
        return KeyStore.configured(self.module, pin, passphrase, env)

    def section(self) -> dict[str, object]:
        """`[keys]` of node.toml: what was said."""
        said = {
            "module": self.module,
            "pin_file": self.pin_file,
            "passphrase_file": self.passphrase_file,
        }
        return {name: value for name, value in said.items() if value}


def first_key(home: NodeHome, name: KeyName, keys: NewKeys, store: KeyStore) -> PrivateKey:
    """The first key of a kind: one from an earlier try, or a new one, kept before it is returned.

    Raises:
        SimpulError: HOME_EXISTS, when the earlier try made it elsewhere; what the token says.
    """
    stem = home.keys / name
    uri = keys.uri(name)
    found = [file for file in map(stem.with_suffix, SUFFIXES) if file.exists()]
    if not found:
        return store.read(store.write(stem, new_key(uri, keys.algorithm, store)))
    key = store.read(found[0])
    if uri is not None and not _is_at(key, uri):
        raise SimpulError(
            Code.HOME_EXISTS,
            f"{found[0]} is from an earlier try, and is another key than {uri}: give a new or "
            "empty folder as --home",
        )
    return key


def new_key(uri: TokenUri | None, algorithm: Algorithm, store: KeyStore) -> PrivateKey:
    """A key that nothing keeps yet, in a token or for a file."""
    return generate(Algorithm.ED25519) if uri is None else store.in_token(uri, algorithm)


def absolute(file: Path | None) -> str:
    """A file as node.toml holds it; empty for none."""
    return "" if file is None else str(file.absolute())


def _is_at(key: PrivateKey, uri: TokenUri) -> bool:
    return isinstance(key, TokenKey) and key.reference.uri == uri
