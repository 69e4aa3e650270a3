"""TLS certificates: the built-in authority, the nodes' requests, and the registry's own.

All keys are ECDSA on P-256, because grpcio fails with Ed25519 certificates. A node's certificate
bears one name, the node's DNS form, and serves for both ends of a connection. TLS gives privacy
and an early filter; who speaks is proven by the signed greeting, not here.

Times and serial numbers are arguments. `make_key`, `make_authority` and `make_server_certificate`
make keys, and signing draws randomness too: all inside the cryptography library.

Source: docs/spec, "Certificates"; RFC 5280; RFC 2986 (requests).
"""

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from security.errors import Code, SimpulError
from security.identifiers import NodeId, check_federation

AUTHORITY_DAYS: Final = 3650
NODE_DAYS: Final = 30
MAX_REQUEST_BYTES: Final = 16 * 1024
MAX_CERTIFICATE_BYTES: Final = 16 * 1024
# Clocks differ: a certificate is valid from a little before it was made.
BACKDATE_MS: Final = 5 * 60_000
# RFC 5280: at most 20 bytes, and positive.
MAX_SERIAL_BITS: Final = 159

# What the library raises for bytes that are no certificate; the second is no ValueError.
_UNREADABLE: Final = (ValueError, x509.InvalidVersion)

# In PEM, or what signs as one does: a key in a token.
AuthorityKey = bytes | ec.EllipticCurvePrivateKey

_OPERATOR_NAME: Final = re.compile(r"[a-z][a-z0-9-]{0,31}")
_DAY_MS: Final = 86_400_000
_MS_PER_S: Final = 1000


def make_key() -> bytes:
    """Make a TLS key, as PKCS #8 in PEM. Draws randomness, inside the cryptography library."""
    return _key_pem(ec.generate_private_key(ec.SECP256R1()))


def make_authority(common_name: str, now_ms: int, serial: int) -> tuple[bytes, bytes]:
    """Make an authority: its key in PEM and its certificate in DER.

    It may issue certificates but no further authorities.

    Raises:
        SimpulError: CONFIG_INVALID for a name of no or over 64 letters.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    return _key_pem(key), make_authority_of(key, common_name, now_ms, serial)


def make_authority_of(
    key: ec.EllipticCurvePrivateKey, common_name: str, now_ms: int, serial: int
) -> bytes:
    """Make an authority's certificate, in DER, for a key that is somewhere; as `make_authority`."""
    try:
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])
    except ValueError:
        raise SimpulError(
            Code.CONFIG_INVALID, "an authority's name has 1 to 64 letters; choose another"
        ) from None
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    builder = (
        _builder(name, name, key.public_key(), now_ms, AUTHORITY_DAYS, serial)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_key_usage(is_authority=True), critical=True)
        .add_extension(identifier, critical=False)
    )
    return _sign(builder, key)


def make_request(key_pem: bytes, node: NodeId) -> bytes:
    """Return a node's request for a certificate, in DER, for its TLS key.

    Raises:
        SimpulError: KEY_MALFORMED if the key is no P-256 key in PEM.
    """
    return _request(key_pem, node.dns_name)


def make_operator_request(key_pem: bytes, federation: str, name: str) -> bytes:
    """Return an operator's request for a certificate, in DER; raises as `make_request`."""
    return _request(key_pem, operator_dns_name(federation, name))


def issue(
    authority_key: AuthorityKey,
    authority_der: bytes,
    request_der: bytes,
    node: NodeId,
    now_ms: int,
    days: int,
    serial: int,
) -> bytes:
    """Issue a node's certificate, in DER.

    1. The request is well-formed, and signed by the key that it is for.
    2. The key is on P-256.
    3. It asks for the node's DNS name and nothing else.

    Raises:
        SimpulError: CHANGE_INVALID, with the step in its details; KEY_MALFORMED or
            CERTIFICATE_MISMATCH for an authority that is none.
    """
    key = _check_request(request_der, node.dns_name)
    usages = (ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH)
    subject = _Subject(key, node.dns_name, usages)
    return _issue(authority_key, authority_der, subject, now_ms, days, serial)


