"""Nodes that host further members, ask to be listed, and replace their keys: step by step."""

from dataclasses import replace

import pytest

from registry import administration, changes, enrolment, membership
from registry.administration import TokenRequest
from registry.directory import content
from registry.life import Standing
from registry.model import NodeState
from registry.registrar import Registrar
from registry.store import nodes
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.hashing import NODE_KEY_SIGNATURE
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, PrivateKey, generate
from security.seal_request import SealKeyRequestView, make_seal_key_request
from simpul.v1 import registry_pb2, statement_pb2
from tests.unit.registry.conftest import (
    DAY_MS,
    KOMODO,
    LABUAN,
    NOW,
    WAKATOBI,
    Actor,
    a_policy,
    set_state,
)

SECOND = NodeId.parse("ID/~labuan-bajo-2")
HOST_SECRET = b"h" * 32


def view(registrar: Registrar) -> DirectoryView:
    everything = content.everything(registrar.store)
    files = content.read_committed(registrar.store, registrar.policy, everything)
    policy = a_policy(registrar.authority.certificate_der)
    return DirectoryView.build("ID", 1, b"h" * 32, NOW, {**files, "policy": policy})


def host_token(
    registrar: Registrar,
    member: MemberId = WAKATOBI,
    node: NodeId = LABUAN,
    expires_at_ms: int = NOW + DAY_MS,
) -> None:
    wanted = TokenRequest(member, node, HOST_SECRET, expires_at_ms, hosts=True)
    administration.create_enrolment(registrar, wanted, NOW)


def seal_request(
    actor: Actor, member: MemberId | None = None, key: PrivateKey | None = None
) -> statement_pb2.SignedSealKeyRequest:
    wanted = SealKeyRequestView(
        member or actor.member, actor.node, (key or generate(Algorithm.ED25519)).public, NOW
    )
    return make_seal_key_request(wanted, actor.node_key)


def apply(registrar: Registrar, actor: Actor, **kind: object) -> changes.Applied:
    return changes.apply(registrar, *actor.sign_change(actor.change(**kind)), NOW)


def refused(step: int, code: Code, registrar: Registrar, actor: Actor, **kind: object) -> None:
    with pytest.raises(SimpulError) as caught:
        apply(registrar, actor, **kind)
    assert (caught.value.code, caught.value.details.get("step")) == (code, str(step))


def host(
    statement: statement_pb2.SignedStatement | None, secret: bytes = HOST_SECRET
) -> registry_pb2.HostMember:
    return registry_pb2.HostMember(secret=secret, member=str(WAKATOBI), statement=statement)


def first_statement(node: NodeId = LABUAN) -> statement_pb2.SignedStatement:
    guest = Actor(member=WAKATOBI, node=node)
    return guest.sign_statement(guest.next_view())


def joined_second(registrar: Registrar, **changed: object) -> Actor:
    """A second node of 53.15, which asks to be listed."""
    actor = Actor(node=SECOND, secret=b"2" * 32)
    wanted = TokenRequest(KOMODO, SECOND, actor.secret, NOW + DAY_MS)
    assert administration.create_enrolment(registrar, wanted, NOW).has_statement
    message = actor.enrolment(statement=None, seal_key_request=seal_request(actor), **changed)
    enrolment.enrol(registrar, *actor.sign_enrolment(message), NOW)
    return actor


def test_a_further_member_is_hosted(registrar: Registrar, enrolled: Actor) -> None:
    host_token(registrar)
    statement = first_statement()

    apply(registrar, enrolled, host_member=host(statement))

    found = view(registrar)
    assert [node.id for node in found.nodes_of(WAKATOBI, NOW)] == [LABUAN]
    assert found.node(LABUAN).owner == KOMODO
    # The answer was lost: the same once more does no harm, another one is refused.
    apply(registrar, enrolled, host_member=host(statement))
    refused(8, Code.TOKEN_USED, registrar, enrolled, host_member=host(first_statement()))


def test_step_8_the_token(registrar: Registrar, enrolled: Actor) -> None:
    refused(8, Code.TOKEN_UNKNOWN, registrar, enrolled, host_member=host(first_statement()))
    host_token(registrar, expires_at_ms=NOW)
    refused(8, Code.TOKEN_EXPIRED, registrar, enrolled, host_member=host(first_statement()))


def test_step_8_a_token_for_another_node(registrar: Registrar, enrolled: Actor) -> None:
    joined_second(registrar)
    host_token(registrar, node=SECOND)
    refused(8, Code.REQUEST_MALFORMED, registrar, enrolled, host_member=host(first_statement()))


def test_step_8_a_token_to_join_hosts_nobody(registrar: Registrar, enrolled: Actor) -> None:
    wanted = TokenRequest(WAKATOBI, NodeId.parse("ID/~new-1"), HOST_SECRET, NOW + 1)
    administration.create_enrolment(registrar, wanted, NOW)
    refused(8, Code.REQUEST_MALFORMED, registrar, enrolled, host_member=host(first_statement()))


