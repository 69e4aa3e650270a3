"""Joins a node to a federation: what `simpul node init` does.

Nothing is trusted on first use: the token says which root metadata and which registry's certificate
to believe. Private keys are made here and never leave. The steps, in `enrol`:

1. The token is whole.
2. The root metadata is the one that the token names.
3. The home is new, or was begun and not finished.
4. The registry shows the certificate that the token names.
5. Keys are made, or taken up from an earlier try, and durable before anybody hears of them.
6. The registry grants the enrolment; now the token is used.
7. The certificate that came is for this node's key.
8. `node.toml` is written: the home is whole.
9. The directory is fetched. Where that fails, the node has joined all the same, and fetches it when
   it starts.

A try that fails before step 6 leaves nothing that is in the way of the next with the same token.
"""

import asyncio
import hmac
import os
import socket
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from node.config import write_config
from node.directory.fetch import HttpFetcher
from node.directory.model import Generation
from node.directory.pack import sync_replica
from node.directory.replica import Replica
from node.home import KeyName, NodeHome
from node.journal.writable import open_to_write
from node.new_keys import NewKeys, first_key
from node.registry_client import FORMAT_VERSION, RegistryClient, addresses
from node.store.engine import Store
from runtime.files import write_durably
from runtime.ports import TcpAddress, parse_address
from security import certificate
from security.errors import Code, SimpulError
from security.hashing import sha256
from security.keys import PrivateKey, PublicKey
from security.seal_request import SealKeyRequestView, make_seal_key_request
from security.statement import MemberStatementView, SealKeyView, make_statement
from security.token import EnrolmentToken, fingerprint, parse_token
from simpul.v1 import registry_pb2, statement_pb2

CERTIFICATE_TIMEOUT_S = 10.0
MS_PER_DAY = 24 * 60 * 60 * 1000
SEAL_KEY_DAYS = 365
FIRST_NUMBER = 1


@dataclass(frozen=True, slots=True)
class EnrolOptions:
    """What the operator says.

    `root` is the root metadata's content. Addresses are text, as `node.toml` will hold them; those
    that are None get the configuration's defaults, `link_advertise` that of `link_listen`.
    """

    home: Path
    registry: str
    root: bytes
    token: str
    slots: int
    link_listen: str
    link_advertise: str | None = None
    gateway_listen: str | None = None
    metrics_listen: str | None = None
    keys: NewKeys = field(default_factory=NewKeys)


@dataclass(frozen=True, slots=True)
class Enrolled:
    """A node that has joined. `fault` says why the directory was not fetched, where it was not.

    `asked`: the member's other node must list this one's seal key. The fingerprint is empty where
    the member's identity key is not known yet.
    """

    home: NodeHome
    token: EnrolmentToken
    fingerprint: str
    generation: Generation | None
    fault: SimpulError | None
    asked: bool = False


@dataclass(frozen=True, slots=True)
class _Keys:
    # None where another node of the member holds it.
    identity: PrivateKey | None
    seal: PrivateKey
    node: PrivateKey
    tls_pem: bytes