def issue_operator(
    authority_key: AuthorityKey,
    authority_der: bytes,
    request_der: bytes,
    name: str,
    now_ms: int,
    days: int,
    serial: int,
) -> bytes:
    """Issue an operator's certificate, in DER: good as a client's only. Steps as in `issue`.

    `name` is what `operator_dns_name` returned.
    """
    key = _check_request(request_der, name)
    subject = _Subject(key, name, (ExtendedKeyUsageOID.CLIENT_AUTH,))
    return _issue(authority_key, authority_der, subject, now_ms, days, serial)


def make_server_certificate(
    federation: str, now_ms: int, days: int, serial: int
) -> tuple[bytes, bytes]:
    """Make the registry's own certificate, self-issued: its key in PEM, and itself in DER.

    Nodes pin it by its hash, which stands in their tokens.

    Raises:
        SimpulError: ID_MALFORMED for a federation that can be none.
    """
    name = registry_dns_name(federation)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    builder = _leaf(
        _builder(subject, subject, key.public_key(), now_ms, days, serial),
        name,
        key.public_key(),
    )
    return _key_pem(key), _sign(builder, key)


def registry_dns_name(federation: str) -> str:
    """Return the name in the registry's certificate: `registry.id.simpul.internal`."""
    check_federation(federation)
    return f"registry.{federation.lower()}.simpul.internal"


def operator_dns_name(federation: str, name: str) -> str:
    """Return the name in an operator's certificate: `anna.operator.id.simpul.internal`.

    A node's name holds no dot, so that no node has such a name.

    Raises:
        SimpulError: ID_MALFORMED for a name or a federation that can be none.
    """
    check_federation(federation)
    if _OPERATOR_NAME.fullmatch(name) is None:
        raise SimpulError(
            Code.ID_MALFORMED,
            f"{name[:100]!a} is no operator's name: write 1 to 32 lower-case letters, digits and "
            "hyphens, a letter first",
        )
    return f"{name}.operator.{federation.lower()}.simpul.internal"


def dns_names(certificate_der: bytes) -> tuple[str, ...]:
    """Return the DNS names that a certificate bears; raises SimpulError CERTIFICATE_MISMATCH."""
    certificate = _load_certificate(certificate_der)
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return ()
    return tuple(names.value.get_values_for_type(x509.DNSName))


def key_sha256(certificate_der: bytes) -> bytes:
    """Return SHA-256 of a certificate's key, as SubjectPublicKeyInfo spells it.

    Raises:
        SimpulError: CERTIFICATE_MISMATCH, when it is none.
    """
    key = _load_certificate(certificate_der).public_key()
    return sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).digest()


def expires_at_ms(certificate_der: bytes) -> int:
    """Return when a certificate's validity ends; raises SimpulError CERTIFICATE_MISMATCH."""
    return int(_load_certificate(certificate_der).not_valid_after_utc.timestamp()) * _MS_PER_S


def renewal_due_ms(certificate_der: bytes) -> int:
    """Return when a certificate is to be renewed, at two thirds of its life.

    Raises:
        SimpulError: CERTIFICATE_MISMATCH, when it is none.
    """
    certificate = _load_certificate(certificate_der)
    begun_ms = int(certificate.not_valid_before_utc.timestamp() * _MS_PER_S)
    ends_ms = int(certificate.not_valid_after_utc.timestamp() * _MS_PER_S)
    return begun_ms + (ends_ms - begun_ms) * 2 // 3


def to_pem(*certificates_der: bytes) -> bytes:
    """Return certificates as PEM, in order; raises SimpulError CERTIFICATE_MISMATCH."""
    return b"".join(_load_certificate(item).public_bytes(Encoding.PEM) for item in certificates_der)


