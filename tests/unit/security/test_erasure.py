"""Notices of erasures: what is one, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.erasure import ErasureNotice, make_notice, parse_notice
from security.errors import Code, SimpulError
from simpul.v1 import erasure_pb2

CALL_ID = bytes(range(16))


@given(
    st.binary(min_size=16, max_size=16),
    st.integers(1, 2**45),
    st.from_regex(r"[a-z]([a-z-]{0,30}[a-z])?", fullmatch=True),
)
def test_what_is_printed_parses_to_the_same(call_id: bytes, at_ms: int, reason: str) -> None:
    notice = ErasureNotice(call_id, at_ms, reason)
    assert parse_notice(make_notice(notice)) == notice


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xff",
        make_notice(ErasureNotice(CALL_ID[:15], 1, "other")),
        make_notice(ErasureNotice(CALL_ID, 0, "other")),
        make_notice(ErasureNotice(CALL_ID, -1, "other")),
        make_notice(ErasureNotice(CALL_ID, 2**60, "other")),
        make_notice(ErasureNotice(CALL_ID, 1, "")),
        make_notice(ErasureNotice(CALL_ID, 1, "Budi of 3171234567890123")),
        make_notice(ErasureNotice(CALL_ID, 1, "a" * 33)),
        make_notice(ErasureNotice(CALL_ID, 1, "other")) + b"\x20\x01",
        make_notice(ErasureNotice(CALL_ID, 1, "other")) * 2,
    ],
)
def test_what_is_no_notice_is_refused(data: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_notice(data)
    assert caught.value.code is Code.REQUEST_MALFORMED


def test_the_service_is_the_one_in_the_protos() -> None:
    service = erasure_pb2.DESCRIPTOR.services_by_name["Erasures"]
    assert (service.full_name, list(service.methods_by_name)) == ("simpul.v1.Erasures", ["Notify"])
