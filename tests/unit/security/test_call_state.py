"""The tables of states: every state with every kind, and an unknown pair is refused."""

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.call_state import (
    REQUESTS,
    RESPONSES,
    RequestState,
    ResponseState,
    Side,
    after_request,
    after_response,
    opened,
)
from security.errors import Code, SimpulError
from security.kinds import EntryKind

# As the standard says it, row by row: what may come, and what it leads to.
REQUEST_ROWS = {
    RequestState.FLOWING: {"message": "flowing", "half_close": "ended", "cancel": "cancelled"},
    RequestState.ENDED: {"cancel": "cancelled"},
    RequestState.CANCELLED: {},
}
RESPONSE_ROWS = {
    ResponseState.SILENT: {
        "head": "headed",
        "message": "speaking",
        "close": "closed",
        "refuse": "closed",
    },
    ResponseState.HEADED: {"message": "speaking", "close": "closed"},
    ResponseState.SPEAKING: {"message": "speaking", "close": "closed"},
    ResponseState.CLOSED: {},
}


@given(st.sampled_from(RequestState), st.sampled_from(EntryKind))
def test_all_requests(state: RequestState, kind: EntryKind) -> None:
    following = REQUEST_ROWS[state].get(kind.value)
    if following is None:
        with pytest.raises(SimpulError) as caught:
            after_request(state, kind)
        assert caught.value.code is Code.ENTRY_STATE
    else:
        assert after_request(state, kind) == following


@given(st.sampled_from(ResponseState), st.sampled_from(EntryKind), st.booleans())
def test_all_responses(state: ResponseState, kind: EntryKind, with_message: bool) -> None:
    following = RESPONSE_ROWS[state].get(kind.value)
    second_answer = kind is EntryKind.CLOSE and with_message and state is ResponseState.SPEAKING
    if following is None or second_answer:
        with pytest.raises(SimpulError) as caught:
            after_response(state, kind, with_message=with_message)
        assert caught.value.code is Code.ENTRY_STATE
    else:
        assert after_response(state, kind, with_message=with_message) == following


def test_the_tables_hold_these_rows_and_no_more() -> None:
    for rows, table in ((REQUEST_ROWS, REQUESTS), (RESPONSE_ROWS, RESPONSES)):
        assert len(table) == sum(len(row) for row in rows.values())


def test_no_open_and_nothing_after_the_end() -> None:
    for state, kind in product(ResponseState, EntryKind):
        if kind is EntryKind.OPEN or state is ResponseState.CLOSED:
            assert (state, kind) not in RESPONSES
    assert not any(kind is EntryKind.OPEN for _, kind in REQUESTS)


def test_a_unary_request_ends_with_its_open() -> None:
    assert opened(unary=True) == (RequestState.ENDED, ResponseState.SILENT)
    assert opened(unary=False) == (RequestState.FLOWING, ResponseState.SILENT)


def test_sides_face_each_other() -> None:
    assert [side.other.other for side in Side] == list(Side)
    assert Side.CONSUMER.other is Side.PROVIDER
