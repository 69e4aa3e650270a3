"""Calls that this node refuses to its own apps: recorded like any other, before the app is told.

No entry says that such a call was: nothing of it travelled. So it's a note in the index of calls,
without a leaf. The app hears of the refusal when the note is durable; but where the journal itself
can't take it, the app is told all the same, and the metric says that a record is missing.

An app that proves nothing is refused as well, and could fill a disk by that alone. Of those a few
are recorded, as a sample; the metric counts them all.

Source: docs/explanation/journal.md, "What is refused here".
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from node.calls import CallRequest
from node.exchange.asks import Asked
from node.exchange.metadata import Address, read_address
from node.exchange.routing import Route, split_path
from node.exchange.watch import CallMetrics, Unrecorded
from node.journal.model import CallNote
from node.link.notes import Notes
from node.link.sealer import Recorder
from node.model import Current, Snapshot
from security.errors import ERRORS, SimpulError
from security.identifiers import (
    MemberId,
    RegionCode,
    SubsystemId,
    check_method_name,
    check_service_name,
)

# Refusals of callers who proved nothing: about 9,000 rows a day, whatever they do.
UNPROVEN_PER_S: Final = 0.1
UNPROVEN_BURST: Final = 20.0


@dataclass(frozen=True, slots=True)
class Attempt:
    """What is known of a call that went nowhere. `proven`: its app showed who it is."""

    proven: bool = False
    consumer: str = ""
    provider: str = ""
    service: str = ""
    method: str = ""
    agreement: bytes | None = None
    purpose: str | None = None
    on_behalf_of: str = ""


class RefusedCalls:
    """Records them. One for each worker. `clock_s` never goes back."""

    def __init__(
        self,
        current: Current,
        journal: Recorder,
        notes: Notes,
        metrics: CallMetrics,
        *,
        clock_s: Callable[[], float],
        now_ms: Callable[[], int],
    ) -> None:
        self._current = current
        self._journal = journal
        self._notes = notes
        self._metrics = metrics
        self._clock_s = clock_s
        self._now_ms = now_ms
        self._tokens = UNPROVEN_BURST
        self._at_s = clock_s()

    async def settle(self, asked: Asked, error: SimpulError) -> bool:
        """Wait until a call's end is durable, so that its app may be told of it.

        Returns:
            Whether it is or will be in the journal.
        """
        opening = asked.opening
        if opening is None:
            return await self._record(asked, error)
        if not opening.sealed:
            # It's about to be, unless its link ends first: then no entry says it.
            asked.never_left = lambda: self._put(self._attempt(asked), asked, error)
        elif asked.link is not None:
            try:
                await asked.link.lost()
            except SimpulError:
                self._metrics.unrecorded(Unrecorded.JOURNAL)
                return False
        return True

    async def _record(self, asked: Asked, error: SimpulError) -> bool:
        attempt = self._attempt(asked)
        if not attempt.proven and not self._may_record():
            self._metrics.unrecorded(Unrecorded.UNPROVEN)
            return False
        try:
            self._journal.check()
            await self._notes.put(self._note(attempt, asked, error))
        except SimpulError:
            self._metrics.unrecorded(Unrecorded.JOURNAL)
            return False
        return True

    def _put(self, attempt: Attempt, asked: Asked, error: SimpulError) -> None:
        """Record it; the app was told already, of what the clock or itself had done."""
        try:
            self._notes.put(self._note(attempt, asked, error))
        except SimpulError:
            self._metrics.unrecorded(Unrecorded.JOURNAL)

    def _attempt(self, asked: Asked) -> Attempt:
        if asked.route is not None:
            return _routed(asked.route)
        return attempted(asked.call.request, self._current.latest, self._now_ms())

    def _note(self, attempt: Attempt, asked: Asked, error: SimpulError) -> CallNote:
        return CallNote(
            call_id=asked.call_id,
            consumer=attempt.consumer,
            provider=attempt.provider,
            service=attempt.service,
            method=attempt.method,
            agreement=attempt.agreement,
            purpose=attempt.purpose,
            status=ERRORS[error.code].grpc_status,
            code=error.code.value,
            at_ms=self._now_ms(),
            gather_id=asked.gather_id,
            region=asked.region,
            on_behalf_of=attempt.on_behalf_of,
        )

    def _may_record(self) -> bool:
        now_s = self._clock_s()
        grown = self._tokens + (now_s - self._at_s) * UNPROVEN_PER_S
        self._tokens, self._at_s = min(UNPROVEN_BURST, grown), now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True


def attempted(request: CallRequest, snapshot: Snapshot | None, now_ms: int) -> Attempt:
    """What can be made out of a call that was refused, however early.

    Names that an app only claims are kept where they have a name's form.
    """
    address = _address(request)
    service, method = _named(request.path)
    proven, consumer = _consumer(request, address, snapshot, now_ms)
    provider = _provider(address, service, snapshot, now_ms)
    return Attempt(proven, consumer, provider, service, method, on_behalf_of=_on_behalf_of(address))


def _routed(route: Route) -> Attempt:
    return Attempt(
        proven=True,
        consumer=str(route.consumer),
        provider=str(route.provider),
        service=route.service,
        method=route.method,
        agreement=route.agreement,
        purpose=route.purpose,
        on_behalf_of="" if route.on_behalf_of is None else str(route.on_behalf_of),
    )


def _address(request: CallRequest) -> Address:
    try:
        return read_address(request.metadata)
    except SimpulError:
        return Address()


def _on_behalf_of(address: Address) -> str:
    try:
        return "" if address.on_behalf_of is None else str(MemberId.parse(address.on_behalf_of))
    except SimpulError:
        return ""


def _named(path: str) -> tuple[str, str]:
    try:
        service, method = split_path(path)
        check_service_name(service)
        check_method_name(method)
    except SimpulError:
        return "", ""
    return service, method


def _consumer(
    request: CallRequest, address: Address, snapshot: Snapshot | None, now_ms: int
) -> tuple[bool, str]:
    """Whether the app proved who it is, and for which subsystem it called."""
    if snapshot is None:
        return False, ""
    try:
        app = snapshot.apps.authenticate(
            token=request.token,
            certificate_sha256=request.certificate_sha256,
            local=request.local,
            now_ms=now_ms,
        )
    except SimpulError:
        return False, ""
    try:
        return True, str(app.choose(address.sender))
    except SimpulError:
        return True, ""


def _provider(address: Address, service: str, snapshot: Snapshot | None, now_ms: int) -> str:
    try:
        if address.to is not None:
            return str(SubsystemId.parse(address.to))
        if address.region is not None and snapshot is not None:
            region = RegionCode.parse(address.region)
            found = snapshot.directory.regions.one(service, region, now_ms)
            # Of several it isn't known which would have been asked.
            return str(found.providers[0]) if len(found.providers) == 1 else ""
    except SimpulError:
        pass
    return ""
