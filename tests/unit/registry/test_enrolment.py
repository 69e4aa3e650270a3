"""Joining a node: one test per numbered step that breaks only that step, and what is stored."""

import threading
from collections.abc import Callable
from dataclasses import replace

import pytest
from cryptography import x509

from registry import administration, enrolment, rules
from registry.life import Standing
from registry.model import Member, Touched
from registry.registrar import Registrar
from registry.requests import MAX_ENROLMENT_BYTES
from registry.store import members, nodes, tokens
from security import certificate
from security.errors import Code, SimpulError
from security.hashing import ENROLMENT_SIGNATURE
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, generate
from security.statement import SealKeyView
from security.token import secret_hash
from tests.unit.registry.conftest import (
    DAY_MS,
    KOMODO,
    LABUAN,
    NOW,
    WAKATOBI,
    Actor,
    give_token,
    set_state,
)


def refused(
    registrar: Registrar, step: int, data: bytes, signature: bytes, now_ms: int = NOW
) -> Code:
    with pytest.raises(SimpulError) as caught:
        enrolment.enrol(registrar, data, signature, now_ms)
    assert caught.value.details["step"] == str(step)
    assert "\n" not in caught.value.message
    return caught.value.code


def nothing_changed(registrar: Registrar, actor: Actor) -> None:
    with registrar.store.transaction() as session:
        assert nodes.every(session) == ()
        found = tokens.find(session, secret_hash(actor.secret))
        assert found is None or found.used_at_ms is None


def test_a_good_request_joins_the_node(registrar: Registrar, actor: Actor) -> None:
    request = actor.enrolment()

    done = enrolment.enrol(registrar, *actor.sign_enrolment(request), NOW)

    assert done.node == LABUAN
    assert done.touched == Touched(frozenset({KOMODO}))
    own, issuer = done.issued.chain
    assert certificate.dns_names(own) == (LABUAN.dns_name,)
    assert issuer == registrar.authority.certificate_der
    x509.load_der_x509_certificate(own).verify_directly_issued_by(
        x509.load_der_x509_certificate(issuer)
    )
    assert abs(done.issued.expires_at_ms - NOW - 30 * DAY_MS) <= 1000
    with registrar.store.transaction() as session:
        node = nodes.get(session, LABUAN)
        assert (node.owner, node.key, node.slots) == (KOMODO, actor.node_key.public, 2)
        assert node.certificate_expires_at_ms == done.issued.expires_at_ms
        assert members.get(session, KOMODO).statement == request.statement.SerializeToString()
        found = tokens.find(session, secret_hash(actor.secret))
        assert found is not None
        assert found.used_at_ms == NOW


def test_a_second_node_of_a_member_joins_with_its_next_statement(
    registrar: Registrar, enrolled: Actor
) -> None:
    second = Actor(node=NodeId("ID", "labuan-bajo-2"), secret=b"2" * 32, identity=enrolled.identity)
    second.last = enrolled.last
    give_token(registrar, second)
    signed = second.sign_statement(second.next_view(LABUAN, second.node))

    enrolment.enrol(registrar, *second.sign_enrolment(second.enrolment(statement=signed)), NOW)

    with registrar.store.transaction() as session:
        assert len(nodes.of_owner(session, KOMODO)) == 2


def test_step_1_size(registrar: Registrar, actor: Actor) -> None:
    data = bytes(MAX_ENROLMENT_BYTES + 1)

    assert refused(registrar, 1, data, b"") is Code.MESSAGE_TOO_LARGE
    nothing_changed(registrar, actor)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 2),
        ("version", None),
        ("secret", b"short"),
        ("secret", None),
        ("member", "ID/DAERAH"),
        ("node", "labuan-bajo-1"),
        ("node_key", None),
        ("node_key", generate(Algorithm.ECDSA_P256_SHA256).public.to_proto()),
        ("certificate_request", None),
        ("certificate_request", bytes(16 * 1024 + 1)),
        ("statement", None),
    ],
)
def test_step_2_form(registrar: Registrar, actor: Actor, name: str, value: object) -> None:
    message = actor.enrolment(**{name: value})

    refused(registrar, 2, *actor.sign_enrolment(message))
    nothing_changed(registrar, actor)


@pytest.mark.parametrize("tail", [b"\xff", b"\xa2\x06\x01x", b"\x08\x01"])
def test_step_2_strictly(registrar: Registrar, actor: Actor, tail: bytes) -> None:
    data = actor.sign_enrolment(actor.enrolment())[0] + tail
    signature = actor.node_key.sign(ENROLMENT_SIGNATURE, data)

    assert refused(registrar, 2, data, signature) is Code.REQUEST_MALFORMED
    nothing_changed(registrar, actor)


def test_step_3_federation(registrar: Registrar, actor: Actor) -> None:
    data, signature = actor.sign_enrolment(actor.enrolment(federation="XX"))

    assert refused(registrar, 3, data, signature) is Code.TOKEN_OTHER_FEDERATION
    nothing_changed(registrar, actor)


