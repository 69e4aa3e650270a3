"""Greetings: who speaks on a link, signed by the node key; and the ids of links.

The dialler greets, the acceptor answers with a greeting that names the hash of the dialler's. The
link's id is a hash over both, as they came, and every parcel names it: a stripped version offer, a
replay and a reflection all change it, so what they bring about ends at the first parcel.

What `verify_greeting` checks, in order; each is a link fault by this number:

    1  size, before parsing
    2  strict parse
    3  federation
    4  sender: the peer that was meant, not this node itself, listed and active
    5  signature, by the node key that the directory lists
    6  addressed to this node
    7  sent at most 60 s ago, and at most 60 s ahead
    8  in reply to: our greeting where we dialled; nothing where we accept
    9  a version that both speak

Whether a peer is to be spoken to at all (its TLS name, its budget) is for the node's link room.

Source: docs/spec, "Greetings"; simpul/v1/exchange.proto.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NoReturn

from security.directory import DirectoryView
from security.errors import Code, LinkFault, SimpulError
from security.hashing import CHILD_LINK, GREETING, GREETING_SIGNATURE, HASH_BYTES, LINK, digest
from security.identifiers import NodeId, check_federation
from security.keys import PrivateKey, PublicKey
from security.limits import CLOCK_AHEAD_MS, Limits
from security.parcel import VERSIONS, Received, parse_received
from security.strict import parse
from simpul.v1 import exchange_pb2, parcel_pb2

NONCE_BYTES: Final = 32
MAX_GREETING_BYTES: Final = 64 * 1024
MAX_SIGNATURE_BYTES: Final = 64
MAX_VERSIONS: Final = 16
MAX_FEATURES: Final = 32
MAX_UNSETTLED: Final = 256
MAX_WORKERS: Final = 1024
# How long a greeting may have been under way.
MAX_AGE_MS: Final = 60_000

_FEATURE: Final = re.compile(r"[a-z0-9][a-z0-9-]{0,31}")

STEP_SIZE: Final = 1
STEP_PARSE: Final = 2
STEP_FEDERATION: Final = 3
STEP_SENDER: Final = 4
STEP_SIGNATURE: Final = 5
STEP_ADDRESS: Final = 6
STEP_TIME: Final = 7
STEP_REPLY: Final = 8
STEP_VERSION: Final = 9


@dataclass(frozen=True, slots=True)
class Unsettled:
    """What one side knows of a link that was cut: how many parcels it sealed, what it received."""

    link_id: bytes
    sealed: int
    received: Received | None = None


@dataclass(frozen=True, slots=True)
class GreetingFields:
    """What a greeting says. Hashes, ids of links and the nonce have 32 bytes."""

    federation: str
    # The sender, and whom it means to speak to.
    node: NodeId
    peer: NodeId
    # Fresh random bytes.
    nonce: bytes
    # Of the acceptor: the hash of the dialler's greeting. None in the dialler's.
    in_reply_to: bytes | None
    directory_version: int
    directory_hash: bytes
    # How many opens the other side may send on this link at first.
    credit: int
    sent_at_ms: int
    # The worker that speaks, from 0, of how many.
    worker: int = 0
    workers: int = 1
    limits: Limits = Limits()  # noqa: RUF009 (frozen)
    unsettled: tuple[Unsettled, ...] = ()
    # Ascending, without repeats.
    versions: tuple[int, ...] = VERSIONS
    features: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a greeting must be for this link. `peer` is None where anyone listed may dial."""

    federation: str
    my_node: NodeId
    peer: NodeId | None
    # `greeting_hash` of ours, where we dialled; None where we accept.
    in_reply_to: bytes | None


@dataclass(frozen=True, slots=True)
class VerifiedGreeting:
    """A greeting that passed: the bytes that came, what they say, the version to speak."""

    greeting: bytes
    fields: GreetingFields
    version: int


def greeting_hash(greeting: bytes) -> bytes:
    """H("simpul/v1/greeting", greeting): what the acceptor's greeting replies to."""
    return digest(GREETING, greeting)


def link_id(dialler: bytes, acceptor: bytes) -> bytes:
    """H("simpul/v1/link", dialler's greeting, acceptor's greeting), both as they came."""
    return digest(LINK, dialler, acceptor)


def child_link_id(parent: bytes, call_id: bytes) -> bytes:
    """H("simpul/v1/child-link", parent link's id, call id)."""
    return digest(CHILD_LINK, parent, call_id)


