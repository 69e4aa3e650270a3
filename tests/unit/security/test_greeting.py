"""Greetings: each of the nine checks broken alone; link ids; versions."""

import hashlib
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, LinkFault, SimpulError
from security.greeting import (
    MAX_GREETING_BYTES,
    Expected,
    GreetingFields,
    Unsettled,
    VerifiedGreeting,
    child_link_id,
    choose_version,
    greeting_hash,
    link_id,
    make_greeting,
    parse_greeting,
    print_greeting,
    verify_greeting,
)
from security.hashing import digest
from security.identifiers import NodeId
from security.keys import PrivateKey
from security.limits import Limits
from security.parcel import Received
from simpul.v1 import directory_pb2, exchange_pb2
from tests.conformance.fixed import NOW_MS, key
from tests.unit.security.strategies import HASHES, NODES, RECEIPTS, TIMES, U64, parsed_or_refused
from tests.unit.security.wire import (
    CONSUMER_NODE,
    DIRECTORY,
    DIRECTORY_HASH,
    KOMDIGI,
    NODE_KEYS,
    OTHER_HASH,
    PROVIDER_NODE,
    directory,
    record,
    records,
    statement,
)

DIALLED = GreetingFields(
    "ID",
    CONSUMER_NODE,
    PROVIDER_NODE,
    hashlib.sha256(b"nonce").digest(),
    None,
    7,
    DIRECTORY_HASH,
    1000,
    NOW_MS,
    unsettled=(Unsettled(OTHER_HASH, 3, Received(1, OTHER_HASH)), Unsettled(OTHER_HASH, 0)),
    features=("chunks", "drain"),
)
ACCEPTING = Expected("ID", PROVIDER_NODE, None, None)

GREETINGS = st.builds(
    GreetingFields,
    st.just("ID"),
    NODES,
    NODES,
    HASHES,
    st.none() | HASHES,
    U64,
    HASHES,
    U64,
    TIMES,
    st.just(1),
    st.integers(2, 1024),
    st.builds(Limits, *[st.integers(1, 2**32 - 1)] * 5),
    st.lists(st.builds(Unsettled, HASHES, U64, st.none() | RECEIPTS), max_size=3).map(tuple),
    st.sets(st.integers(1, 2**32 - 1), min_size=1, max_size=16).map(lambda v: tuple(sorted(v))),
    st.sets(st.sampled_from(["chunks", "drain", "a-1"])).map(lambda v: tuple(sorted(v))),
)


def verify(
    fields: GreetingFields = DIALLED,
    expected: Expected = ACCEPTING,
    signer: PrivateKey | None = None,
    **changes: Any,
) -> VerifiedGreeting:
    """Verify what a node would send."""
    signed = make_greeting(
        replace(fields, **changes), NODE_KEYS[fields.node] if signer is None else signer
    )
    return verify_greeting(signed, expected=expected, directory=DIRECTORY, now_ms=NOW_MS)


def refused(step: int, code: Code, call: Callable[[], object]) -> None:
    """The call raises the link fault of this step."""
    with pytest.raises(LinkFault) as caught:
        call()
    assert (caught.value.step, caught.value.code) == (step, code)


def test_two_nodes_greet_and_name_their_link_alike() -> None:
    dialled = verify()
    assert dialled.fields == DIALLED
    reply = replace(
        DIALLED,
        node=PROVIDER_NODE,
        peer=CONSUMER_NODE,
        nonce=OTHER_HASH,
        in_reply_to=greeting_hash(dialled.greeting),
    )
    dialling = Expected("ID", CONSUMER_NODE, PROVIDER_NODE, greeting_hash(dialled.greeting))
    accepted = verify(reply, dialling)
    assert (dialled.version, accepted.version) == (1, 1)
    assert link_id(dialled.greeting, accepted.greeting) == digest(
        b"simpul/v1/link", dialled.greeting, accepted.greeting
    )
    assert link_id(dialled.greeting, accepted.greeting) != link_id(
        accepted.greeting, dialled.greeting
    )


def test_step_1_a_greeting_over_its_size() -> None:
    signed = exchange_pb2.SignedGreeting(greeting=bytes(MAX_GREETING_BYTES + 1))
    refused(
        1,
        Code.GREETING_MALFORMED,
        lambda: verify_greeting(signed, expected=ACCEPTING, directory=DIRECTORY, now_ms=NOW_MS),
    )


def test_step_1_a_signature_over_its_size() -> None:
    signed = make_greeting(DIALLED, NODE_KEYS[CONSUMER_NODE])
    signed.signature += b"\x00"
    refused(
        1,
        Code.GREETING_MALFORMED,
        lambda: verify_greeting(signed, expected=ACCEPTING, directory=DIRECTORY, now_ms=NOW_MS),
    )


@pytest.mark.parametrize(
    "changes",
    [
        {"versions": ()},
        {"versions": (0, 1)},
        {"versions": (2, 1)},
        {"versions": (1, 1)},
        {"versions": tuple(range(1, 18))},
        {"features": ("b", "a")},
        {"features": ("A",)},
        {"features": tuple(f"f{n:02}" for n in range(33))},
        {"nonce": bytes(31)},
        {"directory_hash": b""},
        {"in_reply_to": bytes(31)},
        {"workers": 0},
        {"worker": 1},
        {"workers": 1025},
        {"sent_at_ms": 0},
        {"federation": "id"},
        {"unsettled": (Unsettled(b"", 0),)},
        {"unsettled": (Unsettled(OTHER_HASH, 1, Received(0, b"")),)},
        {"unsettled": (Unsettled(OTHER_HASH, 0),) * 257},
    ],
    ids=str,
)
def test_step_2_a_malformed_greeting(changes: dict[str, Any]) -> None:
    refused(2, Code.GREETING_MALFORMED, lambda: verify(**changes))


