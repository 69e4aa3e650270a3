"""A registry's home folder: what lies where, and its making.

    registry.toml        settings
    root.json            the first root metadata: what nodes and tokens start from
    registry.db          members, nodes, contracts (SQLite)
    directory/           what is published: metadata/, targets/
    keys/<role>.pem      the directory's keys, 0600
    ca/authority.pem     the built-in authority's key, 0600, encrypted if so chosen;
                         authority.crt its certificate; authority.uri in the key's place says
                         in which token it is
    tls/server.pem       the gRPC port's key, 0600; server.crt its certificate
    witness/key.pem      the key that cosigns the nodes' checkpoints, 0600
    witness/memory.db    what it cosigned last of each log; never restore it from a backup
    accepted.json        a signed root or policy, from its acceptance until it is published
    run/                 admin.sock (0600) and endpoints.json while the registry runs
    lock                 held while the registry runs

The folder is 0700. A new home is made beside its place and renamed into it: there is either a whole
one or none.
"""

import json
import os
import secrets
import shutil
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final

from registry import config, passphrases
from registry.authority import Authority, new_serial
from registry.config import RegistryConfig
from registry.directory import signers
from registry.directory.folder import PublishedFolder
from registry.directory.publisher import Publisher
from runtime.files import create_private, make_private_folder, sync_folder, write_durably
from runtime.key_stores.certifying import TokenCertificateKey
from runtime.key_stores.store import URI, KeyStore
from runtime.key_stores.token import TokenKey
from runtime.key_stores.uri import TokenUri
from runtime.ports import MAX_PORT, TcpAddress, UnixAddress, free_addresses, parse_address
from security import certificate
from security.cosignature import witness_key
from security.directory_records import parse_policy
from security.errors import Code, SimpulError
from security.identifiers import check_federation
from security.keys import Algorithm, PrivateKey, generate
from security.limits import Limits
from simpul.v1 import directory_pb2

STALE_AFTER_MS: Final = 10 * 60 * 1000
DEAD_AFTER_MS: Final = 7 * 24 * 60 * 60 * 1000
MAX_CALL_MS: Final = 60 * 60 * 1000
MEMBER_CLASSES: Final = ("KEMENTERIAN", "LEMBAGA", "PROVINSI", "DAERAH", "BUMN")
# Tokens carry its hash: it changes only by an operator's hand.
SERVER_DAYS: Final = 3650


@dataclass(frozen=True, slots=True)
class Endpoints:
    """Where a running registry is: `HOST:PORT`, a URL, `HOST:PORT`, `unix:PATH`."""

    grpc: str
    directory: str
    metrics: str
    admin: str


@dataclass(frozen=True, slots=True)
class ServerIdentity:
    """The gRPC port's key (PEM) and certificate (DER)."""

    key_pem: bytes
    certificate_der: bytes

    @property
    def certificate_sha256(self) -> bytes:
        """What nodes pin."""
        return sha256(self.certificate_der).digest()


