"""Seals what waits, on all links at once, with one signature for each member.

A round takes what waits in every outbox, builds one parcel for each link and member, signs the
Merkle root over all of a member's parcels, and hands them to the journal and to the links. The
next round begins when this one is durable, so what gathers meanwhile goes out together: the more
load, the larger the batches (docs/explanation/one-call.md, steps 3 and 4).

The rules it keeps: what a provider says is durable before it is sent. What a consumer asks may
travel while its own commit runs. A key in a token signs in a thread, for all that waits at once;
where it can't, the links that need it end with its error, and the others go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import structlog

from node.journal.model import LatePayload, Note, ParcelRecord
from node.link.contents import Kept
from node.link.outbox import Ticket
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.keys import PrivateKey
from security.seal import make_seals
from security.sender import PreparedParcel

_log = structlog.get_logger(__name__)

# What everybody on this worker waits for a member's token, at most.
TOKEN_TIMEOUT_S: Final = 5.0


# After these of the journal's errors later records may be taken: only these were not.
PASSING: Final = frozenset({Code.JOURNAL_FULL, Code.OVERLOADED, Code.CONFLICT})


@dataclass(frozen=True, slots=True)
class Drawn:
    """A parcel with its header, not yet sealed, and the tickets of its entries."""

    parcel: PreparedParcel
    tickets: Sequence[Ticket]
    # What of it the journal keeps the content of (`keeping`).
    kept: Kept = ((), ())


class Sealable(Protocol):
    """A link, as the sealer sees it."""

    def draw(self) -> list[Drawn]:
        """Take what waits and prepare its parcels, in the order in which they must be sent."""
        ...

    def cut(self, error: SimpulError | None = None) -> None:
        """End at once."""
        ...

    def record(self, drawn: Drawn, seal: bytes) -> ParcelRecord:
        """The journal's record of a sealed parcel."""
        ...

    def transmit(self, parcel: PreparedParcel, seal: bytes) -> None:
        """Send a sealed parcel after those before it, without waiting."""
        ...


class Recorder(Protocol):
    """The journal, as the sealer and the links see it."""

    def append_nowait(
        self, records: Sequence[ParcelRecord], notes: Sequence[Note] = ()
    ) -> asyncio.Future[None]:
        """Begin to append; the future is done when the records and notes are durable.

        Raises:
            SimpulError: Too many appends wait for the disk (OVERLOADED): nothing was taken up.
        """
        ...

    def keep_late_nowait(self, late: LatePayload) -> asyncio.Future[None]:
        """Begin to keep a payload that came after its parcel was recorded; as `append_nowait`."""
        ...

    def check(self) -> None:
        """Pass where records are being taken.

        Raises:
            SimpulError: There is no room for any (JOURNAL_FULL): begin nothing.
        """
        ...


