"""Cosignatures, with the example that the specification prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.checkpoint import Checkpoint, parse_checkpoint, sign_checkpoint
from security.cosignature import (
    cosign,
    quorum_time_ms,
    verified_cosignatures,
    verify_cosignature,
    witness_key,
)
from security.errors import Code, SimpulError
from security.keys import PrivateKey
from security.note import NoteKey, NoteSignature, SignatureType
from tests.conformance import fixed

# c2sp.org/tlog-cosignature. It prints no public key, so the signature itself can't be checked.
EXAMPLE = (
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2"
    "q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2o"
    "yin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==\n"
).encode()

WITNESS = fixed.key("a witness")
NAME = "id.simpul.internal/witness"
SIGNED = sign_checkpoint(Checkpoint("log", 3, bytes(32)), fixed.key("a log"))
TEXT = SIGNED.note.text
TIME_S = 1_767_578_400


def refuse(text: str, line: NoteSignature, witness: NoteKey) -> None:
    with pytest.raises(SimpulError) as caught:
        verify_cosignature(text, line, witness)
    assert caught.value.code is Code.SIGNATURE_INVALID


def test_the_specifications_example_is_read() -> None:
    note = parse_checkpoint(EXAMPLE).note
    line = note.signatures[1]
    assert line.key_id.hex() == "8d66cf3f"
    assert int.from_bytes(line.signature[:8], "big") == 1679315147
    assert len(line.signature) == 72
    assert note.to_bytes() == EXAMPLE


def test_the_signed_message_is_the_specifications() -> None:
    line = cosign(TEXT, NAME, WITNESS, TIME_S)
    message = b"cosignature/v1\ntime 1767578400\nlog\n3\n" + b"A" * 43 + b"=\n"
    WITNESS.public.verify_plain(message, line.signature[8:])


@given(st.integers(1, 2**63 - 1))
def test_what_was_cosigned_verifies(time_s: int) -> None:
    line = cosign(TEXT, NAME, WITNESS, time_s)
    found = verify_cosignature(TEXT, line, witness_key(NAME, WITNESS))
    assert (found.time_s, found.time_ms // 1000) == (time_s, time_s)


def test_another_text_time_name_key_or_type_is_refused() -> None:
    line = cosign(TEXT, NAME, WITNESS, TIME_S)
    key = witness_key(NAME, WITNESS)
    refuse(TEXT.replace("3", "4"), line, key)
    later = (TIME_S + 1).to_bytes(8, "big") + line.signature[8:]
    refuse(TEXT, NoteSignature(NAME, line.key_id, later), key)
    refuse(TEXT, line, witness_key("other", WITNESS))
    refuse(TEXT, line, witness_key(NAME, fixed.key("another")))
    refuse(TEXT, line, NoteKey(NAME, SignatureType.ED25519, WITNESS.public))


@pytest.mark.parametrize("signature", [b"", bytes(8), bytes(71), bytes(72), bytes(73)])
def test_a_cut_or_timeless_cosignature_is_refused(signature: bytes) -> None:
    key = witness_key(NAME, WITNESS)
    refuse(TEXT, NoteSignature(NAME, key.key_id, signature), key)


@pytest.mark.parametrize("time_s", [0, -1, 2**63])
def test_nothing_is_cosigned_at_no_time(time_s: int) -> None:
    with pytest.raises(SimpulError):
        cosign(TEXT, NAME, WITNESS, time_s)


def cosigned(*by: tuple[PrivateKey, str, int]) -> list[NoteSignature]:
    return [cosign(TEXT, name, key, time_s) for key, name, time_s in by]


def test_a_quorum_is_of_different_witnesses_and_its_time_the_latest_needed() -> None:
    two, three = fixed.key("second"), fixed.key("third")
    note = SIGNED.note.with_signatures(
        cosigned((WITNESS, "w1", 30), (WITNESS, "w1", 40), (two, "w2", 10), (three, "w3", 20))
    )
    keys = [witness_key("w1", WITNESS), witness_key("w2", two), witness_key("w3", three)]
    found = verified_cosignatures(note, keys)
    assert [item.time_s for item in found] == [30, 10, 20]
    assert [quorum_time_ms(found, count) for count in (1, 2, 3)] == [10_999, 20_999, 30_999]
    with pytest.raises(SimpulError):
        quorum_time_ms(found, 4)
    with pytest.raises(SimpulError):
        quorum_time_ms(found, 0)


def test_one_key_under_two_names_is_one_witness() -> None:
    note = SIGNED.note.with_signatures(cosigned((WITNESS, "w1", 10), (WITNESS, "w2", 10)))
    found = verified_cosignatures(note, [witness_key("w1", WITNESS), witness_key("w2", WITNESS)])
    with pytest.raises(SimpulError):
        quorum_time_ms(found, 2)


def test_unknown_witnesses_are_ignored_and_false_ones_are_not() -> None:
    note = SIGNED.note.with_signatures(cosigned((WITNESS, NAME, 10)))
    assert verified_cosignatures(note, [witness_key("other", WITNESS)]) == ()
    key = witness_key(NAME, WITNESS)
    false = SIGNED.note.with_signatures([NoteSignature(NAME, key.key_id, b"\x01" * 72)])
    with pytest.raises(SimpulError):
        verified_cosignatures(false, [key])