async def enrol(options: EnrolOptions, clock: Callable[[], int]) -> Enrolled:
    """Joins a node.

    Args:
        options: What the operator says.
        clock: Gives milliseconds since the epoch, UTC.

    Raises:
        SimpulError: TOKEN_MALFORMED (1), ROOT_MISMATCH (2), HOME_EXISTS, HOME_LOCKED (3),
            REGISTRY_UNREACHABLE, CERTIFICATE_MISMATCH (4, 7), TOKEN_UNKNOWN, TOKEN_USED,
            TOKEN_EXPIRED, and what else the registry refuses it for (6).
    """
    advertise = _tcp(options.link_advertise or options.link_listen)
    registries = tuple(map(_tcp, addresses(options.registry)))
    # 1. Token.
    token = parse_token(options.token)
    # 2. Root.
    _check_root(options.root, token)
    # 3. Home.
    home = NodeHome.create(options.home)
    with home.lock():
        # 4. Certificate.
        shown = await asyncio.to_thread(_first_shown, registries, token)
        # 5. Keys.
        keys = await asyncio.to_thread(
            _make_keys, home, options.keys, with_identity=not token.has_statement
        )
        # 6. Enrolment.
        pem = certificate.to_pem(shown)
        answer = await _send(options, token, keys, pem, str(advertise), clock())
        # 7. Chain.
        _check_chain(answer.certificate_chain, keys.tls_pem, token)
        write_durably(home.chain, certificate.to_pem(*answer.certificate_chain))
        write_durably(home.registry_certificate, pem)
        write_durably(home.root, options.root)
        # 8. Configuration.
        _write_config(home, options, token, answer.directory_url, str(advertise))
        await asyncio.to_thread(_make_journal, home)
        # 9. Directory.
        first = await asyncio.to_thread(
            _first_directory, home, token, options.root, answer.directory_url, clock()
        )
    identity = first.identity if keys.identity is None else keys.identity.public
    print_ = (
        ""
        if identity is None
        else fingerprint(token.member, token.node, identity, keys.node.public, keys.seal.public)
    )
    return Enrolled(home, token, print_, first.generation, first.fault, asked=token.has_statement)


def _tcp(text: str) -> TcpAddress:
    address = parse_address(text)
    if not isinstance(address, TcpAddress) or address.port == 0:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{text!r} must be HOST:PORT, with a port that others can reach"
        )
    return address


def _check_root(root: bytes, token: EnrolmentToken) -> None:
    if not hmac.compare_digest(sha256(root), token.root_sha256):
        raise SimpulError(
            Code.ROOT_MISMATCH,
            f"the root metadata (SHA-256 {sha256(root).hex()[:16]}…) is not the one that the token "
            f"names ({token.root_sha256.hex()[:16]}…): give the root.json of that registry",
        )


def _first_shown(registries: Sequence[TcpAddress], token: EnrolmentToken) -> bytes:
    """The certificate at the first of the registry's addresses that answers."""
    fault = SimpulError(Code.CONFIG_INVALID, "no address of the registry was given")
    for address in registries:
        try:
            return _shown_certificate(address, token)
        except SimpulError as error:
            fault = error
            if error.code is not Code.REGISTRY_UNREACHABLE:
                raise
    raise fault


def _shown_certificate(address: TcpAddress, token: EnrolmentToken) -> bytes:
    """The certificate at the registry's port, in DER: the one that the token names."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # It is compared below, byte for byte, which says more than any chain.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    name = certificate.registry_dns_name(token.federation)
    try:
        with (
            socket.create_connection(
                (address.host, address.port), timeout=CERTIFICATE_TIMEOUT_S
            ) as plain,
            context.wrap_socket(plain, server_hostname=name) as secured,
        ):
            shown = secured.getpeercert(binary_form=True) or b""
    except OSError as error:
        raise SimpulError(
            Code.REGISTRY_UNREACHABLE,
            f"no registry answers at {address}: check the address, and that it runs",
            address=str(address),
        ) from error
    if not hmac.compare_digest(sha256(shown), token.registry_certificate_sha256):
        raise SimpulError(
            Code.CERTIFICATE_MISMATCH,
            f"{address} shows another certificate than the token names: it is another registry, or "
            "somebody stands between; check the address with the registry's operator",
            address=str(address),
        )
    return shown


def _make_keys(home: NodeHome, new: NewKeys, *, with_identity: bool) -> _Keys:
    store = new.store(home, os.environ)

    def key(name: KeyName) -> PrivateKey:
        return first_key(home, name, new, store)

    if not home.key_file(KeyName.TLS).exists():
        home.write_key(KeyName.TLS, certificate.make_key())
    return _Keys(
        key(KeyName.IDENTITY) if with_identity else None,
        key(KeyName.SEAL),
        key(KeyName.NODE),
        home.read_pem(KeyName.TLS),
    )


def first_statement(
    token: EnrolmentToken, identity: PrivateKey, seal: PrivateKey, now_ms: int
) -> statement_pb2.SignedStatement:
    """A member's first statement, which lists one seal key, valid at once."""
    ends_ms = now_ms + SEAL_KEY_DAYS * MS_PER_DAY
    view = MemberStatementView(
        member=token.member,
        number=FIRST_NUMBER,
        identity_key=identity.public,
        seal_keys=(SealKeyView(seal.public, token.node, now_ms, ends_ms),),
        issued_at_ms=now_ms,
        previous=None,
    )
    return make_statement(view, identity)


