"""Seals over batches of header hashes."""

import hashlib
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from security import merkle
from security.errors import Code, SimpulError
from security.hashing import SEAL
from security.keys import Algorithm
from security.limits import MAX_BATCH, MAX_SEAL_BYTES
from security.seal import Seal, make_seals, parse_seal, verify_seal
from simpul.v1 import parcel_pb2
from tests.conformance.fixed import key
from tests.unit.security.strategies import parsed_or_refused

KEY = key("seal")


def hashes(count: int) -> list[bytes]:
    return [hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(count)]


@settings(max_examples=30)
@given(st.integers(1, 40))
def test_one_signature_seals_every_parcel_of_a_batch(count: int) -> None:
    batch = hashes(count)
    seals = [parse_seal(data) for data in make_seals(KEY, batch)]
    assert len({seal.signature for seal in seals}) == 1
    for header_hash, seal in zip(batch, seals, strict=True):
        verify_seal(seal, header_hash, KEY.public)


def test_paths_are_those_of_the_tree() -> None:
    batch = hashes(11)
    leaves = [merkle.leaf_hash(item) for item in batch]
    for index, data in enumerate(make_seals(KEY, batch)):
        assert parse_seal(data).path == merkle.inclusion_path(leaves, index)


def test_what_is_signed_is_what_the_standard_says() -> None:
    batch = hashes(3)
    root = merkle.root([merkle.leaf_hash(item) for item in batch])
    signature = parse_seal(make_seals(KEY, batch)[0]).signature
    KEY.public.verify(SEAL, bytes(7) + b"\x03" + root, signature)


@pytest.mark.parametrize("algorithm", Algorithm)
def test_every_algorithm_seals(algorithm: Algorithm) -> None:
    private = key("seal", algorithm)
    [data] = make_seals(private, hashes(1))
    assert len(data) <= MAX_SEAL_BYTES
    seal = parse_seal(data)
    assert seal.path == ()
    verify_seal(seal, hashes(1)[0], private.public)
    with pytest.raises(SimpulError):
        verify_seal(seal, hashes(2)[1], private.public)


def test_the_largest_path_and_signature_fit() -> None:
    signature = key("seal", Algorithm.ED25519_ML_DSA_65).sign(SEAL, b"")
    seal = parcel_pb2.Seal(
        signature=signature, batch_size=MAX_BATCH, index=0, path=[bytes(32)] * 16
    )
    parse_seal(seal.SerializeToString())


SEALS = [parse_seal(data) for data in make_seals(KEY, hashes(5))]


@pytest.mark.parametrize(
    "changes",
    [
        {"signature": bytes(64)},
        {"signature": b"short"},
        {"batch_size": 6},
        {"index": 2},
        {"path": ()},
        {"path": SEALS[1].path[:-1]},
        {"path": (*SEALS[1].path, bytes(32))},
        {"path": SEALS[2].path},
    ],
)
def test_a_seal_changed_anywhere_does_not_verify(changes: dict[str, object]) -> None:
    verify_seal(SEALS[1], hashes(5)[1], KEY.public)
    with pytest.raises(SimpulError) as caught:
        verify_seal(replace(SEALS[1], **changes), hashes(5)[1], KEY.public)  # type: ignore[arg-type]
    assert caught.value.code is Code.PARCEL_SEAL


def test_another_key_does_not_verify() -> None:
    with pytest.raises(SimpulError) as caught:
        verify_seal(SEALS[1], hashes(5)[1], key("another").public)
    assert caught.value.code is Code.PARCEL_SEAL


@pytest.mark.parametrize("count", [0, MAX_BATCH + 1])
def test_a_batch_has_a_size(count: int) -> None:
    with pytest.raises(ValueError, match="batch"):
        make_seals(KEY, [bytes(32)] * count)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused_or_a_seal(data: bytes) -> None:
    seal = parsed_or_refused(parse_seal, data, Code.PARCEL_MALFORMED)
    assert seal is None or seal.index < seal.batch_size


@given(
    st.binary(min_size=1, max_size=100),
    st.integers(0, MAX_BATCH - 1),
    st.lists(st.binary(min_size=32, max_size=32), max_size=16),
)
def test_what_is_printed_parses_to_the_same(
    signature: bytes, index: int, path: list[bytes]
) -> None:
    message = parcel_pb2.Seal(signature=signature, batch_size=MAX_BATCH, index=index, path=path)
    assert parse_seal(message.SerializeToString()) == Seal(signature, MAX_BATCH, index, tuple(path))


@pytest.mark.parametrize(
    "message",
    [
        parcel_pb2.Seal(batch_size=1, index=0),
        parcel_pb2.Seal(signature=b"s", batch_size=1),
        parcel_pb2.Seal(signature=b"s", index=0),
        parcel_pb2.Seal(signature=b"s", batch_size=1, index=1),
        parcel_pb2.Seal(signature=b"s", batch_size=MAX_BATCH + 1, index=0),
        parcel_pb2.Seal(signature=b"s", batch_size=2, index=0, path=[bytes(31)]),
    ],
)
def test_a_malformed_seal_is_refused(message: parcel_pb2.Seal) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_seal(message.SerializeToString())
    assert caught.value.code is Code.PARCEL_MALFORMED
