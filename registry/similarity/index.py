"""Every contract there is, so that the ones most like a new one are found quickly.

By each telling concept the index knows the contracts that have it. The contracts whose words are
most like the new one's are compared in full; the others share too little to be close. A concept
that most contracts have costs little and decides nothing, so ordinary ones are left out.

Pure: it holds what it is given, and whoever holds it keeps it to one thread at a time.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from heapq import nlargest
from math import sqrt
from typing import Final

from registry.similarity.compare import Likeness, compare
from registry.similarity.features import Features

# So many of the most alike by words are compared in full.
CANDIDATES: Final = 20


@dataclass(frozen=True, slots=True)
class Found:
    """A contract that is like another one, by its package."""

    package: str
    likeness: Likeness


class SimilarityIndex:
    """The contracts, by package: the newest revision of each."""

    def __init__(self) -> None:
        self._contracts: dict[str, Features] = {}
        self._lengths: dict[str, float] = {}
        self._having: dict[str, dict[str, float]] = {}

    def __len__(self) -> int:
        return len(self._contracts)

    def put(self, contract: Features) -> None:
        """Takes a contract in, in the place of the package's revision before."""
        self.remove(contract.package)
        self._contracts[contract.package] = contract
        self._lengths[contract.package] = _length(contract.topic)
        for concept, weight in contract.topic.items():
            self._having.setdefault(concept, {})[contract.package] = weight

    def remove(self, package: str) -> None:
        """Leaves a contract out, if it is there."""
        old = self._contracts.pop(package, None)
        if old is not None:
            del self._lengths[package]
            for concept in old.topic:
                del self._having[concept][package]

    def closest(self, new: Features, count: int) -> tuple[Found, ...]:
        """The contracts most like a new one, the closest first; never those of its own package."""
        scores: dict[str, float] = {}
        for concept, weight in new.topic.items():
            for package, other in self._having.get(concept, {}).items():
                scores[package] = scores.get(package, 0.0) + weight * other
        scores.pop(new.package, None)
        for package in scores:
            scores[package] /= self._lengths[package]
        candidates = nlargest(CANDIDATES, scores, key=lambda package: (scores[package], package))
        found = [Found(name, compare(new, self._contracts[name])) for name in candidates]
        found.sort(key=lambda each: (-each.likeness.value, each.package))
        return tuple(found[:count])


def _length(topic: Mapping[str, float]) -> float:
    return sqrt(sum(weight * weight for weight in topic.values())) or 1.0
