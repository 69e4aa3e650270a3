"""The directory's files one by one: steps 2 to 5 of building it, each by what breaks it."""

from collections.abc import Callable

import pytest

from security.directory import DirectoryView
from security.directory_records import (
    POLICY_PATH,
    check_link_address,
    contract_path,
    member_path,
)
from security.errors import Code, SimpulError
from security.hashing import sha256
from security.identifiers import MemberId
from security.keys import Algorithm
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.directories import build, directory, targets

NOW = fixed.NOW_MS
REGENCY_PATH = "members/DAERAH/53.15"
STRANGER = MemberId.parse("ID/DAERAH/74.07")

ChangeRecord = Callable[[directory_pb2.MemberRecord], object]
ChangePolicy = Callable[[directory_pb2.FederationPolicy], object]
ChangeContract = Callable[[directory_pb2.ContractRevision], object]


def regency(change: ChangeRecord = lambda _: None) -> directory_pb2.MemberRecord:
    record = directories.regency_record()
    change(record)
    return record


def view(change: ChangeRecord = lambda _: None) -> DirectoryView:
    return directory(regency(change), directories.ministry_record())


def code_of(call: Callable[[], object]) -> Code:
    with pytest.raises(SimpulError) as caught:
        call()
    return caught.value.code


def refused_at(step: int, files: dict[str, bytes]) -> str:
    with pytest.raises(SimpulError) as caught:
        build(files)
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED
    assert caught.value.details["step"] == str(step)
    assert "\n" not in caught.value.message
    return caught.value.details["path"]


BAD_POLICY: dict[str, ChangePolicy] = {
    "version 2": lambda p: setattr(p, "version", 2),
    "another federation": lambda p: setattr(p, "federation", "MY"),
    "no stale age": lambda p: p.ClearField("stale_after_ms"),
    "dead before stale": lambda p: setattr(p, "dead_after_ms", p.stale_after_ms),
    "no authority": lambda p: p.ClearField("tls_authorities"),
    "an empty authority": lambda p: p.tls_authorities.append(b""),
    "no class": lambda p: p.ClearField("member_classes"),
    "a class twice": lambda p: p.member_classes.append("DAERAH"),
    "a class that is none": lambda p: p.member_classes.append("daerah"),
    "no limits": lambda p: p.ClearField("limits"),
    "one limit missing": lambda p: p.limits.ClearField("max_call_ms"),
}


@pytest.mark.parametrize("change", BAD_POLICY.values(), ids=BAD_POLICY)
def test_step_2_policy(change: ChangePolicy) -> None:
    policy = directories.policy()
    change(policy)
    assert refused_at(2, targets(changed={POLICY_PATH: policy.SerializeToString()})) == POLICY_PATH


def test_step_2_policy_is_parsed_strictly() -> None:
    refused_at(2, targets(changed={POLICY_PATH: b"\xff"}))


BAD_CONTRACT: dict[str, ChangeContract] = {
    "version 2": lambda c: setattr(c, "version", 2),
    "another federation": lambda c: setattr(c, "federation", "MY"),
    "another service": lambda c: setattr(c, "service", "bandara.v1.Bandara"),
    "no service": lambda c: c.ClearField("service"),
    "other descriptors": lambda c: setattr(c, "descriptor_set", b""),
    "no publisher": lambda c: c.ClearField("publisher"),
}


@pytest.mark.parametrize("change", BAD_CONTRACT.values(), ids=BAD_CONTRACT)
def test_step_3_contracts(change: ChangeContract) -> None:
    path, content = directories.contract_file()
    contract = directory_pb2.ContractRevision.FromString(content)
    change(contract)
    assert refused_at(3, targets(changed={path: contract.SerializeToString()})) == path


def test_step_3_contracts_are_parsed_strictly() -> None:
    path, content = directories.contract_file()
    refused_at(3, targets(changed={path: content + b"\x78\x01"}))


