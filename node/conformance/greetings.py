"""Greetings, good and bad: which links begin, and why the others don't.

Source: docs/spec, "Greetings", "Links: frames", "Links: children".
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from typing import Final

from node.conformance.model import Check, check
from node.conformance.probe import Probe, connected
from node.link.frames import child_frame, greeting_frame
from security.errors import Code
from security.greeting import parse_greeting
from security.identifiers import NodeId
from simpul.v1 import exchange_pb2

_SECTION: Final = "Greetings"
# Past any version that is in use.
_UNKNOWN_VERSION: Final = 4_000_000_000
_STALE_MS: Final = 120_000


async def _good(probe: Probe) -> str:
    link = await probe.greet()
    await link.finish()
    return "link"


async def _unknown_feature(probe: Probe) -> str:
    greeting = probe.greeting(
        versions=(*parse_greeting(probe.greeting().greeting).versions, _UNKNOWN_VERSION),
        features=("conformance-unknown",),
    )
    link = await probe.greet(greeting)
    await link.finish()
    return "link"


async def _replayed(probe: Probe) -> str:
    """The same greeting twice: the acceptor's own nonce must make another link of it."""
    greeting = probe.greeting()
    first = await probe.greet(greeting)
    parcel = first.parcel()
    async with connected(probe.parties) as again:
        second = await again.greet(greeting)
        await second.send(parcel)
        return await second.ended()


def _changed(**changed: object) -> Callable[[Probe], Awaitable[str]]:
    async def attempt(probe: Probe) -> str:
        await probe.greet(probe.greeting(**changed))
        return "link"

    return attempt


async def _aged(probe: Probe, by_ms: int) -> str:
    await probe.greet(probe.greeting(sent_at_ms=probe.parties.now_ms() + by_ms))
    return "link"


async def _stale(probe: Probe) -> str:
    return await _aged(probe, -_STALE_MS)


async def _ahead(probe: Probe) -> str:
    return await _aged(probe, _STALE_MS)


async def _its_own_name(probe: Probe) -> str:
    await probe.greet(probe.greeting(node=probe.parties.peer))
    return "link"


async def _unknown_node(probe: Probe) -> str:
    stranger = f"{probe.parties.node.federation}/~conformance-unknown"
    await probe.greet(probe.greeting(node=NodeId.parse(stranger)))
    return "link"


async def _wrong_addressee(probe: Probe) -> str:
    await probe.greet(probe.greeting(peer=probe.parties.node))
    return "link"


async def _bad_signature(probe: Probe) -> str:
    good = probe.greeting()
    broken = good.signature[:-1] + bytes([good.signature[-1] ^ 1])
    signed = exchange_pb2.SignedGreeting(greeting=good.greeting, signature=broken)
    await probe.greet(signed)
    return "link"


def _first_frame(frame: bytes) -> Callable[[Probe], Awaitable[str]]:
    async def attempt(probe: Probe) -> str:
        await probe.stream.write(frame)
        return "end" if await probe.read() is None else "an answer"

    return attempt


async def _malformed(probe: Probe) -> str:
    signed = exchange_pb2.SignedGreeting(greeting=b"\xff\xff", signature=bytes(64))
    return await _first_frame(greeting_frame(signed))(probe)


async def _too_large(probe: Probe) -> str:
    signed = exchange_pb2.SignedGreeting(greeting=bytes(70_000), signature=bytes(64))
    return await _first_frame(greeting_frame(signed))(probe)


async def _unknown_parent(probe: Probe) -> str:
    return await _first_frame(child_frame(os.urandom(32), os.urandom(16)))(probe)


GREETINGS: Final[tuple[Check, ...]] = (
    check("a good greeting begins a link", _SECTION, "link", attempt=_good),
    check("unknown versions and features are ignored", _SECTION, "link", attempt=_unknown_feature),
    check("a greeting that is malformed", _SECTION, Code.GREETING_MALFORMED, attempt=_malformed),
    check("a greeting over 64 KiB", _SECTION, Code.GREETING_MALFORMED, attempt=_too_large),
    check(
        "a greeting of another federation", _SECTION, Code.GREETING_MISADDRESSED,
        attempt=_changed(federation="ZZ"),
    ),
    check(
        "a greeting in the node's own name", _SECTION, Code.GREETING_MISADDRESSED,
        attempt=_its_own_name,
    ),
    check(
        "a greeting of a node that isn't listed", _SECTION, Code.NODE_UNKNOWN, attempt=_unknown_node
    ),
    check(
        "a greeting with a bad signature", _SECTION, Code.GREETING_SIGNATURE, attempt=_bad_signature
    ),
    check(
        "a greeting for another node", _SECTION, Code.GREETING_MISADDRESSED,
        attempt=_wrong_addressee,
    ),
    check("a greeting sent 2 minutes ago", _SECTION, Code.GREETING_STALE, attempt=_stale),
    check("a greeting sent 2 minutes ahead", _SECTION, Code.GREETING_STALE, attempt=_ahead),
    check(
        "a dialler's greeting that claims to be an answer", _SECTION, Code.GREETING_MISADDRESSED,
        attempt=_changed(in_reply_to=bytes(32)),
    ),
    check(
        "a greeting of an unknown wire version", _SECTION, Code.GREETING_VERSION,
        attempt=_changed(versions=(_UNKNOWN_VERSION,)),
    ),
    check(
        "a replayed greeting makes another link", _SECTION, Code.PARCEL_MISADDRESSED,
        attempt=_replayed,
    ),
    check(
        "a child of a link that isn't there", "Links: children", Code.LINK_UNKNOWN,
        attempt=_unknown_parent,
    ),
)  # fmt: skip

LIVES_ON: Final = check("after all of these a link still begins", _SECTION, "link", attempt=_good)
