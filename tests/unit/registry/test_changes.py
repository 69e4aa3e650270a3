"""Changes by nodes: one test per numbered step that breaks only that step, and what is stored."""

from collections.abc import Callable
from dataclasses import replace
from hashlib import sha256

import pytest
from google.protobuf.message import Message

from registry import administration, changes, enrolment
from registry.directory import content
from registry.life import Standing
from registry.model import Service, Subsystem, Touched
from registry.registrar import Registrar
from registry.requests import MAX_CHANGE_BYTES
from registry.store import listings, members, nodes, services
from security import certificate
from security.errors import Code, SimpulError
from security.hashing import CHANGE_SIGNATURE
from security.identifiers import NodeId, ServiceId
from security.keys import Algorithm, generate
from simpul.v1 import agreement_pb2, directory_pb2, registry_pb2
from tests.unit.registry.conftest import (
    DAY_MS,
    KOMODO,
    LABUAN,
    NOW,
    WAKATOBI,
    Actor,
    descriptor_set,
    give_token,
    publish_service,
    set_state,
)

WISATA = ServiceId.parse(f"{KOMODO}/pariwisata/wisata.v1.Wisata")

KINDS: dict[str, Message] = {
    "publish_service": publish_service(),
    "withdraw_service": registry_pb2.WithdrawService(
        subsystem=str(WISATA.subsystem), service=WISATA.service
    ),
    "set_link_address": registry_pb2.SetLinkAddress(link_address="10.0.0.1:7101"),
}


def apply(registrar: Registrar, actor: Actor, **fields: object) -> changes.Applied:
    return changes.apply(registrar, *actor.sign_change(actor.change(**fields)), NOW)


def refused(
    registrar: Registrar, step: int, data: bytes, signature: bytes, now_ms: int = NOW
) -> Code:
    with pytest.raises(SimpulError) as caught:
        changes.apply(registrar, data, signature, now_ms)
    assert caught.value.details["step"] == str(step)
    assert "\n" not in caught.value.message
    return caught.value.code


@pytest.fixture
def neighbour(registrar: Registrar) -> Actor:
    """A node of another member."""
    made = Actor(member=WAKATOBI, node=NodeId("ID", "wakatobi-1"), secret=b"w" * 32)
    give_token(registrar, made)
    enrolment.enrol(registrar, *made.sign_enrolment(made.enrolment()), NOW)
    return made


def test_a_service_is_published_with_its_subsystem_and_contract(
    registrar: Registrar, enrolled: Actor
) -> None:
    done = apply(registrar, enrolled, publish_service=publish_service())

    key = ("wisata.v1.Wisata", sha256(descriptor_set()).digest())
    card = frozenset({"wisata.v1"})
    assert done.touched == Touched(frozenset({KOMODO}), frozenset({key}), card)
    with registrar.store.transaction() as session:
        files = content.read(session, registrar.policy, done.touched)
        listing = listings.get(session, KOMODO)
    contract = files[f"contracts/wisata.v1.Wisata/{key[1].hex()}"]
    assert listing.subsystems == (Subsystem(WISATA.subsystem, "pariwisata"),)
    assert listing.services == (Service(WISATA, sha256(contract).digest()),)