BAD_RECORD: dict[str, ChangeRecord] = {
    "version 2": lambda m: setattr(m, "version", 2),
    "another federation": lambda m: setattr(m, "federation", "MY"),
    "another member": lambda m: setattr(m, "member", str(STRANGER)),
    "no member": lambda m: m.ClearField("member"),
    "no number": lambda m: m.ClearField("number"),
    "no name": lambda m: m.ClearField("legal_name"),
    "too long a name": lambda m: setattr(m, "legal_name", "a" * 257),
    "no state": lambda m: m.ClearField("state"),
    "a region that is none": lambda m: m.regions.add(code="5", valid_from_ms=1),
    "a region with no start": lambda m: m.regions.add(code="53"),
    "a region that ends at once": lambda m: m.regions.add(
        code="53", valid_from_ms=1, valid_until_ms=1
    ),
    "another member's subsystem": lambda m: m.subsystems.add(id=f"{STRANGER}/a"),
    "a subsystem twice": lambda m: m.subsystems.append(m.subsystems[0]),
    "a subsystem with too long a name": lambda m: setattr(m.subsystems[0], "name", "a" * 257),
    "a service of no subsystem": lambda m: m.services.add(
        id=f"{fixed.REGENCY}/x/a.B", contract=m.services[0].contract
    ),
    "a service twice": lambda m: m.services.append(m.services[0]),
    "a contract's hash cut short": lambda m: setattr(m.services[0], "contract", b"h"),
    "a node of another federation": lambda m: setattr(m.nodes[0], "id", "MY/~a"),
    "a node with no key": lambda m: m.nodes[0].ClearField("node_key"),
    "a node whose key isn't Ed25519": lambda m: m.nodes[0].node_key.CopyFrom(
        fixed.key("n", Algorithm.ECDSA_P256_SHA256).public.to_proto()
    ),
    "a node with no address": lambda m: m.nodes[0].ClearField("link_address"),
    "a node with no state": lambda m: m.nodes[0].ClearField("state"),
    "a node with no slot": lambda m: m.nodes[0].ClearField("slots"),
    "a slot with no number": lambda m: m.nodes[0].slots[0].ClearField("number"),
    "a slot with no origin": lambda m: m.nodes[0].slots[0].ClearField("origin"),
    "slots out of order": lambda m: setattr(m.nodes[0].slots[0], "number", 1),
    "a revoked key that is none": lambda m: m.revoked_keys.add(key_id=b"k", revoked_at_ms=1),
    "a revocation at no time": lambda m: m.revoked_keys.add(key_id=b"k" * 32),
    "a suspicion after the revocation": lambda m: m.revoked_keys.add(
        key_id=b"k" * 32, revoked_at_ms=1, suspected_since_ms=2
    ),
    "a revocation twice": lambda m: m.revoked_keys.extend(
        [directory_pb2.RevokedKey(key_id=b"k" * 32, revoked_at_ms=1)] * 2
    ),
}


@pytest.mark.parametrize("change", BAD_RECORD.values(), ids=BAD_RECORD)
def test_step_4_members(change: ChangeRecord) -> None:
    files = targets(changed={REGENCY_PATH: regency(change).SerializeToString()})
    assert refused_at(4, files) == REGENCY_PATH


def test_step_4_members_of_a_class_that_the_policy_has() -> None:
    policy = directories.policy()
    policy.member_classes.remove("DAERAH")
    refused_at(4, targets(changed={POLICY_PATH: policy.SerializeToString()}))


@pytest.mark.parametrize(
    ("member", "path"),
    [("ID/DAERAH/53.15", "members/DAERAH/53.16"), ("MY/DAERAH/53.15", "members/DAERAH/53.15")],
)
def test_step_4_members_are_where_their_path_says(member: str, path: str) -> None:
    record = directory_pb2.MemberRecord(
        version=1,
        federation="ID",
        member=member,
        number=1,
        state=directory_pb2.MEMBER_STATE_ACTIVE,
        legal_name="Badan",
    )
    files = targets(directories.ministry_record(), changed={path: record.SerializeToString()})
    assert refused_at(4, files) == path


def test_step_4_members_are_parsed_strictly() -> None:
    refused_at(4, targets(changed={REGENCY_PATH: b"\xff"}))


def test_step_5_statements() -> None:
    def another(record: directory_pb2.MemberRecord) -> None:
        record.statement.CopyFrom(directories.statement(fixed.MINISTRY, fixed.MINISTRY_NODE))

    def unsigned(record: directory_pb2.MemberRecord) -> None:
        record.statement.ClearField("signature")

    for change in (another, unsigned):
        files = targets(changed={REGENCY_PATH: regency(change).SerializeToString()})
        assert refused_at(5, files) == REGENCY_PATH


@pytest.mark.parametrize("change", BAD_RECORD.values(), ids=BAD_RECORD)
def test_step_4_members_after_a_sound_version(change: ChangeRecord) -> None:
    files = targets(changed={REGENCY_PATH: regency(change).SerializeToString()})
    with pytest.raises(SimpulError) as caught:
        DirectoryView.build("ID", 8, b"h" * 32, NOW, files, view())
    assert caught.value.details["step"] == "4"


@pytest.mark.parametrize("text", ["node.example:7101", "127.0.0.1:1", "[::1]:65535", "a:443"])
def test_link_addresses(text: str) -> None:
    check_link_address(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a",
        "a:",
        ":1",
        "a:0",
        "a:65536",
        "a:01",
        "a:1 ",
        "a b:1",
        "http://a:1",
        "::1:1",
        "a:1\n",
        "a" * 260 + ":1",
    ],
)
def test_what_is_no_link_address_is_refused(text: str) -> None:
    assert code_of(lambda: check_link_address(text)) is Code.CHANGE_INVALID


def test_paths() -> None:
    assert member_path(fixed.REGENCY) == REGENCY_PATH
    assert contract_path("a.B", b"") == f"contracts/a.B/{sha256(b'').hex()}"
