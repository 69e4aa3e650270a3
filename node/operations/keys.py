"""The life of a node's keys: rotation, and which nodes seal for a member.

A member's statement is signed by its identity key, which lies on one of its nodes. The others ask
to be listed; their requests are published by the registry, and signed here once an operator has
compared the fingerprint. Nothing stops meanwhile: a new key is made beside the old one, listed, and
used when it is valid. What was cut short is taken up again by the same command.
"""

from __future__ import annotations

import asyncio
import hmac
from dataclasses import dataclass
from typing import Final

import structlog

from node.home import KeyName
from node.operations.desk import Desk
from node.operations.statements import (
    Times,
    next_statement,
    statement_of,
    with_key,
    without_node,
)
from runtime.key_stores.token import TokenKey
from runtime.key_stores.uri import TokenUri
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, PrivateKey, PublicKey, generate
from security.seal_request import (
    SealKeyRequestView,
    make_seal_key_request,
    parse_seal_key_request,
    verify_seal_key_request,
)
from security.statement import SealKeyView
from security.token import fingerprint

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class ShownKey:
    """A seal key, listed or asked for; no times for the latter, no fingerprint without a node."""

    key: PublicKey
    node: NodeId
    fingerprint: str
    valid_from_ms: int = 0
    valid_until_ms: int = 0


@dataclass(frozen=True, slots=True)
class ShownMember:
    """A hosted member's keys."""

    member: MemberId
    number: int
    identity_key_id: bytes
    identity_here: bool
    seal_keys: tuple[ShownKey, ...]
    requests: tuple[ShownKey, ...]


@dataclass(frozen=True, slots=True)
class Place:
    """Where a new key is made, and of which algorithm: in a token, or in a file without a URI."""

    uri: TokenUri | None = None
    algorithm: Algorithm = Algorithm.ED25519


IN_FILE: Final = Place()


@dataclass(frozen=True, slots=True)
class Rotated:
    """A new key. `asked`: the member's other node must list it first."""

    key: PublicKey
    version: int
    valid_from_ms: int = 0
    asked: bool = False


def show(desk: Desk) -> tuple[ShownMember, ...]:
    """The keys of every hosted member, as the directory has them."""
    return tuple(_show(desk, member) for member in desk.members)


async def approve_node(desk: Desk, member: MemberId, node: NodeId, said: str) -> int:
    """List the seal key that another node asks for; returns the directory's version.

    Args:
        desk: The supervisor's.
        member: Whose statement.
        node: Which node asks.
        said: The fingerprint, as its operator said it.

    Raises:
        SimpulError: NOT_FOUND, when it doesn't ask; IDENTITY_ABSENT; CERTIFICATE_MISMATCH for
            another fingerprint; STATEMENT_INVALID; what the registry refuses.
    """
    desk.require_member(member)
    request = _request(desk, member, node)
    view = desk.directory.member(member)
    statement = statement_of(view)
    identity = await asyncio.to_thread(desk.identity_key, member)
    shown = _fingerprint(desk, member, node, request.key)
    if not hmac.compare_digest(_letters(shown), _letters(said)):
        raise SimpulError(
            Code.CERTIFICATE_MISMATCH,
            f"the fingerprint of {node} for {member} is another than the one given: compare it "
            "with that node's operator again, by voice",
        )
    keys = with_key(statement.seal_keys, request.key, node, _times(desk))
    signed = await asyncio.to_thread(next_statement, statement, keys, identity, desk.now_ms())
    version = await desk.changes.replace_statement(signed, desk.now_ms())
    await desk.catch_up(version)
    return version


async def drop_node(desk: Desk, member: MemberId, node: NodeId) -> int:
    """List a node's seal keys no more; returns the directory's version.

    Raises:
        SimpulError: NODE_UNKNOWN, CHANGE_INVALID, IDENTITY_ABSENT; what the registry refuses.
    """
    desk.require_member(member)
    statement = statement_of(desk.directory.member(member))
    identity = await asyncio.to_thread(desk.identity_key, member)
    keys = without_node(statement.seal_keys, node, desk.now_ms())
    signed = await asyncio.to_thread(next_statement, statement, keys, identity, desk.now_ms())
    version = await desk.changes.replace_statement(signed, desk.now_ms())
    await desk.catch_up(version)
    return version


async def rotate_seal(desk: Desk, member: MemberId, place: Place = IN_FILE) -> Rotated:
    """Replace this node's seal key for a member; the old one serves until the new one is valid.

    Raises:
        SimpulError: KEY_UNKNOWN; what the registry refuses; what the token does.
    """
    desk.require_member(member)
    statement = statement_of(desk.directory.member(member))
    listed = {item.key.key_id for item in statement.seal_keys}
    waiting = [key for key in desk.ring.seal_keys(member) if key.public.key_id not in listed]
    # The newest only: an older one was listed once, and has ended.
    known = desk.ring.seal_keys(member)[-1:]
    left = [key for key in waiting if key in known]
    key = await _next_key(desk, KeyName.SEAL, member, left, place)
    node, now_ms = desk.config.node_id, desk.now_ms()
    try:
        identity = await asyncio.to_thread(desk.identity_key, member)
    except SimpulError as error:
        if error.code is not Code.IDENTITY_ABSENT:
            raise
        asked = SealKeyRequestView(member, node, key.public, now_ms)
        request = make_seal_key_request(asked, desk.node_key())
        version = await desk.changes.request_seal_key(request, now_ms)
        await desk.catch_up(version)
        return Rotated(key.public, version, asked=True)
    keys = with_key(statement.seal_keys, key.public, node, _times(desk))
    signed = await asyncio.to_thread(next_statement, statement, keys, identity, now_ms)
    version = await desk.changes.replace_statement(signed, now_ms)
    await desk.catch_up(version)
    _log.info("seal key replaced", member=str(member), valid_from_ms=keys[-1].valid_from_ms)
    return Rotated(key.public, version, keys[-1].valid_from_ms)


