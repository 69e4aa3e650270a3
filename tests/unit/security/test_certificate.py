"""Certificates: what is issued, and for which requests nothing is."""

import ssl
from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from hypothesis import given
from hypothesis import strategies as st

from security import certificate
from security.errors import Code, SimpulError
from tests.conformance import fixed

NOW = fixed.NOW_MS
NODE = fixed.REGENCY_NODE
KEY = certificate.make_key()
AUTHORITY_KEY, AUTHORITY = certificate.make_authority("ID node authority", NOW, 1)
P384_PEM = ec.derive_private_key(1, ec.SECP384R1()).private_bytes(
    Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()
)
REQUEST = certificate.make_request(KEY, NODE)


def issue(request: bytes = REQUEST, *, days: int = 30, serial: int = 2) -> bytes:
    return certificate.issue(AUTHORITY_KEY, AUTHORITY, request, NODE, NOW, days, serial)


def load(data: bytes) -> x509.Certificate:
    return x509.load_der_x509_certificate(data)


def code_of(call: Callable[[], object]) -> Code:
    with pytest.raises(SimpulError) as caught:
        call()
    return caught.value.code


def refused_at(step: int, request: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        issue(request)
    assert (caught.value.code, caught.value.details["step"]) == (Code.CHANGE_INVALID, str(step))


def key() -> ec.EllipticCurvePrivateKey:
    loaded = load_pem_private_key(KEY, None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey)
    return loaded


def request(
    *names: x509.GeneralName,
    subject: str = "",
    signer: ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | None = None,
) -> bytes:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, subject)] if subject else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=True)
    chosen = key() if signer is None else signer
    algorithm = None if isinstance(chosen, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(chosen, algorithm).public_bytes(Encoding.DER)


def test_a_nodes_certificate_is_its_authoritys_and_bears_its_one_name() -> None:
    issued, authority = load(issue()), load(AUTHORITY)
    issued.verify_directly_issued_by(authority)
    assert certificate.dns_names(issue()) == (NODE.dns_name,)
    assert issued.public_key() == key().public_key()
    assert issued.serial_number == 2
    usages = issued.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(usages) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    limits = issued.extensions.get_extension_for_class(x509.BasicConstraints)
    assert limits.critical
    assert not limits.value.ca


def test_an_authority_issues_certificates_but_no_authorities() -> None:
    limits = load(AUTHORITY).extensions.get_extension_for_class(x509.BasicConstraints).value
    usage = load(AUTHORITY).extensions.get_extension_for_class(x509.KeyUsage).value
    assert (limits.ca, limits.path_length) == (True, 0)
    assert usage.key_cert_sign
    assert not usage.digital_signature


def test_validity_begins_a_little_before_now_and_ends_on_the_day() -> None:
    issued = load(issue(days=30))
    start, end = issued.not_valid_before_utc, issued.not_valid_after_utc
    assert start == datetime.fromtimestamp(NOW / 1000 - 300, UTC)
    assert end == datetime.fromtimestamp(NOW / 1000 + 30 * 86_400, UTC)
    assert certificate.expires_at_ms(issue(days=30)) == NOW + 30 * fixed.DAY_MS


def test_the_registrys_certificate_is_its_own() -> None:
    _, data = certificate.make_server_certificate("ID", NOW, 365, 3)
    assert certificate.dns_names(data) == ("registry.id.simpul.internal",)
    load(data).verify_directly_issued_by(load(data))
    call = lambda: certificate.make_server_certificate("id", NOW, 365, 3)  # noqa: E731
    assert code_of(call) is Code.ID_MALFORMED


def test_step_1_form_and_signature() -> None:
    refused_at(1, b"")
    refused_at(1, REQUEST + b"\x00")
    refused_at(1, b"\x30" * (certificate.MAX_REQUEST_BYTES + 1))
    refused_at(1, REQUEST[:-1] + bytes([REQUEST[-1] ^ 1]))


def test_step_2_key() -> None:
    name = x509.DNSName(NODE.dns_name)
    refused_at(2, request(name, signer=ec.generate_private_key(ec.SECP384R1())))
    refused_at(2, request(name, signer=ed25519.Ed25519PrivateKey.generate()))


def test_step_3_name() -> None:
    name = x509.DNSName(NODE.dns_name)
    issue(request(name))
    refused_at(3, request())
    refused_at(3, request(x509.DNSName(fixed.MINISTRY_NODE.dns_name)))
    refused_at(3, request(name, x509.DNSName("registry.id.simpul.internal")))
    refused_at(3, request(name, x509.DNSName("*.id.simpul.internal")))
    refused_at(3, request(name, subject="registry"))


def test_step_3_name_and_nothing_beside_it() -> None:
    builder = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NODE.dns_name)]), critical=True)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    )
    refused_at(3, builder.sign(key(), hashes.SHA256()).public_bytes(Encoding.DER))


@given(st.binary(max_size=60))
def test_whatever_comes_as_a_request_is_refused(data: bytes) -> None:
    assert code_of(lambda: issue(data)) is Code.CHANGE_INVALID


def test_an_authority_of_another_key_issues_nothing() -> None:
    call = lambda: certificate.issue(KEY, AUTHORITY, REQUEST, NODE, NOW, 30, 2)  # noqa: E731
    assert code_of(call) is Code.CERTIFICATE_MISMATCH


@pytest.mark.parametrize(("days", "serial"), [(0, 1), (-1, 1), (1, 0), (1, -1), (1, 1 << 159)])
def test_serials_and_days_are_positive(days: int, serial: int) -> None:
    assert code_of(lambda: issue(days=days, serial=serial)) is Code.CONFIG_INVALID


@pytest.mark.parametrize("name", ["", "a" * 65])
def test_an_authority_needs_a_name(name: str) -> None:
    assert code_of(lambda: certificate.make_authority(name, NOW, 1)) is Code.CONFIG_INVALID


def test_pem_gives_the_certificates_back_in_order() -> None:
    pem = certificate.to_pem(issue(), AUTHORITY)
    assert certificate.from_pem(pem)[1] == AUTHORITY
    assert certificate.to_pem(*certificate.from_pem(pem)) == pem


@pytest.mark.parametrize("data", [b"", b"x", AUTHORITY[:-1], b"\x30" * 20_000])
def test_what_is_no_certificate_is_refused(data: bytes) -> None:
    for call in (
        lambda: certificate.expires_at_ms(data),
        lambda: certificate.dns_names(data),
        lambda: certificate.to_pem(data),
        lambda: certificate.from_pem(data),
    ):
        assert code_of(call) is Code.CERTIFICATE_MISMATCH


def test_a_certificate_of_a_version_that_is_none_is_refused() -> None:
    """A certificate says version 3 as the number 2; the library has an error of its own for 1."""
    odd = AUTHORITY.replace(b"\xa0\x03\x02\x01\x02", b"\xa0\x03\x02\x01\x01")
    assert odd != AUTHORITY
    pem = ssl.DER_cert_to_PEM_cert(odd).encode()
    for call in (
        lambda: certificate.expires_at_ms(odd),
        lambda: certificate.dns_names(odd),
        lambda: certificate.from_pem(pem),
    ):
        assert code_of(call) is Code.CERTIFICATE_MISMATCH


@pytest.mark.parametrize(
    "pem", [b"", b"x", fixed.key("a").to_pem(), fixed.RSA_PEM, KEY[:-40], P384_PEM]
)
def test_what_is_no_tls_key_is_refused(pem: bytes) -> None:
    assert code_of(lambda: certificate.make_request(pem, NODE)) is Code.KEY_MALFORMED
