"""Statements: printed, parsed, and refused at each numbered step."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.hashing import STATEMENT_SIGNATURE
from security.identifiers import MemberId, NodeId
from security.keys import PrivateKey
from security.statement import (
    MAX_SEAL_KEYS,
    MemberStatementView,
    SealKeyView,
    VerifiedStatement,
    make_statement,
    parse_statement,
    statement_hash,
    verify_statement,
)
from simpul.v1 import keys_pb2, statement_pb2
from tests.conformance import fixed
from tests.support.directories import statement_view

IDENTITY = fixed.key("identity")
NEW_IDENTITY = fixed.key("new identity")
SEAL = fixed.key("seal")
FIRST = statement_view(fixed.REGENCY, fixed.REGENCY_NODE, IDENTITY, SEAL)

Change = Callable[[statement_pb2.MemberStatement], object]


def verify(
    signed: statement_pb2.SignedStatement,
    *,
    federation: str = "ID",
    member: MemberId = fixed.REGENCY,
    previous: VerifiedStatement | None = None,
    pinned: bytes | None = None,
) -> VerifiedStatement:
    return verify_statement(
        signed,
        federation=federation,
        member=member,
        previous=previous,
        pinned_identity_key_id=pinned,
    )


def second(first: VerifiedStatement, **changes: object) -> MemberStatementView:
    follower = replace(FIRST, number=2, previous=first.hash, issued_at_ms=fixed.NOW_MS)
    return replace(follower, **changes)  # type: ignore[arg-type]


def sign(data: bytes, key: PrivateKey = IDENTITY) -> statement_pb2.SignedStatement:
    return statement_pb2.SignedStatement(
        statement=data, signature=key.sign(STATEMENT_SIGNATURE, data)
    )


def altered(change: Change) -> statement_pb2.SignedStatement:
    """The first statement with one thing changed, well signed all the same."""
    message = statement_pb2.MemberStatement.FromString(make_statement(FIRST, IDENTITY).statement)
    change(message)
    return sign(message.SerializeToString(deterministic=True))


def refused_at(step: int, call: Callable[[], object], code: Code = Code.STATEMENT_INVALID) -> str:
    with pytest.raises(SimpulError) as caught:
        call()
    assert (caught.value.code, caught.value.details["step"]) == (code, str(step))
    return caught.value.message


def test_a_statement_says_what_was_put_in() -> None:
    signed = make_statement(FIRST, IDENTITY)
    verified = verify(signed)
    assert verified.view == FIRST
    assert verified.hash == statement_hash(signed.statement)
    assert (verified.member, verified.number) == (fixed.REGENCY, 1)
    assert verified.identity_key == IDENTITY.public
    assert [item.key for item in verified.seal_keys] == [SEAL.public]


@given(
    numbers=st.integers(min_value=2, max_value=2**64 - 1),
    issued=st.integers(min_value=1, max_value=253_402_300_799_999),
    seals=st.lists(st.sampled_from("abcdef"), min_size=1, max_size=6, unique=True),
)
def test_a_statement_prints_as_it_was_parsed(numbers: int, issued: int, seals: list[str]) -> None:
    view = replace(
        FIRST,
        number=numbers,
        previous=b"h" * 32,
        issued_at_ms=issued,
        seal_keys=tuple(
            SealKeyView(fixed.key(name).public, NodeId("ID", name), at, at + 1)
            for at, name in enumerate(seals, start=1)
        ),
    )
    data = make_statement(view, IDENTITY).statement
    assert parse_statement(data) == view
    assert make_statement(parse_statement(data), IDENTITY).statement == data


@given(st.binary(max_size=100))
def test_whatever_comes_it_is_parsed_or_refused(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_statement(data)
    assert caught.value.code is Code.STATEMENT_INVALID


def _set(message: statement_pb2.MemberStatement, *, number: int, previous: bytes) -> None:
    message.number = number
    message.previous = previous


BAD_FORM: dict[str, Change] = {
    "version 0": lambda m: m.ClearField("version"),
    "version 2": lambda m: setattr(m, "version", 2),
    "no member": lambda m: m.ClearField("member"),
    "another federation": lambda m: setattr(m, "federation", "MY"),
    "no number": lambda m: m.ClearField("number"),
    "number 0 with one before it": lambda m: _set(m, number=0, previous=b"h" * 32),
    "number 1 with one before it": lambda m: setattr(m, "previous", b"h" * 32),
    "number 2 with none before it": lambda m: setattr(m, "number", 2),
    "a short hash": lambda m: _set(m, number=2, previous=b"h" * 31),
    "no time": lambda m: m.ClearField("issued_at_ms"),
    "a time before 1970": lambda m: setattr(m, "issued_at_ms", -1),
    "a time after 9999": lambda m: setattr(m, "issued_at_ms", 253_402_300_800_000),
}


@pytest.mark.parametrize("change", BAD_FORM.values(), ids=BAD_FORM)
def test_step_1_form(change: Change) -> None:
    refused_at(1, lambda: verify(altered(change)))


def test_step_1_form_unknown_fields_and_order() -> None:
    data = make_statement(FIRST, IDENTITY).statement
    refused_at(1, lambda: verify(sign(data + b"\x78\x01")))
    # The version, which comes first, moved to the end.
    assert "order" in refused_at(1, lambda: verify(sign(data[2:] + data[:2])))
    refused_at(1, lambda: verify(sign(b"\x00" * (256 * 1024 + 1))))


def test_step_2_federation_and_member() -> None:
    signed = make_statement(FIRST, IDENTITY)
    refused_at(2, lambda: verify(signed, member=fixed.MINISTRY))
    refused_at(2, lambda: verify(signed, federation="MY"))


def _key(message: keys_pb2.PublicKey, key: PrivateKey) -> None:
    message.CopyFrom(key.public.to_proto())


BAD_KEYS: dict[str, Change] = {
    "no identity key": lambda m: m.ClearField("identity_key"),
    "no seal key": lambda m: m.ClearField("seal_keys"),
    "a seal key that is none": lambda m: setattr(m.seal_keys[0].key, "key", b"k"),
    "a seal key twice": lambda m: m.seal_keys.append(m.seal_keys[0]),
    "the identity key seals too": lambda m: _key(m.seal_keys[0].key, IDENTITY),
    "no node": lambda m: m.seal_keys[0].ClearField("node"),
    "a node of another federation": lambda m: setattr(m.seal_keys[0], "node", "MY/~a"),
    "no start": lambda m: m.seal_keys[0].ClearField("valid_from_ms"),
    "no end": lambda m: m.seal_keys[0].ClearField("valid_until_ms"),
    "an end at the start": lambda m: setattr(
        m.seal_keys[0], "valid_until_ms", m.seal_keys[0].valid_from_ms
    ),
    "too many": lambda m: m.seal_keys.extend([m.seal_keys[0]] * MAX_SEAL_KEYS),
}


@pytest.mark.parametrize("change", BAD_KEYS.values(), ids=BAD_KEYS)
def test_step_3_keys(change: Change) -> None:
    refused_at(3, lambda: verify(altered(change)))


def test_step_4_signature() -> None:
    signed = make_statement(FIRST, IDENTITY)
    refused_at(4, lambda: verify(sign(signed.statement, SEAL)))
    signed.signature = IDENTITY.sign(b"simpul/v1/seal", signed.statement)
    refused_at(4, lambda: verify(signed))
    refused_at(4, lambda: make_statement(FIRST, SEAL))


def test_step_5_number() -> None:
    first = verify(make_statement(FIRST, IDENTITY))
    follower = verify(make_statement(second(first), IDENTITY), previous=first)
    # Lower; the same with other bytes; the next after another one.
    refused_at(5, lambda: verify(make_statement(FIRST, IDENTITY), previous=follower))
    other = replace(FIRST, issued_at_ms=1)
    refused_at(5, lambda: verify(make_statement(other, IDENTITY), previous=first))
    stray = second(first, previous=b"h" * 32)
    refused_at(5, lambda: verify(make_statement(stray, IDENTITY), previous=first))


def test_step_5_number_the_same_statement_may_come_again_and_some_may_be_missed() -> None:
    first = verify(make_statement(FIRST, IDENTITY))
    assert verify(make_statement(FIRST, IDENTITY), previous=first) == first
    later = second(first, number=9, previous=b"h" * 32)
    assert verify(make_statement(later, IDENTITY), previous=first).number == 9


def test_step_6_predecessor() -> None:
    first = verify(make_statement(FIRST, IDENTITY))
    rotated = second(first, identity_key=NEW_IDENTITY.public)
    signed = make_statement(rotated, NEW_IDENTITY, IDENTITY)
    assert verify(signed, previous=first).identity_key == NEW_IDENTITY.public
    # It may come again, though its predecessor's key is the previous one's no more.
    verify(signed, previous=verify(signed))
    refused_at(6, lambda: verify(make_statement(rotated, NEW_IDENTITY), previous=first))
    refused_at(6, lambda: verify(make_statement(rotated, NEW_IDENTITY, SEAL), previous=first))
    needless = make_statement(second(first), IDENTITY, IDENTITY)
    refused_at(6, lambda: verify(needless, previous=first))


def test_step_7_pin() -> None:
    first = verify(make_statement(FIRST, IDENTITY))
    assert verify(make_statement(FIRST, IDENTITY), pinned=IDENTITY.public.key_id) == first
    # What a captured registry would list: a first statement by a key of its own.
    false = make_statement(replace(FIRST, identity_key=NEW_IDENTITY.public), NEW_IDENTITY)
    message = refused_at(
        7, lambda: verify(false, pinned=IDENTITY.public.key_id), Code.IDENTITY_CHANGED
    )
    assert "fingerprint" in message
    refused_at(7, lambda: verify(false, pinned=b"short"))


def test_step_7_pin_follows_a_handover() -> None:
    first = verify(make_statement(FIRST, IDENTITY))
    rotated = second(first, identity_key=NEW_IDENTITY.public)
    signed = make_statement(rotated, NEW_IDENTITY, IDENTITY)
    pinned = IDENTITY.public.key_id
    assert verify(signed, previous=first, pinned=pinned).identity_key == NEW_IDENTITY.public
    # Without the statement before, nobody can say whose the second signature is.
    refused_at(7, lambda: verify(signed, pinned=pinned), Code.IDENTITY_CHANGED)
