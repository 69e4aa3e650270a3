"""`make bench`: the measure. One command, one run, everything in turn on the same machine.

    python -m bench.run [--quick | --long] [--results DIR]

Every case is measured on every way, one after another, round by round (A B C D A B C D …), and the
median over the rounds counts. The table is printed; all figures are kept in bench/results/.
"""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from bench import bars, machine, report
from bench.cases import CONCURRENT, Case, Sample, cases, measure, median_of, unary
from bench.load import LoadError, find_h2load, find_nginx
from bench.services import UNARY_BYTES
from bench.tls import write_tls
from bench.ways import SIMPUL, SimpulWay, Way, plain_ways, simpul_way
from runtime.clock import now_ms

RESULTS: Final = Path(__file__).parent / "results"


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured: `seconds` for each sample."""

    name: str
    rounds: int
    seconds: float
    calls: int
    sizes: tuple[str, ...] = tuple(UNARY_BYTES)
    concurrency: tuple[int, ...] = tuple(CONCURRENT)


QUICK: Final = Plan("quick", rounds=2, seconds=0.6, calls=5_000)
FULL: Final = Plan("full", rounds=5, seconds=1.5, calls=100_000)
LONG: Final = Plan("long", rounds=5, seconds=1.5, calls=1_000_000)


async def bench(plan: Plan, folder: Path, say: Callable[[str], None]) -> dict[str, Any]:
    """All of it; returns what is kept."""
    began_s = time.monotonic()
    tls = write_tls(folder / "tls", now_ms())
    found: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "plan": asdict(plan),
        "machine": machine.describe(folder),
        "load_before": machine.load_average(),
    }
    with plain_ways(folder, tls) as plain:
        async with simpul_way(folder / "federation", plain[0]) as pair:
            say("all ways are up")
            await _measure(plan, folder, plain, pair, found, say)
    found["load_after"] = machine.load_average()
    found["took_s"] = round(time.monotonic() - began_s, 1)
    return found


async def _measure(
    plan: Plan,
    folder: Path,
    plain: tuple[Way, ...],
    pair: SimpulWay,
    found: dict[str, Any],
    say: Callable[[str], None],
) -> None:
    chosen = cases(folder, plan.sizes, plan.concurrency)
    found["cases"] = await _in_turn(plan, chosen, (*plain, pair.way), folder, say)
    busiest = unary(folder, bars.METHOD, 256)
    medians = found["cases"][busiest.name]
    rate = medians[SIMPUL]["calls_per_s"]
    say("latency at half of the saturation rate")
    found["at_half"] = {
        way.name: await bars.at_half(
            way, busiest, folder, medians[way.name]["calls_per_s"], plan.seconds * 2
        )
        for way in (*plain, pair.way)
    }
    say(f"{plan.calls:,} calls through the Simpul pair")
    found["long_run"] = await bars.long_run(pair, folder, plan.calls, rate)
    say("start to first call")
    found["start"] = await bars.start_to_first_call(pair)
    say("seals of ML-DSA-65")
    found["ml_dsa"] = await bars.other_algorithm(
        plain[0], folder, rounds=plan.rounds, seconds=plan.seconds
    )
    say("a signer of 100 signatures a second")
    found["slow_signer"] = await bars.slow_signer(pair, folder, plan.seconds * 2)


async def _in_turn(
    plan: Plan,
    chosen: list[Case],
    ways: tuple[Way, ...],
    folder: Path,
    say: Callable[[str], None],
) -> dict[str, dict[str, dict[str, object]]]:
    samples: dict[tuple[str, str], list[Sample]] = {}
    for number in range(1, plan.rounds + 1):
        say(f"round {number} of {plan.rounds}")
        for case in chosen:
            for way in ways:
                sample = await asyncio.to_thread(measure, way, case, folder, plan.seconds)
                samples.setdefault((case.name, way.name), []).append(sample)
    return {
        case.name: {way.name: median_of(samples[case.name, way.name], case) for way in ways}
        for case in chosen
    }


def main() -> None:
    """Read the arguments, measure, print and keep."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    group = parser.add_mutually_exclusive_group()
    group.add_argument("--quick", action="store_const", dest="plan", const=QUICK)
    group.add_argument("--long", action="store_const", dest="plan", const=LONG)
    parser.add_argument("--results", type=Path, default=RESULTS)
    options = parser.parse_args()
    plan: Plan = options.plan or FULL
    began_s = time.monotonic()

    def say(text: str) -> None:
        print(f"{time.monotonic() - began_s:6.1f} s  {text}", file=sys.stderr, flush=True)

    try:
        find_h2load()
        find_nginx()
        with tempfile.TemporaryDirectory(prefix="simpul-bench-", dir="/tmp") as folder:
            found = asyncio.run(bench(plan, Path(folder), say))
    except LoadError as error:
        parser.exit(1, f"bench: {error}\n")
    report.keep(found, options.results)
    report.show(found)


if __name__ == "__main__":
    main()