@dataclass(frozen=True, slots=True)
class RegistryHome:
    """The paths of an existing home."""

    path: Path

    @classmethod
    def open(cls, path: Path) -> "RegistryHome":
        """An existing home.

        Raises:
            SimpulError: HOME_MISSING.
        """
        home = cls(path.absolute())
        if not home.settings_file.is_file():
            raise SimpulError(
                Code.HOME_MISSING,
                f"{path} is no registry's home: make one with simpul registry init --home {path}",
            )
        return home

    @property
    def settings_file(self) -> Path:
        """`registry.toml`."""
        return self.path / "registry.toml"

    @property
    def root_file(self) -> Path:
        """`root.json`."""
        return self.path / "root.json"

    @property
    def directory(self) -> PublishedFolder:
        """What is published."""
        return PublishedFolder(self.path / "directory")

    @property
    def keys(self) -> Path:
        """The folder of the directory's keys."""
        return self.path / "keys"

    @property
    def accepted_file(self) -> Path:
        """`accepted.json`."""
        return self.path / "accepted.json"

    @property
    def run(self) -> Path:
        """The folder of what is there only while the registry runs."""
        return self.path / "run"

    @property
    def endpoints_file(self) -> Path:
        """`run/endpoints.json`."""
        return self.run / "endpoints.json"

    @property
    def admin_address(self) -> UnixAddress:
        """The administrator's socket.

        Raises:
            SimpulError: CONFIG_INVALID, when the home's path is too long for a socket.
        """
        address = parse_address(f"unix:{self.run / 'admin.sock'}")
        if not isinstance(address, UnixAddress):
            raise SimpulError(Code.CONFIG_INVALID, f"{self.path} can hold no socket: move it")
        return address

    def database_url(self, settings: RegistryConfig) -> str:
        """The configured database, or the home's own."""
        return settings.database.url or f"sqlite:///{self.path / 'registry.db'}"

    def authority(
        self, passphrase: passphrases.Find = passphrases.nothing, tokens: KeyStore | None = None
    ) -> Authority:
        """The built-in authority; its key may be encrypted, or in a token that `tokens` opens.

        Raises:
            SimpulError: CONFIG_INVALID or CERTIFICATE_MISMATCH, when its files are missing or bad.
        """
        reference = self.path / "ca" / f"authority{URI}"
        if reference.exists():
            held = (tokens or KeyStore()).read(reference)
            if not isinstance(held, TokenKey):
                raise SimpulError(Code.CONFIG_INVALID, f"{reference} names no key in a token")
            return Authority(TokenCertificateKey(held), self._certificate("ca", "authority"))
        key, certificate_der = self._pair("ca", "authority")
        file = self.path / "ca" / "authority.pem"
        return Authority(passphrases.opened(key, file, passphrase), certificate_der)

    @property
    def witness_key_file(self) -> Path:
        """The witness's key; homes of the first version have none."""
        return self.path / "witness" / "key.pem"

    @property
    def witness_memory(self) -> Path:
        """What the witness cosigned last."""
        return self.path / "witness" / "memory.db"

    def witness_key(self) -> PrivateKey:
        """The witness's key; raises SimpulError KEY_MALFORMED."""
        return PrivateKey.from_pem(_read(self.witness_key_file))

    @staticmethod
    def witness_name(federation: str) -> str:
        """The name that the registry of a federation cosigns by."""
        return f"registry.{federation.lower()}.simpul.internal/witness"

    def server_identity(self) -> ServerIdentity:
        """The gRPC port's key and certificate; raises as `authority` does."""
        return ServerIdentity(*self._pair("tls", "server"))

    def root_sha256(self) -> bytes:
        """What a node must start from: SHA-256 of `root.json`."""
        return sha256(_read(self.root_file)).digest()

    def write_endpoints(self, endpoints: Endpoints) -> None:
        """Says that all is up, and where. Whoever reads it reads a whole file."""
        shown = {
            "grpc": endpoints.grpc,
            "directory": endpoints.directory,
            "metrics": endpoints.metrics,
            "admin": endpoints.admin,
            "root": str(self.root_file),
        }
        write_durably(self.endpoints_file, json.dumps(shown, indent=2).encode() + b"\n")

    def _pair(self, folder: str, name: str) -> tuple[bytes, bytes]:
        found = self._certificate(folder, name)
        return _read(self.path / folder / f"{name}.pem"), found

    def _certificate(self, folder: str, name: str) -> bytes:
        found = certificate.from_pem(_read(self.path / folder / f"{name}.crt"))
        if len(found) != 1:
            raise SimpulError(
                Code.CERTIFICATE_MISMATCH,
                f"{self.path / folder / name}.crt holds {len(found)} certificates, not one: "
                "put the right file back",
            )
        return found[0]


@dataclass(frozen=True, slots=True)
class NewRegistry:
    """What a new registry is made of. An address left out is a free loopback one, kept for good."""

    federation: str = "ID"
    grpc: TcpAddress | None = None
    directory: TcpAddress | None = None
    witness: TcpAddress | None = None
    # The host that nodes reach it by, where that isn't the one it listens on.
    public: str = ""
    # What the policy says of it, where a proxy stands before it; empty: its own address.
    witness_url: str = ""
    metrics: TcpAddress | None = None
    member_classes: tuple[str, ...] = MEMBER_CLASSES
    stale_after_ms: int = STALE_AFTER_MS
    dead_after_ms: int = DEAD_AFTER_MS
    # The authority's key in a token, and what opens that; None: in a file.
    authority_key: TokenUri | None = None
    authority_module: str = ""
    authority_pin_file: str = ""


