"""Certificates that an outside authority issues to nodes: their requests, and their check.

A national authority issues by its own rules: with a subject, with intermediates, for RSA or P-384
keys. What it must keep to is what peers' TLS goes by, and `check_chain` says it before a node shows
such a certificate to anybody. Who speaks on a link is proven by the greeting, whoever certified it.

No clock and no files. `make_external_key` and signing draw randomness, inside the library.

Source: docs/spec, "External authorities"; RFC 5280; RFC 2986.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from cryptography.x509.verification import (
    Criticality,
    ExtensionPolicy,
    PolicyBuilder,
    Store,
    VerificationError,
)

from security.errors import Code, SimpulError
from security.identifiers import NodeId

MAX_CHAIN: Final = 5
MAX_CERTIFICATE_BYTES: Final = 16 * 1024
RSA_MIN_BITS: Final = 2048
RSA_NEW_BITS: Final = 3072
CURVES: Final = (ec.SECP256R1, ec.SECP384R1)
KINDS: Final = ("p256", "p384", "rsa")

_NODE_NAME: Final = re.compile(r".*\.simpul\.internal", re.IGNORECASE)
_MS_PER_S: Final = 1000

Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


def make_external_key(kind: str) -> bytes:
    """Make a TLS key of one of `KINDS`, as PKCS #8 in PEM; raises SimpulError KEY_MALFORMED."""
    key: Key
    match kind:
        case "p256":
            key = ec.generate_private_key(ec.SECP256R1())
        case "p384":
            key = ec.generate_private_key(ec.SECP384R1())
        case "rsa":
            key = rsa.generate_private_key(65537, RSA_NEW_BITS)
        case _:
            raise SimpulError(
                Code.KEY_MALFORMED, f"{kind[:20]!r} is no kind of key: write {', '.join(KINDS)}"
            )
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def make_external_request(key_pem: bytes, node: NodeId, organisation: str = "") -> bytes:
    """Return a request in PEM for an outside authority: the node's DNS name, and who it is.

    Raises:
        SimpulError: KEY_MALFORMED for a key that peers would not take; CONFIG_INVALID for an
            organisation's name that can be none.
    """
    key = _load_key(key_pem)
    try:
        attributes = [x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation)]
    except ValueError:
        attributes = []
    if organisation and not attributes:
        raise SimpulError(Code.CONFIG_INVALID, "an organisation's name has 1 to 64 letters")
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name(attributes if organisation else []))
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(node.dns_name)]), critical=not organisation
        )
        .sign(key, hashes.SHA256())
    )
    return request.public_bytes(Encoding.PEM)