def choose_version(mine: Sequence[int], theirs: Sequence[int]) -> int:
    """The highest version that both speak; raises SimpulError GREETING_VERSION if there is none."""
    common = set(mine) & set(theirs)
    if not common:
        raise SimpulError(
            Code.GREETING_VERSION,
            f"this node speaks versions {list(mine)} of the wire and the peer {list(theirs)}; "
            "update the older of the two",
        )
    return max(common)


def make_greeting(fields: GreetingFields, node_key: PrivateKey) -> exchange_pb2.SignedGreeting:
    """Print and sign a greeting."""
    greeting = print_greeting(fields)
    return exchange_pb2.SignedGreeting(
        greeting=greeting, signature=node_key.sign(GREETING_SIGNATURE, greeting)
    )


def print_greeting(fields: GreetingFields) -> bytes:
    """The bytes that are signed."""
    return exchange_pb2.Greeting(
        versions=fields.versions,
        features=fields.features,
        federation=fields.federation,
        node=str(fields.node),
        peer=str(fields.peer),
        nonce=fields.nonce,
        in_reply_to=fields.in_reply_to or b"",
        directory_version=fields.directory_version,
        directory_hash=fields.directory_hash,
        worker=fields.worker,
        workers=fields.workers,
        credit=fields.credit,
        limits=fields.limits.to_proto(),
        unsettled=[_unsettled_proto(link) for link in fields.unsettled],
        sent_at_ms=fields.sent_at_ms,
    ).SerializeToString(deterministic=True)


def parse_greeting(data: bytes) -> GreetingFields:
    """Parse a greeting, strictly; raises SimpulError GREETING_MALFORMED."""
    message = parse(exchange_pb2.Greeting, data, MAX_GREETING_BYTES, code=Code.GREETING_MALFORMED)
    _check_fields(message)
    try:
        check_federation(message.federation)
        node, peer = NodeId.parse(message.node), NodeId.parse(message.peer)
        limits = Limits.from_proto(message.limits)
    except SimpulError as error:
        _refuse(error.message)
    except ValueError:
        _refuse("a limit is missing")
    return GreetingFields(
        message.federation,
        node,
        peer,
        message.nonce,
        message.in_reply_to or None,
        message.directory_version,
        message.directory_hash,
        message.credit,
        message.sent_at_ms,
        message.worker,
        message.workers,
        limits,
        tuple(_unsettled(link) for link in message.unsettled),
        tuple(message.versions),
        tuple(message.features),
    )


def verify_greeting(
    signed: exchange_pb2.SignedGreeting,
    *,
    expected: Expected,
    directory: DirectoryView,
    now_ms: int,
    versions: Sequence[int] = VERSIONS,
) -> VerifiedGreeting:
    """Check a greeting in all nine steps.

    `signed` itself was read strictly by whoever read the frame around it.

    Raises:
        LinkFault: by `step`; end the stream.
    """
    fields = _read(signed)  # 1, 2
    _check_federation(fields, expected)  # 3
    key = _sender_key(fields, expected, directory)  # 4
    _check_signature(signed, key)  # 5
    _check_address(fields, expected)  # 6
    _check_time(fields, now_ms)  # 7
    _check_reply(fields, expected)  # 8
    version = _version(fields, versions)  # 9
    return VerifiedGreeting(signed.greeting, fields, version)


def _read(signed: exchange_pb2.SignedGreeting) -> GreetingFields:
    """Steps 1 and 2."""
    if len(signed.greeting) > MAX_GREETING_BYTES or len(signed.signature) > MAX_SIGNATURE_BYTES:
        raise LinkFault(
            Code.GREETING_MALFORMED,
            f"a greeting is over {MAX_GREETING_BYTES} bytes, or its signature over "
            f"{MAX_SIGNATURE_BYTES}; settle fewer links at a time",
            step=STEP_SIZE,
        )
    try:
        return parse_greeting(signed.greeting)
    except SimpulError as error:
        raise _fault(STEP_PARSE, error) from None


def _check_federation(fields: GreetingFields, expected: Expected) -> None:
    """Step 3."""
    if {fields.federation, fields.node.federation} != {expected.federation}:
        raise LinkFault(
            Code.GREETING_MISADDRESSED,
            f"a greeting comes from federation {fields.federation}, and this node is of "
            f"{expected.federation}; dial a node of your own federation",
            step=STEP_FEDERATION,
        )


