"""The directory: built in numbered steps, looked up, aged."""

from collections.abc import Callable, Mapping
from functools import partial
from time import perf_counter

import pytest

from security.directory import DirectoryView, MemberState, NodeState
from security.directory_records import POLICY_PATH, member_path
from security.errors import Code, SimpulError
from security.hashing import sha256
from security.identifiers import MemberId, NodeId, RegionCode, SubsystemId
from security.keys import PrivateKey, PublicKey
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.directories import build, directory, targets

NOW = fixed.NOW_MS
REGENCY_PATH = "members/DAERAH/53.15"
SEAL = fixed.key(f"{fixed.REGENCY} seal")
IDENTITY = fixed.key(f"{fixed.REGENCY} identity")
REGION = RegionCode("53.15")
STRANGER = MemberId.parse("ID/DAERAH/74.07")

ChangeRecord = Callable[[directory_pb2.MemberRecord], object]


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


def test_it_is_built_whole() -> None:
    built = view()
    assert (built.version, built.hash, built.issued_at_ms) == (7, directories.HASH, NOW)
    assert set(built.members) == {fixed.REGENCY, fixed.MINISTRY}
    assert set(built.nodes) == {fixed.REGENCY_NODE, fixed.MINISTRY_NODE}
    assert built.policy.limits.max_entries == 256


@pytest.mark.parametrize(
    "path",
    ["policies", "members/DAERAH", "members/DAERAH/53.15/x", "contract/a.B/00", "../policy", ""],
)
def test_step_1_paths(path: str) -> None:
    assert refused_at(1, targets(changed={path: b""})) == path


def test_step_1_paths_the_policy_is_there() -> None:
    files = targets()
    del files[POLICY_PATH]
    assert refused_at(1, files) == POLICY_PATH


def test_step_6_contracts_of_services() -> None:
    path, content = directories.contract_file("bandara.v1.Bandara")
    missing = regency(lambda m: setattr(m.services[0], "contract", sha256(b"none")))
    refused_at(6, targets(missing))
    other = regency(lambda m: setattr(m.services[0], "contract", sha256(content)))
    refused_at(6, targets(other, changed={path: content}))


def test_step_7_nodes() -> None:
    ministry = directories.ministry_record()
    ministry.nodes[0].id = str(fixed.REGENCY_NODE)
    refused_at(7, targets(regency(), ministry))


def test_a_member_may_have_no_statement_and_offer_nothing_yet() -> None:
    def empty(record: directory_pb2.MemberRecord) -> None:
        record.ClearField("statement")
        record.ClearField("nodes")

    built = view(empty)
    assert built.nodes_of(fixed.REGENCY, NOW) == ()
    key_id = SEAL.public.key_id
    assert code_of(lambda: built.seal_key_bytes(fixed.REGENCY, key_id)) is Code.KEY_UNKNOWN
    assert code_of(lambda: built.identity_key(fixed.REGENCY)) is Code.KEY_UNKNOWN


def test_members_and_subsystems() -> None:
    built = view()
    assert built.member(fixed.REGENCY).legal_name == "Badan 53.15"
    assert built.subsystem(fixed.TOURISM).name == "Pariwisata"
    assert code_of(lambda: built.member(STRANGER)) is Code.MEMBER_UNKNOWN
    unknown = SubsystemId(fixed.REGENCY, "x")
    assert code_of(lambda: built.subsystem(unknown)) is Code.SUBSYSTEM_UNKNOWN
    assert code_of(lambda: built.subsystem(SubsystemId(STRANGER, "x"))) is Code.MEMBER_UNKNOWN


def test_services_and_their_methods() -> None:
    built = view()
    service = built.service(fixed.TOURISM, fixed.SERVICE)
    assert service.contract.methods["List"].server_streaming
    assert service.contract.methods is service.contract.methods
    assert (
        code_of(lambda: built.service(fixed.TOURISM, "bandara.v1.Bandara")) is Code.SERVICE_UNKNOWN
    )


@pytest.mark.parametrize(
    ("state", "named"),
    [
        (directory_pb2.MEMBER_STATE_SUSPENDED, MemberState.SUSPENDED),
        (directory_pb2.MEMBER_STATE_REMOVED, MemberState.REMOVED),
    ],
)
def test_a_member_that_isnt_active_neither_seals_nor_provides(
    state: directory_pb2.MemberState.ValueType, named: MemberState
) -> None:
    built = view(lambda m: setattr(m, "state", state))
    assert built.member(fixed.REGENCY).state is named
    for call in (
        lambda: built.require_active(fixed.REGENCY),
        lambda: built.nodes_of(fixed.REGENCY, NOW),
        lambda: built.seal_key(fixed.REGENCY, SEAL.public.key_id, fixed.REGENCY_NODE, NOW),
    ):
        assert code_of(call) is Code.MEMBER_SUSPENDED
    assert code_of(lambda: built.regions.one(fixed.SERVICE, REGION, NOW)) is Code.REGION_UNSERVED
    assert built.seal_key_bytes(fixed.REGENCY, SEAL.public.key_id) == SEAL.public


