"""Parcels, good and bad: steps 1 to 9 of the receiver's list.

Each bad one has one fault alone, so that the step that must find it does. Nothing but an end of
the link with the code is right: an answer before it would show that something was acted on.

Source: docs/spec, "What a receiver checks", "Parcels", "Links: receipts".
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any, Final

from node.conformance.model import Check, check
from node.conformance.probe import SUBSYSTEM, Probe, ProbeLink
from node.link.frames import max_frame_bytes, parcel_frame
from security.entry import SealedEntry
from security.errors import Code
from security.identifiers import SubsystemId
from security.keys import Algorithm, generate
from security.limits import MAX_ENTRY_BYTES, MAX_HEADER_BYTES
from security.parcel import Received
from simpul.v1 import parcel_pb2

_SECTION: Final = "What a receiver checks"
_AHEAD_MS: Final = 120_000
_UNKNOWN_VERSION: Final = 4_000_000_000

Change = Callable[[ProbeLink], dict[str, Any]]


async def _receipt(probe: Probe) -> str:
    """A parcel with an entry is receipted, and what is receipted is what was sent."""
    link = await probe.greet()
    await link.send(link.parcel(link.opening()))
    received = await link.receipt()
    await link.finish()
    return "receipt" if received == 0 else "no receipt"


def _header(change: Change, *, entries: int = 1) -> Callable[[Probe], Awaitable[str]]:
    """A first parcel with a header that is good but for the change, and sealed so."""

    async def attempt(probe: Probe) -> str:
        link = await probe.greet()
        parcel = link.parcel(*(link.opening() for _ in range(entries)))
        await link.send_changed(parcel, **change(link))
        return await link.ended()

    return attempt


def _frame(make: Callable[[ProbeLink], bytes]) -> Callable[[Probe], Awaitable[str]]:
    async def attempt(probe: Probe) -> str:
        link = await probe.greet()
        await link.write(make(link))
        return await link.ended()

    return attempt


def _raw(header: bytes, entries: tuple[SealedEntry, ...] = ()) -> Callable[[Probe], Awaitable[str]]:
    """A header that isn't one, under a good seal."""

    async def attempt(probe: Probe) -> str:
        link = await probe.greet()
        await link.send_sealed(header or link.parcel().header, entries)
        return await link.ended()

    return attempt


async def _many_entries(probe: Probe) -> str:
    link = await probe.greet()
    count = link.sender.context.limits.max_entries + 1
    await link.send_sealed(link.parcel().header, (SealedEntry(b"x"),) * count)
    return await link.ended()


async def _repeated(probe: Probe) -> str:
    link = await probe.greet()
    parcel = link.parcel()
    await link.send(parcel)
    await link.send(parcel)
    return await link.ended()


async def _gap(probe: Probe) -> str:
    link = await probe.greet()
    link.parcel()
    await link.send(link.parcel())
    return await link.ended()


async def _credit_falls(probe: Probe) -> str:
    link = await probe.greet()
    link.sender.grant(1)
    await link.send(link.parcel())
    await link.send_changed(link.parcel(), credit=0)
    return await link.ended()


async def _goes_back(probe: Probe) -> str:
    link = await probe.greet()
    await link.send(link.parcel())
    parcel = link.parcel()
    await link.send_changed(parcel, sealed_at_ms=parcel.fields.sealed_at_ms - 1_000)
    return await link.ended()


async def _changed_entry(probe: Probe) -> str:
    link = await probe.greet()
    parcel, other = link.parcel(link.opening()), link.opening()
    await link.send_sealed(parcel.header, (other.sealed,))
    return await link.ended()


async def _foreign_seal(probe: Probe) -> str:
    link = await probe.greet()
    parcel = link.parcel(link.opening())
    await link.send_sealed(parcel.header, parcel.entries, generate(Algorithm.ED25519))
    return await link.ended()


async def _unhosted(probe: Probe) -> str:
    """A call fault: the link goes on, and the open is refused."""
    link = await probe.greet()
    consumer = SubsystemId(probe.parties.peer_member, SUBSYSTEM)
    # Its member is that of its consumer, and so is the parcel's.
    await link.send(link.parcel(link.opening(consumer=consumer)))
    answer = await link.answer()
    await link.finish()
    return answer


