"""Strict parsing: what a printer wouldn't print is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.strict import parse
from simpul.v1 import keys_pb2, parcel_pb2, statement_pb2

# Field 1 (algorithm) is 1, field 2 (key) is "k".
GOOD = b"\x08\x01\x12\x01k"

BAD = {
    "no message": b"\xff",
    "cut short": GOOD[:-1],
    "an unknown field": GOOD + b"\x18\x01",
    "a singular field twice": b"\x08\x02" + GOOD,
    "a number longer than it need be": b"\x08\x81\x00\x12\x01k",
    "a length longer than it need be": b"\x08\x01\x12\x81\x00k",
    "a default written out": b"\x08\x00\x12\x01k",
    "a field of another type": b"\x0a\x01\x01\x12\x01k",
    "a group that is no field": GOOD + b"\x1b\x1c",
}


def test_a_good_message_is_parsed() -> None:
    message = parse(keys_pb2.PublicKey, GOOD, 5)
    assert (message.algorithm, message.key) == (keys_pb2.KEY_ALGORITHM_ED25519, b"k")


@pytest.mark.parametrize("data", BAD.values(), ids=BAD)
def test_a_bad_message_is_refused(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        parse(keys_pb2.PublicKey, data, 100, code=Code.STATEMENT_INVALID)
    assert caught.value.code is Code.STATEMENT_INVALID
    assert "PublicKey" in caught.value.message


def test_unknown_fields_are_refused_at_any_depth() -> None:
    inner = keys_pb2.PublicKey(key=b"k").SerializeToString() + b"\x18\x01"
    seal_key = b"\x0a" + bytes([len(inner)]) + inner
    statement = b"\x32" + bytes([len(seal_key)]) + seal_key
    with pytest.raises(SimpulError):
        parse(statement_pb2.MemberStatement, statement, 100)


def test_text_that_is_no_utf8_is_refused() -> None:
    with pytest.raises(SimpulError):
        parse(statement_pb2.MemberStatement, b"\x12\x01\xff", 100)


def test_the_limit_is_exact_and_judged_before_parsing() -> None:
    with pytest.raises(SimpulError) as caught:
        parse(keys_pb2.PublicKey, b"\xff" * 5, 4, too_large=Code.PARCEL_TOO_LARGE)
    assert caught.value.code is Code.PARCEL_TOO_LARGE
    with pytest.raises(SimpulError) as caught:
        parse(keys_pb2.PublicKey, GOOD, 4)
    assert caught.value.code is Code.REQUEST_MALFORMED


@given(st.binary(max_size=60))
def test_whatever_comes_it_is_parsed_or_refused(data: bytes) -> None:
    try:
        message = parse(parcel_pb2.Header, data, 60)
    except SimpulError:
        return
    assert message.ByteSize() == len(data)
    assert parse(parcel_pb2.Header, message.SerializeToString(), 60) == message