def _sender_key(fields: GreetingFields, expected: Expected, directory: DirectoryView) -> PublicKey:
    """Step 4."""
    if fields.node == expected.my_node or expected.peer not in {None, fields.node}:
        raise LinkFault(
            Code.GREETING_MISADDRESSED,
            f"{fields.node} greets where {expected.peer or 'another node'} was expected; "
            "check the link address in the directory",
            step=STEP_SENDER,
        )
    try:
        return directory.require_active_node(fields.node).node_key
    except SimpulError as error:
        raise _fault(STEP_SENDER, error) from None


def _check_signature(signed: exchange_pb2.SignedGreeting, key: PublicKey) -> None:
    """Step 5."""
    try:
        key.verify(GREETING_SIGNATURE, signed.greeting, signed.signature)
    except SimpulError:
        raise LinkFault(
            Code.GREETING_SIGNATURE,
            "a greeting isn't signed by the node key that the directory lists; enrol the node anew",
            step=STEP_SIGNATURE,
        ) from None


def _check_address(fields: GreetingFields, expected: Expected) -> None:
    """Step 6."""
    if fields.peer != expected.my_node:
        raise LinkFault(
            Code.GREETING_MISADDRESSED,
            f"a greeting is for {fields.peer}, and this is {expected.my_node}; check the link "
            "address in the directory",
            step=STEP_ADDRESS,
        )


def _check_time(fields: GreetingFields, now_ms: int) -> None:
    """Step 7."""
    if not now_ms - MAX_AGE_MS <= fields.sent_at_ms <= now_ms + CLOCK_AHEAD_MS:
        raise LinkFault(
            Code.GREETING_STALE,
            "a greeting is over 60 s old or ahead; set both clocks",
            step=STEP_TIME,
        )


def _check_reply(fields: GreetingFields, expected: Expected) -> None:
    """Step 8."""
    if fields.in_reply_to != expected.in_reply_to:
        raise LinkFault(
            Code.GREETING_MISADDRESSED,
            "a greeting doesn't answer the one that was sent on this stream; dial again",
            step=STEP_REPLY,
        )


def _version(fields: GreetingFields, versions: Sequence[int]) -> int:
    """Step 9."""
    try:
        return choose_version(versions, fields.versions)
    except SimpulError as error:
        raise _fault(STEP_VERSION, error) from None


def _check_fields(message: exchange_pb2.Greeting) -> None:
    versions, features = list(message.versions), list(message.features)
    if not 1 <= len(versions) <= MAX_VERSIONS or versions != sorted({*versions} - {0}):
        _refuse(f"it names no versions, over {MAX_VERSIONS}, or not in ascending order")
    if len(features) > MAX_FEATURES or features != sorted(set(features)):
        _refuse(f"it names over {MAX_FEATURES} features, or not in alphabetical order")
    if any(_FEATURE.fullmatch(feature) is None for feature in features):
        _refuse("a feature isn't a short word in lower case")
    if len(message.nonce) != NONCE_BYTES or len(message.directory_hash) != HASH_BYTES:
        _refuse("its nonce or directory hash hasn't 32 bytes")
    if message.in_reply_to and len(message.in_reply_to) != HASH_BYTES:
        _refuse("what it replies to hasn't 32 bytes")
    if not message.HasField("worker") or not message.worker < message.workers <= MAX_WORKERS:
        _refuse("it comes from no worker")
    if not message.HasField("credit") or not message.HasField("limits"):
        _refuse("it has no credit or no limits")
    if message.sent_at_ms <= 0:
        _refuse("it has no time")
    if len(message.unsettled) > MAX_UNSETTLED:
        _refuse(f"it names over {MAX_UNSETTLED} unsettled links")


def _unsettled_proto(link: Unsettled) -> exchange_pb2.UnsettledLink:
    received = link.received
    return exchange_pb2.UnsettledLink(
        link_id=link.link_id,
        sealed=link.sealed,
        received=None
        if received is None
        else parcel_pb2.Received(number=received.number, header_hash=received.header_hash),
    )


def _unsettled(message: exchange_pb2.UnsettledLink) -> Unsettled:
    if len(message.link_id) != HASH_BYTES or not message.HasField("sealed"):
        _refuse("an unsettled link has no id of 32 bytes, or no count")
    try:
        received = parse_received(message.received) if message.HasField("received") else None
    except SimpulError as error:
        _refuse(error.message)
    return Unsettled(message.link_id, message.sealed, received)


def _refuse(what: str) -> NoReturn:
    raise SimpulError(
        Code.GREETING_MALFORMED,
        f"a greeting is malformed: {what}; print it by the published protos",
    )


def _fault(step: int, error: SimpulError) -> LinkFault:
    return LinkFault(error.code, error.message, step=step, **error.details)
