"""A witness's rules: one test for each numbered step, which breaks only that step."""

from collections.abc import Sequence
from dataclasses import replace
from http import HTTPStatus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security import merkle
from security.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from security.errors import Code, SimpulError
from security.keys import PrivateKey
from security.merkle import EMPTY_ROOT, leaf_hash
from security.note import Note, NoteSignature
from security.witness import (
    AddCheckpoint,
    WitnessRefusal,
    format_size,
    judge,
    origin_hash,
    parse_request,
    parse_size,
)
from tests.conformance import fixed

# c2sp.org/tlog-witness, "add-checkpoint".
EXAMPLE = (
    "old 20852014\nPlRNCrwHpqhGrupue0L7gxbjbMiKA9temvuZZDDpkaw=\n"
    "jrJZDmY8Y7SyJE0MWLpLozkIVMSMZcD5kvuKxPC3swk=\n"
    "5+pKlUdi2LeF/BcMHBn+Ku6yhPGNCswZZD1X/6QgPd8=\n"
    "/6WVhPs2CwSsb5rYBH5cjHV/wSmA79abXAwhXw3Kj/0=\n\n"
    "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n"
    "— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2"
    "q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    "— example.com/behind-the-sofa opLqBQsREYCgu6xQkYQwJr9fo45a62DN9EdmHXnZdXNqlcVGlCum2Wks+49/V62"
    "67UEjw6QUXTS5Rovnzv++qbSzm9Q=\n"
).encode()

ORIGIN = "labuan-bajo-1.id.simpul.internal/journal/0"
KEY = fixed.key("a log")
LEAVES = [leaf_hash(bytes([number])) for number in range(20)]
FORK = [leaf_hash(b"x"), *LEAVES[1:]]


def checkpoint(size: int, leaves: Sequence[bytes] = LEAVES) -> Checkpoint:
    return Checkpoint(ORIGIN, size, merkle.root(leaves[:size]))


def request(
    old: int, size: int, leaves: Sequence[bytes] = LEAVES, key: PrivateKey = KEY
) -> AddCheckpoint:
    proof = merkle.consistency_path(leaves[:size], min(old, size))
    return AddCheckpoint(old, proof, sign_checkpoint(checkpoint(size, leaves), key))


def refused(wanted: AddCheckpoint, latest: Checkpoint | None) -> WitnessRefusal:
    with pytest.raises(WitnessRefusal) as caught:
        judge(wanted, [KEY.public], latest)
    assert caught.value.code is Code.WITNESS_REFUSED
    return caught.value


def test_the_specifications_request_is_read() -> None:
    wanted = parse_request(EXAMPLE)
    assert (wanted.old_size, len(wanted.proof)) == (20852014, 4)
    assert len(wanted.signed.note.signatures) == 2
    assert wanted.to_bytes() == EXAMPLE


@given(st.integers(0, 20), st.integers(0, 20))
def test_what_continues_is_cosigned(one: int, other: int) -> None:
    old, size = sorted((one, other))
    wanted = request(old, size)
    assert parse_request(wanted.to_bytes()) == wanted
    judge(wanted, [KEY.public], checkpoint(old) if old > 0 else None)


@given(st.binary(max_size=300) | st.text(max_size=300).map(str.encode))
def test_what_is_read_is_printed_the_same(data: bytes) -> None:
    try:
        wanted = parse_request(data)
    except WitnessRefusal as error:
        refusal = (error.step, error.status)
    else:
        refusal = (1, HTTPStatus.BAD_REQUEST)
        assert wanted.to_bytes() == data
    assert refusal == (1, HTTPStatus.BAD_REQUEST)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"old 20852014\n", b""),
        (b"old 20852014", b"old 020852014"),
        (b"old 20852014", b"old  20852014"),
        (b"old 20852014", b"old 99999999999999999999"),
        (b"old 20852014", b"old 9999999999999999999"),
        (b"Kj/0=\n\n", b"Kj/0=\n"),
        (b"PlRNCrwHpqhG", b"PlRN"),
        (b"pkaw=\n", b"pkax=\n"),
        (b"\n20852163\n", b"\n020852163\n"),
        (b"old 20852014\n", b"old 20852014\n" + b"A" * 43 + b"=\n" * 1 + (b"A" * 43 + b"=\n") * 59),
        (b"YQ8=\n", b"YQ8=\n\n"),
    ],
)
def test_step_1_what_is_no_request(before: bytes, after: bytes) -> None:
    assert before in EXAMPLE
    with pytest.raises(WitnessRefusal) as caught:
        parse_request(EXAMPLE.replace(before, after, 1))
    assert (caught.value.step, caught.value.status) == (1, HTTPStatus.BAD_REQUEST)


