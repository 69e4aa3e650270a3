"""A key that was certified for somebody is never certified for somebody else."""

import pytest

from registry.authority import Authority, new_serial
from registry.authorization import Role
from registry.certifying import certify, take_operator_key
from registry.registrar import Registrar
from registry.store.database import Store
from registry.store.operators import Operator
from security import certificate
from security.certificate import make_key, make_request
from security.errors import Code, SimpulError
from security.identifiers import NodeId

FIRST = NodeId.parse("ID/~kupang-1")
SECOND = NodeId.parse("ID/~ende-1")
NOW_MS = 1_764_000_000_000


@pytest.fixture
def store(registrar: Registrar) -> Store:
    return registrar.store


@pytest.fixture
def authority() -> Authority:
    return Authority(*certificate.make_authority("Simpul", NOW_MS, new_serial()))


def test_a_node_renews_with_its_key_and_no_other_node_gets_it(
    store: Store, authority: Authority
) -> None:
    key = make_key()
    with store.transaction() as session:
        certify(session, authority, make_request(key, FIRST), FIRST, NOW_MS)
    with store.transaction() as session:
        certify(session, authority, make_request(key, FIRST), FIRST, NOW_MS)

    with (
        pytest.raises(SimpulError, match="certified for another") as refused,
        store.transaction() as session,
    ):
        certify(session, authority, make_request(key, SECOND), SECOND, NOW_MS)

    assert refused.value.code is Code.CHANGE_INVALID
    assert str(FIRST) not in refused.value.message


def test_an_operator_has_no_key_of_a_node(store: Store, authority: Authority) -> None:
    key = make_key()
    with store.transaction() as session:
        certify(session, authority, make_request(key, FIRST), FIRST, NOW_MS)
    issued = authority.issue_operator(
        certificate.make_operator_request(key, "ID", "anna"), "ID", "anna", NOW_MS
    )
    operator = Operator("anna", Role.OPERATOR, "", issued.expires_at_ms, issued.chain[0])

    with pytest.raises(SimpulError, match="step 4"), store.transaction() as session:
        take_operator_key(session, operator, NOW_MS)