def create(path: Path, new: NewRegistry, now_ms: int) -> RegistryHome:
    """Makes a home: keys, authority, the first directory.

    Raises:
        SimpulError: HOME_EXISTS, when there is something at `path`; CONFIG_INVALID, when the path
            is too long for a socket, or an address can't be told to others; ID_MALFORMED;
            DIRECTORY_UNTRUSTED for member classes that can be none.
    """
    check_federation(new.federation)
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SimpulError(
            Code.HOME_EXISTS, f"{path} exists already: choose another folder with --home"
        )
    _check_reachable(new)
    # Refused now, where it costs nothing, and not when it is to be served.
    _ = RegistryHome(path).admin_address
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    make_private_folder(made)
    try:
        _fill(RegistryHome(made), new, now_ms)
        made.rename(path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    sync_folder(path.parent)
    return RegistryHome(path)


def _check_reachable(new: NewRegistry) -> None:
    told = {"--grpc": new.grpc, "--directory": new.directory, "--witness": new.witness}
    if new.public:
        told = {"--public": TcpAddress(new.public, MAX_PORT)}
        parse_address(str(told["--public"]))
    for option, address in told.items():
        if address is not None and address.is_unspecified:
            raise SimpulError(
                Code.CONFIG_INVALID,
                f"{option} {address.host} is no host that others can be told: say by which they "
                "reach this registry (--public HOST)",
            )


def _fill(home: RegistryHome, new: NewRegistry, now_ms: int) -> None:
    for folder in (
        home.keys,
        home.run,
        home.path / "ca",
        home.path / "tls",
        home.witness_key_file.parent,
    ):
        make_private_folder(folder)
    name = f"Simpul {new.federation} built-in authority"
    authority_der = _make_authority(home, new, name, now_ms)
    server = certificate.make_server_certificate(new.federation, now_ms, SERVER_DAYS, new_serial())
    _write_pair(home.path / "tls" / "server", server)
    witness = generate(Algorithm.ED25519)
    create_private(home.witness_key_file, witness.to_pem())
    grpc, directory, witnessing, metrics = free_addresses(4)
    listen = new.witness or witnessing
    policy = _policy(
        new,
        authority_der,
        directory_pb2.Witness(
            vkey=witness_key(home.witness_name(new.federation), witness).vkey,
            url=new.witness_url or f"http://{TcpAddress(new.public or listen.host, listen.port)}",
        ),
    )
    parse_policy(policy)
    publisher = Publisher.create(home.directory, signers.create(home.keys), policy, now_ms)
    write_durably(home.root_file, publisher.root)
    text = config.first_file(
        new.federation,
        config.Listening(
            new.grpc or grpc, new.directory or directory, listen, new.metrics or metrics
        ),
        new.public,
    )
    if new.authority_module or new.authority_pin_file:
        text += config.authority_section(new.authority_module, new.authority_pin_file)
    write_durably(home.settings_file, text.encode())


def _policy(new: NewRegistry, authority_der: bytes, witness: directory_pb2.Witness) -> bytes:
    limits = Limits()
    return directory_pb2.FederationPolicy(
        version=1,
        federation=new.federation,
        stale_after_ms=new.stale_after_ms,
        dead_after_ms=new.dead_after_ms,
        tls_authorities=[authority_der],
        member_classes=new.member_classes,
        limits=directory_pb2.Limits(
            max_message_bytes=limits.max_message_bytes,
            max_parcel_bytes=limits.max_parcel_bytes,
            max_entries=limits.max_entries,
            max_metadata_bytes=limits.max_metadata_bytes,
            max_call_ms=MAX_CALL_MS,
        ),
        witnesses=[witness],
        witness_quorum=1,
        logged=True,
    ).SerializeToString(deterministic=True)


def _make_authority(home: RegistryHome, new: NewRegistry, name: str, now_ms: int) -> bytes:
    """The authority's key and certificate; returns the latter, in DER."""
    stem = home.path / "ca" / "authority"
    if new.authority_key is None:
        made = certificate.make_authority(name, now_ms, new_serial())
        _write_pair(stem, made)
        return made[1]
    store = KeyStore.configured(new.authority_module, new.authority_pin_file, "", os.environ)
    key = store.in_token(new.authority_key, Algorithm.ECDSA_P256_SHA256)
    authority_der = certificate.make_authority_of(
        TokenCertificateKey(key), name, now_ms, new_serial()
    )
    store.write(stem, key)
    write_durably(stem.with_suffix(".crt"), certificate.to_pem(authority_der))
    return authority_der


def _write_pair(stem: Path, pair: tuple[bytes, bytes]) -> None:
    key_pem, certificate_der = pair
    create_private(stem.with_suffix(".pem"), key_pem)
    write_durably(stem.with_suffix(".crt"), certificate.to_pem(certificate_der))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError as error:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{path} is missing: put it back from a backup"
        ) from error
