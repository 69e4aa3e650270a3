"""Signed notes, with the examples that the specification prints."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.keys import Algorithm
from security.note import (
    MAX_SIGNATURES,
    Note,
    NoteKey,
    NoteSignature,
    SignatureType,
    parse_note,
    parse_signatures,
    sign_text,
    verify_note,
)
from tests.conformance import fixed

# c2sp.org/signed-note, "Verifier keys", "Example".
VKEY = "example.com/foo+530d903a+AekyeRrm56hApGFkyQR4ZCbV54Id2LKaANYcrnKv3U2k"
NOTE = (
    "This is an example message.\n\n— example.com/foo Uw2QOkn8srV1yJGh2VYRlL1Tnagv1YEq6TfXppzi2ON"
    "ncAlTgK7Ztg1ERYNZXsYjOBH3mFXmRKuwHjG1Yu72IneyaQM=\n"
).encode()
# The same, "Note": a text with an empty line in it.
POEM = (
    "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned è subito sera.\n\n"
    "— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQ"
    "U0xMcXxj99ihAQwaqP3ZekRwNtIc=\n"
).encode()

KEY = fixed.key("a log")
NAMES = st.from_regex(r"[a-zA-Z0-9./\u00e9-]{1,40}", fullmatch=True)
SIGNATURES = st.builds(
    NoteSignature,
    NAMES,
    st.binary(min_size=4, max_size=4),
    st.binary(min_size=1, max_size=100),
)
LINES = st.text(st.characters(exclude_categories=("Cc", "Cs")), max_size=30)
NOTES = st.builds(
    Note,
    st.lists(LINES, min_size=1, max_size=5).map(lambda lines: "\n".join(lines) + "\n"),
    st.lists(SIGNATURES, min_size=1, max_size=4).map(tuple),
)


def test_the_specifications_example_verifies() -> None:
    key = NoteKey.parse(VKEY)
    assert (key.name, key.type, key.vkey) == ("example.com/foo", SignatureType.ED25519, VKEY)
    note = parse_note(NOTE)
    assert verify_note(note, [key]) == note.signatures
    assert note.text == "This is an example message.\n"
    assert note.to_bytes() == NOTE


def test_the_specifications_text_may_hold_an_empty_line() -> None:
    note = parse_note(POEM)
    assert note.text.endswith("sole:\n\ned è subito sera.\n")
    assert note.to_bytes() == POEM


@given(NOTES)
def test_a_note_is_read_as_it_was_printed(note: Note) -> None:
    assert parse_note(note.to_bytes()) == note


@given(st.binary(max_size=200) | st.text(max_size=200).map(str.encode))
def test_what_is_read_is_printed_the_same(data: bytes) -> None:
    try:
        note = parse_note(data)
    except SimpulError as error:
        refusal = error.code
    else:
        refusal = Code.NOTE_MALFORMED
        assert note.to_bytes() == data
    assert refusal is Code.NOTE_MALFORMED


LINE = b"\xe2\x80\x94 a AAAAAAA=\n"


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"text\n",
        b"text\n\n",
        b"text\n" + LINE,
        b"text\n\n" + LINE[:-1],
        b"text\n\n" + LINE + b"\n",
        b"text\r\n\n" + LINE,
        b"te\x00xt\n\n" + LINE,
        b"te\xffxt\n\n" + LINE,
        b"text\n\n- a AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94  AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 a+b AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 a\xc2\xa0b AAAAAAA=\n",
        b"text\n\n\xe2\x80\x94 a AAAAAA==\n",
        b"text\n\n\xe2\x80\x94 a AAAAAAB=\n",
        b"text\n\n\xe2\x80\x94 a AAAAAAA\n",
        b"text\n\n\xe2\x80\x94 a AAAA_AA=\n",
        b"text\n\n\xe2\x80\x94 a AAAAAAA= \n",
        b"text\n\n" + LINE * (MAX_SIGNATURES + 1),
    ],
)
def test_what_is_no_note_is_refused(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_note(data)
    assert caught.value.code is Code.NOTE_MALFORMED


def test_a_note_longer_than_allowed_is_refused() -> None:
    parse_note(NOTE, len(NOTE))
    with pytest.raises(SimpulError, match="longer"):
        parse_note(NOTE, len(NOTE) - 1)


def test_sixteen_signatures_are_taken() -> None:
    assert len(parse_note(b"text\n\n" + LINE * 16).signatures) == 16


@pytest.mark.parametrize(
    "vkey",
    [
        "",
        "example.com/foo+530d903a",
        VKEY.replace("530d903a", "530D903A"),
        VKEY.replace("530d903a", "530d903b"),
        VKEY.replace("foo", "fo o"),
        VKEY.replace("AekyeRrm", "AukyeRrm"),
        VKEY[:-4],
        VKEY + "+",
    ],
)
def test_what_is_no_verifier_key_is_refused(vkey: str) -> None:
    with pytest.raises(SimpulError) as caught:
        NoteKey.parse(vkey)
    assert caught.value.code is Code.NOTE_MALFORMED


def test_keys_of_two_types_have_two_ids() -> None:
    plain = NoteKey("a", SignatureType.ED25519, KEY.public)
    other = NoteKey("a", SignatureType.COSIGNATURE_V1, KEY.public)
    assert plain.key_id != other.key_id
    assert NoteKey.parse(other.vkey) == other


def test_only_ed25519_keys_sign_notes() -> None:
    with pytest.raises(SimpulError) as caught:
        NoteKey("a", SignatureType.ED25519, fixed.key("x", Algorithm.ECDSA_P256_SHA256).public)
    assert caught.value.code is Code.NOTE_MALFORMED


def test_what_was_signed_verifies_and_no_other_text() -> None:
    note = Note("a\n", (sign_text("a\n", "log", KEY),))
    key = NoteKey("log", SignatureType.ED25519, KEY.public)
    verify_note(note, [key])
    with pytest.raises(SimpulError) as caught:
        verify_note(Note("b\n", note.signatures), [key])
    assert caught.value.code is Code.SIGNATURE_INVALID


def test_signatures_by_unknown_keys_alone_are_refused() -> None:
    note = Note("a\n", (sign_text("a\n", "log", KEY),))
    for key in (
        NoteKey("other", SignatureType.ED25519, KEY.public),
        NoteKey("log", SignatureType.ED25519, fixed.key("another").public),
    ):
        with pytest.raises(SimpulError, match="isn't signed by a key that is known"):
            verify_note(note, [key])
    with pytest.raises(SimpulError):
        verify_note(note, [])


def test_a_false_signature_by_a_known_key_condemns_the_whole_note() -> None:
    right = sign_text("a\n", "log", KEY)
    wrong = NoteSignature("log", right.key_id, bytes(64))
    key = NoteKey("log", SignatureType.ED25519, KEY.public)
    with pytest.raises(SimpulError) as caught:
        verify_note(Note("a\n", (right, wrong)), [key])
    assert caught.value.code is Code.SIGNATURE_INVALID


@pytest.mark.parametrize("text", ["", "no newline", "a\tb\n", "a\x00b\n"])
def test_a_text_that_no_note_holds_is_not_signed(text: str) -> None:
    with pytest.raises(SimpulError):
        sign_text(text, "log", KEY)


def test_adding_signatures_keeps_each_once() -> None:
    first, second = sign_text("a\n", "log", KEY), sign_text("a\n", "two", KEY)
    note = Note("a\n", (first,))
    assert note.with_signatures([first, second, second]).signatures == (first, second)


def test_signature_lines_alone_are_read() -> None:
    line = sign_text("a\n", "log", KEY)
    assert parse_signatures(line.line) == (line,)
    with pytest.raises(SimpulError):
        parse_signatures("")
