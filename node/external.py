"""A TLS certificate from an authority outside the federation, in place of the registry's.

    keys/tls.pem              the key that is in use
    keys/tls-next.pem         one that a request was made for, until its certificate is imported
    tls/chain.pem             the certificate and its issuers
    tls/external              SHA-256 of the certificate in use, where it was imported

The node doesn't renew what it can't ask for: it warns from two thirds of the certificate's life on,
and its successor is imported as the first was. Links read key and chain anew at each handshake, so
a running node takes a chain for the key that it has at once; a chain with another key is two files,
and taken by a node that is stopped.
"""

from pathlib import Path

from node.home import KeyName, NodeHome
from runtime.files import create_private, write_durably, write_private
from security.certificate import from_pem, to_pem
from security.errors import Code, SimpulError
from security.external_certificate import (
    check_chain,
    is_for,
    make_external_key,
    make_external_request,
)
from security.hashing import sha256
from security.identifiers import NodeId


def make_request(home: NodeHome, node: NodeId, new_key: str, organisation: str) -> bytes:
    """A request in PEM, for the key in use, or for a new one of kind `new_key`.

    A new key that waits already is taken up again, so that a request can be made twice.

    Raises:
        SimpulError: KEY_MALFORMED, CONFIG_INVALID.
    """
    if not new_key:
        return make_external_request(home.read_pem(KeyName.TLS), node, organisation)
    waiting = _next(home)
    if not waiting.exists():
        create_private(waiting, make_external_key(new_key))
    return make_external_request(waiting.read_bytes(), node, organisation)


def import_chain(
    home: NodeHome, node: NodeId, pem: bytes, authorities: tuple[bytes, ...], now_ms: int
) -> bytes:
    """Takes a certificate into use, with its intermediates; returns it, in DER.

    Raises:
        SimpulError: CERTIFICATE_REFUSED, which says why; HOME_LOCKED, where the key changes and the
            node runs.
    """
    chain = from_pem(pem)
    waiting = _next(home)
    if chain and waiting.exists() and is_for(chain[0], waiting.read_bytes()):
        check_chain(chain, waiting.read_bytes(), node, authorities, now_ms)
        with home.lock():
            write_private(home.key_file(KeyName.TLS), waiting.read_bytes())
            _put(home, chain)
            waiting.unlink()
        return chain[0]
    check_chain(chain, home.read_pem(KeyName.TLS), node, authorities, now_ms)
    _put(home, chain)
    return chain[0]


def is_external(home: NodeHome) -> bool:
    """Whether the certificate in use was imported."""
    try:
        said = _mark(home).read_text().strip()
    except FileNotFoundError:
        return False
    return said == sha256(from_pem(home.read_chain())[0]).hex()


def _put(home: NodeHome, chain: tuple[bytes, ...]) -> None:
    # The mark first: without its certificate it says nothing.
    write_durably(_mark(home), f"{sha256(chain[0]).hex()}\n".encode())
    write_durably(home.chain, to_pem(*chain))


def _next(home: NodeHome) -> Path:
    return home.keys / "tls-next.pem"


def _mark(home: NodeHome) -> Path:
    return home.tls / "external"


def read_chain_file(file: Path) -> bytes:
    """A file with a chain, in PEM; raises SimpulError CERTIFICATE_REFUSED for one that is none."""
    try:
        return file.read_bytes()
    except OSError as error:
        raise SimpulError(
            Code.CERTIFICATE_REFUSED, f"{file} can't be read ({error.strerror}): name another"
        ) from error