def test_two_members_share_one_contract_file(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    apply(registrar, enrolled, publish_service=publish_service())
    second = apply(registrar, neighbour, publish_service=publish_service(f"{WAKATOBI}/pariwisata"))

    assert second.touched == Touched(frozenset({WAKATOBI}))
    with registrar.store.transaction() as session:
        (ours,) = services.of_member(session, KOMODO)
        (theirs,) = services.of_member(session, WAKATOBI)
    assert ours.contract == theirs.contract


def test_a_service_is_withdrawn(registrar: Registrar, enrolled: Actor) -> None:
    apply(registrar, enrolled, publish_service=publish_service())

    apply(registrar, enrolled, withdraw_service=KINDS["withdraw_service"])

    with registrar.store.transaction() as session:
        assert services.find(session, WISATA) is None


def activity(version: int = 1, **changes: object) -> registry_pb2.PutActivity:
    made = directory_pb2.Activity(
        id="layanan-wisata", version=version, title="Tourist map", purpose="Show islands",
        legal_basis=agreement_pb2.LEGAL_BASIS_PUBLIC_TASK, retention="30 days",
        citizen_visibility=agreement_pb2.CITIZEN_VISIBILITY_VISIBLE, officer="pdp@x.example",
    )  # fmt: skip
    for name, value in changes.items():
        setattr(made, name, value)
    return registry_pb2.PutActivity(member=str(KOMODO), activity=made)


def test_a_purpose_is_published_in_versions_and_none_is_lost(
    registrar: Registrar, enrolled: Actor
) -> None:
    steps = (activity(), activity(2, title="Map"), activity(3, title="Map", retired=True))
    for step in steps:
        assert apply(registrar, enrolled, put_activity=step).touched == Touched(frozenset({KOMODO}))
    # Once more, as if the answer had been lost.
    apply(registrar, enrolled, put_activity=steps[-1])

    with registrar.store.transaction() as session:
        listing = listings.get(session, KOMODO)
        (record,) = content.read(session, registrar.policy, Touched(frozenset({KOMODO}))).values()
    assert len(listing.activities) == len(steps)
    listed = directory_pb2.MemberRecord.FromString(record).activities
    assert list(listed) == [step.activity for step in steps]


def test_9_another_s_purposes_are_not_a_node_s_to_publish(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    assert refused(registrar, 9, *neighbour.sign_change(neighbour.change(put_activity=activity())))


@pytest.mark.parametrize("wrong", [activity(1, title="Other"), activity(3)])
def test_10_a_version_that_does_not_follow_is_refused(
    registrar: Registrar, enrolled: Actor, wrong: registry_pb2.PutActivity
) -> None:
    apply(registrar, enrolled, put_activity=activity())
    change = enrolled.sign_change(enrolled.change(put_activity=wrong))
    assert refused(registrar, 10, *change) is Code.CHANGE_INVALID


def test_a_node_moves(registrar: Registrar, enrolled: Actor) -> None:
    done = apply(registrar, enrolled, set_link_address=KINDS["set_link_address"])

    assert done.touched == Touched(frozenset({KOMODO}))
    with registrar.store.transaction() as session:
        assert nodes.get(session, LABUAN).link_address == "10.0.0.1:7101"


def test_a_certificate_is_renewed(registrar: Registrar, enrolled: Actor) -> None:
    enrolled.now_ms = later = NOW + 20 * DAY_MS
    request = certificate.make_request(certificate.make_key(), LABUAN)
    kind = registry_pb2.RenewCertificate(certificate_request=request)

    data, signature = enrolled.sign_change(enrolled.change(renew_certificate=kind))
    done = changes.apply(registrar, data, signature, later)

    assert done.touched == Touched()
    assert done.issued is not None
    assert certificate.dns_names(done.issued.chain[0]) == (LABUAN.dns_name,)
    with registrar.store.transaction() as session:
        assert nodes.get(session, LABUAN).certificate_expires_at_ms > later + 29 * DAY_MS


def test_a_statement_is_replaced_by_the_next(registrar: Registrar, enrolled: Actor) -> None:
    signed = enrolled.sign_statement(enrolled.next_view())

    apply(registrar, enrolled, replace_statement=registry_pb2.ReplaceStatement(statement=signed))

    with registrar.store.transaction() as session:
        assert members.get(session, KOMODO).statement == signed.SerializeToString()


def test_an_identity_key_is_replaced_with_the_old_ones_signature(
    registrar: Registrar, enrolled: Actor
) -> None:
    old, enrolled.identity = enrolled.identity, generate(Algorithm.ED25519)
    signed = enrolled.sign_statement(enrolled.next_view(), predecessor=old)

    apply(registrar, enrolled, replace_statement=registry_pb2.ReplaceStatement(statement=signed))

    with registrar.store.transaction() as session:
        assert members.get(session, KOMODO).statement == signed.SerializeToString()


def test_step_1_size(registrar: Registrar) -> None:
    assert refused(registrar, 1, bytes(MAX_CHANGE_BYTES + 1), b"") is Code.MESSAGE_TOO_LARGE


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("version", 2),
        ("node", "labuan"),
        ("number", 0),
        ("number", 1 << 63),
        ("set_link_address", None),
        ("publish_service", publish_service(subsystem="ID/DAERAH/53.15")),
        ("publish_service", publish_service(service="Wisata", protoset=b"")),
        ("renew_certificate", registry_pb2.RenewCertificate()),
        ("replace_statement", registry_pb2.ReplaceStatement()),
    ],
)
def test_step_2_form(registrar: Registrar, enrolled: Actor, name: str, value: object) -> None:
    message = enrolled.change(**{"set_link_address": KINDS["set_link_address"], name: value})

    refused(registrar, 2, *enrolled.sign_change(message))


