"""How well look-alike contracts are caught: precision and recall on labelled pairs, and the time.

    python -m bench.duplicates [--tuning] [--wrong] [--scale N]

The labelled contracts stand in `tests/unit/registry/similarity/data`. Weights and threshold were
chosen on the tuning set; the held-out set has other domains, and was measured when they stood.
"""

import argparse
import statistics
import time
from dataclasses import replace
from typing import Final

from registry.similarity.compare import Measures
from registry.similarity.features import features
from registry.similarity.index import SimilarityIndex
from tests.unit.registry.similarity import judged, labelled

SETS: Final = ("tuning", "held_out")


def main() -> None:
    """Prints the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tuning", action="store_true", help="only the tuning set")
    parser.add_argument("--wrong", action="store_true", help="each wrong pair with its measures")
    parser.add_argument("--scale", type=int, default=5000, metavar="N", help="contracts there are")
    wanted = parser.parse_args()
    for name in SETS[: 1 if wanted.tuning else None]:
        _show(judged.judge(name), wrong=wanted.wrong)
    if not wanted.tuning:
        _scale(wanted.scale)


def _show(judged_set: judged.Judged, *, wrong: bool) -> None:
    same = sum(each.pair.same for each in judged_set.judgements)
    print(
        f"{judged_set.name}: {judged_set.contracts} contracts, {len(judged_set.judgements)} pairs "
        f"({same} the same): precision {judged_set.precision:.2f}, recall {judged_set.recall:.2f}; "
        f"of {judged_set.unlabelled} other pairs {len(judged_set.unlabelled_caught)} caught"
    )
    shown = judged_set.wrong + judged_set.unlabelled_caught if wrong else judged_set.wrong
    for each in shown:
        what = "missed" if each.pair.same else "taken for the same"
        print(f"  {what}: {each.pair.one} and {each.pair.two}: {_told(each.measures)}")


def _told(measures: Measures) -> str:
    return (
        f"{measures.likeness():.2f} (subject {measures.subject:.2f}, words {measures.words:.2f}, "
        f"fields {measures.fields:.2f}, methods {measures.methods:.2f})"
    )


def _scale(count: int) -> None:
    """The time to compare one contract with `count` others, which are variants of the labelled."""
    known = [each for name in SETS for each in labelled.read_contracts(name).values()]
    index = SimilarityIndex()
    began_s = time.perf_counter()
    for number in range(count):
        each = known[number % len(known)]
        package = f"{each.package}.n{number}"
        made = features(each.descriptor_set, each.package, {})
        index.put(replace(made, package=package))
    read_s = time.perf_counter() - began_s
    times_s = []
    for each in known:
        new = features(each.descriptor_set, each.package, {})
        began_s = time.perf_counter()
        index.closest(new, 5)
        times_s.append(time.perf_counter() - began_s)
    print(
        f"{count} contracts: read in {read_s:.1f} s, once; one compared with all in "
        f"{statistics.median(times_s) * 1000:.0f} ms (median), {max(times_s) * 1000:.0f} ms (worst)"
    )


if __name__ == "__main__":
    main()
