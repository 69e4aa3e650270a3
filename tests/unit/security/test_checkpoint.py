"""Checkpoints, with the example that the specification prints."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    parse_checkpoint,
    parse_text,
    sign_checkpoint,
    verify_checkpoint,
)
from security.errors import Code, SimpulError
from security.merkle import EMPTY_ROOT, MAX_SIZE
from security.note import Note, sign_text
from tests.conformance import fixed

# c2sp.org/tlog-checkpoint.
TEXT = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n"
EXAMPLE = (
    TEXT + "\n— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN"
    "7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
).encode()

KEY = fixed.key("a log")
ORIGIN = "labuan-bajo-1.id.simpul.internal/journal/0"
CHECKPOINTS = st.builds(
    Checkpoint,
    st.from_regex(r"[a-z0-9./-]{1,40}", fullmatch=True),
    st.integers(0, MAX_SIZE),
    st.binary(min_size=32, max_size=32),
    st.lists(st.from_regex(r"[a-z ]{1,20}", fullmatch=True), max_size=2).map(tuple),
)


def test_the_specifications_example_is_read() -> None:
    signed = parse_checkpoint(EXAMPLE)
    assert signed.checkpoint.origin == "example.com/behind-the-sofa"
    assert signed.checkpoint.size == 20852163
    assert base64.b64encode(signed.checkpoint.root) == (
        b"CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I="
    )
    assert signed.checkpoint.text == TEXT
    assert signed.note.to_bytes() == EXAMPLE


@given(CHECKPOINTS)
def test_a_checkpoint_is_read_as_it_was_signed(checkpoint: Checkpoint) -> None:
    signed = sign_checkpoint(checkpoint, KEY)
    assert parse_checkpoint(signed.note.to_bytes()) == signed


@given(st.text(max_size=120))
def test_what_is_read_is_printed_the_same(text: str) -> None:
    try:
        checkpoint = parse_text(text)
    except SimpulError as error:
        refusal = error.code
    else:
        refusal = Code.CHECKPOINT_INVALID
        assert checkpoint.text == text
    assert refusal is Code.CHECKPOINT_INVALID


ROOT = base64.b64encode(bytes(32)).decode()


@pytest.mark.parametrize(
    "text",
    [
        "",
        "origin\n",
        f"origin\n1\n{ROOT}",
        f"\n1\n{ROOT}\n",
        f"origin\n01\n{ROOT}\n",
        f"origin\n-1\n{ROOT}\n",
        f"origin\n+1\n{ROOT}\n",
        f"origin\n1 \n{ROOT}\n",
        f"origin\n٣\n{ROOT}\n",
        f"origin\n{MAX_SIZE + 1}\n{ROOT}\n",
        "origin\n1\n\n",
        "origin\n1\nAAAA\n",
        f"origin\n1\n{ROOT[:-2]}B=\n",
        f"origin\n1\n{ROOT}\n\n",
        f"origin\n1\n{ROOT}\n\nextension\n",
    ],
)
def test_what_is_no_checkpoint_is_refused(text: str) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_text(text)
    assert caught.value.code is Code.CHECKPOINT_INVALID


def test_extension_lines_are_signed_too() -> None:
    signed = sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32), ("more",)), KEY)
    verify_checkpoint(signed, ORIGIN, KEY.public)
    other = Checkpoint(ORIGIN, 1, bytes(32), ("less",))
    with pytest.raises(SimpulError) as caught:
        verify_checkpoint(
            SignedCheckpoint(other, Note(other.text, signed.note.signatures)), ORIGIN, KEY.public
        )
    assert caught.value.code is Code.SIGNATURE_INVALID


def test_another_logs_checkpoint_is_refused() -> None:
    signed = sign_checkpoint(Checkpoint("another/journal/0", 1, bytes(32)), KEY)
    with pytest.raises(SimpulError, match="another log") as caught:
        verify_checkpoint(signed, ORIGIN, KEY.public)
    assert caught.value.code is Code.CHECKPOINT_INVALID


def test_another_keys_checkpoint_is_refused() -> None:
    signed = sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), KEY)
    with pytest.raises(SimpulError) as caught:
        verify_checkpoint(signed, ORIGIN, fixed.key("another").public)
    assert caught.value.code is Code.SIGNATURE_INVALID


def test_a_signature_under_another_name_is_none() -> None:
    checkpoint = Checkpoint(ORIGIN, 1, bytes(32))
    note = Note(checkpoint.text, (sign_text(checkpoint.text, "other", KEY),))
    with pytest.raises(SimpulError) as caught:
        verify_checkpoint(SignedCheckpoint(checkpoint, note), ORIGIN, KEY.public)
    assert caught.value.code is Code.SIGNATURE_INVALID


def test_an_empty_tree_has_one_root() -> None:
    verify_checkpoint(sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), KEY), ORIGIN, KEY.public)
    with pytest.raises(SimpulError, match="empty tree"):
        verify_checkpoint(
            sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), KEY), ORIGIN, KEY.public
        )
