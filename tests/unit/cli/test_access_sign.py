"""`simpul access export-for-signing`, `sign` and `import`; `sign` without any node."""

from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    PrivateFormat,
    load_pem_private_key,
)

from security.agreement import agreement_hash, make_agreement
from security.hashing import AGREEMENT_SIGNATURE
from security.keys import PrivateKey
from simpul.v1.agreement_pb2 import SignedAgreement
from tests.conformance import fixed
from tests.support.agreements import CONSUMER_IDENTITY, PROVIDER_IDENTITY, TERMS
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import CONSUMER, HASH, SERVICE, FakeNode

DATA = make_agreement(TERMS)


@pytest.fixture
def document(tmp_path: Path) -> Path:
    file = tmp_path / "asked.agr"
    file.write_bytes(SignedAgreement(agreement=DATA).SerializeToString())
    return file


def key_file(folder: Path, key: PrivateKey) -> str:
    file = folder / "identity.pem"
    file.write_bytes(key.to_pem())
    return str(file)


def test_exported_for_signing(simpul: Simpul, node: FakeNode, tmp_path: Path) -> None:
    node.document = SignedAgreement(agreement=DATA).SerializeToString()
    out = tmp_path / "asked.agr"
    ran = simpul("access", "export-for-signing", "abab", "-o", str(out)).ok()
    assert out.read_bytes() == node.document
    assert node.heard.last().agreement == "abab"
    assert "simpul access sign" in ran.err
    # What is there is not written over.
    assert "ALREADY_EXISTS" in simpul("access", "export-for-signing", "abab", "-o", str(out)).err


@pytest.mark.parametrize(("command", "allow"), [("request", False), ("allow", True)])
def test_drafted_for_signing(
    simpul: Simpul, node: FakeNode, tmp_path: Path, command: str, *, allow: bool
) -> None:
    node.document = SignedAgreement(agreement=DATA).SerializeToString()
    out = tmp_path / "drafted.agr"
    simpul(
        "access", command, "--consumer", CONSUMER, "--service", SERVICE, "--for-signing", str(out)
    ).ok()
    assert out.read_bytes() == node.document
    heard = node.heard.last()
    assert (heard.terms.consumer, heard.allow) == (CONSUMER, allow)


@pytest.mark.parametrize(
    ("key", "side"), [(PROVIDER_IDENTITY, "provider"), (CONSUMER_IDENTITY, "consumer")]
)
def test_signed_without_a_node(
    simpul: Simpul, document: Path, tmp_path: Path, key: PrivateKey, side: str
) -> None:
    out = tmp_path / "signed.agr"
    arguments = (str(document), "--key", key_file(tmp_path, key), "-o", str(out))
    ran = simpul("access", "sign", *arguments, stdin="y\n").ok()
    assert agreement_hash(DATA).hex() in ran.out
    assert "layanan-wisata" in ran.out
    signed = SignedAgreement.FromString(out.read_bytes())
    assert signed.agreement == DATA
    key.public.verify(AGREEMENT_SIGNATURE, DATA, getattr(signed, f"{side}_signature"))


def test_who_says_no_has_signed_nothing(simpul: Simpul, document: Path, tmp_path: Path) -> None:
    out = tmp_path / "signed.agr"
    key = key_file(tmp_path, PROVIDER_IDENTITY)
    ran = simpul("access", "sign", str(document), "--key", key, "-o", str(out), stdin="n\n")
    assert ran.code == 1
    assert not out.exists()


def test_a_key_that_the_agreement_does_not_name(
    simpul: Simpul, document: Path, tmp_path: Path
) -> None:
    out = tmp_path / "signed.agr"
    key = key_file(tmp_path, fixed.key("stranger"))
    ran = simpul("access", "sign", str(document), "--key", key, "-o", str(out), "--yes")
    assert "KEY_UNKNOWN" in ran.err
    assert not out.exists()


def test_a_key_with_a_passphrase(
    simpul: Simpul, document: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, out = tmp_path / "identity.pem", tmp_path / "signed.agr"
    key.write_bytes(
        load_pem_private_key(PROVIDER_IDENTITY.to_pem(), None).private_bytes(
            Encoding.PEM, PrivateFormat.PKCS8, BestAvailableEncryption(b"rahasia")
        )
    )
    arguments = (str(document), "--key", str(key), "-o", str(out), "--json")
    monkeypatch.setenv("SIMPUL_KEY_PASSPHRASE", "salah")
    assert "KEY_MALFORMED" in simpul("access", "sign", *arguments).err
    monkeypatch.setenv("SIMPUL_KEY_PASSPHRASE", "rahasia")
    assert simpul("access", "sign", *arguments).ok().json() == {
        "file": str(out),
        "agreement": agreement_hash(DATA).hex(),
        "signed_as": "provider",
    }


@pytest.mark.parametrize(
    "data", [b"", b"\xff", SignedAgreement(agreement=b"x").SerializeToString()]
)
def test_what_is_no_agreement_is_not_signed(
    simpul: Simpul, document: Path, tmp_path: Path, data: bytes
) -> None:
    document.write_bytes(data)
    key = key_file(tmp_path, PROVIDER_IDENTITY)
    ran = simpul("access", "sign", str(document), "--key", key, "-o", str(tmp_path / "s"), "--yes")
    assert ran.code == 1
    assert "AGREEMENT_INVALID" in ran.err


def test_imported(simpul: Simpul, node: FakeNode, document: Path) -> None:
    ran = simpul("access", "import", str(document), "--note", "signed by the head").ok()
    assert ran.out == f"{HASH}\n"
    heard = node.heard.last()
    assert (heard.document, heard.note) == (document.read_bytes(), "signed by the head")
    assert simpul("access", "import", str(document), "--json").ok().json()["agreement"] == HASH
