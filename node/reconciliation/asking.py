"""Comparing this node's record with another's: by spans of hours, by hours, by parts, by parcels.

It goes down only where digests differ, and tells what it finds as it finds it. What it asks by is
given (`Ask`): a link between two nodes, or in a test the other side itself.

Source: docs/spec, "Reconciliation".
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from node.journal.compared import HourSets, Span
from node.reconciliation import wire
from node.reconciliation.sets import JournalSets
from security.errors import Code, SimpulError
from security.reconcile import (
    HOUR_MS,
    NOTHING,
    Comparison,
    Difference,
    HourDigest,
    ParcelPlace,
    hours_digest,
    judge,
)
from simpul.v1 import reconciliation_pb2 as pb

# A method and a question; gives the answer.
Ask = Callable[[str, bytes], Awaitable[bytes]]

# Later than the other side's, whose clock may be behind.
SETTLED_AFTER_MS: Final = 120_000
# Nothing younger than a day is dropped; the hour that it's in, and one for clocks, may be.
NEVER_DROPPED_MS: Final = 22 * HOUR_MS
# Of one question about hours: both sides read so many rows before it is answered.
MAX_SPAN_PARCELS: Final = 500_000
# Of a whole comparison; past it, what differs isn't a matter of single parcels.
MAX_DIFFERENCES: Final = 10_000


@dataclass(frozen=True, slots=True)
class Progress:
    """So many hours of so many are compared."""

    done: int
    total: int


@dataclass(frozen=True, slots=True)
class ComparedHour:
    """An hour in which either side has parcels, and what was found in it.

    `regarded` counts parcels that both sides have and only one calls acknowledged. Where either
    side dropped parcels of an hour that differs, by a version that kept nothing to compare, nothing
    is looked for: what isn't there may be in its archives.
    """

    here: HourDigest
    there: HourDigest
    differences: tuple[Difference, ...] = ()
    regarded: int = 0
    archived_here: bool = False
    archived_there: bool = False


@dataclass(frozen=True, slots=True)
class Summary:
    """All of a comparison. Bytes are those of questions and answers, without what carries them."""

    from_ms: int
    until_ms: int
    parcels: int
    differences: int
    serious: int
    more: bool
    questions: int
    asked_bytes: int
    answered_bytes: int
    archived_hours: int
    held_from_here_ms: int
    held_from_there_ms: int


Event = Progress | ComparedHour | Summary


class Reconciling:
    """One comparison with one other node. Used once."""

    def __init__(self, sets: JournalSets, ask: Ask, peer: str) -> None:
        self._sets = sets
        self._ask_peer = ask
        self._peer = peer
        self._more = False
        self._found = 0
        self._serious = 0
        self._parcels = 0
        self._questions = 0
        self._asked_bytes = 0
        self._answered_bytes = 0
        self._archived_hours = 0
        self._droppable_ms = 0
        self._held_from_here_ms = 0
        self._held_from_there_ms = 0

    async def run(self, from_ms: int, until_ms: int, now_ms: int) -> AsyncIterator[Event]:
        """Compares the parcels sealed within [from_ms, until_ms); the last event is the summary.

        The first hour is taken from its beginning, and what may still be under way is left out.

        Raises:
            SimpulError: REQUEST_MALFORMED, where nothing is left; what the other node refused with,
                or why it was not reached; what reading the journal says.
        """
        first_ms = from_ms // HOUR_MS * HOUR_MS
        until_ms = min(until_ms, now_ms - SETTLED_AFTER_MS)
        if not 0 <= first_ms < until_ms:
            raise SimpulError(
                Code.REQUEST_MALFORMED,
                "that is no time to compare: it begins before it ends, two minutes ago at the last",
            )
        whole = Span(self._peer, first_ms, until_ms)
        counts = await self._sets.counts(whole)
        # Whoever says that it has dropped more than may be dropped hides nothing by that.
        self._droppable_ms = max(0, now_ms - NEVER_DROPPED_MS) // HOUR_MS * HOUR_MS
        self._held_from_here_ms = min(await self._sets.held_from_ms(), self._droppable_ms)
        total = -(-(until_ms - first_ms) // HOUR_MS)
        last_ms = until_ms
        for span in _spans(whole, counts):
            last_ms, hours = await self._compare_hours(span)
            for here, there in hours:
                yield await self._compare_hour(Span(self._peer, first_ms, last_ms), here, there)
            yield Progress(min(-(-(span.until_ms - first_ms) // HOUR_MS), total), total)
            if self._more or last_ms < span.until_ms:
                # Enough differs; or the other node's clock is behind, and nothing later is settled.
                break
        yield Summary(
            first_ms, last_ms, self._parcels, self._found, self._serious, self._more,
            self._questions, self._asked_bytes, self._answered_bytes,
            self._archived_hours, self._held_from_here_ms, self._held_from_there_ms,
        )  # fmt: skip

    async def _compare_hours(self, span: Span) -> tuple[int, list[tuple[HourDigest, HourDigest]]]:
        """Until when both sides answer, and each hour as either side has it."""
        ours = await self._hours(span)
        question = pb.CompareHoursRequest(
            from_ms=span.from_ms, until_ms=span.until_ms, digest=hours_digest(ours)
        )
        answer = await self._ask(wire.COMPARE_HOURS, question.SerializeToString())
        said = wire.parse_hours(answer)
        until_ms, digest, theirs = said.until_ms, said.digest, said.hours
        held_from_ms = min(said.held_from_ms, self._droppable_ms)
        self._held_from_there_ms = max(self._held_from_there_ms, held_from_ms)
        if not span.from_ms <= until_ms <= span.until_ms:
            raise _wrong("it is about other hours")
        if until_ms < span.until_ms:
            ours = await self._hours(Span(span.peer, span.from_ms, until_ms))
        if digest == hours_digest(ours):
            return until_ms, [(item, item) for item in ours]
        if digest != hours_digest(theirs):
            raise _wrong("its hours haven't the digest that it says")
        if any(not span.from_ms <= item.hour * HOUR_MS < until_ms for item in theirs):
            raise _wrong("it is about other hours")
        here = {item.hour: item for item in ours}
        there = {item.hour: item for item in theirs}
        return until_ms, [
            (here.get(hour, _empty(hour)), there.get(hour, _empty(hour)))
            for hour in sorted(here.keys() | there.keys())
        ]

    async def _hours(self, span: Span) -> list[HourDigest]:
        counts = await self._sets.counts(span)
        return [(await self._sets.hour(span, hour)).digest() for hour in counts]

    async def _compare_hour(self, span: Span, here: HourDigest, there: HourDigest) -> ComparedHour:
        self._parcels += here.acknowledged.count + here.unacknowledged.count
        if here == there:
            return ComparedHour(here, there)
        begin_ms = here.hour * HOUR_MS
        gone_here = begin_ms < self._held_from_here_ms
        gone_there = begin_ms < self._held_from_there_ms
        if gone_here or gone_there:
            self._archived_hours += 1
            return ComparedHour(here, there, archived_here=gone_here, archived_there=gone_there)
        ours: list[ParcelPlace] = []
        theirs: list[ParcelPlace] = []
        sets = await self._sets.hour(span, here.hour)
        for acknowledged in (True, False):
            comparison = await self._compare_parcels(span, sets, there, acknowledged=acknowledged)
            self._more = self._more or comparison.more
            ours += await self._sets.describe(span, here.hour, comparison.only_here)
            theirs += await self._describe(span, here.hour, comparison.only_there)
        differences, regarded = judge(ours, theirs)
        self._found += len(differences)
        self._serious += sum(item.serious for item in differences)
        return ComparedHour(here, there, differences, regarded)

    async def _compare_parcels(
        self, span: Span, sets: HourSets, there: HourDigest, *, acknowledged: bool
    ) -> Comparison:
        comparison = Comparison(
            sets.of(acknowledged=acknowledged),
            there.of(acknowledged=acknowledged),
            max_found=max(0, MAX_DIFFERENCES - self._found),
        )
        while len(asked := comparison.questions(wire.MAX_PARTS)) > 0:
            question = pb.CompareParcelsRequest(
                hour=there.hour,
                until_ms=span.until_ms,
                parts=[pb.SetPart(acknowledged=acknowledged, prefix=prefix) for prefix in asked],
            )
            answer = await self._ask(wire.COMPARE_PARCELS, question.SerializeToString())
            said = wire.parse_said(answer)
            if len(said) != len(asked):
                raise _wrong("it is about other parts")
            for prefix, part in zip(asked, said, strict=True):
                comparison.take(prefix, part)
        return comparison

    async def _describe(self, span: Span, hour: int, hashes: Sequence[bytes]) -> list[ParcelPlace]:
        found: list[ParcelPlace] = []
        for place in range(0, len(hashes), wire.MAX_DESCRIBED):
            wanted = hashes[place : place + wire.MAX_DESCRIBED]
            question = pb.DescribeParcelsRequest(
                hour=hour, until_ms=span.until_ms, header_hashes=wanted
            )
            answer = await self._ask(wire.DESCRIBE_PARCELS, question.SerializeToString())
            places = wire.parse_places(answer)
            if sorted(item.header_hash for item in places) != list(wanted):
                raise _wrong("it describes other parcels")
            found += places
        return found

    async def _ask(self, method: str, question: bytes) -> bytes:
        answer = await self._ask_peer(method, question)
        self._questions += 1
        self._asked_bytes += len(question)
        self._answered_bytes += len(answer)
        return answer


def _spans(whole: Span, counts: dict[int, int]) -> Iterator[Span]:
    """The whole in spans of at most a day, and of few enough parcels but for a single hour."""
    begin_ms, parcels = whole.from_ms, 0
    for hour_ms in range(whole.from_ms, whole.until_ms, HOUR_MS):
        count = counts.get(hour_ms // HOUR_MS, 0)
        is_full = parcels + count > MAX_SPAN_PARCELS or hour_ms - begin_ms >= wire.MAX_SPAN_MS
        if is_full and hour_ms > begin_ms:
            yield Span(whole.peer, begin_ms, hour_ms)
            begin_ms, parcels = hour_ms, 0
        parcels += count
    yield Span(whole.peer, begin_ms, whole.until_ms)


def _empty(hour: int) -> HourDigest:
    return HourDigest(hour, NOTHING, NOTHING)


def _wrong(what: str) -> SimpulError:
    return SimpulError(
        Code.REQUEST_MALFORMED,
        f"the other node's answer is wrong: {what}; ask its operators which version it runs",
    )
