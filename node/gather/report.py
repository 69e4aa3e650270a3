"""What came of a gather, from the journal's calls to a report. Pure.

Source: docs/spec, "Gather"; simpul/v1/gather.proto.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from node.journal.model import GatheredCall
from security.errors import SimpulError
from security.identifiers import SubsystemId
from security.regions import RegionIndex
from simpul.v1 import gather_pb2


def make_report(
    gather_id: str, calls: Sequence[GatheredCall], regions: RegionIndex, now_ms: int
) -> gather_pb2.GatherReportResponse:
    """The report on these calls, of which there is one or more."""
    parts = [_part(each, regions, now_ms) for each in calls]
    # Of several tries the last counts.
    last = {part.provider or "".join(part.regions): part for part in parts}
    answered = sum(1 for part in last.values() if part.HasField("status") and part.status == 0)
    first = calls[0].call
    return gather_pb2.GatherReportResponse(
        gather_id=gather_id,
        method=f"{first.service}/{first.method}",
        began_at_ms=min(each.call.opened_at_ms for each in calls),
        answered=answered,
        missing=len(last) - answered,
        messages=sum(part.messages for part in parts),
        parts=parts,
    )


def _part(gathered: GatheredCall, regions: RegionIndex, now_ms: int) -> gather_pb2.GatherPart:
    call = gathered.call
    closed = call.closed_at_ms
    return gather_pb2.GatherPart(
        provider=call.provider,
        regions=_regions(call.provider, call.region, regions, now_ms),
        call_id=call.call_id.hex(),
        outcome=call.outcome.value,
        status=call.status,
        code=call.code or "",
        messages=gathered.messages,
        opened_at_ms=call.opened_at_ms,
        duration_ms=None if closed is None else max(0, closed - call.opened_at_ms),
    )


def _regions(provider: str, asked: str | None, regions: RegionIndex, now_ms: int) -> Iterable[str]:
    if asked is not None:
        return (asked,)
    try:
        member = SubsystemId.parse(provider).member
    except SimpulError:
        return ()
    return map(str, regions.codes_of(member, now_ms))
