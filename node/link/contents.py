"""Which entries of one link this node keeps the content of, and whom its calls concern.

The journal is told with each parcel's record: the numbers of the entries to keep, and the persons
that opens name. A call that isn't kept, and names nobody, costs one look at its agreement.

Large payloads come in pieces after their parcel's record, and are kept by one of their own.

Source: docs/spec, "Journal: payloads"; node.policy.keeping decides.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from node.journal.model import Direction, LatePayload, LinkEnd
from node.link.outbox import Ticket
from node.model import Current
from node.policy.keeping import is_kept
from security.call_state import Side
from security.errors import SimpulError
from security.kinds import EntryKind, Open
from security.persons import Persons
from security.private import Private
from security.receiver import AcceptedParcel

if TYPE_CHECKING:
    from node.link.sealer import Recorder

# Of the entries of a parcel: the numbers of those to keep, and the persons that some name.
Kept = tuple[tuple[int, ...], tuple[tuple[int, Persons], ...]]

_NOTHING: Kept = ((), ())
_ENDS = frozenset({EntryKind.CLOSE, EntryKind.REFUSE})


class Contents:
    """The kept calls of one link that are under way."""

    def __init__(
        self,
        current: Current,
        journal: Recorder,
        end: LinkEnd,
        cut: Callable[[SimpulError | None], None],
    ) -> None:
        """`cut` ends the link, where the journal doesn't take what is to be kept."""
        self._current = current
        self._journal = journal
        self._end = end
        self._cut = cut
        self._calls: set[bytes] = set()
        # Of opens that are on their way to their parcel.
        self._persons: dict[bytes, Persons] = {}

    def begin(self, opened: Open, call_id: bytes, persons: Persons | None) -> None:
        """A call of this side begins."""
        if self._is_kept(opened, Side.CONSUMER):
            self._calls.add(call_id)
        if persons:
            self._persons[call_id] = persons

    def of_sent(self, tickets: Sequence[Ticket]) -> Kept:
        """What of a parcel of ours is to be kept."""
        if not self._calls and not self._persons:
            return _NOTHING
        kept, persons = [], []
        for number, ticket in enumerate(tickets):
            call_id, kind = ticket.outgoing.call_id, ticket.outgoing.kind
            if call_id in self._calls:
                kept.append(number)
                self._close(call_id, kind)
            if kind is EntryKind.OPEN and call_id in self._persons:
                persons.append((number, self._persons.pop(call_id)))
        return tuple(kept), tuple(persons)

    def of_received(self, accepted: AcceptedParcel) -> Kept:
        """What of a parcel of the peer's is to be kept."""
        kept, persons = [], []
        for number, entry in enumerate(accepted.entries):
            parsed = entry.parsed
            kind = parsed.kind
            if isinstance(kind, Open) and entry.fault is None:
                if self._is_kept(kind, Side.PROVIDER):
                    self._calls.add(parsed.call_id)
                named = persons_of(entry.private)
                if named:
                    persons.append((number, named))
            if parsed.call_id in self._calls:
                kept.append(number)
                self._close(parsed.call_id, kind.kind)
        return (tuple(kept), tuple(persons)) if kept or persons else _NOTHING

    def keep_late(
        self, accepted: AcceptedParcel, number: int, payload: bytes
    ) -> asyncio.Future[None] | None:
        """Begin to record a payload that came in pieces after its parcel; None where it can't be.

        Then, as when the future fails, the link is cut.
        """
        fields = accepted.fields
        late = LatePayload(
            fields.link_id, self._end, Direction.RECEIVED, fields.number, number, payload
        )
        try:
            durable = self._journal.keep_late_nowait(late)
        except SimpulError as error:
            self._cut(error)
            return None
        durable.add_done_callback(self._cut_if_failed)
        return durable

    def _cut_if_failed(self, durable: asyncio.Future[None]) -> None:
        error = None if durable.cancelled() else durable.exception()
        if error is not None:
            self._cut(error if isinstance(error, SimpulError) else None)

    def _is_kept(self, opened: Open, here: Side) -> bool:
        latest = self._current.latest
        return latest is not None and is_kept(latest.agreements, opened, here)

    def _close(self, call_id: bytes, kind: EntryKind) -> None:
        if kind in _ENDS:
            self._calls.discard(call_id)


def persons_of(private: Private | None) -> Persons | None:
    """Whom an open's private block names, if anybody."""
    if private is None or not (private.subject or private.user or private.issue):
        return None
    return Persons(private.subject, private.user, private.issue)
