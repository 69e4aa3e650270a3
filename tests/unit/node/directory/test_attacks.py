"""What each attacker can sign or serve, and the refusal that it meets. The last good copy stays."""

from collections.abc import Callable
from pathlib import Path

import pytest
from securesystemslib.signer import CryptoSigner
from tuf.api.metadata import Metadata, MetaFile, SuccinctRoles, TargetFile

from node.directory.fetch import MAX_ROOT_BYTES
from node.directory.replica import Replica
from node.directory.rules import MAX_CLOCK_LAG_MS
from node.store.engine import Store
from security.errors import Code, SimpulError
from tests.unit.node.directory.fake_registry import (
    FEDERATION,
    MEMBER,
    NOW_MS,
    OTHER,
    DictFetcher,
    FakeRegistry,
    member_path,
    policy,
    record,
)

NewReplica = Callable[[], Replica]
Attack = Callable[[FakeRegistry], None]
PATH = member_path(MEMBER)


def change(registry: FakeRegistry, number: int = 2) -> None:
    registry.put(PATH, record(MEMBER, number, f"name {number}"))
    registry.publish()


def another_federations_root(registry: FakeRegistry) -> None:
    registry.files |= FakeRegistry().files


def another_federations_policy(registry: FakeRegistry) -> None:
    registry.list_target("targets", "policy", policy("SG"))
    registry.publish()


def timestamp_by_another_key(registry: FakeRegistry) -> None:
    registry.keys["timestamp"] = CryptoSigner.generate_ed25519()
    registry.sign_timestamp()


def contracts_key_lists_a_member(registry: FakeRegistry) -> None:
    bins = registry.roles["contracts"].delegations
    assert bins is not None
    assert bins.succinct_roles is not None
    registry.list_target(bins.succinct_roles.get_role_for_target(PATH), PATH, record(MEMBER, 9))
    registry.publish()


def member_in_a_wrong_bin(registry: FakeRegistry) -> None:
    wrong = "m-0" if registry.bin_of(PATH) != "m-0" else "m-1"
    registry.list_target(wrong, PATH, record(MEMBER, 9))
    registry.publish()


def family_lists_a_member_itself(registry: FakeRegistry) -> None:
    registry.list_target("members", PATH, record(MEMBER, 9))
    registry.publish()


def targets_lists_what_is_no_policy(registry: FakeRegistry) -> None:
    registry.list_target("targets", "extra", b"extra")
    registry.publish()


def content_of_another_member(registry: FakeRegistry) -> None:
    registry.put(PATH, record(OTHER, 9))
    registry.publish()


def bin_by_another_key(registry: FakeRegistry) -> None:
    registry.keys["m"] = CryptoSigner.generate_ed25519()
    change(registry)


def truncated_target(registry: FakeRegistry) -> None:
    change(registry)
    name = next(name for name in registry.files if name.endswith(".53.15"))
    registry.files |= {
        name: data[:-1] for name, data in registry.files.items() if name.endswith(".53.15")
    }
    assert name


def truncated_bin(registry: FakeRegistry) -> None:
    change(registry)
    role = registry.bin_of(PATH)
    registry.files[f"metadata/{registry.roles[role].version}.{role}.json"] = b'{"signed": {'


def captive_portal(registry: FakeRegistry) -> None:
    page = b"<html><body>Please accept the terms</body></html>"
    names = [*registry.files, "metadata/2.root.json"]
    registry.files |= dict.fromkeys(names, page)


def timestamp_is_a_portals_page(registry: FakeRegistry) -> None:
    registry.files["metadata/timestamp.json"] = b"<html></html>"


def huge_length_signed(registry: FakeRegistry) -> None:
    target = TargetFile.from_data(PATH, record(MEMBER, 2), ["sha256"])
    target.length = 10**12
    registry.roles[registry.bin_of(PATH)].targets[PATH] = target
    registry.touch(registry.bin_of(PATH))
    registry.publish()


def endless_snapshot(registry: FakeRegistry) -> None:
    change(registry)
    registry.files[f"metadata/{registry.snapshot.version}.snapshot.json"] = b"x" * 3_000_000


