"""The life of an agreement: every pair that isn't in the standard's table is refused."""

from itertools import product
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.agreement_life import FINAL, Life, Party, Step, next_life
from security.errors import Code, SimpulError

# As docs/spec says it, by hand: (where it stands, step, whose) -> where it stands then.
WANTED: Final = {
    (None, "propose", "consumer"): "requested",
    (None, "propose", "provider"): "offered",
    ("requested", "accept", "provider"): "agreed",
    ("requested", "counter", "provider"): "countered",
    ("requested", "decline", "provider"): "declined",
    ("requested", "withdraw", "consumer"): "withdrawn",
    ("offered", "accept", "consumer"): "agreed",
    ("offered", "decline", "consumer"): "declined",
    ("offered", "withdraw", "provider"): "withdrawn",
    ("agreed", "revoke", "provider"): "revoked",
    ("agreed", "revoke", "consumer"): "revoked",
    ("revoked", "revoke", "provider"): "revoked",
    ("revoked", "revoke", "consumer"): "revoked",
}


@pytest.mark.parametrize(
    ("life", "step", "party"), list(product((None, *Life), Step, Party)), ids=str
)
def test_every_pair(life: Life | None, step: Step, party: Party) -> None:
    wanted = WANTED.get((life, step, party))
    if wanted is not None:
        assert next_life(life, step, party) == wanted
        return
    with pytest.raises(SimpulError) as caught:
        next_life(life, step, party)
    assert caught.value.code is Code.CONFLICT
    assert "simpul access show" in caught.value.message


@given(steps=st.lists(st.tuples(st.sampled_from(Step), st.sampled_from(Party)), max_size=20))
def test_nobody_agrees_alone_and_nothing_comes_back(steps: list[tuple[Step, Party]]) -> None:
    life: Life | None = None
    took: dict[Step, Party] = {}
    for step, party in steps:
        before = life
        try:
            life = next_life(life, step, party)
        except SimpulError:
            continue
        assert before not in FINAL or life is before
        took[step] = party
        if life is Life.AGREED and before is not Life.AGREED:
            assert took[Step.PROPOSE] is not took[Step.ACCEPT]
