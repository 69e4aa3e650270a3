"""The life of a submission: every state with every act."""

import pytest

from registry.contracts.model import SubmissionState as State
from registry.contracts.states import OPEN, Act, follows
from security.errors import Code, SimpulError

OPEN_ACTS = {
    Act.COMMENT: State.IN_DISCUSSION,
    Act.APPROVE: State.APPROVED,
    Act.DECLINE: State.DECLINED,
    Act.WITHDRAW: State.WITHDRAWN,
}


@pytest.mark.parametrize("act", Act)
@pytest.mark.parametrize("state", State)
def test_what_follows_what(state: State, act: Act) -> None:
    expected = OPEN_ACTS.get(act) if state in OPEN else None
    if (state, act) == (State.APPROVED, Act.PUBLISH):
        expected = State.PUBLISHED
    if expected is not None:
        assert follows(state, act) is expected
        return
    with pytest.raises(SimpulError) as caught:
        follows(state, act)
    assert caught.value.code is Code.CONFLICT
