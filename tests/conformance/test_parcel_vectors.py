"""The committed vectors are what their script builds, and this code reads them as they say."""

import json
from typing import Any

import pytest

from security import merkle
from security.commitment import Commitment, Tally, check_payload, check_private, rounded
from security.entry import check_commitments, entry_digest, from_proto, parse_entry
from security.greeting import child_link_id, greeting_hash, link_id, parse_greeting
from security.hashing import GREETING_SIGNATURE
from security.keys import Algorithm, PublicKey
from security.kinds import EntryKind
from security.limits import Limits
from security.parcel import entries_root, header_hash, parse_header
from security.private import parse_private
from security.seal import parse_seal, verify_seal
from simpul.v1 import parcel_pb2
from tests.conformance.build_parcel_vectors import documents
from tests.conformance.fixed import VECTORS, differences


def load(name: str) -> Any:
    return json.loads((VECTORS / f"{name}.json").read_text(encoding="utf-8"))


def unhex(text: str) -> bytes:
    return bytes.fromhex(text)


def ed25519(text: str) -> PublicKey:
    return PublicKey(Algorithm.ED25519, unhex(text))


def test_the_files_are_what_the_script_builds_byte_for_byte() -> None:
    assert differences(documents()) == []


@pytest.mark.parametrize("vector", load("entries")["vectors"], ids=lambda it: it["name"])
def test_entries(vector: dict[str, Any]) -> None:
    entry = parse_entry(unhex(vector["entry"]))
    assert entry.kind.kind == vector["says"]["kind"]
    assert (entry.call_id.hex(), entry.index) == (
        vector["says"]["call_id"],
        vector["says"]["index"],
    )
    assert entry_digest(unhex(vector["entry"])).hex() == vector["digest"]


@pytest.mark.parametrize("vector", load("commitments")["vectors"], ids=lambda it: it["name"])
def test_commitments(vector: dict[str, Any]) -> None:
    for name, check in (("payload", check_payload), ("private_block", check_private)):
        part = vector[name]
        if part is not None:
            commitment = Commitment(unhex(part["hash"]), part["rounded_bytes"])
            check(commitment, unhex(part["salt"]), unhex(part["bytes"]))


@pytest.mark.parametrize("vector", load("private_blocks")["vectors"], ids=lambda it: it["kind"])
def test_private_blocks(vector: dict[str, Any]) -> None:
    content = parse_private(unhex(vector["bytes"]), EntryKind(vector["kind"]), Limits())
    assert [[key, value.hex()] for key, value in content.metadata] == vector["metadata"]
    assert [[key, value.hex()] for key, value in content.trailers] == vector["trailers"]
    for name in ("status_message", "user", "issue", "subject"):
        assert getattr(content, name) == vector[name]


def test_tallies() -> None:
    vectors = load("tallies")["vectors"]
    tally = Tally()
    for vector in vectors:
        assert (tally.count, tally.digest.hex()) == (vector["count"], vector["digest"])
        tally = tally.add(unhex(vector["next_commitment"]))


def test_rounding() -> None:
    for vector in load("rounding")["vectors"]:
        assert rounded(vector["length"]) == vector["rounded"]


def test_seals() -> None:
    document = load("seals")
    key = ed25519(document["public_key"])
    for vector in document["vectors"]:
        seal = parse_seal(unhex(vector["seal"]))
        assert [item.hex() for item in seal.path] == vector["path"]
        verify_seal(seal, unhex(vector["header_hash"]), key)


def test_greetings() -> None:
    document = load("greetings")
    dialler, acceptor = (unhex(document[who]["greeting"]) for who in ("dialler", "acceptor"))
    for who in ("dialler", "acceptor"):
        ed25519(document[who]["node_key"]).verify(
            GREETING_SIGNATURE,
            unhex(document[who]["greeting"]),
            unhex(document[who]["signature"]),
        )
    assert greeting_hash(dialler).hex() == document["in_reply_to"]
    assert parse_greeting(acceptor).in_reply_to == greeting_hash(dialler)
    link = link_id(dialler, acceptor)
    assert link.hex() == document["link_id"]
    assert child_link_id(link, unhex(document["call_id"])).hex() == document["child_link_id"]


def test_parcels() -> None:
    document = load("parcels")
    key = ed25519(document["public_key"])
    for vector in document["vectors"]:
        parcel = parcel_pb2.Parcel.FromString(unhex(vector["parcel"]))
        fields = parse_header(parcel.header)
        entries = [from_proto(item) for item in parcel.entries]
        assert (fields.number, fields.previous.hex()) == (vector["number"], vector["previous"])
        assert entries_root(entries) == fields.entries_root
        assert header_hash(parcel.header).hex() == vector["header_hash"]
        verify_seal(parse_seal(parcel.seal), header_hash(parcel.header), key)
        for index, (sealed, path) in enumerate(zip(entries, vector["paths"], strict=True)):
            check_commitments(parse_entry(sealed.entry), sealed)
            merkle.verify_inclusion(
                merkle.leaf_hash(sealed.entry),
                index,
                len(entries),
                [unhex(item) for item in path],
                fields.entries_root,
            )
