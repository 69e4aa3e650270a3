"""Certificates of outside authorities, issued by openssl: what is taken, and each refusal."""

import time
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from security import certificate
from security.certificate import from_pem
from security.errors import Code, SimpulError
from security.external_certificate import (
    KINDS,
    check_chain,
    make_external_key,
    make_external_request,
)
from security.identifiers import NodeId
from tests.support.openssl import OpensslCa

NODE = NodeId.parse("ID/~kupang-1")
OTHER = NodeId.parse("ID/~ende-1")
# Certificates are made while the tests run.
NOW_MS = int(time.time() * 1000) + 3_600_000
DAY_MS = 86_400_000


@pytest.fixture(scope="module", params=["rsa:3072", "ec:prime256v1", "ec:secp384r1"])
def any_ca(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> OpensslCa:
    return OpensslCa(tmp_path_factory.mktemp("any"), request.param).found()


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> OpensslCa:
    return OpensslCa(tmp_path_factory.mktemp("ca"), "ec:prime256v1").found()


@pytest.fixture(scope="module")
def key() -> bytes:
    return make_external_key("p256")


def csr(key: bytes) -> bytes:
    return make_external_request(key, NODE, "Kabupaten Kupang")


@pytest.mark.parametrize("kind", KINDS)
def test_a_certificate_of_any_such_key_and_authority_is_taken(any_ca: OpensslCa, kind: str) -> None:
    key = make_external_key(kind)
    chain = from_pem(any_ca.issue(csr(key), NODE.dns_name))

    check_chain(chain, key, NODE, [any_ca.root_der], NOW_MS)


def test_the_built_in_authority_stands_beside_it(ca: OpensslCa, key: bytes) -> None:
    built_in = certificate.make_authority("Simpul", NOW_MS, 1)
    chain = from_pem(ca.issue(csr(key), NODE.dns_name))

    check_chain(chain, key, NODE, [built_in[1], ca.root_der], NOW_MS)


def test_the_request_asks_for_the_node(key: bytes) -> None:
    made = x509.load_pem_x509_csr(csr(key))

    assert made.is_signature_valid
    assert made.subject.rfc4514_string() == "O=Kabupaten Kupang"
    (names,) = [item.value for item in made.extensions]
    assert isinstance(names, x509.SubjectAlternativeName)
    assert names.get_values_for_type(x509.DNSName) == [NODE.dns_name]


def refused(
    step: int, chain: bytes | list[bytes], key: bytes, root: list[bytes], at_ms: int = NOW_MS
) -> None:
    ders = list(from_pem(chain)) if isinstance(chain, bytes) else chain
    with pytest.raises(SimpulError) as caught:
        check_chain(ders, key, NODE, root, at_ms)
    assert (caught.value.code, caught.value.details.get("step")) == (
        Code.CERTIFICATE_REFUSED,
        str(step),
    ), caught.value.message


def test_step_1_form(ca: OpensslCa, key: bytes) -> None:
    root = [ca.root_der]
    refused(1, [], key, root)
    refused(1, [b"no certificate"], key, root)
    refused(1, [bytes(20_000)], key, root)
    refused(1, [root[0]] * 6, key, root)


def test_step_2_another_key(ca: OpensslCa, key: bytes) -> None:
    chain = ca.issue(csr(key), NODE.dns_name)
    refused(2, chain, make_external_key("p256"), [ca.root_der])


def test_step_3_a_weak_key(ca: OpensslCa) -> None:
    weak: list[rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey] = [
        rsa.generate_private_key(65537, 1024),  # noqa: S505 - refused below
        ec.generate_private_key(ec.SECP256K1()),
    ]
    for item in weak:
        pem = item.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (ca.folder / "weak.key").write_bytes(pem)
        request = ca.run("req", "-new", "-key", "weak.key", "-subj", "/O=Weak")
        refused(3, ca.issue(request, NODE.dns_name), pem, [ca.root_der])
        with pytest.raises(SimpulError, match="neither RSA") as caught:
            make_external_request(pem, NODE)
        assert caught.value.code is Code.KEY_MALFORMED


@pytest.mark.parametrize(
    "names",
    [
        (OTHER.dns_name,),
        (NODE.dns_name, OTHER.dns_name),
        (NODE.dns_name, "*.simpul.internal"),
        (NODE.dns_name, "*.example.go.id"),
        ("kupang.example.go.id",),
    ],
)
def test_step_4_names(ca: OpensslCa, key: bytes, names: tuple[str, ...]) -> None:
    refused(4, ca.issue(csr(key), *names), key, [ca.root_der])


@pytest.mark.parametrize("critical", [True, False])
def test_whether_names_are_critical_is_the_authoritys_affair(
    ca: OpensslCa, key: bytes, critical: bool
) -> None:
    for request in (csr(key), make_external_request(key, NODE)):
        chain = from_pem(ca.issue(request, NODE.dns_name, critical=critical))
        check_chain(chain, key, NODE, [ca.root_der], NOW_MS)


def test_step_4_a_further_name_outside_is_the_authoritys_affair(ca: OpensslCa, key: bytes) -> None:
    chain = from_pem(ca.issue(csr(key), NODE.dns_name, "kupang.example.go.id"))
    check_chain(chain, key, NODE, [ca.root_der], NOW_MS)


@pytest.mark.parametrize("usage", ["", "serverAuth", "clientAuth", "emailProtection"])
def test_step_5_usage(ca: OpensslCa, key: bytes, usage: str) -> None:
    refused(5, ca.issue(csr(key), NODE.dns_name, usage=usage), key, [ca.root_der])


def test_step_6_validity(ca: OpensslCa, key: bytes) -> None:
    chain = ca.issue(csr(key), NODE.dns_name, days=10)
    refused(6, chain, key, [ca.root_der], NOW_MS + 11 * DAY_MS)
    refused(6, chain, key, [ca.root_der], NOW_MS - 2 * DAY_MS)


def test_step_7_authority(ca: OpensslCa, key: bytes, tmp_path: Path) -> None:
    other = OpensslCa(tmp_path / "other", "ec:prime256v1").found()
    chain = ca.issue(csr(key), NODE.dns_name)
    refused(7, chain, key, [other.root_der])
    refused(7, chain, key, [])
    without = ca.issue(csr(key), NODE.dns_name, intermediate=False)
    refused(7, without, key, [ca.root_der])