def check_chain(
    chain: Sequence[bytes],
    key_pem: bytes,
    node: NodeId,
    authorities: Sequence[bytes],
    now_ms: int,
) -> None:
    """Pass a chain, DER, the node's certificate first, that peers will take from this node.

    1. One to five certificates, each well-formed and no larger than 16 KiB.
    2. The first is for the node's key.
    3. That key is RSA of 2048 bits or more, or ECDSA on P-256 or P-384.
    4. It bears the node's DNS name and no other node's, and no wildcard.
    5. It may be used by both ends of a connection, and is no authority.
    6. It is valid now.
    7. Through the others, in whatever order, it leads to an authority of the policy.

    Raises:
        SimpulError: CERTIFICATE_REFUSED, with the step in its details; KEY_MALFORMED.
    """
    # 1. Form.
    if not 0 < len(chain) <= MAX_CHAIN or any(len(der) > MAX_CERTIFICATE_BYTES for der in chain):
        raise _refused(1, f"has no certificate, or over {MAX_CHAIN}, or one that is too large")
    leaf, *issuers = [_load(der) for der in chain]
    # 2. Key.
    key = _load_key(key_pem, step=3)
    if leaf.public_key() != key.public_key():
        raise _refused(2, "is for another key than this node's: import what was issued to its CSR")
    # 4. Names; 3 is the key's own, above.
    names = _dns_names(leaf)
    if node.dns_name not in names:
        raise _refused(4, f"does not bear {node.dns_name} as a DNS name")
    if any(name != node.dns_name and _NODE_NAME.fullmatch(name) for name in names) or any(
        "*" in name for name in names
    ):
        raise _refused(4, "bears another node's name, too, or a wildcard")
    # 5. Use.
    _check_use(leaf)
    # 6. Validity.
    at = datetime.fromtimestamp(now_ms // _MS_PER_S, UTC)
    if not leaf.not_valid_before_utc <= at < leaf.not_valid_after_utc:
        raise _refused(
            6, f"is valid from {leaf.not_valid_before_utc} to {leaf.not_valid_after_utc}"
        )
    # 7. Authority.
    _check_path(leaf, issuers, node, [_load(der) for der in authorities], at)


def is_for(certificate_der: bytes, key_pem: bytes) -> bool:
    """Whether a certificate is for this key."""
    return _load(certificate_der).public_key() == _load_key(key_pem).public_key()


def _check_use(leaf: x509.Certificate) -> None:
    extensions = leaf.extensions
    try:
        usages = set(extensions.get_extension_for_class(x509.ExtendedKeyUsage).value)
    except x509.ExtensionNotFound:
        usages = set()
    if not {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH} <= usages:
        raise _refused(5, "lacks the extended key usages serverAuth and clientAuth: ask for both")
    try:
        if extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            raise _refused(5, "is that of an authority")
    except x509.ExtensionNotFound:
        pass
    try:
        if not extensions.get_extension_for_class(x509.KeyUsage).value.digital_signature:
            raise _refused(5, "lacks the key usage digitalSignature")
    except x509.ExtensionNotFound:
        pass


def _check_path(
    leaf: x509.Certificate,
    issuers: Sequence[x509.Certificate],
    node: NodeId,
    authorities: Sequence[x509.Certificate],
    at: datetime,
) -> None:
    if not authorities:
        raise _refused(7, "can lead to no authority: the policy lists none")
    # Whether the names are critical, TLS doesn't mind, and authorities differ.
    leaf_policy = ExtensionPolicy.webpki_defaults_ee().require_present(
        x509.SubjectAlternativeName, Criticality.AGNOSTIC, None
    )
    builder = (
        PolicyBuilder()
        .store(Store(list(authorities)))
        .time(at)
        .extension_policies(ca_policy=ExtensionPolicy.webpki_defaults_ca(), ee_policy=leaf_policy)
    )
    try:
        builder.build_server_verifier(x509.DNSName(node.dns_name)).verify(leaf, list(issuers))
        builder.build_client_verifier().verify(leaf, list(issuers))
    except VerificationError as error:
        raise _refused(
            7,
            "has no valid path to an authority that the federation's policy lists "
            f"({' '.join(str(error).split())[:200]}); import it with its intermediates, or have "
            "the authority put into the policy",
        ) from None


def _load(der: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(der)
    except (ValueError, x509.InvalidVersion):
        raise _refused(1, "can't be read") from None


def _dns_names(leaf: x509.Certificate) -> tuple[str, ...]:
    try:
        found = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    except ValueError:
        raise _refused(1, "has extensions that can't be read") from None
    return tuple(found.value.get_values_for_type(x509.DNSName))


def _load_key(pem: bytes, step: int | None = None) -> Key:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise SimpulError(
            Code.KEY_MALFORMED, "the TLS key is no unencrypted key in PEM; restore its file"
        ) from None
    if isinstance(key, rsa.RSAPrivateKey) and key.key_size >= RSA_MIN_BITS:
        return key
    if isinstance(key, ec.EllipticCurvePrivateKey) and isinstance(key.curve, CURVES):
        return key
    weak = f"is for a key that is neither RSA of {RSA_MIN_BITS} bits or more, nor on P-256 or P-384"
    if step is not None:
        raise _refused(step, weak)
    raise SimpulError(Code.KEY_MALFORMED, f"the request {weak}: make another key")


def _refused(step: int, what: str) -> SimpulError:
    return SimpulError(
        Code.CERTIFICATE_REFUSED,
        f"the certificate is refused at step {step}: it {what}",
        step=str(step),
    )
