"""Nodes as they are kept, and their numbers that only rise."""

from dataclasses import replace

import pytest

from registry.model import NodeState
from registry.store import members, nodes
from registry.store.database import Store
from security.errors import Code, SimpulError
from tests.unit.registry.store.conftest import KOMODO, LABUAN, MEMBER, NOW, a_node


@pytest.fixture
def listed(store: Store) -> Store:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
    return store


def test_a_node_comes_back_as_it_was(listed: Store) -> None:
    node = a_node()
    with listed.transaction() as session:
        nodes.add(session, node, NOW)
    with listed.transaction() as session:
        assert nodes.get(session, LABUAN) == node
        assert nodes.find_by_key(session, node.key) == node
        assert nodes.of_owner(session, KOMODO) == nodes.every(session) == (node,)


def test_a_name_and_a_key_are_given_once(listed: Store) -> None:
    node = a_node()
    with listed.transaction() as session:
        nodes.add(session, node, NOW)
    for twin in (a_node(), replace(node, id=a_node("another").id)):
        with pytest.raises(SimpulError) as caught, listed.transaction() as session:
            nodes.add(session, twin, NOW)
        assert caught.value.code is Code.CONFLICT


def test_numbers_of_changes_only_rise(listed: Store) -> None:
    with listed.transaction() as session:
        nodes.add(session, a_node(), NOW)
        nodes.take_number(session, LABUAN, 5)
    for number in (5, 4, 0):
        with pytest.raises(SimpulError) as caught, listed.transaction() as session:
            nodes.take_number(session, LABUAN, number)
        assert caught.value.code is Code.CHANGE_REPLAYED
    with listed.transaction() as session:
        nodes.take_number(session, LABUAN, 6)
        assert nodes.get(session, LABUAN).change_number == 6


def test_what_may_change_changes(listed: Store) -> None:
    node = a_node()
    with listed.transaction() as session:
        nodes.add(session, node, NOW)
        nodes.set_link_address(session, LABUAN, "10.0.0.1:9")
        nodes.set_certificate_expiry(session, LABUAN, NOW + 99)
        nodes.revoke(session, LABUAN)
    with listed.transaction() as session:
        assert nodes.get(session, LABUAN) == replace(
            node,
            link_address="10.0.0.1:9",
            certificate_expires_at_ms=NOW + 99,
            state=NodeState.REVOKED,
        )


def test_a_node_is_revoked_once(listed: Store) -> None:
    with listed.transaction() as session:
        nodes.add(session, a_node(), NOW)
        nodes.revoke(session, LABUAN)
    with pytest.raises(SimpulError) as caught, listed.transaction() as session:
        nodes.revoke(session, LABUAN)

    assert caught.value.code is Code.CONFLICT


def test_an_unknown_node_is_named(listed: Store) -> None:
    with pytest.raises(SimpulError, match="bajo-1") as caught, listed.transaction() as session:
        nodes.get(session, LABUAN)
    assert caught.value.code is Code.NODE_UNKNOWN

    with pytest.raises(SimpulError) as caught, listed.transaction() as session:
        nodes.set_link_address(session, LABUAN, "127.0.0.1:1")
    assert caught.value.code is Code.NODE_UNKNOWN