async def _send(
    options: EnrolOptions,
    token: EnrolmentToken,
    keys: _Keys,
    certificate_pem: bytes,
    advertise: str,
    now_ms: int,
) -> registry_pb2.EnrolResponse:
    enrolment = registry_pb2.Enrolment(
        version=FORMAT_VERSION,
        secret=token.secret,
        federation=token.federation,
        member=str(token.member),
        node=str(token.node),
        node_key=keys.node.public.to_proto(),
        certificate_request=certificate.make_request(keys.tls_pem, token.node),
        link_address=advertise,
        slots=options.slots,
    )
    if keys.identity is None:
        asked = SealKeyRequestView(token.member, token.node, keys.seal.public, now_ms)
        enrolment.seal_key_request.CopyFrom(make_seal_key_request(asked, keys.node))
    else:
        statement = await asyncio.to_thread(
            first_statement, token, keys.identity, keys.seal, now_ms
        )
        enrolment.statement.CopyFrom(statement)
    client = RegistryClient(options.registry, certificate_pem, token.federation)
    try:
        return await client.enrol(enrolment, keys.node)
    finally:
        await client.close()


def _check_chain(chain: Sequence[bytes], tls_pem: bytes, token: EnrolmentToken) -> None:
    key = load_pem_private_key(tls_pem, password=None).public_key()
    names = certificate.dns_names(chain[0]) if chain else ()
    right = names == (token.node.dns_name,) and _public_key(chain[0]) == key
    if not right:
        raise SimpulError(
            Code.CERTIFICATE_MISMATCH,
            f"the registry answered with a certificate that is not for {token.node}: tell its "
            "operator, and ask for a new token",
        )


def _public_key(certificate_der: bytes) -> object:
    return x509.load_der_x509_certificate(certificate_der).public_key()


def _write_config(
    home: NodeHome,
    options: EnrolOptions,
    token: EnrolmentToken,
    directory_url: str,
    advertise: str,
) -> None:
    write_config(
        home.config,
        {
            "node": {"id": str(token.node), "members": [str(token.member)]},
            "registry": {
                "address": options.registry,
                "directory_url": directory_url,
                "certificate_sha256": token.registry_certificate_sha256.hex(),
            },
            "gateway": {"listen": options.gateway_listen},
            "link": {"listen": options.link_listen, "advertise": advertise},
            "metrics": {"listen": options.metrics_listen},
            "journal": {"slots": options.slots},
            **({"keys": section} if (section := options.keys.section()) else {}),
        },
    )


def _make_journal(home: NodeHome) -> None:
    """Done here, because what makes it is slow to load, and a node that loaded it keeps it."""
    engine, _ = open_to_write(home.journal)
    engine.dispose()


@dataclass(frozen=True, slots=True)
class _First:
    """The directory that a new node fetched, or why not; the identity key of its member."""

    generation: Generation | None
    fault: SimpulError | None
    identity: PublicKey | None = None


def _first_directory(
    home: NodeHome, token: EnrolmentToken, root: bytes, url: str, now_ms: int
) -> _First:
    store = Store.open(home.state)
    fetcher = HttpFetcher(url)
    try:
        replica = Replica(home.directory, token.federation, root, store)
        generation = sync_replica(replica, fetcher, now_ms)
        view = replica.view
        statement = None if view is None else view.member(token.member).statement
        return _First(generation, None, None if statement is None else statement.identity_key)
    except SimpulError as error:
        return _First(None, error)
    finally:
        fetcher.close()
        store.close()