def test_step_2_strictly(registrar: Registrar, enrolled: Actor) -> None:
    data = enrolled.sign_change(enrolled.change(**kinds("set_link_address")))[0] + b"\x08\x01"

    signature = enrolled.node_key.sign(CHANGE_SIGNATURE, data)

    assert refused(registrar, 2, data, signature) is Code.REQUEST_MALFORMED


def kinds(name: str) -> dict[str, object]:
    return {name: KINDS[name]}


def test_step_3_federation(registrar: Registrar, enrolled: Actor) -> None:
    message = enrolled.change(federation="XX", **kinds("set_link_address"))

    assert refused(registrar, 3, *enrolled.sign_change(message)) is Code.CHANGE_INVALID


def test_step_4_node_listed(registrar: Registrar) -> None:
    stranger = Actor(node=NodeId("ID", "nobody"))
    message = stranger.change(**kinds("set_link_address"))

    assert refused(registrar, 4, *stranger.sign_change(message)) is Code.NODE_UNKNOWN


def test_step_4_node_active(registrar: Registrar, enrolled: Actor) -> None:
    administration.revoke_node(registrar, LABUAN, NOW)
    message = enrolled.change(**kinds("set_link_address"))

    assert refused(registrar, 4, *enrolled.sign_change(message)) is Code.NODE_REVOKED


@pytest.mark.parametrize(
    "sign",
    [
        lambda _actor, data: generate(Algorithm.ED25519).sign(CHANGE_SIGNATURE, data),
        lambda actor, data: actor.identity.sign(CHANGE_SIGNATURE, data),
        lambda actor, data: actor.node_key.sign(b"simpul/v1/enrolment-signature", data),
        lambda _actor, _data: b"",
    ],
    ids=["another key", "the identity key", "another domain", "none"],
)
def test_step_5_signature(
    registrar: Registrar, enrolled: Actor, sign: Callable[[Actor, bytes], bytes]
) -> None:
    data, _ = enrolled.sign_change(enrolled.change(**kinds("set_link_address")))

    assert refused(registrar, 5, data, sign(enrolled, data)) is Code.SIGNATURE_INVALID


@pytest.mark.parametrize("off_ms", [-300_001, 300_001])
def test_step_6_made_now(registrar: Registrar, enrolled: Actor, off_ms: int) -> None:
    data, signature = enrolled.sign_change(enrolled.change(**kinds("set_link_address")))

    assert refused(registrar, 6, data, signature, NOW - off_ms) is Code.CHANGE_INVALID


def test_step_7_number(registrar: Registrar, enrolled: Actor) -> None:
    data, signature = enrolled.sign_change(enrolled.change(**kinds("set_link_address")))
    changes.apply(registrar, data, signature, NOW)

    assert refused(registrar, 7, data, signature) is Code.CHANGE_REPLAYED

    enrolled.number = 0
    lower = enrolled.change(**kinds("publish_service"))
    assert refused(registrar, 7, *enrolled.sign_change(lower)) is Code.CHANGE_REPLAYED


def test_a_refused_change_uses_no_number(registrar: Registrar, enrolled: Actor) -> None:
    wrong = registry_pb2.SetLinkAddress(link_address="nowhere")
    message = enrolled.change(set_link_address=wrong)
    refused(registrar, 8, *enrolled.sign_change(message))

    with registrar.store.transaction() as session:
        assert nodes.get(session, LABUAN).change_number == 0


@pytest.mark.parametrize("kind", ["publish_service", "withdraw_service"])
def test_step_8_member_listed(registrar: Registrar, enrolled: Actor, kind: str) -> None:
    message = enrolled.change(**kinds(kind))
    getattr(message, kind).subsystem = "ID/DAERAH/99.99/pariwisata"

    assert refused(registrar, 8, *enrolled.sign_change(message)) is Code.MEMBER_UNKNOWN


@pytest.mark.parametrize("kind", ["publish_service", "withdraw_service"])
def test_step_8_member_active(registrar: Registrar, enrolled: Actor, kind: str) -> None:
    set_state(registrar, Standing.SUSPENDED)
    message = enrolled.change(**kinds(kind))

    assert refused(registrar, 8, *enrolled.sign_change(message)) is Code.MEMBER_SUSPENDED