async def rotate_identity(desk: Desk, member: MemberId, place: Place = IN_FILE) -> Rotated:
    """Replace a member's identity key: the old one signs the new one, and partners follow.

    Raises:
        SimpulError: KEY_UNKNOWN, IDENTITY_ABSENT; what the registry refuses; what the token does.
    """
    desk.require_member(member)
    statement = statement_of(desk.directory.member(member))
    identity = await asyncio.to_thread(desk.identity_key, member)
    newest = desk.ring.identity_keys(member)[-1]
    left = [] if newest.public == identity.public else [newest]
    key = await _next_key(desk, KeyName.IDENTITY, member, left, place)
    now_ms = desk.now_ms()
    kept = tuple(item for item in statement.seal_keys if now_ms < item.valid_until_ms)
    signed = await asyncio.to_thread(next_statement, statement, kept, identity, now_ms, key)
    version = await desk.changes.replace_statement(signed, now_ms)
    await desk.catch_up(version)
    _log.info("identity key replaced", member=str(member))
    return Rotated(key.public, version)


async def rotate_node(desk: Desk) -> Rotated:
    """Replace this node's own key; links that are up stay up.

    Raises:
        SimpulError: what the registry refuses.
    """
    listed = desk.node_key()
    newest = desk.ring.node_keys()[-1]
    left = [] if newest.public == listed.public else [newest]
    key = await _next_key(desk, KeyName.NODE, None, left, IN_FILE)
    version = await desk.changes.replace_node_key(key, desk.now_ms())
    await desk.catch_up(version)
    _log.info("node key replaced")
    return Rotated(key.public, version)


async def _next_key(
    desk: Desk, name: KeyName, member: MemberId | None, left: list[PrivateKey], place: Place
) -> PrivateKey:
    """A key that is here and not listed: one that was left over, or a new one."""
    if left and place.uri == _uri(left[-1]):
        return left[-1]
    if place.uri is None:
        key = generate(place.algorithm)
    else:
        known = () if member is None else desk.ring.every_key(member)
        key = await asyncio.to_thread(desk.ring.in_token, place.uri, place.algorithm, known)
    await asyncio.to_thread(desk.ring.make_next, name, member, key)
    return key


def _uri(key: PrivateKey) -> TokenUri | None:
    return key.reference.uri if isinstance(key, TokenKey) else None


def _request(desk: Desk, member: MemberId, node: NodeId) -> SealKeyRequestView:
    node_key = desk.directory.require_active_node(node).node_key
    for signed in desk.directory.member(member).seal_key_requests:
        if parse_seal_key_request(signed).node == node:
            return verify_seal_key_request(signed, member=member, node=node, node_key=node_key)
    raise SimpulError(
        Code.NOT_FOUND,
        f"{node} doesn't ask to seal for {member}: see simpul member show on this node",
    )


def _show(desk: Desk, member: MemberId) -> ShownMember:
    view = desk.directory.members.get(member)
    if view is None or view.statement is None:
        return ShownMember(member, 0, b"", bool(desk.ring.identity_keys(member)), (), ())
    identity = view.statement.identity_key
    here = any(key.public == identity for key in desk.ring.identity_keys(member))
    asked = map(parse_seal_key_request, view.seal_key_requests)
    return ShownMember(
        member=member,
        number=view.statement.number,
        identity_key_id=identity.key_id,
        identity_here=here,
        seal_keys=tuple(_listed(desk, member, item) for item in view.statement.seal_keys),
        requests=tuple(
            ShownKey(item.key, item.node, _fingerprint(desk, member, item.node, item.key))
            for item in asked
        ),
    )


def _listed(desk: Desk, member: MemberId, item: SealKeyView) -> ShownKey:
    print_ = _fingerprint(desk, member, item.node, item.key)
    return ShownKey(item.key, item.node, print_, item.valid_from_ms, item.valid_until_ms)


def _fingerprint(desk: Desk, member: MemberId, node: NodeId, key: PublicKey) -> str:
    """What people compare; empty where the node is not listed."""
    listed, view = desk.directory.nodes.get(node), desk.directory.member(member)
    if listed is None:
        return ""
    return fingerprint(member, node, statement_of(view).identity_key, listed.node_key, key)


def _letters(text: str) -> bytes:
    return text.upper().replace("-", "").replace(" ", "").encode()


def _times(desk: Desk) -> Times:
    return Times(desk.now_ms(), desk.directory.policy.stale_after_ms)
