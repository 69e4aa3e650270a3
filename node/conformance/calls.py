"""Entries, good and bad: steps 10 to 14 of the receiver's list, and the states of a call.

No call here can begin: each names an agreement that nobody has, or none. So no service behind the
node under check ever sees one.

Source: docs/spec, "Calls: states", "Calls: tallies", "Entries: format", "Step 14".
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Final

from node.conformance.model import Check, check
from node.conformance.parcels import changed_payload
from node.conformance.probe import SERVICE, SUBSYSTEM, Probe, ProbeLink
from security.entry import ENTRY_SALT_BYTES, EntryDraft, SealedEntry, make_entry
from security.errors import Code
from security.identifiers import ServiceId, SubsystemId
from security.kinds import Cancel, CancelReason, HalfClose, Kind, Message
from security.parcel import entries_root
from simpul.v1 import parcel_pb2

_CHECKS: Final = "What a receiver checks"
_STATES: Final = "Calls: states"

Attempt = Callable[[Probe], Awaitable[str]]


async def _send(link: ProbeLink, *entries: SealedEntry) -> str:
    """These entries as the next parcel, whatever they are."""
    root = entries_root(entries)
    parcel = replace(link.parcel(), entries=entries)
    await link.send_changed(parcel, entry_count=len(entries), entries_root=root)
    return await link.ended()


def _entry(kind: Kind, call_id: bytes, index: int, payload: bytes | None = None) -> SealedEntry:
    """An entry that no state of a call has a say in."""
    return make_entry(EntryDraft(kind, call_id, index, payload), os.urandom(ENTRY_SALT_BYTES))


def _after_open(*more: tuple[Kind, int, bytes | None], opened: bool = True) -> Attempt:
    """An open and these entries of the same call, in one parcel."""

    async def attempt(probe: Probe) -> str:
        link = await probe.greet()
        call_id = link.new_call_id()
        first = (link.opening(call_id).sealed,) if opened else ()
        rest = (_entry(kind, call_id, index, payload) for kind, index, payload in more)
        return await _send(link, *first, *rest)

    return attempt


async def _refused(probe: Probe) -> str:
    link = await probe.greet()
    await link.send(link.parcel(link.opening()))
    answer = await link.answer()
    await link.finish()
    return answer


async def _elsewhere(probe: Probe) -> str:
    """Asked of the node under check is what another one serves: the checking node's member."""
    link = await probe.greet()
    provider = SubsystemId(probe.parties.member, SUBSYSTEM)
    await link.send(link.parcel(link.opening(service=ServiceId(provider, SERVICE))))
    answer = await link.answer()
    await link.finish()
    return answer


async def _own_service(probe: Probe) -> str:
    link = await probe.greet()
    provider = SubsystemId(probe.parties.peer_member, SUBSYSTEM)
    service = ServiceId(provider, "simpul.v1.ConformanceUnknown")
    await link.send(link.parcel(link.opening(service=service, agreement=None, purpose=None)))
    answer = await link.answer()
    await link.finish()
    return answer


async def _without_agreement(probe: Probe) -> str:
    link = await probe.greet()
    good = link.opening()
    parsed = parcel_pb2.Entry.FromString(good.sealed.entry)
    parsed.open.ClearField("agreement")
    parsed.open.ClearField("purpose")
    return await _send(link, replace(good.sealed, entry=parsed.SerializeToString()))


async def _unknown_kind(probe: Probe) -> str:
    """A kind that this version has no name for is a field that a strict parser doesn't know."""
    link = await probe.greet()
    good = link.opening()
    parsed = parcel_pb2.Entry.FromString(good.sealed.entry)
    parsed.ClearField("open")
    # Field 1000, of no bytes.
    unknown = parsed.SerializeToString() + b"\xc2\x3e\x00"
    return await _send(link, replace(good.sealed, entry=unknown))


async def _garbage(probe: Probe) -> str:
    return await _send(await probe.greet(), SealedEntry(b"\xff\xff\xff"))


async def _foreign_consumer(probe: Probe) -> str:
    link = await probe.greet()
    foreign = SubsystemId(probe.parties.peer_member, SUBSYSTEM)
    return await _send(link, link.opening(consumer=foreign).sealed)


async def _wrong_payload(probe: Probe) -> str:
    link = await probe.greet()
    parcel = link.parcel(link.opening())
    await link.send_sealed(parcel.header, (changed_payload(parcel.entries[0]),))
    return await link.ended()


async def _missing_payload(probe: Probe) -> str:
    link = await probe.greet()
    parcel = link.parcel(link.opening())
    await link.send_sealed(parcel.header, (replace(parcel.entries[0], payload=None),))
    return await link.ended()


