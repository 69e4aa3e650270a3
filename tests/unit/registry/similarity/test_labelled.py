"""The floor under what the comparison catches: docs/adr/0022 lists what it gets wrong."""

import pytest

from security.contract import check_contract
from tests.unit.registry.similarity.judged import judge
from tests.unit.registry.similarity.labelled import read_contracts, read_pairs

SETS = ("tuning", "held_out")


@pytest.mark.parametrize(
    ("name", "precision", "recall"), [("tuning", 1, 1), ("held_out", 0.9, 0.9)]
)
def test_look_alikes_are_caught_and_others_are_not(
    name: str, precision: float, recall: float
) -> None:
    found = judge(name)

    assert found.precision >= precision, found.wrong
    assert found.recall >= recall, found.wrong
    assert len(found.unlabelled_caught) <= 1, found.unlabelled_caught


def test_the_labelled_set_is_as_large_as_it_must_be_and_sound() -> None:
    contracts = {name: read_contracts(name) for name in SETS}
    pairs = {name: read_pairs(name) for name in SETS}

    assert sum(map(len, contracts.values())) >= 60
    assert sum(map(len, pairs.values())) >= 120
    assert not contracts["tuning"].keys() & contracts["held_out"].keys()
    for name in SETS:
        labelled = [frozenset((pair.one, pair.two)) for pair in pairs[name]]
        assert len(set(labelled)) == len(labelled)
        assert set().union(*labelled) <= contracts[name].keys()
        for contract in contracts[name].values():
            check_contract(contract.descriptor_set, f"{contract.package}.{contract.service}")