def from_pem(pem: bytes) -> tuple[bytes, ...]:
    """Return the certificates of a PEM file as DER; raises SimpulError CERTIFICATE_MISMATCH."""
    try:
        certificates = x509.load_pem_x509_certificates(pem)
    except _UNREADABLE:
        raise _no_certificate() from None
    return tuple(item.public_bytes(Encoding.DER) for item in certificates)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What a certificate is about."""

    key: ec.EllipticCurvePublicKey
    name: str
    usages: tuple[x509.ObjectIdentifier, ...]


def _issue(
    authority_key: AuthorityKey,
    authority_der: bytes,
    subject: _Subject,
    now_ms: int,
    days: int,
    serial: int,
) -> bytes:
    if isinstance(authority_key, bytes):
        authority_key = _load_key(authority_key)
    authority = _load_certificate(authority_der)
    if authority.public_key() != authority_key.public_key():
        raise SimpulError(
            Code.CERTIFICATE_MISMATCH,
            "the authority's key and certificate don't belong together; restore both",
        )
    builder = _leaf(
        _builder(x509.Name([]), authority.subject, subject.key, now_ms, days, serial),
        subject.name,
        authority_key.public_key(),
        subject.usages,
    )
    return _sign(builder, authority_key)


def _request(key_pem: bytes, name: str) -> bytes:
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(_names(name), critical=True)
        .sign(_load_key(key_pem), hashes.SHA256())
    )
    return request.public_bytes(Encoding.DER)


def _check_request(data: bytes, name: str) -> ec.EllipticCurvePublicKey:
    # 1. Form and signature.
    if len(data) > MAX_REQUEST_BYTES:
        raise _refused(1, "is too long")
    try:
        request = x509.load_der_x509_csr(data)
        if not request.is_signature_valid:
            raise _refused(1, "isn't signed by the key that it is for")
        key = request.public_key()
        extensions = list(request.extensions)
        subject = list(request.subject)
    except (*_UNREADABLE, UnsupportedAlgorithm, InvalidSignature):
        raise _refused(1, "can't be read") from None
    # 2. Key.
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _refused(2, "is for a key that isn't on P-256")
    # 3. Name.
    wanted = [_names(name)]
    if len(subject) != 0 or [item.value for item in extensions] != wanted:
        raise _refused(3, f"doesn't ask for {name} alone")
    return key


def _leaf(
    builder: x509.CertificateBuilder,
    name: str,
    issuer_key: ec.EllipticCurvePublicKey,
    usages: tuple[x509.ObjectIdentifier, ...] = (
        ExtendedKeyUsageOID.SERVER_AUTH,
        ExtendedKeyUsageOID.CLIENT_AUTH,
    ),
) -> x509.CertificateBuilder:
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key)
    return (
        builder.add_extension(_names(name), critical=True)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_key_usage(is_authority=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
        .add_extension(issuer, critical=False)
    )


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePublicKey,
    now_ms: int,
    days: int,
    serial: int,
) -> x509.CertificateBuilder:
    if not 0 < serial.bit_length() <= MAX_SERIAL_BITS or serial < 0 or days <= 0:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"a certificate's serial is positive and at most {MAX_SERIAL_BITS} bits, and it is "
            "valid for a day or more; choose others",
        )
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(serial)
        .not_valid_before(_time(now_ms - BACKDATE_MS))
        .not_valid_after(_time(now_ms + days * _DAY_MS))
    )


def _time(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms // _MS_PER_S, UTC)


def _names(name: str) -> x509.SubjectAlternativeName:
    return x509.SubjectAlternativeName([x509.DNSName(name)])


def _key_usage(*, is_authority: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not is_authority,
        key_cert_sign=is_authority,
        crl_sign=is_authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _sign(builder: x509.CertificateBuilder, key: ec.EllipticCurvePrivateKey) -> bytes:
    return builder.sign(key, hashes.SHA256()).public_bytes(Encoding.DER)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    try:
        key = load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise _bad_key() from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _bad_key()
    return key


def _load_certificate(data: bytes) -> x509.Certificate:
    if len(data) > MAX_CERTIFICATE_BYTES:
        raise _no_certificate()
    try:
        return x509.load_der_x509_certificate(data)
    except _UNREADABLE:
        raise _no_certificate() from None


def _bad_key() -> SimpulError:
    return SimpulError(
        Code.KEY_MALFORMED,
        "the TLS key is no unencrypted P-256 key in PEM; restore its file, or make a new key",
    )


def _no_certificate() -> SimpulError:
    return SimpulError(
        Code.CERTIFICATE_MISMATCH, "bytes are no certificate; get it again from where it came"
    )


def _refused(step: int, what: str) -> SimpulError:
    return SimpulError(
        Code.CHANGE_INVALID,
        f"the certificate request is refused at step {step}: it {what}; make it anew",
        step=str(step),
    )
