"""Root and policy of a running registry, changed by what holders signed."""

import shutil
from collections.abc import Sequence
from pathlib import Path

import grpc
import pytest
from securesystemslib.signer import CryptoSigner

from registry.directory import log_proof, proposals, signers
from registry.directory.layout import Role
from registry.directory.proposals import Keys, Proposal
from registry.directory.publisher import Publisher
from registry.home import RegistryHome
from runtime.clock import now_ms
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2 as pb
from simpul.v1 import directory_pb2
from tests.unit.registry.running import Running, refusal, run

DAY_MS = 24 * 60 * 60 * 1000
MEMBER = "ID/DAERAH/53.15"


class Holders:
    """Three people, of whom two suffice."""

    def __init__(self) -> None:
        self.signers = {name: CryptoSigner.generate_ed25519() for name in ("anna", "budi", "citra")}
        named = (proposals.named(signer.public_key, name) for name, signer in self.signers.items())
        self.keys = Keys(tuple(named), 2)

    def sign(self, proposal: Proposal, names: Sequence[str] = ("anna", "citra")) -> Proposal:
        for name in names:
            proposal = proposals.sign(proposal, self.signers[name])
        return proposal


def own_key(home: Path, role: Role) -> CryptoSigner:
    return signers.load(home / "keys")[role]


def init(home: Path, shown: pb.ShowTrustResponse, holders: Holders) -> Proposal:
    changes = {Role.ROOT: holders.keys, Role.TARGETS: holders.keys}
    made = proposals.propose_root(shown.root, changes, now_ms(), shown.targets, shown.policy)
    return holders.sign(proposals.sign(made, own_key(home, Role.ROOT)))


def policy_of(shown: pb.ShowTrustResponse) -> directory_pb2.FederationPolicy:
    return directory_pb2.FederationPolicy.FromString(shown.policy)


def propose(
    home: Path, shown: pb.ShowTrustResponse, policy: directory_pb2.FederationPolicy
) -> Proposal:
    """Signed by the key in the registry's home, as it is before any ceremony."""
    data = policy.SerializeToString(deterministic=True)
    made = proposals.propose_policy(shown.root, shown.targets, data, now_ms())
    return proposals.sign(made, own_key(home, Role.TARGETS))


async def show(registry: Running) -> pb.ShowTrustResponse:
    return await registry.admin.ShowTrust(pb.ShowTrustRequest())


async def publish(registry: Running, proposal: Proposal) -> pb.ChangeTrustResponse:
    return await registry.admin.ChangeTrust(pb.ChangeTrustRequest(proposal=proposal.to_bytes()))


async def test_a_policy_changes_while_the_registry_runs(own_home: Path) -> None:
    async with run(own_home) as registry:
        shown = await show(registry)
        policy = policy_of(shown)
        policy.member_classes.append("SEKOLAH")
        school = pb.AddMemberRequest(member="ID/SEKOLAH/1", legal_name="SMA 1")
        error, _ = await refusal(registry.admin.AddMember(school))
        assert error.code is Code.ID_MALFORMED
        answer = await publish(registry, propose(own_home, shown, policy))
        assert (answer.directory_version, answer.root_version) == (2, 1)
        await registry.admin.AddMember(school)
        assert "SEKOLAH" in policy_of(await show(registry)).member_classes
        # It can't be taken back under the member: every node would refuse the whole directory.
        shown = await show(registry)
        policy.member_classes.remove("SEKOLAH")
        error, _ = await refusal(publish(registry, propose(own_home, shown, policy)))
        assert "SEKOLAH" in error.message
    assert not RegistryHome(own_home).accepted_file.exists()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"federation": "SG"}, Code.CHANGE_INVALID),
        ({"dead_after_ms": 16 * DAY_MS}, Code.CHANGE_INVALID),
        ({"stale_after_ms": 0}, Code.DIRECTORY_UNTRUSTED),
        ({"witness_quorum": 9}, Code.DIRECTORY_UNTRUSTED),
    ],
)
async def test_a_policy_that_nodes_would_refuse_is_not_published(
    own_home: Path, change: dict[str, object], code: Code
) -> None:
    async with run(own_home) as registry:
        shown = await show(registry)
        policy = policy_of(shown)
        for name, value in change.items():
            setattr(policy, name, value)
        error, _ = await refusal(publish(registry, propose(own_home, shown, policy)))
        assert error.code is code
        assert await show(registry) == shown


async def test_the_homes_own_keys_are_destroyed_when_the_root_is_in_force(own_home: Path) -> None:
    holders = Holders()
    async with run(own_home) as registry:
        shown = await show(registry)
        proposal = init(own_home, shown, holders)
        stolen = own_key(own_home, Role.TARGETS)
        policy = policy_of(shown)
        policy.member_classes.append("SEKOLAH")
        assert (await publish(registry, proposal)).root_version == 2
        for role in (Role.ROOT, Role.TARGETS):
            assert not signers.key_file(own_home / "keys", role).exists()
        # Whoever copied the policy's key before that can propose what he likes.
        shown = await show(registry)
        data = policy.SerializeToString(deterministic=True)
        made = proposals.propose_policy(shown.root, shown.targets, data, now_ms())
        with pytest.raises(SimpulError, match="nobody waits"):
            proposals.sign(made, stolen)
        error, _ = await refusal(publish(registry, holders.sign(made, ["anna"])))
        assert "waits for 1 of budi, citra" in error.message
        await publish(registry, holders.sign(made))
    async with run(own_home) as registry:
        assert proposals.parse_root((await show(registry)).root).version == 2