async def _after_the_end(probe: Probe) -> str:
    link = await probe.greet()
    call_id = link.new_call_id()
    await link.send(link.parcel(link.opening(call_id)))
    await link.answer()
    # Its header acknowledges the refuse: from there on the call is unknown.
    return await _send(link, _entry(Cancel(CancelReason.APP), call_id, 1))


async def _wrong_tally(probe: Probe) -> str:
    """The open's payload is one message, and the cancel says that none was sent."""
    return await _after_open((Cancel(CancelReason.APP), 1, None))(probe)


async def _other_call_on_child(probe: Probe) -> str:
    parent = await probe.greet()
    child = await parent.child(parent.new_call_id())
    return await _send(child, child.opening().sealed)


async def _two_opens_on_child(probe: Probe) -> str:
    parent = await probe.greet()
    call_id = parent.new_call_id()
    child = await parent.child(call_id)
    entry = child.opening(call_id).sealed
    return await _send(child, entry, entry)


async def _stream_on_greeted(probe: Probe) -> str:
    link = await probe.greet()
    return await _send(link, link.opening(unary=False).sealed)


async def _child_refused(probe: Probe) -> str:
    parent = await probe.greet()
    call_id = parent.new_call_id()
    child = await parent.child(call_id)
    await child.send(child.parcel(child.opening(call_id, unary=False)))
    answer = await child.answer()
    await child.finish()
    await parent.finish()
    return answer


async def _child_out_of_turn(probe: Probe) -> str:
    parent = await probe.greet()
    call_id = parent.new_call_id()
    child = await parent.child(call_id)
    opening = child.opening(call_id, unary=False).sealed
    return await _send(child, opening, _entry(Message(), call_id, 2, b"two"))


async def _opened_twice(probe: Probe) -> str:
    link = await probe.greet()
    entry = link.opening().sealed
    return await _send(link, entry, entry)


CALLS: Final[tuple[Check, ...]] = (
    check(
        "an open under no agreement is refused, the link goes on", "Step 14",
        Code.ACCESS_NO_AGREEMENT, attempt=_refused,
    ),
    check(
        "an own service that the node hasn't, without agreement", "Step 14", Code.METHOD_UNKNOWN,
        attempt=_own_service,
    ),
    check(
        "an open for a member hosted elsewhere is refused, the link goes on", _CHECKS,
        Code.SUBSYSTEM_UNKNOWN, attempt=_elsewhere,
    ),
    check(
        "a streaming open on a child link, under no agreement", "Links: children",
        Code.ACCESS_NO_AGREEMENT, attempt=_child_refused,
    ),
    check(
        "a streaming open on a greeted link", "Links: transport", Code.ENTRY_STATE,
        attempt=_stream_on_greeted,
    ),
    check("an entry that is garbage", "Entries: format", Code.PARCEL_MALFORMED, attempt=_garbage),
    check(
        "an entry of an unknown kind", "Entries: format", Code.PARCEL_MALFORMED,
        attempt=_unknown_kind,
    ),
    check(
        "an open without agreement of another service", "Entries: kinds", Code.PARCEL_MALFORMED,
        attempt=_without_agreement,
    ),
    check(
        "a message before any open", _STATES, Code.ENTRY_STATE,
        attempt=_after_open((Message(), 0, b"one"), opened=False),
    ),
    check("a call that is opened twice", _STATES, Code.ENTRY_STATE, attempt=_opened_twice),
    check(
        "a message after the requests ended", _STATES, Code.ENTRY_STATE,
        attempt=_after_open((Message(), 1, b"two")),
    ),
    check(
        "a half-close after the requests ended", _STATES, Code.ENTRY_STATE,
        attempt=_after_open((HalfClose(), 1, None)),
    ),
    check(
        "an entry after the call's end", "Calls: closed calls", Code.ENTRY_STATE,
        attempt=_after_the_end,
    ),
    check("a cancel with a wrong tally", "Calls: tallies", Code.ENTRY_STATE, attempt=_wrong_tally),
    check(
        "an entry whose index isn't the next", "Calls", Code.ENTRY_STATE,
        attempt=_child_out_of_turn,
    ),
    check(
        "another call on a child link", "Links: children", Code.ENTRY_STATE,
        attempt=_other_call_on_child,
    ),
    check(
        "more opens than credit", "Links: credit", Code.CREDIT_EXCEEDED, attempt=_two_opens_on_child
    ),
    check(
        "an open in the name of another member", _CHECKS, Code.ENTRY_PARTY,
        attempt=_foreign_consumer,
    ),
    check(
        "a payload that isn't the one committed to", "Entries: commitments",
        Code.COMMITMENT_MISMATCH, attempt=_wrong_payload,
    ),
    check(
        "a short payload that is missing", "Entries: commitments", Code.COMMITMENT_MISMATCH,
        attempt=_missing_payload,
    ),
)  # fmt: skip