def test_step_4_token_known(registrar: Registrar, actor: Actor) -> None:
    data, signature = actor.sign_enrolment(actor.enrolment(secret=b"x" * 32))

    assert refused(registrar, 4, data, signature) is Code.TOKEN_UNKNOWN
    nothing_changed(registrar, actor)


def test_step_5_token_unused(registrar: Registrar, enrolled: Actor) -> None:
    again = Actor(identity=enrolled.identity)
    again.last = enrolled.last

    data, signature = again.sign_enrolment(again.enrolment())

    assert refused(registrar, 5, data, signature) is Code.TOKEN_USED


def test_a_node_whose_answer_was_lost_is_answered_again(registrar: Registrar, actor: Actor) -> None:
    """Failed for the node, but applied."""
    request = actor.sign_enrolment(actor.enrolment())
    enrolment.enrol(registrar, *request, NOW)

    again = enrolment.enrol(registrar, *request, NOW + 1000)

    assert certificate.dns_names(again.issued.chain[0]) == (LABUAN.dns_name,)
    assert again.touched == Touched(frozenset({KOMODO}))
    with registrar.store.transaction() as session:
        (node,) = nodes.every(session)
        assert node.certificate_expires_at_ms == again.issued.expires_at_ms


def test_who_saw_a_request_can_not_send_it_again_as_his_own(
    registrar: Registrar, actor: Actor
) -> None:
    data, signature = actor.sign_enrolment(actor.enrolment())
    enrolment.enrol(registrar, data, signature, NOW)

    forged = generate(Algorithm.ED25519).sign(ENROLMENT_SIGNATURE, data)
    assert refused(registrar, 8, data, forged) is Code.SIGNATURE_INVALID
    assert refused(registrar, 6, data, signature, NOW + DAY_MS) is Code.TOKEN_EXPIRED
    administration.revoke_node(registrar, LABUAN, NOW)
    assert refused(registrar, 10, data, signature) is Code.NODE_REVOKED


def test_step_6_token_unexpired(registrar: Registrar, actor: Actor) -> None:
    data, signature = actor.sign_enrolment(actor.enrolment())

    assert refused(registrar, 6, data, signature, NOW + DAY_MS) is Code.TOKEN_EXPIRED
    nothing_changed(registrar, actor)


@pytest.mark.parametrize(
    ("member", "node"),
    [(WAKATOBI, LABUAN), (KOMODO, NodeId("ID", "labuan-bajo-2"))],
)
def test_step_7_token_names(
    registrar: Registrar, actor: Actor, member: MemberId, node: NodeId
) -> None:
    thief = Actor(member=member, node=node)

    data, signature = thief.sign_enrolment(thief.enrolment())

    assert refused(registrar, 7, data, signature) is Code.REQUEST_MALFORMED
    nothing_changed(registrar, actor)


@pytest.mark.parametrize(
    "sign",
    [
        lambda _actor, data: generate(Algorithm.ED25519).sign(ENROLMENT_SIGNATURE, data),
        lambda actor, data: actor.node_key.sign(b"simpul/v1/change-signature", data),
        lambda actor, data: actor.node_key.sign(ENROLMENT_SIGNATURE, data + b"."),
        lambda _actor, _data: b"",
    ],
    ids=["another key", "another domain", "other bytes", "none"],
)
def test_step_8_proof_of_the_node_key(
    registrar: Registrar, actor: Actor, sign: Callable[[Actor, bytes], bytes]
) -> None:
    data, _ = actor.sign_enrolment(actor.enrolment())

    assert refused(registrar, 8, data, sign(actor, data)) is Code.SIGNATURE_INVALID
    nothing_changed(registrar, actor)


@pytest.mark.parametrize("state", [Standing.SUSPENDED, Standing.REMOVED])
def test_step_9_member_active(registrar: Registrar, actor: Actor, state: Standing) -> None:
    set_state(registrar, state)
    data, signature = actor.sign_enrolment(actor.enrolment())

    assert refused(registrar, 9, data, signature) is Code.MEMBER_SUSPENDED
    nothing_changed(registrar, actor)


def test_step_10_node_name_new(registrar: Registrar, actor: Actor) -> None:
    twin = Actor(secret=b"2" * 32, identity=actor.identity)
    give_token(registrar, twin)
    enrolment.enrol(registrar, *actor.sign_enrolment(actor.enrolment()), NOW)
    twin.last = actor.last

    data, signature = twin.sign_enrolment(twin.enrolment())

    assert refused(registrar, 10, data, signature) is Code.ALREADY_EXISTS


def test_step_10_node_key_new(registrar: Registrar, enrolled: Actor) -> None:
    other = Actor(
        member=WAKATOBI,
        node=NodeId("ID", "wakatobi-1"),
        secret=b"2" * 32,
        node_key=enrolled.node_key,
    )
    give_token(registrar, other)

    data, signature = other.sign_enrolment(other.enrolment())

    assert refused(registrar, 10, data, signature) is Code.ALREADY_EXISTS


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("link_address", ""),
        ("link_address", "127.0.0.1"),
        ("link_address", "unix:/tmp/x"),
        ("link_address", "host:99999"),
        ("slots", 0),
        ("slots", 257),
    ],
)
def test_step_11_address_and_slots(
    registrar: Registrar, actor: Actor, name: str, value: object
) -> None:
    data, signature = actor.sign_enrolment(actor.enrolment(**{name: value}))

    assert refused(registrar, 11, data, signature) is Code.CHANGE_INVALID
    nothing_changed(registrar, actor)