def test_nodes() -> None:
    built = view()
    node = built.node(fixed.REGENCY_NODE)
    assert (node.owner, node.link_address) == (fixed.REGENCY, "127.0.0.1:7101")
    assert [slot.number for slot in node.slots] == [0]
    assert built.require_active_node(fixed.REGENCY_NODE) is node
    assert built.nodes_of(fixed.REGENCY, NOW) == (node,)
    assert code_of(lambda: built.node(NodeId("ID", "x"))) is Code.NODE_UNKNOWN


@pytest.mark.parametrize("by_key", [False, True])
def test_a_revoked_node_is_of_no_use(by_key: bool) -> None:
    def revoke(record: directory_pb2.MemberRecord) -> None:
        if by_key:
            key_id = fixed.key(f"{fixed.REGENCY_NODE} node").public.key_id
            record.revoked_keys.add(key_id=key_id, revoked_at_ms=NOW)
        else:
            record.nodes[0].state = directory_pb2.NODE_STATE_REVOKED

    built = view(revoke)
    assert built.node(fixed.REGENCY_NODE).state is NodeState.REVOKED
    assert code_of(lambda: built.require_active_node(fixed.REGENCY_NODE)) is Code.NODE_REVOKED
    assert built.nodes_of(fixed.REGENCY, NOW) == ()


def test_a_node_may_host_another_member() -> None:
    def hosted(record: directory_pb2.MemberRecord) -> None:
        record.ClearField("nodes")
        record.statement.CopyFrom(directories.statement(fixed.REGENCY, fixed.MINISTRY_NODE))

    built = view(hosted)
    assert [item.id for item in built.nodes_of(fixed.REGENCY, NOW)] == [fixed.MINISTRY_NODE]
    key_id = SEAL.public.key_id
    assert built.seal_key(fixed.REGENCY, key_id, fixed.MINISTRY_NODE, NOW) == SEAL.public


def test_a_statement_may_name_a_node_that_is_gone() -> None:
    built = view(lambda m: m.ClearField("nodes"))
    assert built.nodes_of(fixed.REGENCY, NOW) == ()


def test_a_seal_key_is_found() -> None:
    found = view().seal_key(fixed.REGENCY, SEAL.public.key_id, fixed.REGENCY_NODE, NOW)
    assert found == SEAL.public


@pytest.mark.parametrize("key_id", [b"k" * 32, b"", fixed.key("other seal").public.key_id])
def test_a_seal_key_that_isnt_listed_is_unknown(key_id: bytes) -> None:
    built = view()
    for call in (
        lambda: built.seal_key(fixed.REGENCY, key_id, fixed.REGENCY_NODE, NOW),
        lambda: built.seal_key_bytes(fixed.REGENCY, key_id),
    ):
        assert code_of(call) is Code.KEY_UNKNOWN


def test_a_seal_key_of_another_member_is_unknown() -> None:
    key_id = fixed.key(f"{fixed.MINISTRY} seal").public.key_id
    assert view().seal_key_bytes(fixed.MINISTRY, key_id).key_id == key_id
    assert code_of(lambda: view().seal_key_bytes(fixed.REGENCY, key_id)) is Code.KEY_UNKNOWN


@pytest.mark.parametrize("key", [SEAL, IDENTITY], ids=["the key", "its identity key"])
def test_a_revoked_seal_key_is_refused_but_still_checks_signatures(
    key: PrivateKey,
) -> None:
    built = view(lambda m: m.revoked_keys.add(key_id=key.public.key_id, revoked_at_ms=NOW))
    seal_id = SEAL.public.key_id
    node = fixed.REGENCY_NODE
    found = code_of(lambda: built.seal_key(fixed.REGENCY, seal_id, node, NOW))
    assert found is Code.KEY_REVOKED
    assert built.nodes_of(fixed.REGENCY, NOW) == ()
    assert built.seal_key_bytes(fixed.REGENCY, seal_id) == SEAL.public
    if key is IDENTITY:
        assert code_of(lambda: built.identity_key(fixed.REGENCY)) is Code.KEY_REVOKED
    else:
        assert built.identity_key(fixed.REGENCY) == IDENTITY.public


@pytest.mark.parametrize(
    ("days", "is_valid"),
    [(-1, True), (-1.001, False), (363.999, True), (364, False)],
)
def test_a_seal_key_is_valid_from_its_start_until_before_its_end(
    days: float, is_valid: bool
) -> None:
    built, now = view(), NOW + round(days * fixed.DAY_MS)

    def find() -> PublicKey:
        return built.seal_key(fixed.REGENCY, SEAL.public.key_id, fixed.REGENCY_NODE, now)

    if is_valid:
        assert find() == SEAL.public
    else:
        assert code_of(find) is Code.KEY_NOT_VALID
    assert (built.nodes_of(fixed.REGENCY, now) != ()) is is_valid