async def test_what_was_accepted_is_published_after_a_crash(own_home: Path) -> None:
    holders = Holders()
    async with run(own_home) as registry:
        proposal = init(own_home, await show(registry), holders)
    place = RegistryHome(own_home)
    # The process ended after it had accepted, and before it published.
    place.accepted_file.write_bytes(proposal.to_bytes())
    async with run(own_home) as registry:
        assert proposals.parse_root((await show(registry)).root).version == 2
    assert not place.accepted_file.exists()


async def test_a_crash_between_root_and_timestamp_is_mended(own_home: Path) -> None:
    """The root is in force from when its file is there; what it needs isn't published yet."""
    holders, place = Holders(), RegistryHome(own_home)
    async with run(own_home) as registry:
        proposal = init(own_home, await show(registry), holders)
    place.accepted_file.write_bytes(proposal.to_bytes())
    assert proposal.next_root is not None
    place.directory.add("metadata/2.root.json", proposal.next_root)
    async with run(own_home) as registry:
        shown = await show(registry)
        assert proposals.parse_root(shown.root).version == 2
        assert proposals.parse_targets(shown.targets).version == 2
    assert not signers.key_file(place.keys, Role.ROOT).exists()


async def test_a_crash_after_the_timestamp_is_tidied(own_home: Path, tmp_path: Path) -> None:
    holders, place = Holders(), RegistryHome(own_home)
    kept = tmp_path / "keys"
    shutil.copytree(place.keys, kept)
    async with run(own_home) as registry:
        proposal = init(own_home, await show(registry), holders)
        await publish(registry, proposal)
    place.accepted_file.write_bytes(proposal.to_bytes())
    for role in (Role.ROOT, Role.TARGETS):
        shutil.copy(signers.key_file(kept, role), signers.key_file(place.keys, role))
    async with run(own_home) as registry:
        assert proposals.parse_root((await show(registry)).root).version == 2
    assert not place.accepted_file.exists()
    assert not signers.key_file(place.keys, Role.ROOT).exists()


async def test_online_keys_are_replaced_by_a_root(own_home: Path) -> None:
    async with run(own_home) as registry:
        shown = await show(registry)
        made = await registry.admin.MakeOnlineKeys(pb.MakeOnlineKeysRequest())
        again = await registry.admin.MakeOnlineKeys(pb.MakeOnlineKeysRequest())
        assert made == again
        keys = {
            Role(item.role): Keys((proposals.online_key(item.public_key.encode(), item.role),), 1)
            for item in made.keys
        }
        proposal = proposals.propose_root(shown.root, keys, now_ms())
        await publish(registry, proposals.sign(proposal, own_key(own_home, Role.ROOT)))
        await registry.admin.AddMember(pb.AddMemberRequest(member=MEMBER, legal_name="Mabar"))
    place = RegistryHome(own_home)
    held = signers.load(place.keys)
    assert all(held[role].public_key.keyid == keys[role].keys[0].keyid for role in keys)
    assert Publisher.open(place.directory, held).current.version == 3


async def test_a_root_with_online_keys_that_the_registry_lacks_is_refused(own_home: Path) -> None:
    """It could never sign a timestamp again."""
    async with run(own_home) as registry:
        shown = await show(registry)
        stranger = CryptoSigner.generate_ed25519().public_key
        proposal = proposals.propose_root(
            shown.root, {Role.TIMESTAMP: Keys((stranger,), 1)}, now_ms()
        )
        signed = proposals.sign(proposal, own_key(own_home, Role.ROOT))
        error, status = await refusal(publish(registry, signed))
        assert (error.code, status) == (
            Code.CHANGE_INVALID,
            grpc.StatusCode.INVALID_ARGUMENT,
        )
        assert "no key for timestamp" in error.message


async def test_the_log_of_a_running_registry_is_listed_and_proven(own_home: Path) -> None:
    async with run(own_home) as registry:
        await registry.joined()
        listed = await registry.admin.ListLog(pb.ListLogRequest(path="members/DAERAH/53.15"))
        assert [leaf.kind for leaf in listed.leaves] == ["file"] * len(listed.leaves)
        every = await registry.admin.ListLog(pb.ListLogRequest(start=0, count=1000))
        assert [leaf.number for leaf in every.leaves] == list(range(every.size))
        assert (await registry.admin.ListLog(pb.ListLogRequest())).leaves == every.leaves
        number = listed.leaves[-1].number
        answer = await registry.admin.ShowLogProof(pb.ShowLogProofRequest(number=number))
        proven = log_proof.verify(answer.proof, RegistryHome(own_home).root_file.read_bytes())
        assert (proven.leaf.path, proven.size) == ("members/DAERAH/53.15", every.size)
        error, _ = await refusal(
            registry.admin.ShowLogProof(pb.ShowLogProofRequest(number=every.size))
        )
        assert error.code is Code.PROOF_INVALID