def test_step_12_statement_of_another_member(registrar: Registrar, actor: Actor) -> None:
    other = Actor(member=WAKATOBI)
    signed = other.sign_statement(other.next_view())

    data, signature = actor.sign_enrolment(actor.enrolment(statement=signed))

    assert refused(registrar, 12, data, signature) is Code.STATEMENT_INVALID
    nothing_changed(registrar, actor)


def test_step_12_statement_signed_by_nobody(registrar: Registrar, actor: Actor) -> None:
    signed = actor.sign_statement(actor.next_view())
    signed.signature = bytes(64)

    data, signature = actor.sign_enrolment(actor.enrolment(statement=signed))

    assert refused(registrar, 12, data, signature) is Code.STATEMENT_INVALID
    nothing_changed(registrar, actor)


def test_step_12_first_statement_is_number_1(registrar: Registrar, actor: Actor) -> None:
    actor.sign_statement(actor.next_view())
    signed = actor.sign_statement(actor.next_view())

    data, signature = actor.sign_enrolment(actor.enrolment(statement=signed))

    assert refused(registrar, 12, data, signature) is Code.STATEMENT_INVALID
    nothing_changed(registrar, actor)


def test_step_12_second_identity_is_no_first(registrar: Registrar, enrolled: Actor) -> None:
    """A second node can't replace its member's identity key by one of its own."""
    thief = Actor(node=NodeId("ID", "labuan-bajo-2"), secret=b"2" * 32)
    give_token(registrar, thief)
    thief.last = enrolled.last

    data, signature = thief.sign_enrolment(thief.enrolment())

    assert refused(registrar, 12, data, signature) is Code.STATEMENT_INVALID


def test_step_13_seal_key_for_this_node(registrar: Registrar, actor: Actor) -> None:
    signed = actor.sign_statement(actor.next_view(NodeId("ID", "labuan-bajo-2")))

    data, signature = actor.sign_enrolment(actor.enrolment(statement=signed))

    assert refused(registrar, 13, data, signature) is Code.KEY_UNKNOWN
    nothing_changed(registrar, actor)


def test_step_13_seal_key_not_past_its_time(registrar: Registrar, actor: Actor) -> None:
    signed = actor.sign_statement(actor.next_view(until_ms=NOW))

    data, signature = actor.sign_enrolment(actor.enrolment(statement=signed))

    assert refused(registrar, 13, data, signature) is Code.KEY_UNKNOWN
    nothing_changed(registrar, actor)


@pytest.mark.parametrize(
    "request_der",
    [b"no request", certificate.make_request(certificate.make_key(), NodeId("ID", "another"))],
    ids=["malformed", "another name"],
)
def test_step_14_certificate_request(
    registrar: Registrar, actor: Actor, request_der: bytes
) -> None:
    data, signature = actor.sign_enrolment(actor.enrolment(certificate_request=request_der))

    assert refused(registrar, 14, data, signature) is Code.CHANGE_INVALID
    nothing_changed(registrar, actor)


def test_step_15_record_that_nodes_accept(registrar: Registrar, actor: Actor) -> None:
    """Here: a policy that no longer knows the member's class."""
    narrow = replace(registrar.policy, member_classes=frozenset({"KEMENTERIAN"}))

    data, signature = actor.sign_enrolment(actor.enrolment())

    assert refused(replace(registrar, policy=narrow), 15, data, signature) is Code.CHANGE_INVALID
    nothing_changed(registrar, actor)


def test_of_two_that_use_one_token_at_once_exactly_one_joins(
    registrar: Registrar, actor: Actor
) -> None:
    twin = Actor(identity=actor.identity)
    requests = [
        actor.sign_enrolment(actor.enrolment()),
        twin.sign_enrolment(twin.enrolment()),
    ]
    start = threading.Barrier(2)
    outcomes: list[str] = []

    def join(data: bytes, signature: bytes) -> None:
        start.wait()
        try:
            enrolment.enrol(registrar, data, signature, NOW)
            outcomes.append("joined")
        except SimpulError as error:
            outcomes.append(error.code)

    threads = [threading.Thread(target=join, args=request) for request in requests]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(outcomes) == [Code.TOKEN_USED, "joined"]
    with registrar.store.transaction() as session:
        assert len(nodes.every(session)) == 1


def test_a_key_that_will_be_valid_later_counts(actor: Actor) -> None:
    later = SealKeyView(generate(Algorithm.ED25519).public, LABUAN, NOW + 1, NOW + 2)
    signed = actor.sign_statement(replace(actor.next_view(), seal_keys=(later,)))
    member = Member(KOMODO, "Komodo", statement=signed.SerializeToString())

    rules.check_lists_node(rules.statement_in_force(member), LABUAN, NOW)
