"""A node's request to be listed: its seal key, for the member's next statement.

    SignedSealKeyRequest
      request      SealKeyRequest bytes, as signed
        version 1, federation, member, node, key, made_at_ms
      signature    by the node key

A node that holds no identity key can't make a statement. It asks by this, the registry publishes
the request, and whoever holds the identity key lists the key, once people have compared the
fingerprint: the registry, if captured, can publish a request, and nobody signs what it says.

Source: docs/spec, "Statements"; protos/simpul/v1/statement.proto.
"""

from dataclasses import dataclass
from typing import Final

from security import strict
from security.errors import Code, SimpulError
from security.hashing import SEAL_KEY_REQUEST_SIGNATURE
from security.identifiers import MemberId, NodeId
from security.keys import PrivateKey, PublicKey
from security.statement import MAX_TIME_MS
from simpul.v1 import statement_pb2

FORMAT_VERSION: Final = 1
MAX_REQUEST_BYTES: Final = 16 * 1024


@dataclass(frozen=True, slots=True)
class SealKeyRequestView:
    """What a request says: `key` is to seal for `member` on `node`."""

    member: MemberId
    node: NodeId
    key: PublicKey
    made_at_ms: int


def make_seal_key_request(
    view: SealKeyRequestView, node_key: PrivateKey
) -> statement_pb2.SignedSealKeyRequest:
    """Print a request and sign it; raises SimpulError STATEMENT_INVALID if none would take it."""
    data = statement_pb2.SealKeyRequest(
        version=FORMAT_VERSION,
        federation=view.member.federation,
        member=str(view.member),
        node=str(view.node),
        key=view.key.to_proto(),
        made_at_ms=view.made_at_ms,
    ).SerializeToString(deterministic=True)
    signed = statement_pb2.SignedSealKeyRequest(
        request=data, signature=node_key.sign(SEAL_KEY_REQUEST_SIGNATURE, data)
    )
    parse_seal_key_request(signed)
    return signed


def parse_seal_key_request(signed: statement_pb2.SignedSealKeyRequest) -> SealKeyRequestView:
    """Read a request, checking no signature: step 1; raises SimpulError STATEMENT_INVALID."""
    # 1. Form: strictly parsed, of a known version, with every field, of one federation.
    try:
        message = strict.parse(statement_pb2.SealKeyRequest, signed.request, MAX_REQUEST_BYTES)
        view = SealKeyRequestView(
            MemberId.parse(message.member),
            NodeId.parse(message.node),
            PublicKey.from_proto(message.key),
            message.made_at_ms,
        )
    except SimpulError as error:
        raise _refused(1, error.message) from None
    if message.version != FORMAT_VERSION or not 0 < message.made_at_ms <= MAX_TIME_MS:
        raise _refused(1, "its version or time is none")
    if {message.federation, view.node.federation} != {view.member.federation}:
        raise _refused(1, "it names several federations")
    return view


def verify_seal_key_request(
    signed: statement_pb2.SignedSealKeyRequest,
    *,
    member: MemberId,
    node: NodeId,
    node_key: PublicKey,
) -> SealKeyRequestView:
    """Check a request.

    1. Form: strictly parsed, version 1, every field.
    2. Member and node are those that the caller means.
    3. Signature by the node's key.

    Raises:
        SimpulError: STATEMENT_INVALID, the step in its details.
    """
    view = parse_seal_key_request(signed)
    # 2. Member and node.
    if (view.member, view.node) != (member, node):
        raise _refused(2, f"it is for {view.member} on {view.node}")
    # 3. Signature.
    try:
        node_key.verify(SEAL_KEY_REQUEST_SIGNATURE, signed.request, signed.signature)
    except SimpulError as error:
        raise _refused(3, error.message) from None
    return view


def _refused(step: int, what: str) -> SimpulError:
    return SimpulError(
        Code.STATEMENT_INVALID,
        f"a request to list a seal key is refused at step {step}: {what}; have the node make a new "
        "one",
        step=str(step),
    )
