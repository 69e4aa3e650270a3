"""The table has every method, and a missing row refuses."""

import pytest

from registry.authorization import TABLE, Listener, Proof, authorize
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2
from simpul.v1 import registry_pb2


def test_the_table_is_exactly_the_methods_in_the_protos() -> None:
    services = [
        *registry_pb2.DESCRIPTOR.services_by_name.values(),
        *admin_pb2.DESCRIPTOR.services_by_name.values(),
    ]
    methods = {
        f"/{service.full_name}/{method.name}" for service in services for method in service.methods
    }

    assert set(TABLE) == methods
    assert len(services) == 2


@pytest.mark.parametrize(("method", "row"), TABLE.items())
def test_each_method_is_answered_on_one_listener(method: str, row: object) -> None:
    answered = []
    for listener in Listener:
        try:
            answered.append(authorize(method, listener))
        except SimpulError as error:
            assert error.code is Code.METHOD_UNKNOWN  # noqa: PT017  (one of two refuses)

    assert answered == [row]


def test_only_operators_reach_the_operators_methods() -> None:
    for method, row in TABLE.items():
        is_admin = method.startswith("/simpul.registry.v1.RegistryAdmin/")
        assert (row.proof is Proof.OPERATOR) == is_admin
        assert bool(row.roles) == is_admin
        assert (row.listener is Listener.ADMIN) == is_admin


@pytest.mark.parametrize("method", ["", "/simpul.v1.Registry/", "/simpul.v1.Registry/Drop", "/x/Y"])
def test_a_method_without_a_row_is_refused(method: str) -> None:
    with pytest.raises(SimpulError) as caught:
        authorize(method, Listener.PUBLIC)

    assert caught.value.code is Code.METHOD_UNKNOWN