def snapshot_without_hashes(registry: FakeRegistry) -> None:
    change(registry)
    for meta in registry.snapshot.meta.values():
        meta.hashes = None
    registry.snapshot.version += 1
    registry.publish()


def timestamp_without_hashes(registry: FakeRegistry) -> None:
    registry.timestamp.snapshot_meta = MetaFile(registry.snapshot.version)
    registry.sign_timestamp()


def no_time_of_issue(registry: FakeRegistry) -> None:
    registry.timestamp.version += 1
    registry.timestamp.unrecognized_fields = {}
    registry.files["metadata/timestamp.json"] = registry.sign("timestamp", registry.timestamp)


def time_of_issue_as_text(registry: FakeRegistry) -> None:
    registry.timestamp.version += 1
    registry.timestamp.unrecognized_fields = {"x-issued-at": str(NOW_MS)}
    registry.files["metadata/timestamp.json"] = registry.sign("timestamp", registry.timestamp)


def too_many_bins(registry: FakeRegistry) -> None:
    delegations = registry.roles["members"].delegations
    assert delegations is not None
    assert delegations.succinct_roles is not None
    delegations.succinct_roles = SuccinctRoles(delegations.succinct_roles.keyids, 1, 16, "m")
    registry.touch("members")
    registry.publish()


def one_key_under_two_ids(registry: FakeRegistry) -> None:
    old = registry.keys["timestamp"].public_key
    twin = type(old)("ff" * 32, old.keytype, old.scheme, dict(old.keyval))
    registry.root.add_key(twin, "timestamp")
    registry.root.version += 1
    registry.sign_root()


def root_by_another_key(registry: FakeRegistry) -> None:
    """The thief of the online keys, or of nothing."""
    registry.keys["root"] = CryptoSigner.generate_ed25519()
    registry.rotate_online_keys()
    change(registry)


def root_that_its_own_keys_did_not_sign(registry: FakeRegistry) -> None:
    """One of two holders who are to sign from then on has lost the key that it names."""
    registry.root.add_key(CryptoSigner.generate_ed25519().public_key, "root")
    registry.root.roles["root"].threshold = 2
    registry.root.version += 1
    registry.sign_root()


def root_that_skips_a_number(registry: FakeRegistry) -> None:
    registry.root.version += 2
    registry.files["metadata/2.root.json"] = registry.sign("root", registry.root)


def root_that_is_too_large(registry: FakeRegistry) -> None:
    registry.root.version += 1
    registry.root.unrecognized_fields["x-filler"] = "x" * MAX_ROOT_BYTES
    registry.sign_root()


def policy_by_an_online_key(registry: FakeRegistry) -> None:
    """The thief of every online key writes himself a policy: other witnesses, another authority."""
    registry.keys["targets"] = registry.keys["m"]
    registry.list_target("targets", "policy", policy().replace(b"certificate", b"c3rtificate"))
    registry.publish()


def issued_in_the_future(registry: FakeRegistry) -> None:
    registry.sign_timestamp(NOW_MS + MAX_CLOCK_LAG_MS + 1)


def issued_before_the_last(registry: FakeRegistry) -> None:
    registry.sign_timestamp(registry.issued_at_ms - 1)


def an_old_record_again(registry: FakeRegistry) -> None:
    registry.put(PATH, record(MEMBER, 1, "as it was once"))
    registry.publish()


def a_role_goes_back(registry: FakeRegistry) -> None:
    change(registry)
    role = registry.bin_of(PATH)
    registry.roles[role].version = 1
    registry.roles[role].targets = {}
    registry.touch(role)
    registry.publish()


def another_snapshot_of_the_same_number(registry: FakeRegistry) -> None:
    registry.put(PATH, record(MEMBER, 2))
    registry.snapshot.version -= 1
    registry.publish()