def test_a_token_to_host_joins_nobody(registrar: Registrar, enrolled: Actor) -> None:
    host_token(registrar)
    actor = Actor(member=WAKATOBI, node=LABUAN, secret=HOST_SECRET)
    with pytest.raises(SimpulError) as caught:
        enrolment.enrol(registrar, *actor.sign_enrolment(actor.enrolment()), NOW)
    assert caught.value.details["step"] == "7"
    assert enrolled.node == LABUAN


def test_step_8_a_suspended_member(registrar: Registrar, enrolled: Actor) -> None:
    host_token(registrar)
    set_state(registrar, Standing.SUSPENDED, WAKATOBI)
    refused(8, Code.MEMBER_SUSPENDED, registrar, enrolled, host_member=host(first_statement()))


def test_step_12_another_members_statement(registrar: Registrar, enrolled: Actor) -> None:
    host_token(registrar)
    foreign = enrolled.sign_statement(enrolled.next_view())
    refused(12, Code.STATEMENT_INVALID, registrar, enrolled, host_member=host(foreign))


def test_step_13_a_statement_without_the_node(registrar: Registrar, enrolled: Actor) -> None:
    host_token(registrar)
    elsewhere = first_statement(NodeId.parse("ID/~wakatobi-1"))
    refused(13, Code.KEY_UNKNOWN, registrar, enrolled, host_member=host(elsewhere))


@pytest.mark.parametrize(
    ("member", "node", "code"),
    [
        (WAKATOBI, SECOND, Code.NODE_UNKNOWN),
        (MemberId.parse("ID/DAERAH/21.05"), LABUAN, Code.MEMBER_UNKNOWN),
    ],
)
@pytest.mark.usefixtures("enrolled")
def test_no_token_to_host_is_made_for_what_is_not_listed(
    registrar: Registrar, member: MemberId, node: NodeId, code: Code
) -> None:
    with pytest.raises(SimpulError) as caught:
        host_token(registrar, member, node)
    assert caught.value.code is code


@pytest.mark.usefixtures("enrolled")
def test_a_second_node_joins_and_its_request_is_published(registrar: Registrar) -> None:
    joined_second(registrar)

    found = view(registrar)
    assert found.node(SECOND).owner == KOMODO
    assert len(found.member(KOMODO).seal_key_requests) == 1
    # Not listed by the member: it seals for nobody.
    assert [node.id for node in found.nodes_of(KOMODO, NOW)] == [LABUAN]


def test_a_request_is_forgotten_when_the_key_is_listed(
    registrar: Registrar, enrolled: Actor
) -> None:
    second = Actor(node=SECOND, secret=b"2" * 32)
    key = generate(Algorithm.ED25519)
    wanted = TokenRequest(KOMODO, SECOND, second.secret, NOW + DAY_MS)
    administration.create_enrolment(registrar, wanted, NOW)
    message = second.enrolment(statement=None, seal_key_request=seal_request(second, key=key))
    enrolment.enrol(registrar, *second.sign_enrolment(message), NOW)
    listed = enrolled.next_view(LABUAN, SECOND)
    first, other = listed.seal_keys
    listed = replace(listed, seal_keys=(first, replace(other, key=key.public)))
    statement = enrolled.sign_statement(listed)
    replaced = registry_pb2.ReplaceStatement(statement=statement)

    apply(registrar, enrolled, replace_statement=replaced)

    found = view(registrar)
    assert not found.member(KOMODO).seal_key_requests
    assert [node.id for node in found.nodes_of(KOMODO, NOW)] == [LABUAN, SECOND]


def test_step_12_a_request_where_there_is_no_statement(registrar: Registrar) -> None:
    actor = Actor(secret=b"2" * 32)
    wanted = TokenRequest(KOMODO, LABUAN, actor.secret, NOW + DAY_MS)
    administration.create_enrolment(registrar, wanted, NOW)
    message = actor.enrolment(statement=None, seal_key_request=seal_request(actor))
    with pytest.raises(SimpulError) as caught:
        enrolment.enrol(registrar, *actor.sign_enrolment(message), NOW)
    assert (caught.value.code, caught.value.details["step"]) == (Code.STATEMENT_INVALID, "12")


def test_step_12_a_request_by_another_key(registrar: Registrar, enrolled: Actor) -> None:
    with pytest.raises(SimpulError) as caught:
        # The one in the enrolment is signed by the second node; this one by the first.
        joined_second(
            registrar, node_key=generate(Algorithm.ED25519).public.to_proto(), link_address="a:1"
        )
    assert caught.value.details["step"] == "8"
    other = seal_request(enrolled)
    actor = Actor(node=SECOND, secret=b"2" * 32)
    message = actor.enrolment(statement=None, seal_key_request=other)
    with pytest.raises(SimpulError) as foreign:
        enrolment.enrol(registrar, *actor.sign_enrolment(message), NOW)
    assert foreign.value.details["step"] == "12"


