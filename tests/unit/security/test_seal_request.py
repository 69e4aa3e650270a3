"""Each step of a node's request to be listed."""

from collections.abc import Callable

import pytest

from security.errors import Code, SimpulError
from security.hashing import SEAL_KEY_REQUEST_SIGNATURE
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, generate
from security.seal_request import (
    SealKeyRequestView,
    make_seal_key_request,
    verify_seal_key_request,
)
from simpul.v1 import statement_pb2

MEMBER = MemberId.parse("ID/DAERAH/53.15")
NODE = NodeId.parse("ID/~labuan-bajo-2")
NODE_KEY = generate(Algorithm.ED25519)
VIEW = SealKeyRequestView(MEMBER, NODE, generate(Algorithm.ED25519).public, 1)

Change = Callable[[statement_pb2.SealKeyRequest], object]


def signed(change: Change = lambda _: None) -> statement_pb2.SignedSealKeyRequest:
    made = make_seal_key_request(VIEW, NODE_KEY)
    message = statement_pb2.SealKeyRequest.FromString(made.request)
    change(message)
    data = message.SerializeToString(deterministic=True)
    return statement_pb2.SignedSealKeyRequest(
        request=data, signature=NODE_KEY.sign(SEAL_KEY_REQUEST_SIGNATURE, data)
    )


def refused(step: int, request: statement_pb2.SignedSealKeyRequest, node: NodeId = NODE) -> None:
    with pytest.raises(SimpulError) as caught:
        verify_seal_key_request(request, member=MEMBER, node=node, node_key=NODE_KEY.public)
    assert caught.value.code is Code.STATEMENT_INVALID
    assert caught.value.details["step"] == str(step)


def test_a_request_says_what_was_put_in() -> None:
    found = verify_seal_key_request(signed(), member=MEMBER, node=NODE, node_key=NODE_KEY.public)
    assert found == VIEW


CHANGES: dict[str, Change] = {
    "version": lambda m: setattr(m, "version", 2),
    "no federation": lambda m: m.ClearField("federation"),
    "another federation": lambda m: setattr(m, "federation", "MY"),
    "a node of another federation": lambda m: setattr(m, "node", "MY/~a"),
    "no member": lambda m: m.ClearField("member"),
    "no key": lambda m: m.ClearField("key"),
    "no time": lambda m: m.ClearField("made_at_ms"),
}


@pytest.mark.parametrize("change", list(CHANGES.values()), ids=list(CHANGES))
def test_step_1_form(change: Change) -> None:
    refused(1, signed(change))


def test_step_1_unknown_fields() -> None:
    request = signed()
    request.request += b"\x78\x01"
    refused(1, request)


def test_step_2_another_node_or_member() -> None:
    refused(2, signed(), NodeId.parse("ID/~labuan-bajo-3"))
    refused(2, signed(lambda m: setattr(m, "member", "ID/DAERAH/74.07")))


def test_step_3_signature() -> None:
    request = signed()
    request.signature = generate(Algorithm.ED25519).sign(
        SEAL_KEY_REQUEST_SIGNATURE, request.request
    )
    refused(3, request)


def test_no_request_is_made_that_nobody_would_take() -> None:
    bad = SealKeyRequestView(MEMBER, NodeId.parse("MY/~a"), VIEW.key, 1)
    with pytest.raises(SimpulError):
        make_seal_key_request(bad, NODE_KEY)
