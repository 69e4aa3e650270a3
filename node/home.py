"""A node's home folder: where everything lies, and who may use it.

    HOME/node.toml            configuration
    HOME/root.json            the root metadata that the node trusts, as it came with the enrolment
    HOME/keys/*.pem           identity, seal, node, tls: 0600, PKCS #8
    HOME/keys/*.key           the journal's wrapping and index keys: 0600
    HOME/tls/chain.pem        the TLS certificate and its issuers
    HOME/tls/registry.pem     the certificate of the registry's gRPC port
    HOME/state.db             agreements, pins, apps, routes (node/store)
    HOME/journal.db           every parcel (node/journal)
    HOME/checkpoints/         the newest checkpoint of each slot (node/checkpoints)
    HOME/witness/             what this node cosigned for others, where it is a witness
    HOME/directory/           the copy of the directory (node/directory)
    HOME/run/*.sock           admin and control sockets
    HOME/lock                 held by the program that uses the home

It reads no content but keys. Rules: folders are 0700 and files with secrets 0600 from their first
byte; a key is never overwritten; `node.toml` is written last, so that a home that has one is whole.

Its thief can act as this node and seal in its member's name; with the identity key he can also sign
agreements. Carry the identity key elsewhere, and revoke the node at once.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from runtime.files import create_private, folder_lock, make_private_folder
from security.errors import Code, SimpulError
from security.keys import PrivateKey

CONFIG_NAME = "node.toml"


class KeyName(StrEnum):
    """The keys of a node, by the names of their files."""

    IDENTITY = "identity"
    SEAL = "seal"
    NODE = "node"
    TLS = "tls"
    # Only of a node that is a witness.
    WITNESS = "witness"


@dataclass(frozen=True, slots=True)
class NodeHome:
    """The paths of a home. Made by `open` or `create`; `at` checks nothing."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> "NodeHome":
        """The paths below `path`, whether or not anything is there."""
        return cls(path.absolute())

    @classmethod
    def open(cls, path: Path) -> "NodeHome":
        """An existing home.

        Raises:
            SimpulError: HOME_MISSING; HOME_FOREIGN, when it is another program's.
        """
        home = cls.at(path)
        if home.config.is_file():
            return home
        if (home.path / "registry.toml").exists():
            raise SimpulError(
                Code.HOME_FOREIGN,
                f"{home.path} is a registry's home: give the folder of a node",
                home=str(home.path),
            )
        raise SimpulError(
            Code.HOME_MISSING,
            f"{home.path} is no node's home: `simpul node init` makes one, --home names another",
            home=str(home.path),
        )

    @classmethod
    def create(cls, path: Path) -> "NodeHome":
        """The folders of a new home. A home that was begun and not finished is taken up again.

        Raises:
            SimpulError: HOME_EXISTS, when it is finished, or holds what is not a home's.
        """
        home = cls.at(path)
        foreign = sorted(entry.name for entry in home.path.glob("*") if entry.name not in _NAMES)
        if home.config.exists() or foreign:
            what = "is a node's home already" if home.config.exists() else f"holds {foreign[0]}"
            raise SimpulError(
                Code.HOME_EXISTS,
                f"{home.path} {what}: give a new or empty folder as --home",
                home=str(home.path),
            )
        for folder in (home.keys, home.tls, home.directory, home.run):
            make_private_folder(folder)
        return home

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Holds the home for this process.

        Raises:
            SimpulError: HOME_LOCKED, when another program uses it.
        """
        with folder_lock(self.path):
            yield

    def check_federation(self, mine: str, wanted: str) -> None:
        """Passes where this home's federation is the one that is wanted.

        Raises:
            SimpulError: HOME_FOREIGN.
        """
        if mine != wanted:
            raise SimpulError(
                Code.HOME_FOREIGN,
                f"{self.path} is a home of federation {mine}, not {wanted}: give another --home",
                home=str(self.path),
            )

    @property
    def config(self) -> Path:
        """`node.toml`."""
        return self.path / CONFIG_NAME

    @property
    def root(self) -> Path:
        """`root.json`."""
        return self.path / "root.json"

    @property
    def keys(self) -> Path:
        """The folder of the private keys."""
        return self.path / "keys"

    @property
    def tls(self) -> Path:
        """The folder of the certificates."""
        return self.path / "tls"

    @property
    def chain(self) -> Path:
        """The node's TLS certificate, then its issuers."""
        return self.tls / "chain.pem"

    @property
    def registry_certificate(self) -> Path:
        """The certificate that the registry's gRPC port shows."""
        return self.tls / "registry.pem"

    @property
    def state(self) -> Path:
        """`state.db`."""
        return self.path / "state.db"

    @property
    def checkpoints(self) -> Path:
        """The folder of the newest checkpoints."""
        return self.path / "checkpoints"

    @property
    def witness(self) -> Path:
        """The folder of what this node cosigned for others."""
        return self.path / "witness"

    @property
    def journal(self) -> Path:
        """`journal.db`."""
        return self.path / "journal.db"

    @property
    def directory(self) -> Path:
        """The folder of the directory's copy."""
        return self.path / "directory"

    @property
    def run(self) -> Path:
        """The folder of the sockets."""
        return self.path / "run"

    @property
    def admin_socket(self) -> Path:
        """Where operators' commands go."""
        return self.run / "admin.sock"

    @property
    def control_socket(self) -> Path:
        """Where workers attach."""
        return self.run / "control.sock"

    def key_file(self, name: KeyName) -> Path:
        """Where a private key lies."""
        return self.keys / f"{name}.pem"

    def read_key(self, name: KeyName) -> PrivateKey:
        """A private key of this node.

        Raises:
            SimpulError: HOME_MISSING, when its file is gone; KEY_MALFORMED, when it holds no key.
        """
        return PrivateKey.from_pem(self._read(self.key_file(name)))

    def read_root(self) -> bytes:
        """The root metadata that this node trusts.

        Raises:
            SimpulError: HOME_MISSING, when it is gone.
        """
        return self._read(self.root)

    def read_pem(self, name: KeyName) -> bytes:
        """A private key as its file has it: what TLS takes.

        Raises:
            SimpulError: HOME_MISSING, when its file is gone.
        """
        return self._read(self.key_file(name))

    def read_chain(self) -> bytes:
        """The TLS certificate and its issuers, in PEM.

        Raises:
            SimpulError: HOME_MISSING, when it is gone.
        """
        return self._read(self.chain)

    def read_registry_certificate(self) -> bytes:
        """The certificate of the registry's gRPC port, in PEM.

        Raises:
            SimpulError: HOME_MISSING, when it is gone.
        """
        return self._read(self.registry_certificate)

    def write_key(self, name: KeyName, pem: bytes) -> None:
        """Stores a new private key, in PEM.

        Raises:
            FileExistsError: there is one; it is untouched.
        """
        create_private(self.key_file(name), pem)

    def _read(self, file: Path) -> bytes:
        try:
            return file.read_bytes()
        except FileNotFoundError as error:
            raise SimpulError(
                Code.HOME_MISSING,
                f"{file} is gone: restore it from a backup, or enrol the node anew",
                home=str(self.path),
            ) from error


_NAMES = frozenset(
    {
        CONFIG_NAME,
        "root.json",
        "keys",
        "tls",
        "directory",
        "checkpoints",
        "witness",
        "run",
        "lock",
        *(f"{name}.db{suffix}" for name in ("state", "journal") for suffix in ("", "-wal", "-shm")),
    }
)
