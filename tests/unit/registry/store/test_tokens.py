"""Tokens are found by their hash and used once."""

from dataclasses import replace

import pytest

from registry.store import members, tokens
from registry.store.database import Store
from security.errors import Code, SimpulError
from tests.unit.registry.store.conftest import MEMBER, NOW, TOKEN


def test_a_token_is_used_once_and_remembered(store: Store) -> None:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
        tokens.add(session, TOKEN, NOW)
        assert tokens.find(session, TOKEN.secret_hash) == TOKEN
        tokens.use(session, TOKEN, b"r" * 32, NOW + 1)
    with store.transaction() as session:
        assert tokens.find(session, TOKEN.secret_hash) == replace(
            TOKEN, used_at_ms=NOW + 1, used_by=b"r" * 32
        )
    with pytest.raises(SimpulError) as caught, store.transaction() as session:
        tokens.use(session, TOKEN, b"r" * 32, NOW + 2)

    assert caught.value.code is Code.TOKEN_USED


def test_an_unknown_secret_finds_nothing(store: Store) -> None:
    with store.transaction() as session:
        assert tokens.find(session, b"x" * 32) is None