async def _no_seal(probe: Probe) -> str:
    link = await probe.greet()
    parcel = link.parcel(link.opening())
    seal = parcel_pb2.Seal(batch_size=1, index=1, signature=b"x").SerializeToString()
    await link.write(parcel_frame(parcel.header, seal, parcel.entries))
    return await link.ended()


def _nobody(link: ProbeLink) -> bytes:
    return bytes(max_frame_bytes(link.sender.context.limits) + 1)


def _ours(code: Code, name: str, attempt: Callable[[Probe], Awaitable[str]], *more: Code) -> Check:
    return check(name, _SECTION, code, *more, attempt=attempt)


PARCELS: Final[tuple[Check, ...]] = (
    check("a good parcel is receipted", "Links: receipts", "receipt", attempt=_receipt),
    # A gRPC library may refuse it before the node can look, and then names no code.
    _ours(Code.PARCEL_TOO_LARGE, "a frame over the limit", _frame(_nobody), Code.OVERLOADED),
    _ours(Code.PARCEL_TOO_LARGE, "a parcel of too many entries", _many_entries),
    _ours(Code.PARCEL_TOO_LARGE, "a header over 1 KiB", _raw(bytes(MAX_HEADER_BYTES + 1))),
    _ours(
        Code.PARCEL_TOO_LARGE, "an entry over 2 KiB",
        _raw(b"", (SealedEntry(bytes(MAX_ENTRY_BYTES + 1)),)),
    ),
    _ours(Code.PARCEL_MALFORMED, "a frame that is garbage", _frame(lambda _: b"\xff\xff\xff")),
    _ours(Code.PARCEL_MALFORMED, "an empty frame", _frame(lambda _: b"")),
    _ours(Code.PARCEL_MALFORMED, "a header that is garbage", _raw(b"\xff\xff")),
    _ours(Code.PARCEL_MALFORMED, "a seal without its place in a batch", _no_seal),
    _ours(
        Code.PARCEL_VERSION, "a parcel of an unknown version",
        _header(lambda _: {"version": _UNKNOWN_VERSION}),
    ),
    _ours(
        Code.PARCEL_MISADDRESSED, "a parcel for another node",
        _header(lambda link: {"node": link.parties.node}),
    ),
    _ours(
        Code.PARCEL_MISADDRESSED, "a parcel of another federation",
        _header(lambda _: {"federation": "ZZ"}),
    ),
    _ours(
        Code.PARCEL_MISADDRESSED, "a parcel with another link's id",
        _header(lambda _: {"link_id": os.urandom(32)}),
    ),
    _ours(Code.PARCEL_ORDER, "a first parcel with number 1", _header(lambda _: {"number": 1})),
    _ours(Code.PARCEL_ORDER, "a parcel that comes twice", _repeated),
    _ours(Code.PARCEL_ORDER, "a parcel after a gap", _gap),
    _ours(
        Code.PARCEL_ORDER, "a wrong hash of the parcel before",
        _header(lambda _: {"previous": os.urandom(32)}),
    ),
    _ours(
        Code.PARCEL_ORDER, "a receipt for what was never sent",
        _header(lambda _: {"received": Received(7, bytes(32))}),
    ),
    _ours(Code.PARCEL_ORDER, "credit that falls", _credit_falls),
    _ours(
        Code.PARCEL_ORDER, "a drain that no receipt covers",
        _header(lambda _: {"drain": 0}),
    ),
    _ours(
        Code.PARCEL_TIME, "a parcel sealed 2 minutes ahead",
        _header(lambda link: {"sealed_at_ms": link.parties.now_ms() + _AHEAD_MS}),
    ),
    _ours(Code.PARCEL_TIME, "a parcel sealed before the one before it", _goes_back),
    _ours(Code.PARCEL_ROOT, "entries that the header wasn't made over", _changed_entry),
    _ours(Code.PARCEL_ROOT, "a wrong count of entries", _header(lambda _: {"entry_count": 2})),
    _ours(Code.PARCEL_SEAL, "a seal of another key", _foreign_seal),
    check(
        "a parcel of a member that this node doesn't host", _SECTION, Code.ENTRY_PARTY,
        attempt=_unhosted,
    ),
)  # fmt: skip


def changed_payload(sealed: SealedEntry) -> SealedEntry:
    """An entry beside which another payload travels."""
    return replace(sealed, payload=b"Conformance")