ATTACKS: list[tuple[Attack, Code]] = [
    (another_federations_root, Code.DIRECTORY_UNTRUSTED),
    (root_by_another_key, Code.DIRECTORY_UNTRUSTED),
    (root_that_its_own_keys_did_not_sign, Code.DIRECTORY_UNTRUSTED),
    (root_that_skips_a_number, Code.DIRECTORY_ROLLBACK),
    (root_that_is_too_large, Code.DIRECTORY_UNTRUSTED),
    (policy_by_an_online_key, Code.DIRECTORY_UNTRUSTED),
    (another_federations_policy, Code.DIRECTORY_UNTRUSTED),
    (timestamp_by_another_key, Code.DIRECTORY_UNTRUSTED),
    (contracts_key_lists_a_member, Code.DIRECTORY_UNTRUSTED),
    (member_in_a_wrong_bin, Code.DIRECTORY_UNTRUSTED),
    (family_lists_a_member_itself, Code.DIRECTORY_UNTRUSTED),
    (targets_lists_what_is_no_policy, Code.DIRECTORY_UNTRUSTED),
    (content_of_another_member, Code.DIRECTORY_UNTRUSTED),
    (bin_by_another_key, Code.DIRECTORY_UNTRUSTED),
    (truncated_target, Code.DIRECTORY_UNTRUSTED),
    (truncated_bin, Code.DIRECTORY_UNTRUSTED),
    (captive_portal, Code.DIRECTORY_UNTRUSTED),
    (timestamp_is_a_portals_page, Code.DIRECTORY_UNTRUSTED),
    (huge_length_signed, Code.DIRECTORY_UNTRUSTED),
    (endless_snapshot, Code.DIRECTORY_UNTRUSTED),
    (snapshot_without_hashes, Code.DIRECTORY_UNTRUSTED),
    (timestamp_without_hashes, Code.DIRECTORY_UNTRUSTED),
    (no_time_of_issue, Code.DIRECTORY_UNTRUSTED),
    (time_of_issue_as_text, Code.DIRECTORY_UNTRUSTED),
    (too_many_bins, Code.DIRECTORY_UNTRUSTED),
    (one_key_under_two_ids, Code.DIRECTORY_UNTRUSTED),
    (issued_in_the_future, Code.DIRECTORY_UNTRUSTED),
]
# Only a node that has seen something newer can tell.
AGAINST_MEMORY: list[tuple[Attack, Code]] = [
    (issued_before_the_last, Code.DIRECTORY_ROLLBACK),
    (an_old_record_again, Code.DIRECTORY_ROLLBACK),
    (a_role_goes_back, Code.DIRECTORY_ROLLBACK),
    (another_snapshot_of_the_same_number, Code.DIRECTORY_SPLIT),
]


@pytest.mark.parametrize(("attack", "code"), [*ATTACKS, *AGAINST_MEMORY])
def test_a_node_with_a_copy_keeps_it(
    registry: FakeRegistry, new_replica: NewReplica, attack: Attack, code: Code
) -> None:
    good = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    attack(registry)
    with pytest.raises(SimpulError) as caught:
        new_replica().sync(DictFetcher(registry.files), NOW_MS)
    assert caught.value.code is code
    assert "\n" not in caught.value.message
    assert new_replica().open_local(NOW_MS) == good


@pytest.mark.parametrize(("attack", "code"), ATTACKS)
def test_a_new_node_takes_nothing(
    registry: FakeRegistry, new_replica: NewReplica, attack: Attack, code: Code
) -> None:
    attack(registry)
    with pytest.raises(SimpulError) as caught:
        new_replica().sync(DictFetcher(registry.files), NOW_MS)
    assert caught.value.code is code
    assert new_replica().open_local(NOW_MS) is None


def test_too_many_bins_are_refused_before_all_are_loaded(tmp_path: Path, store: Store) -> None:
    registry = FakeRegistry(bits=11)
    fetcher = DictFetcher(registry.files)
    replica = Replica(tmp_path / "directory", FEDERATION, registry.first_root, store)
    with pytest.raises(SimpulError) as caught:
        replica.sync(fetcher, NOW_MS)
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED
    assert "hash bins" in str(caught.value.__cause__)
    assert len(fetcher.asked) < 10


