from dataclasses import replace
from hashlib import sha256

import pytest

from node.journal.leaves import make_leaf, parcel_leaf
from security.entry import SealedEntry
from security.errors import Code, SimpulError
from tests.unit.node.journal.builder import Link, message_entry, open_entry


def test_a_leaf_is_the_rfc_6962_leaf_of_header_and_seal() -> None:
    header, seal = b"header", b"the seal"
    inner = sha256(
        b"simpul/v1/journal-leaf\0"
        + (6).to_bytes(8, "big")
        + header
        + (8).to_bytes(8, "big")
        + seal
    ).digest()
    assert parcel_leaf(header, seal) == sha256(b"\0" + inner).digest()


def test_a_leaf_is_the_same_for_sender_and_receiver() -> None:
    record = Link().sent(open_entry(1))
    assert make_leaf(record).leaf_hash == parcel_leaf(record.header, record.seal)


def test_payloads_and_private_blocks_are_not_kept() -> None:
    record = Link().sent(open_entry(1), message_entry(1, 1, b"a secret of a citizen"))
    leaf = make_leaf(record)
    kept = leaf.packed_entries + leaf.packed_salts
    assert b"a secret of a citizen" not in kept
    assert b"metadata" not in kept
    assert record.entries[1].payload_salt in leaf.packed_salts


@pytest.mark.parametrize("junk", [b"", b"\xff\xff", b"\x0a\x01a"])
def test_what_is_no_entry_is_refused(junk: bytes) -> None:
    record = replace(Link().sent(open_entry(1)), entries=(SealedEntry(junk),))
    with pytest.raises(SimpulError) as caught:
        make_leaf(record)
    assert caught.value.code is Code.INTERNAL