@pytest.mark.parametrize("name", ["worker", "credit", "limits", "node", "peer"])
def test_step_2_a_missing_field(name: str) -> None:
    message = exchange_pb2.Greeting.FromString(print_greeting(DIALLED))
    message.ClearField(name)  # type: ignore[arg-type]
    with pytest.raises(SimpulError) as caught:
        parse_greeting(message.SerializeToString())
    assert caught.value.code is Code.GREETING_MALFORMED


def test_step_2_a_missing_limit() -> None:
    message = exchange_pb2.Greeting.FromString(print_greeting(DIALLED))
    message.limits.ClearField("max_entries")
    with pytest.raises(SimpulError, match="limit"):
        parse_greeting(message.SerializeToString())


@pytest.mark.parametrize("name", ["federation", "node"])
def test_step_3_another_federation(name: str) -> None:
    other: Any = "MY" if name == "federation" else NodeId.parse("MY/~komdigi-1")
    refused(3, Code.GREETING_MISADDRESSED, lambda: verify(**{name: other}))


def test_step_4_our_own_greeting_reflected() -> None:
    own = replace(DIALLED, node=PROVIDER_NODE)
    refused(4, Code.GREETING_MISADDRESSED, lambda: verify(own))


def test_step_4_another_node_than_was_dialled() -> None:
    expected = replace(ACCEPTING, peer=NodeId.parse("ID/~komdigi-2"))
    refused(4, Code.GREETING_MISADDRESSED, lambda: verify(expected=expected))


def test_step_4_a_node_that_is_not_listed() -> None:
    stranger = replace(DIALLED, node=NodeId.parse("ID/~stranger"))
    refused(4, Code.NODE_UNKNOWN, lambda: verify(stranger, signer=key("stranger")))


def test_step_4_a_node_that_is_revoked() -> None:
    revoked = record(statement(KOMDIGI), [CONSUMER_NODE])
    revoked.nodes[0].state = directory_pb2.NODE_STATE_REVOKED
    view = directory({**records(), KOMDIGI: revoked})
    signed = make_greeting(DIALLED, NODE_KEYS[CONSUMER_NODE])
    refused(
        4,
        Code.NODE_REVOKED,
        lambda: verify_greeting(signed, expected=ACCEPTING, directory=view, now_ms=NOW_MS),
    )


def test_step_5_signed_by_another_key() -> None:
    refused(5, Code.GREETING_SIGNATURE, lambda: verify(signer=NODE_KEYS[PROVIDER_NODE]))


def test_step_6_for_another_node() -> None:
    other = NodeId.parse("ID/~labuan-bajo-2")
    refused(6, Code.GREETING_MISADDRESSED, lambda: verify(peer=other))


@pytest.mark.parametrize("offset", [-60_001, 60_001])
def test_step_7_too_old_or_too_far_ahead(offset: int) -> None:
    refused(7, Code.GREETING_STALE, lambda: verify(sent_at_ms=NOW_MS + offset))
    verify(sent_at_ms=NOW_MS + offset - (1 if offset > 0 else -1))


@pytest.mark.parametrize(
    ("said", "expected"), [(OTHER_HASH, None), (None, OTHER_HASH), (OTHER_HASH, DIRECTORY_HASH)]
)
def test_step_8_in_reply_to_another_greeting(said: bytes | None, expected: bytes | None) -> None:
    waiting = replace(ACCEPTING, in_reply_to=expected)
    refused(8, Code.GREETING_MISADDRESSED, lambda: verify(expected=waiting, in_reply_to=said))


def test_step_9_no_common_version() -> None:
    refused(9, Code.GREETING_VERSION, lambda: verify(versions=(2, 3)))


@pytest.mark.parametrize(
    ("mine", "theirs", "chosen"), [((1,), (1, 2), 1), ((3, 2, 1), (2, 3), 3), ((1, 2), (2,), 2)]
)
def test_the_highest_common_version_is_chosen(
    mine: tuple[int, ...], theirs: tuple[int, ...], chosen: int
) -> None:
    assert choose_version(mine, theirs) == choose_version(theirs, mine) == chosen


def test_unknown_features_and_later_versions_are_ignored() -> None:
    greeted = verify(features=("zz-of-tomorrow",), versions=(1, 9))
    assert greeted.version == 1


def test_a_child_link_s_id_follows_from_parent_and_call() -> None:
    expected = digest(b"simpul/v1/child-link", OTHER_HASH, bytes(16))
    assert child_link_id(OTHER_HASH, bytes(16)) == expected


@given(GREETINGS)
def test_what_is_printed_parses_to_the_same(fields: GreetingFields) -> None:
    assert parse_greeting(print_greeting(fields)) == fields


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    fields = parsed_or_refused(parse_greeting, data, Code.GREETING_MALFORMED)
    assert fields is None or parse_greeting(print_greeting(fields)) == fields


@given(GREETINGS, st.data())
def test_a_changed_byte_never_verifies(fields: GreetingFields, data: st.DataObject) -> None:
    fields = replace(fields, node=CONSUMER_NODE, peer=PROVIDER_NODE, sent_at_ms=NOW_MS)
    signed = make_greeting(fields, NODE_KEYS[CONSUMER_NODE])
    raw = bytearray(signed.greeting)
    raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    signed.greeting = bytes(raw)
    with pytest.raises(LinkFault):
        verify_greeting(signed, expected=ACCEPTING, directory=DIRECTORY, now_ms=NOW_MS)
