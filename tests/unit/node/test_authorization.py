"""The table has every method of the node's sockets, and a missing row refuses."""

import pytest

from node.authorization import TABLE, Proof, Socket, authorize
from security.errors import Code, SimpulError


@pytest.mark.parametrize(("method", "row"), TABLE.items())
def test_each_method_is_answered_on_one_socket(method: str, row: object) -> None:
    answered = []
    for socket in Socket:
        try:
            answered.append(authorize(method, socket))
        except SimpulError as error:
            assert error.code is Code.METHOD_UNKNOWN  # noqa: PT017  (one of two refuses)
    assert answered == [row]


def test_workers_reach_nothing_of_the_operators_nor_these_anything_of_theirs() -> None:
    for method, row in TABLE.items():
        is_admin = method.startswith("/simpul.node.v1.NodeAdmin/")
        assert (row.proof is Proof.MACHINE_ADMINISTRATOR) == is_admin
        assert (row.socket is Socket.ADMIN) == is_admin


@pytest.mark.parametrize("method", ["", "/simpul.node.v1.NodeAdmin/", "/x/Y"])
def test_a_method_without_a_row_is_refused(method: str) -> None:
    with pytest.raises(SimpulError) as caught:
        authorize(method, Socket.ADMIN)
    assert caught.value.code is Code.METHOD_UNKNOWN