def test_a_node_without_the_identity_key_asks_for_its_next_seal_key(
    registrar: Registrar, enrolled: Actor
) -> None:
    second = joined_second(registrar)
    for _ in range(2):
        asked = registry_pb2.RequestSealKey(seal_key_request=seal_request(second))
        apply(registrar, second, request_seal_key=asked)
    # The newest takes the place of the one before.
    assert len(view(registrar).member(KOMODO).seal_key_requests) == 1
    assert enrolled.node == LABUAN


def test_step_9_a_stranger_asks_for_nothing(registrar: Registrar, enrolled: Actor) -> None:
    host_token(registrar)
    # 74.07 has a statement, which lists another node.
    elsewhere = Actor(member=WAKATOBI, node=NodeId.parse("ID/~wakatobi-1"), secret=b"w" * 32)
    wanted = TokenRequest(WAKATOBI, elsewhere.node, elsewhere.secret, NOW + DAY_MS)
    administration.create_enrolment(registrar, wanted, NOW)
    enrolment.enrol(registrar, *elsewhere.sign_enrolment(elsewhere.enrolment()), NOW)
    asked = registry_pb2.RequestSealKey(seal_key_request=seal_request(enrolled, WAKATOBI))
    refused(9, Code.KEY_UNKNOWN, registrar, enrolled, request_seal_key=asked)


def test_an_identity_key_changes_and_its_statement_is_kept(
    registrar: Registrar, enrolled: Actor
) -> None:
    old, enrolled.identity = enrolled.identity, generate(Algorithm.ED25519)
    signed = enrolled.sign_statement(enrolled.next_view(), predecessor=old)
    replaced = registry_pb2.ReplaceStatement(statement=signed)
    apply(registrar, enrolled, replace_statement=replaced)
    after = registry_pb2.ReplaceStatement(statement=enrolled.sign_statement(enrolled.next_view()))
    apply(registrar, enrolled, replace_statement=after)

    assert list(view(registrar).member(KOMODO).successions) == [signed]


def new_key(
    actor: Actor, key: PrivateKey, over: bytes | None = None
) -> registry_pb2.ReplaceNodeKey:
    over = actor.node_key.public.key_id if over is None else over
    return registry_pb2.ReplaceNodeKey(
        node_key=key.public.to_proto(), proof=key.sign(NODE_KEY_SIGNATURE, over)
    )


def test_a_node_key_is_replaced(registrar: Registrar, enrolled: Actor) -> None:
    key = generate(Algorithm.ED25519)
    apply(registrar, enrolled, replace_node_key=new_key(enrolled, key))

    assert view(registrar).node(LABUAN).node_key == key.public
    # What the old key signs is no longer this node's.
    refused(5, Code.SIGNATURE_INVALID, registrar, enrolled, replace_node_key=new_key(enrolled, key))
    enrolled.node_key = key
    link = registry_pb2.SetLinkAddress(link_address="127.0.0.1:7102")
    apply(registrar, enrolled, set_link_address=link)


def test_step_10_a_key_that_is_not_held_or_is_anothers(
    registrar: Registrar, enrolled: Actor
) -> None:
    key = generate(Algorithm.ED25519)
    refused(
        10,
        Code.SIGNATURE_INVALID,
        registrar,
        enrolled,
        replace_node_key=new_key(enrolled, key, over=key.public.key_id),
    )
    second = joined_second(registrar)
    refused(
        10,
        Code.ALREADY_EXISTS,
        registrar,
        enrolled,
        replace_node_key=new_key(enrolled, second.node_key),
    )


def test_a_removed_node_is_refused_and_its_request_forgotten(
    registrar: Registrar, enrolled: Actor
) -> None:
    second = joined_second(registrar)
    administration.remove_node(registrar, SECOND)

    found = view(registrar)
    assert not found.member(KOMODO).seal_key_requests
    assert not found.member(KOMODO).revoked
    with pytest.raises(SimpulError) as caught:
        found.require_active_node(SECOND)
    assert caught.value.code is Code.NODE_REVOKED
    link = registry_pb2.SetLinkAddress(link_address="a:1")
    refused(4, Code.NODE_REVOKED, registrar, second, set_link_address=link)
    with pytest.raises(SimpulError) as again:
        administration.remove_node(registrar, SECOND)
    assert again.value.code is Code.CONFLICT
    # A key may turn out to have leaked later.
    administration.revoke_node(registrar, SECOND, NOW)
    with registrar.store.transaction() as session:
        assert nodes.get(session, SECOND).state is NodeState.REVOKED
    assert enrolled.node == LABUAN
    assert len(membership.list_members(registrar)) == 2
