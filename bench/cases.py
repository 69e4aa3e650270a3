"""The cases of the measure, and how one sample of a case on a way is taken."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from bench import services
from bench.load import Seen, Shape, run
from bench.machine import cpu_s
from bench.ways import Way

# Concurrent calls: how many connections, with how many calls at once on each.
CONCURRENT: Final = {1: (1, 1), 32: (2, 16), 256: (4, 64)}
_STREAMS: Final = (1, 4)
# The first, short run of a case: it warms up, and tells how many calls fill the time.
_PROBE_CALLS: Final = 4
_LEAST_CALLS: Final = 64


@dataclass(frozen=True, slots=True)
class Case:
    """One question: which method, how many at once; `messages` of an answer."""

    name: str
    service: str
    shape: Shape
    messages: int
    message_bytes: int

    @property
    def streams(self) -> bool:
        """It is told in messages and megabytes, and not in calls."""
        return self.messages > 1


@dataclass(frozen=True, slots=True)
class Sample:
    """One run of a case on a way; processor time in microseconds for each call, by role."""

    seen: Seen
    cpu_us: dict[str, float]


def cases(folder: Path, sizes: Sequence[str], concurrency: Sequence[int]) -> list[Case]:
    """All of the cases; `folder` has the files that `services.write_files` wrote."""
    found = [unary(folder, method, concurrent) for method in sizes for concurrent in concurrency]
    for kind, service, method in (
        ("server stream", services.BENCH, services.STREAM),
        ("both ways", services.ECHO, services.TALK),
    ):
        size, count = services.STREAM_MESSAGE_BYTES, services.STREAM_MESSAGES
        shape = Shape(
            f"/{service}/{method}", folder / f"{method}.request", (size + 5) * count, *_STREAMS
        )
        found.append(Case(f"{kind}, 16 KiB messages", service, shape, count, size))
    return found


def unary(folder: Path, method: str, concurrent: int) -> Case:
    """A unary case: as many bytes each way."""
    size = services.UNARY_BYTES[method]
    shape = Shape(
        f"/{services.BENCH}/{method}",
        folder / f"{method}.request",
        size + 5,
        *CONCURRENT[concurrent],
    )
    return Case(f"unary {_bytes(size)}, {concurrent} at once", services.BENCH, shape, 1, size)


def measure(
    way: Way, case: Case, folder: Path, seconds: float, rate: float | None = None
) -> Sample:
    """Load a way with a case for about so long; `rate` limits the calls a second."""
    address = way.addresses[case.service]
    if rate is None:
        probe = _PROBE_CALLS if case.streams else max(_LEAST_CALLS, 2 * case.shape.concurrency)
        expected = run(address, way.headers, case.shape, probe, folder).rate
    else:
        expected = rate
    most = case.shape.concurrency
    calls = max(most, round(expected * seconds / most) * most)
    before = {role: cpu_s(pids) for role, pids in way.roles.items()}
    seen = run(address, way.headers, case.shape, calls, folder, rate=rate)
    used = {role: cpu_s(pids) - before[role] for role, pids in way.roles.items()}
    return Sample(
        seen,
        {role: spent / calls * 1e6 for role, spent in {**used, "load": seen.cpu_s}.items()},
    )


def median_of(samples: Sequence[Sample], case: Case) -> dict[str, object]:
    """What is kept of a case on a way: the median of each figure over the rounds."""

    def median(values: Sequence[float]) -> float:
        return round(statistics.median(values), 4)

    rates = [sample.seen.rate for sample in samples]
    found: dict[str, object] = {
        "calls_per_s": median(rates),
        "calls_per_s_of_rounds": [round(rate, 1) for rate in rates],
        **{
            f"p{name}_ms": median([sample.seen.quantile(share) for sample in samples])
            for name, share in (("50", 0.5), ("99", 0.99), ("99.9", 0.999))
        },
        "cpu_us_per_call": {
            role: median([sample.cpu_us[role] for sample in samples]) for role in samples[0].cpu_us
        },
    }
    if case.streams:
        messages = median([rate * case.messages for rate in rates])
        found["messages_per_s"] = messages
        found["mb_per_s"] = round(messages * case.message_bytes / 1e6, 2)
    return found


def _bytes(size: int) -> str:
    return f"{size} B" if size < 1024 else f"{size // 1024} KiB"