def test_an_old_directory_is_refused(registry: FakeRegistry, new_replica: NewReplica) -> None:
    old = dict(registry.files)
    change(registry)
    new_replica().sync(DictFetcher(registry.files), NOW_MS)
    with pytest.raises(SimpulError) as caught:
        new_replica().sync(DictFetcher(old), NOW_MS)
    assert caught.value.code is Code.DIRECTORY_ROLLBACK


def test_an_old_directory_is_refused_after_the_copy_was_lost(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    old = dict(registry.files)
    change(registry)
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    (made.path.parent / "current").unlink()
    with pytest.raises(SimpulError) as caught:
        new_replica().sync(DictFetcher(old), NOW_MS)
    assert caught.value.code is Code.DIRECTORY_ROLLBACK
    new_replica().sync(DictFetcher(registry.files), NOW_MS)


def test_an_old_copy_on_the_disk_is_refused(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    old = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    change(registry)
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    link = made.path.parent / "current"
    link.unlink()
    link.symlink_to(old.path.name)
    with pytest.raises(SimpulError) as caught:
        new_replica().open_local(NOW_MS)
    assert caught.value.code is Code.DIRECTORY_ROLLBACK


def test_a_mix_of_two_versions_is_refused(registry: FakeRegistry, new_replica: NewReplica) -> None:
    registry.put(member_path(OTHER), record(OTHER, 2))
    registry.publish()
    # The bin of the first version under the name of the second.
    role = registry.bin_of(member_path(OTHER))
    version = registry.roles[role].version
    older = registry.files[f"metadata/{version - 1}.{role}.json"]
    registry.files[f"metadata/{version}.{role}.json"] = older
    with pytest.raises(SimpulError) as caught:
        new_replica().sync(DictFetcher(registry.files), NOW_MS)
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED


def test_counts_may_begin_anew_when_root_renewed_both_online_keys(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    # Thieves of the online keys count far ahead.
    registry.timestamp.version = registry.snapshot.version = 1_000_000
    change(registry)
    new_replica().sync(DictFetcher(registry.files), NOW_MS)
    registry.rotate_online_keys()
    change(registry, 3)
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    assert made.version == 1
    assert new_replica().open_local(NOW_MS) == made


def test_a_root_that_went_back_is_refused(registry: FakeRegistry, new_replica: NewReplica) -> None:
    """The keys that a rotation replaced were stolen, and every newer file is withheld."""
    old = {name: registry.keys[name] for name in ("snapshot", "timestamp")}
    registry.rotate_online_keys()
    change(registry)
    good = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    (good.path.parent / "current").unlink()
    del registry.files["metadata/2.root.json"]
    registry.keys |= old
    change(registry, 3)
    with pytest.raises(SimpulError) as caught:
        new_replica().sync(DictFetcher(registry.files), NOW_MS)
    assert caught.value.code is Code.DIRECTORY_ROLLBACK
    assert "root" in caught.value.message


def test_root_is_followed_from_the_first_one(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    for _ in range(3):
        registry.rotate_online_keys()
    change(registry)
    made = new_replica().sync(DictFetcher(registry.files), NOW_MS)
    newest = Metadata.from_file(str(made.path / "metadata/root.json"))
    assert newest.signed.version == 4


def test_the_message_names_the_root_that_is_trusted(
    registry: FakeRegistry, tmp_path_factory: pytest.TempPathFactory, store: Store
) -> None:
    other = FakeRegistry()
    replica = Replica(tmp_path_factory.mktemp("d"), FEDERATION, other.first_root, store)
    with pytest.raises(SimpulError) as caught:
        replica.sync(DictFetcher(registry.files), NOW_MS)
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED
    assert "not signed by the keys that root.json" in caught.value.message


def test_a_clock_that_is_behind_can_t_judge_expiry(
    registry: FakeRegistry, new_replica: NewReplica
) -> None:
    new_replica().sync(DictFetcher(registry.files), NOW_MS)
    with pytest.raises(SimpulError) as caught:
        new_replica().open_local(NOW_MS - 86_400_000)
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED
    assert "clock" in caught.value.message
