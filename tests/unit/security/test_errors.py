"""Codes, their table, and the errors that carry them."""

import grpc
import pytest

from security.errors import ERRORS, CallFault, Code, LinkFault, SimpulError


def test_the_table_has_every_code_and_no_other() -> None:
    assert set(ERRORS) == set(Code)


@pytest.mark.parametrize("code", Code)
def test_a_code_is_its_name(code: Code) -> None:
    assert code.value == code.name
    assert str(code) == code.name


@pytest.mark.parametrize("code", Code)
def test_meaning_and_action_are_one_line_each(code: Code) -> None:
    for text in (ERRORS[code].meaning, ERRORS[code].action):
        assert "\n" not in text
        assert text[0].isupper()
        assert text.endswith(".")
        assert len(text) <= 100


@pytest.mark.parametrize("code", Code)
def test_statuses_are_those_of_grpc(code: Code) -> None:
    known = {status.value[0]: status.name for status in grpc.StatusCode}
    status = ERRORS[code].grpc_status
    assert known[status] == getattr(status, "name", None)
    assert known[status] not in {"OK", "UNKNOWN"}


def test_an_error_shows_its_code_and_message_and_keeps_details() -> None:
    error = SimpulError(Code.MEMBER_UNKNOWN, "no such member; check it", member="ID/A/B")
    assert str(error) == "MEMBER_UNKNOWN: no such member; check it"
    assert error.details == {"member": "ID/A/B"}
    assert error.info.grpc_status == grpc.StatusCode.NOT_FOUND.value[0]


def test_details_cannot_be_changed() -> None:
    details = SimpulError(Code.INTERNAL, "x").details
    with pytest.raises(TypeError):
        details["a"] = "b"  # type: ignore[index]


@pytest.mark.parametrize("kind", [LinkFault, CallFault])
def test_a_fault_carries_the_step(kind: type[LinkFault] | type[CallFault]) -> None:
    fault = kind(Code.PARCEL_ROOT, "another root", step=6, peer="ID/~a")
    assert (fault.step, fault.code, fault.details) == (6, Code.PARCEL_ROOT, {"peer": "ID/~a"})
    assert isinstance(fault, SimpulError)
