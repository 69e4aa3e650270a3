"""Precision and recall of the comparison on a labelled set."""

from dataclasses import dataclass
from itertools import combinations

from registry.similarity.compare import THRESHOLD, Measures, compare
from registry.similarity.features import Features, features
from tests.unit.registry.similarity.labelled import LabelledPair, read_contracts, read_pairs


@dataclass(frozen=True, slots=True)
class Judgement:
    """A labelled pair, and what the comparison measured."""

    pair: LabelledPair
    measures: Measures

    @property
    def caught(self) -> bool:
        return self.measures.likeness() >= THRESHOLD

    @property
    def wrong(self) -> bool:
        return self.caught != self.pair.same


@dataclass(frozen=True, slots=True)
class Judged:
    """A labelled set, compared."""

    name: str
    contracts: int
    judgements: tuple[Judgement, ...]
    # Of every two contracts of the set that no label names: those taken for the same.
    unlabelled: int
    unlabelled_caught: tuple[Judgement, ...]

    @property
    def precision(self) -> float:
        caught = [each for each in self.judgements if each.caught]
        return sum(each.pair.same for each in caught) / len(caught)

    @property
    def recall(self) -> float:
        same = [each for each in self.judgements if each.pair.same]
        return sum(each.caught for each in same) / len(same)

    @property
    def wrong(self) -> tuple[Judgement, ...]:
        return tuple(each for each in self.judgements if each.wrong)


def judge(name: str) -> Judged:
    """Compares each labelled pair of a set, and every other two of its contracts."""
    known = {
        package: features(contract.descriptor_set, package, {})
        for package, contract in read_contracts(name).items()
    }
    pairs = read_pairs(name)
    labelled = {frozenset((pair.one, pair.two)) for pair in pairs}
    rest = [
        LabelledPair(one, two, same=False)
        for one, two in combinations(known, 2)
        if frozenset((one, two)) not in labelled
    ]
    unlabelled = [_judged(pair, known) for pair in rest]
    return Judged(
        name=name,
        contracts=len(known),
        judgements=tuple(_judged(pair, known) for pair in pairs),
        unlabelled=len(rest),
        unlabelled_caught=tuple(each for each in unlabelled if each.caught),
    )


def _judged(pair: LabelledPair, known: dict[str, Features]) -> Judgement:
    return Judgement(pair, compare(known[pair.one], known[pair.two]).measures)