def test_a_seal_key_is_for_one_node() -> None:
    built, key_id = view(), SEAL.public.key_id
    node = fixed.MINISTRY_NODE
    found = code_of(lambda: built.seal_key(fixed.REGENCY, key_id, node, NOW))
    assert found is Code.KEY_NOT_VALID


def test_providers_are_found_by_region() -> None:
    assert view().regions.exact(fixed.SERVICE, REGION, NOW) == (fixed.TOURISM,)


@pytest.mark.parametrize(
    ("service", "region"), [(fixed.SERVICE, "53"), ("bandara.v1.Bandara", "53.15")]
)
def test_a_region_where_nobody_offers_the_service_is_unserved(service: str, region: str) -> None:
    call = partial(view().regions.one, service, RegionCode(region), NOW)
    assert code_of(call) is Code.REGION_UNSERVED


def test_a_member_speaks_for_a_region_while_it_is_valid() -> None:
    def period(record: directory_pb2.MemberRecord) -> None:
        record.ClearField("regions")
        record.regions.add(code="53.15", valid_from_ms=NOW, valid_until_ms=NOW + 10)
        record.regions.add(code="53.15", valid_from_ms=NOW + 5, valid_until_ms=NOW + 10)

    built = view(period)
    assert built.regions.exact(fixed.SERVICE, REGION, NOW + 9) == (fixed.TOURISM,)
    for now in (NOW - 1, NOW + 10):
        call = partial(built.regions.one, fixed.SERVICE, REGION, now)
        assert code_of(call) is Code.REGION_UNSERVED


def test_ages() -> None:
    built = view()
    assert not built.is_stale(NOW + 600_000)
    assert built.is_stale(NOW + 600_001)
    built.check_age(NOW - 1000)
    built.check_age(NOW + 7 * fixed.DAY_MS)
    assert code_of(lambda: built.check_age(NOW + 7 * fixed.DAY_MS + 1)) is Code.DIRECTORY_DEAD


def test_what_didnt_change_is_taken_over_and_what_did_is_judged() -> None:
    old = view()
    changed = targets(regency(lambda m: setattr(m, "number", 2)), directories.ministry_record())
    new = DirectoryView.build("ID", 8, b"h" * 32, NOW, changed, old)
    assert new.member(fixed.MINISTRY).statement is old.member(fixed.MINISTRY).statement
    assert new.member(fixed.REGENCY).statement is not old.member(fixed.REGENCY).statement
    contract_hash = sha256(directories.contract_file()[1])
    assert new.contracts[contract_hash] is old.contracts[contract_hash]
    assert new.version == 8


class Read(dict[str, bytes]):
    """Files, and which of them were read."""

    def __init__(self, files: Mapping[str, bytes]) -> None:
        super().__init__(files)
        self.read: list[str] = []

    def __getitem__(self, path: str) -> bytes:
        self.read.append(path)
        return super().__getitem__(path)


def test_of_files_whose_digests_are_known_only_new_ones_are_read() -> None:
    old, changed = view(), targets(regency(lambda m: setattr(m, "number", 2)))
    digests = {path: sha256(data) for path, data in changed.items()}
    files = Read(changed)
    new = DirectoryView.build("ID", 8, b"h" * 32, NOW, files, old, digests)
    assert sorted(files.read) == [member_path(fixed.REGENCY), POLICY_PATH]
    assert new.members.keys() == {fixed.REGENCY}


def test_a_known_file_under_another_path_is_judged_by_that_path() -> None:
    path, content = directories.contract_file()
    moved = f"contracts/bandara.v1.Bandara/{path.rpartition('/')[2]}"
    for step, at, data in ((3, moved, content), (4, "members/DAERAH/1", regency())):
        given = data if isinstance(data, bytes) else data.SerializeToString(deterministic=True)
        with pytest.raises(SimpulError) as caught:
            DirectoryView.build("ID", 8, b"h" * 32, NOW, targets(changed={at: given}), view())
        assert caught.value.details["step"] == str(step)


def test_another_policy_has_every_member_judged_again() -> None:
    policy = directories.policy()
    policy.member_classes.remove("DAERAH")
    files = targets(changed={POLICY_PATH: policy.SerializeToString()})
    with pytest.raises(SimpulError) as caught:
        DirectoryView.build("ID", 8, b"h" * 32, NOW, files, view())
    assert caught.value.details["step"] == "4"


def test_a_country_is_built_in_seconds() -> None:
    records = [
        directories.member_record(MemberId("ID", "DAERAH", str(at)), NodeId("ID", f"n{at}"))
        for at in range(1200)
    ]
    files = targets(*records)
    start = perf_counter()
    built = build(files)
    elapsed_s = perf_counter() - start
    assert len(built.members) == 1200
    assert elapsed_s < 10, "a new directory must reach every worker within seconds"
