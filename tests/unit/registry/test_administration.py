"""What an operator does, and what is refused."""

import pytest

from registry import administration, membership
from registry.administration import TokenRequest
from registry.life import Standing
from registry.model import Touched
from registry.registrar import Registrar
from registry.rules import statement_in_force
from registry.store import members, tokens
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.token import secret_hash
from tests.unit.registry.conftest import KOMODO, LABUAN, NOW, SECRET, WAKATOBI, Actor, set_state

ANAMBAS = MemberId.parse("ID/DAERAH/21.05")


def test_a_token_lists_a_new_member_first(registrar: Registrar) -> None:
    wanted = TokenRequest(
        ANAMBAS, NodeId("ID", "tarempa-1"), SECRET, NOW + 1, "Kepulauan Anambas", ()
    )

    assert administration.create_enrolment(registrar, wanted, NOW).touched == Touched(
        frozenset({ANAMBAS})
    )
    with registrar.store.transaction() as session:
        found = tokens.find(session, secret_hash(SECRET))
    assert found is not None
    assert found.member == ANAMBAS


@pytest.mark.parametrize(
    ("member", "node", "code"),
    [
        (ANAMBAS, NodeId("ID", "tarempa-1"), Code.MEMBER_UNKNOWN),
        (WAKATOBI, NodeId("ID", "wakatobi-1"), Code.MEMBER_SUSPENDED),
        (KOMODO, LABUAN, Code.ALREADY_EXISTS),
    ],
)
@pytest.mark.usefixtures("enrolled")
def test_no_token_is_made_for_what_can_not_join(
    registrar: Registrar, member: MemberId, node: NodeId, code: Code
) -> None:
    set_state(registrar, Standing.SUSPENDED, WAKATOBI)
    with pytest.raises(SimpulError) as caught:
        administration.create_enrolment(
            registrar, TokenRequest(member, node, b"2" * 32, NOW + 1), NOW
        )

    assert caught.value.code is code


def test_nodes_are_shown_with_their_fingerprint(registrar: Registrar, enrolled: Actor) -> None:
    (info,) = administration.list_nodes(registrar)

    assert info.node.id == enrolled.node
    groups = info.fingerprint.split("-")
    assert [len(group) for group in groups] == [4] * 6


def test_a_node_is_revoked_once_with_its_key(registrar: Registrar, enrolled: Actor) -> None:
    touched = administration.revoke_node(registrar, LABUAN, NOW)

    assert touched == Touched(frozenset({KOMODO}))
    (listing, _) = membership.list_members(registrar)
    assert listing.revoked_keys[0].key_id == enrolled.node_key.public.key_id
    with pytest.raises(SimpulError) as caught:
        administration.revoke_node(registrar, LABUAN, NOW)
    assert caught.value.code is Code.CONFLICT


def test_an_unknown_node_is_not_revoked(registrar: Registrar) -> None:
    with pytest.raises(SimpulError) as caught:
        administration.revoke_node(registrar, LABUAN, NOW)

    assert caught.value.code is Code.NODE_UNKNOWN


def test_one_key_is_revoked_and_no_other(registrar: Registrar, enrolled: Actor) -> None:
    with registrar.store.transaction() as session:
        member = members.get(session, KOMODO)
    statement = statement_in_force(member)
    assert statement is not None
    keys = {
        enrolled.node_key.public.key_id,
        enrolled.identity.public.key_id,
        statement.seal_keys[0].key.key_id,
    }
    for key_id in sorted(keys):
        assert administration.revoke_key(registrar, key_id, NOW - 5, NOW) == KOMODO
    with registrar.store.transaction() as session:
        revoked = members.revoked_keys(session, KOMODO)
        assert members.get(session, KOMODO).number == member.number + 3
    assert {(key.key_id, key.revoked_at_ms, key.suspected_since_ms) for key in revoked} == {
        (key_id, NOW, NOW - 5) for key_id in keys
    }
    with pytest.raises(SimpulError) as caught:
        administration.revoke_key(registrar, min(keys), None, NOW)
    assert caught.value.code is Code.CONFLICT


@pytest.mark.parametrize(
    ("key_id", "since_ms", "code"),
    [(b"x" * 32, None, Code.KEY_UNKNOWN), (b"x" * 32, NOW + 1, Code.CHANGE_INVALID)],
)
def test_a_key_that_nobody_lists_is_not_revoked(
    registrar: Registrar, enrolled: Actor, key_id: bytes, since_ms: int | None, code: Code
) -> None:
    del enrolled
    with pytest.raises(SimpulError) as caught:
        administration.revoke_key(registrar, key_id, since_ms, NOW)
    assert caught.value.code is code
