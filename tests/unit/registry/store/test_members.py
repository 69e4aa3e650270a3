"""Members as they are kept, and what may not go back."""

from dataclasses import replace

import pytest

from registry.life import Standing
from registry.model import RevokedKey
from registry.store import members
from registry.store.database import Store
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from tests.unit.registry.store.conftest import KOMODO, MEMBER, NOW


def test_a_member_comes_back_as_it_was(store: Store) -> None:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
    with store.transaction() as session:
        assert members.get(session, KOMODO) == MEMBER
        assert members.every(session) == [MEMBER]


def test_a_code_is_given_once(store: Store) -> None:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
    with pytest.raises(SimpulError) as caught, store.transaction() as session:
        members.add(session, MEMBER, NOW)

    assert caught.value.code is Code.ALREADY_EXISTS


def test_an_unknown_member_is_named(store: Store) -> None:
    other = MemberId.parse("ID/DAERAH/99.99")
    with pytest.raises(SimpulError, match=r"99\.99") as caught, store.transaction() as session:
        members.get(session, other)

    assert caught.value.code is Code.MEMBER_UNKNOWN


def test_each_change_raises_the_number(store: Store) -> None:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
        members.changed(session, KOMODO)
    with store.transaction() as session:
        read = members.get(session, KOMODO)
        members.set_statement(session, read, b"signed")
    with store.transaction() as session:
        read = members.get(session, KOMODO)
        members.set_state(session, read, Standing.SUSPENDED)
    with store.transaction() as session:
        assert members.get(session, KOMODO) == replace(
            MEMBER, number=4, statement=b"signed", state=Standing.SUSPENDED
        )


def test_the_second_of_two_operators_gets_a_conflict(store: Store) -> None:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
        members.changed(session, KOMODO)

    with pytest.raises(SimpulError) as caught, store.transaction() as session:
        members.set_state(session, MEMBER, Standing.REMOVED)
    assert caught.value.code is Code.CONFLICT

    with pytest.raises(SimpulError) as caught, store.transaction() as session:
        members.set_statement(session, MEMBER, b"signed")
    assert caught.value.code is Code.CONFLICT


def test_a_revoked_key_keeps_its_first_time(store: Store) -> None:
    first = RevokedKey(b"k" * 32, KOMODO, NOW)
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
        members.revoke_keys(session, [first])
        members.revoke_keys(session, [replace(first, revoked_at_ms=NOW + 1)])
    with store.transaction() as session:
        assert members.revoked_keys(session, KOMODO) == (first,)