def test_step_2_an_unknown_log() -> None:
    with pytest.raises(WitnessRefusal) as caught:
        judge(request(0, 3), None, None)
    assert (caught.value.step, caught.value.status) == (2, HTTPStatus.NOT_FOUND)


def test_step_3_not_signed_by_the_log() -> None:
    error = refused(request(0, 3, key=fixed.key("another")), None)
    assert (error.step, error.status) == (3, HTTPStatus.FORBIDDEN)
    with pytest.raises(WitnessRefusal) as caught:
        judge(request(0, 3), [], None)
    assert caught.value.status is HTTPStatus.FORBIDDEN


def test_step_3_a_false_signature_beside_the_true_one() -> None:
    wanted = request(0, 3)
    true = wanted.signed.note.signatures[0]
    note = Note(wanted.signed.note.text, (true, NoteSignature(true.name, true.key_id, bytes(64))))
    error = refused(replace(wanted, signed=SignedCheckpoint(checkpoint(3), note)), None)
    assert (error.step, error.status) == (3, HTTPStatus.FORBIDDEN)


def test_step_4_an_old_size_above_the_new() -> None:
    error = refused(request(5, 3), checkpoint(5))
    assert (error.step, error.status) == (4, HTTPStatus.BAD_REQUEST)


def test_step_5_an_old_size_that_isnt_the_witness_own() -> None:
    for latest, known in ((None, 0), (checkpoint(4), 4), (checkpoint(9), 9)):
        error = refused(request(3, 7), latest)
        assert (error.step, error.status, error.known_size) == (5, HTTPStatus.CONFLICT, known)


def test_step_6_an_empty_tree_with_another_root() -> None:
    signed = sign_checkpoint(Checkpoint(ORIGIN, 0, bytes(32)), KEY)
    error = refused(AddCheckpoint(0, (), signed), None)
    assert (error.step, error.status) == (6, HTTPStatus.UNPROCESSABLE_ENTITY)
    judge(
        AddCheckpoint(0, (), sign_checkpoint(Checkpoint(ORIGIN, 0, EMPTY_ROOT), KEY)),
        [KEY.public],
        None,
    )


def test_step_7_a_fork() -> None:
    error = refused(request(3, 7, FORK), checkpoint(3))
    assert (error.step, error.status) == (7, HTTPStatus.UNPROCESSABLE_ENTITY)


def test_step_7_the_same_size_with_another_root() -> None:
    judge(request(3, 3), [KEY.public], checkpoint(3))
    error = refused(request(3, 3, FORK), checkpoint(3))
    assert (error.step, error.status) == (7, HTTPStatus.UNPROCESSABLE_ENTITY)


def test_step_7_a_proof_that_isnt_needed() -> None:
    error = refused(replace(request(0, 3), proof=(bytes(32),)), None)
    assert (error.step, error.status) == (7, HTTPStatus.UNPROCESSABLE_ENTITY)


def test_sizes_travel_as_a_line() -> None:
    assert format_size(20852014) == b"20852014\n"
    assert parse_size(b"0\n") == 0
    for wrong in (b"", b"1", b"01\n", b"1\n\n", b"-1\n", b"9999999999999999999\n"):
        with pytest.raises(SimpulError):
            parse_size(wrong)


def test_a_logs_checkpoint_is_served_under_the_hash_of_its_origin() -> None:
    assert origin_hash("a") == "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"
