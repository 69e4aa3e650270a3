"""What a node did between two looks at its metrics: rates, latencies, and what stands still.

Pure: texts of Prometheus' format in, figures out.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import inf

from prometheus_client.parser import text_string_to_metric_families

# Of a series: its name and its labels.
Key = tuple[str, tuple[tuple[str, str], ...]]

SIDES = ("consumer", "provider")


@dataclass(frozen=True, slots=True)
class Look:
    """Every series of one look, and when it was, in seconds on a clock that only goes forward."""

    at_s: float
    series: Mapping[Key, float]

    def of(self, name: str, **labels: str) -> Iterator[tuple[Mapping[str, str], float]]:
        """The series of a name that have these labels at least."""
        for (series, found), value in self.series.items():
            if series == name and labels.items() <= dict(found).items():
                yield dict(found), value

    def total(self, name: str, **labels: str) -> float:
        """Their sum; 0 where there is none."""
        return sum(value for _, value in self.of(name, **labels))


@dataclass(frozen=True, slots=True)
class Side:
    """The calls of one side. Latencies in seconds; None where no call ended."""

    calls_per_s: float
    open: int
    p50_s: float | None
    p99_s: float | None
    failed_per_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """What there is to see."""

    sides: Mapping[str, Side]
    # By code or reason, what was refused or failed in between, the most first.
    refused: Mapping[str, int]
    parcels_per_s: Mapping[str, float]
    links: Mapping[str, int]
    services_paused: int
    journal_bytes: int
    journal_parcels: int
    directory_version: int
    directory_issued_s: float
    certificate_ends_s: float
    alerts: int


def read_look(text: str, at_s: float) -> Look:
    """The series of a page of metrics.

    Raises:
        ValueError: it is no such page.
    """
    series = {
        (sample.name, tuple(sorted(sample.labels.items()))): float(sample.value)
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    return Look(at_s, series)


def compare(before: Look, after: Look) -> Figures:
    """What was done between two looks, and how things stand at the second."""
    seconds = max(after.at_s - before.at_s, 1e-3)

    def grown(name: str, **labels: str) -> float:
        # A process that began anew counts from 0.
        return max(0.0, after.total(name, **labels) - before.total(name, **labels))

    return Figures(
        sides={side: _side(before, after, side, seconds) for side in SIDES},
        refused=_refused(before, after),
        parcels_per_s={
            way: grown("simpul_parcels_total", direction=way) / seconds
            for way in ("sent", "received")
        },
        links={kind: round(after.total("simpul_links", kind=kind)) for kind in ("shared", "child")},
        services_paused=round(after.total("simpul_services_paused")),
        journal_bytes=round(after.total("simpul_journal_bytes")),
        journal_parcels=round(after.total("simpul_journal_parcels")),
        directory_version=round(after.total("simpul_directory_version")),
        directory_issued_s=after.total("simpul_directory_issued_timestamp_seconds"),
        certificate_ends_s=after.total("simpul_certificate_expiry_timestamp_seconds"),
        alerts=round(after.total("simpul_checkpoint_alerts_total")),
    )


def _side(before: Look, after: Look, side: str, seconds: float) -> Side:
    ended = _buckets(after, side)
    for bound, count in _buckets(before, side).items():
        ended[bound] = max(0.0, ended.get(bound, 0.0) - count)
    calls = ended.get(inf, 0.0)
    failed = sum(
        count
        for labels, count in _grown(before, after, "simpul_calls_total")
        if labels["side"] == side and labels["status"] != "OK"
    )
    return Side(
        calls_per_s=calls / seconds,
        open=round(after.total("simpul_calls_open", side=side)),
        p50_s=_quantile(ended, 0.5),
        p99_s=_quantile(ended, 0.99),
        failed_per_s=failed / seconds,
    )


def _buckets(look: Look, side: str) -> dict[float, float]:
    found: dict[float, float] = defaultdict(float)
    for labels, value in look.of("simpul_call_seconds_bucket", side=side):
        found[float(labels["le"])] += value
    return found


def _quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Within a bucket calls are taken to lie evenly, as Prometheus' histogram_quantile does."""
    bounds = sorted(buckets)
    wanted = share * buckets.get(inf, 0.0)
    if wanted == 0:
        return None
    if buckets[bounds[0]] >= wanted:
        return bounds[0] * wanted / buckets[bounds[0]]
    for low, high in pairwise(bounds):
        if buckets[high] >= wanted:
            if high == inf:
                return low
            inside = (wanted - buckets[low]) / (buckets[high] - buckets[low])
            return low + (high - low) * inside
    return None


def _grown(before: Look, after: Look, name: str) -> Iterator[tuple[Mapping[str, str], float]]:
    for labels, value in after.of(name):
        was = before.series.get((name, tuple(sorted(labels.items()))), 0.0)
        if value > was:
            yield labels, value - was


def _refused(before: Look, after: Look) -> Mapping[str, int]:
    found: dict[str, int] = defaultdict(int)
    for labels, count in _grown(before, after, "simpul_calls_total"):
        if labels["status"] != "OK":
            found[labels["code"] or labels["status"]] += round(count)
    for labels, count in _grown(before, after, "simpul_gateway_refused_total"):
        found[labels["reason"]] += round(count)
    return dict(sorted(found.items(), key=lambda item: (-item[1], item[0])))
