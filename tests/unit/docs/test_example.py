"""The worked example holds by the standard's words alone: nothing of the project's own is used."""

import hashlib
import re

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from tests.architecture.project import PROJECT

PAGE = (PROJECT / "docs" / "spec" / "example.md").read_text(encoding="utf-8")
HEADER, ENTRY, PATH = re.findall(r"^```\n([0-9a-f\n]+)\n```$", PAGE, re.MULTILINE)


def value(field: str) -> bytes:
    found = re.search(
        rf"^\| `[0-9a-f]+` \| {re.escape(field)} \| `([0-9a-f]+)` \|", PAGE, re.MULTILINE
    )
    assert found is not None
    return bytes.fromhex(found[1])


def told(text: str) -> bytes:
    found = re.search(rf"{re.escape(text)}\s`([0-9a-f]+)`", PAGE)
    assert found is not None
    return bytes.fromhex(found[1])


def h(domain: str, *parts: bytes) -> bytes:
    joined = b"".join(len(part).to_bytes(8, "big") + part for part in parts)
    return hashlib.sha256(domain.encode() + b"\0" + joined).digest()


def leaf(data: bytes) -> bytes:
    return hashlib.sha256(b"\0" + data).digest()


def node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\1" + left + right).digest()


def test_the_key_id_is_that_of_the_key() -> None:
    key = told("by the key")
    assert value("seal_key_id") == h("simpul/v1/key", b"\1", key)


def test_the_header_hash_is_that_of_the_header() -> None:
    assert told("header):") == h("simpul/v1/header", bytes.fromhex(HEADER))


def test_the_path_leads_from_the_first_of_three_entries_to_the_root() -> None:
    second, third = map(bytes.fromhex, PATH.split())
    assert node(node(leaf(bytes.fromhex(ENTRY)), second), third) == value("entries_root")


def test_the_seal_is_a_signature_over_a_batch_of_one() -> None:
    root = leaf(h("simpul/v1/header", bytes.fromhex(HEADER)))
    signed = b"simpul/v1/seal\0" + (1).to_bytes(8, "big") + root
    Ed25519PublicKey.from_public_bytes(told("by the key")).verify(value("signature"), signed)


def test_the_first_parcel_of_a_link_names_the_link_as_previous() -> None:
    assert value("previous") == value("link_id")