def test_step_8_member_active_for_a_statement(registrar: Registrar, enrolled: Actor) -> None:
    set_state(registrar, Standing.SUSPENDED)
    signed = enrolled.sign_statement(enrolled.next_view())
    kind = registry_pb2.ReplaceStatement(statement=signed)

    message = enrolled.change(replace_statement=kind)

    assert refused(registrar, 8, *enrolled.sign_change(message)) is Code.MEMBER_SUSPENDED


@pytest.mark.parametrize("address", ["", "nowhere", "host:0", "host:70000", "unix:/x"])
def test_step_8_link_address(registrar: Registrar, enrolled: Actor, address: str) -> None:
    kind = registry_pb2.SetLinkAddress(link_address=address)
    message = enrolled.change(set_link_address=kind)

    assert refused(registrar, 8, *enrolled.sign_change(message)) is Code.CHANGE_INVALID


@pytest.mark.parametrize("kind", ["publish_service", "withdraw_service"])
def test_step_9_a_node_speaks_for_no_other_member(
    registrar: Registrar, enrolled: Actor, neighbour: Actor, kind: str
) -> None:
    apply(registrar, enrolled, publish_service=publish_service())
    message = neighbour.change(**kinds(kind))

    assert refused(registrar, 9, *neighbour.sign_change(message)) is Code.KEY_UNKNOWN


def test_step_9_a_node_replaces_no_other_members_statement(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    signed = enrolled.sign_statement(enrolled.next_view())
    kind = registry_pb2.ReplaceStatement(statement=signed)
    message = neighbour.change(replace_statement=kind)

    assert refused(registrar, 9, *neighbour.sign_change(message)) is Code.KEY_UNKNOWN


@pytest.mark.parametrize(
    ("protoset", "code"),
    [
        (b"", Code.PROTOSET_INVALID),
        (b"\xff", Code.PROTOSET_INVALID),
        (descriptor_set("wisata.v1.Other"), Code.PROTOSET_LACKS_SERVICE),
        (descriptor_set(methods=()), Code.PROTOSET_LACKS_SERVICE),
    ],
)
def test_step_10_contract_holds_the_service(
    registrar: Registrar, enrolled: Actor, protoset: bytes, code: Code
) -> None:
    message = enrolled.change(publish_service=publish_service(protoset=protoset))

    assert refused(registrar, 10, *enrolled.sign_change(message)) is code


def test_step_10_service_to_withdraw_is_listed(registrar: Registrar, enrolled: Actor) -> None:
    message = enrolled.change(**kinds("withdraw_service"))

    assert refused(registrar, 10, *enrolled.sign_change(message)) is Code.SERVICE_UNKNOWN


def test_step_10_statement_follows(registrar: Registrar, enrolled: Actor) -> None:
    enrolled.sign_statement(enrolled.next_view())
    skipping = enrolled.sign_statement(enrolled.next_view())
    kind = registry_pb2.ReplaceStatement(statement=skipping)
    message = enrolled.change(replace_statement=kind)

    assert refused(registrar, 10, *enrolled.sign_change(message)) is Code.STATEMENT_INVALID


def test_step_10_new_identity_key_without_the_old_ones_signature(
    registrar: Registrar, enrolled: Actor
) -> None:
    enrolled.identity = generate(Algorithm.ED25519)
    signed = enrolled.sign_statement(enrolled.next_view())
    kind = registry_pb2.ReplaceStatement(statement=signed)
    message = enrolled.change(replace_statement=kind)

    assert refused(registrar, 10, *enrolled.sign_change(message)) is Code.STATEMENT_INVALID


def test_step_10_certificate_request(registrar: Registrar, enrolled: Actor) -> None:
    other = certificate.make_request(certificate.make_key(), NodeId("ID", "another"))
    kind = registry_pb2.RenewCertificate(certificate_request=other)
    message = enrolled.change(renew_certificate=kind)

    assert refused(registrar, 10, *enrolled.sign_change(message)) is Code.CHANGE_INVALID


def test_step_11_record_that_nodes_accept(registrar: Registrar, enrolled: Actor) -> None:
    narrow = replace(registrar.policy, member_classes=frozenset({"KEMENTERIAN"}))
    message = enrolled.change(**kinds("set_link_address"))

    code = refused(replace(registrar, policy=narrow), 11, *enrolled.sign_change(message))

    assert code is Code.CHANGE_INVALID
    with registrar.store.transaction() as session:
        assert nodes.get(session, LABUAN).link_address == "127.0.0.1:7101"
