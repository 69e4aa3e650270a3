"""Requests parse strictly, and no bytes make a parser fail in any other way."""

from hypothesis import given
from hypothesis import strategies as st

from registry.requests import SetLinkAddress, parse_change, parse_enrolment
from security.errors import SimpulError
from simpul.v1 import registry_pb2
from tests.unit.registry.conftest import NOW, Actor

ACTOR = Actor()
ENROLMENT = ACTOR.enrolment().SerializeToString(deterministic=True)
CHANGE = ACTOR.change(
    set_link_address=registry_pb2.SetLinkAddress(link_address="127.0.0.1:1")
).SerializeToString(deterministic=True)


def test_what_was_written_is_read() -> None:
    enrolment, change = parse_enrolment(ENROLMENT), parse_change(CHANGE)

    assert (enrolment.member, enrolment.node) == (ACTOR.member, ACTOR.node)
    assert enrolment.node_key == ACTOR.node_key.public
    assert change.kind == SetLinkAddress("127.0.0.1:1")
    assert (change.number, change.made_at_ms, change.kind_name) == (1, NOW, "set_link_address")


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(data: bytes) -> None:
    for parse in (parse_enrolment, parse_change):
        try:
            parse(data)
        except SimpulError as error:
            assert "\n" not in error.message  # noqa: PT017  (read or refused: both are right)


@given(st.sampled_from([ENROLMENT, CHANGE]), st.data())
def test_a_changed_byte_is_read_or_refused(original: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(original) - 1))
    changed = original[:at] + bytes([data.draw(st.integers(0, 255))]) + original[at + 1 :]
    parse = parse_enrolment if original is ENROLMENT else parse_change
    try:
        parse(changed)
    except SimpulError as error:
        assert "\n" not in error.message  # noqa: PT017  (read or refused: both are right)