class Sealer:
    """One for each worker."""

    def __init__(self, keys: Mapping[MemberId, PrivateKey], journal: Recorder) -> None:
        self._keys = keys
        self._journal = journal
        self._awake: dict[Sealable, None] = {}
        self._wake = asyncio.Event()

    def key_id(self, member: MemberId) -> bytes:
        """The id of the key that seals for a member.

        Raises:
            SimpulError: This node has none (KEY_UNKNOWN).
        """
        return self._key(member).public.key_id

    def wake(self, link: Sealable) -> None:
        """Something waits on this link."""
        self._awake[link] = None
        self._wake.set()

    async def run(self) -> None:
        """Seal until cancelled.

        Raises:
            SimpulError: Nothing more can be recorded (JOURNAL_FAILED and the like). Where there is
                only no room (`PASSING`), the links concerned end, and others are sealed for.
        """
        while True:
            await self._wake.wait()
            self._wake.clear()
            links, self._awake = tuple(self._awake), {}
            await self._round(links)

    async def _round(self, links: Sequence[Sealable]) -> None:
        drawn = [(link, _drawn(link)) for link in links]
        seals, failed = await self._sign([each.parcel for _, of_link in drawn for each in of_link])
        drawn = _without(drawn, failed)
        if not seals or not drawn:
            return
        durable = self._append(
            [
                link.record(each, seals[each.parcel.header_hash])
                for link, of_link in drawn
                for each in of_link
            ]
        )
        held: list[tuple[Sealable, Drawn]] = []
        for link, of_link in drawn:
            for each in of_link:
                for ticket in each.tickets:
                    ticket.durable = durable
                    if ticket.on_sealed is not None:
                        ticket.on_sealed(durable)
            # The order on a link is that of its numbers: one held parcel holds the rest.
            if any(ticket.holds for each in of_link for ticket in each.tickets):
                held.extend((link, each) for each in of_link)
            else:
                for each in of_link:
                    link.transmit(each.parcel, seals[each.parcel.header_hash])
        if await _recorded(durable, [link for link, of_link in drawn if of_link]):
            for link, each in held:
                link.transmit(each.parcel, seals[each.parcel.header_hash])

    def _append(self, records: Sequence[ParcelRecord]) -> asyncio.Future[None]:
        try:
            return self._journal.append_nowait(records)
        except SimpulError as error:
            # The same for who waits: not recorded, and why.
            refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            refused.set_exception(error)
            return refused

    async def _sign(
        self, parcels: Sequence[PreparedParcel]
    ) -> tuple[dict[bytes, bytes], dict[MemberId, SimpulError]]:
        """One signature for each member: the seal of each header hash, and whose key failed."""
        by_member: dict[MemberId, list[bytes]] = {}
        for parcel in parcels:
            by_member.setdefault(parcel.fields.member, []).append(parcel.header_hash)
        # Taken before anything waits: headers name the keys as they were when they were drawn.
        keys = {member: self._key(member) for member in by_member}
        seals: dict[bytes, bytes] = {}
        failed: dict[MemberId, SimpulError] = {}
        waiting: dict[MemberId, asyncio.Future[list[bytes]]] = {}
        for member, hashes in by_member.items():
            if keys[member].on_device:
                signing = asyncio.to_thread(make_seals, keys[member], hashes)
                waiting[member] = asyncio.ensure_future(signing)
            else:
                seals.update(zip(hashes, make_seals(keys[member], hashes), strict=True))
        for member, future in waiting.items():
            try:
                made = await asyncio.wait_for(future, TOKEN_TIMEOUT_S)
                seals.update(zip(by_member[member], made, strict=True))
            except TimeoutError:
                _log.error("nothing is sealed", member=str(member), code=Code.HSM_UNAVAILABLE)
                failed[member] = SimpulError(
                    Code.HSM_UNAVAILABLE,
                    f"the token with the seal key of {member} didn't sign in {TOKEN_TIMEOUT_S:g} s",
                )
            except SimpulError as error:
                _log.error("nothing is sealed", member=str(member), code=error.code,
                           why=error.message)  # fmt: skip
                failed[member] = error
        return seals, failed

    def _key(self, member: MemberId) -> PrivateKey:
        key = self._keys.get(member)
        if key is None:
            raise SimpulError(
                Code.KEY_UNKNOWN,
                f"this node holds no seal key of {member}; enrol it for the member",
            )
        return key


def _drawn(link: Sealable) -> list[Drawn]:
    """What a link has to seal. One that fails is cut: it must not stop the others' sealer."""
    try:
        return link.draw()
    except Exception as error:  # noqa: BLE001 - logged; the link ends
        _log.exception("a link can't go on")
        link.cut(error if isinstance(error, SimpulError) else None)
        return []


def _without(
    drawn: Sequence[tuple[Sealable, list[Drawn]]], failed: Mapping[MemberId, SimpulError]
) -> list[tuple[Sealable, list[Drawn]]]:
    """What remains where some members' keys failed: a link with a gap ends, and its calls know."""
    if not failed:
        return list(drawn)
    kept: list[tuple[Sealable, list[Drawn]]] = []
    for link, of_link in drawn:
        members = (each.parcel.fields.member for each in of_link)
        error = next((failed[member] for member in members if member in failed), None)
        if error is None:
            kept.append((link, of_link))
            continue
        refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        refused.set_exception(error)
        # Seen, whether or not anybody waits for it.
        refused.exception()
        for each in of_link:
            for ticket in each.tickets:
                ticket.durable = refused
                if ticket.on_sealed is not None:
                    ticket.on_sealed(refused)
        link.cut(error)
    return kept


async def _recorded(durable: asyncio.Future[None], links: Sequence[Sealable]) -> bool:
    """Wait for the journal. Where it takes no more for now, the links with a gap end.

    Raises:
        SimpulError: It takes no more at all.
    """
    try:
        await durable
    except SimpulError as error:
        if error.code not in PASSING:
            raise
        for link in links:
            link.cut(error)
        return False
    return True
