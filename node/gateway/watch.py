"""What the gateway turns away before it is a call: counted, and told to the log in moderation.

Python sees some of it (too much metadata, too many calls), Envoy the rest (what is no gRPC, what
breaks HTTP/2, floods), and says so in its statistics, which are asked for from time to time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import structlog
from prometheus_client import CollectorRegistry, Counter

_log = structlog.get_logger(__name__)

# One line for each reason in so long a time, however many there were.
QUIET_S: Final = 60.0
LOOK_EVERY_S: Final = 5.0

# Envoy's counters, by what they mean here.
_MEANING: Final = {
    "http.gateway.rbac.denied": "not_grpc",
    "http.help.downstream_rq_total": "not_grpc",
    "http.gateway.downstream_cx_protocol_error": "broken_http2",
    "http2.rx_messaging_error": "broken_http2",
    "http_inspector.http_not_found": "broken_http2",
    "gateway.http_local_rate_limit.rate_limited": "flood",
    "http2.inbound_empty_frames_flood": "flood",
    "http2.inbound_priority_frames_flood": "flood",
    "http2.inbound_window_update_frames_flood": "flood",
    "http2.outbound_flood": "flood",
    "http2.outbound_control_flood": "flood",
    "http.gateway.downstream_rq_too_many_premature_resets": "flood",
}
STATISTICS: Final = frozenset(_MEANING)


class Statistics(Protocol):
    """Where Envoy's counters are asked for (`admin.EnvoyAdmin`)."""

    async def counters(self) -> Mapping[str, int]:
        """All that are not 0; none where Envoy does not answer."""
        ...


@dataclass(slots=True)
class _Told:
    at_s: float
    untold: int = 0


class Refused:
    """Counts what one worker's gateway turns away. `clock_s` never goes back."""

    def __init__(self, registry: CollectorRegistry, clock_s: Callable[[], float]) -> None:
        self._clock_s = clock_s
        self._told: dict[str, _Told] = {}
        self._known: dict[str, int] = {}
        self._counter = Counter(
            "simpul_gateway_refused_total",
            "Requests and connections that the gateway turned away before they were calls",
            ["reason"], registry=registry,
        )  # fmt: skip

    def add(self, reason: str, count: int = 1) -> None:
        """Turned away for this reason: a code of ours, or a word for what Envoy saw."""
        self._counter.labels(reason).inc(count)
        now_s = self._clock_s()
        told = self._told.get(reason)
        if told is not None and now_s - told.at_s < QUIET_S:
            told.untold += count
            return
        before = 0 if told is None else told.untold
        self._told[reason] = _Told(now_s)
        _log.warning("requests refused at the gateway", reason=reason, count=before + count)

    async def follow(self, statistics: Statistics, every_s: float = LOOK_EVERY_S) -> None:
        """Count what Envoy turned away, for as long as this runs."""
        while True:
            self.take(await statistics.counters())
            await asyncio.sleep(every_s)

    def take(self, counters: Mapping[str, int]) -> None:
        """What Envoy's counters have grown by since the last time."""
        grown: dict[str, int] = {}
        for name, value in counters.items():
            meaning = _MEANING.get(name)
            if meaning is not None:
                more = value - self._known.get(name, 0)
                self._known[name] = value
                grown[meaning] = grown.get(meaning, 0) + more
        for meaning, count in grown.items():
            if count > 0:
                self.add(meaning, count)
