"""Proposals: who must sign, and each thing for which one is refused."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from hypothesis import given
from hypothesis import strategies as st
from securesystemslib.signer import CryptoSigner, Key, SSlibKey
from tuf.api.metadata import Metadata, Root, TargetFile, Targets

from registry.directory import proposals
from registry.directory.layout import MS_PER_DAY, Role
from registry.directory.proposals import Keys, Proposal
from registry.directory.publisher import Publisher
from registry.directory.roles import TOP_LEVEL
from registry.directory.signers import Signers
from security.errors import Code, SimpulError
from tests.unit.registry.directory.conftest import POLICY


@dataclass
class Ceremony:
    """A first directory, and holders."""

    root: bytes
    targets: bytes
    signers: Signers
    now: int
    holders: Mapping[str, CryptoSigner]

    def key(self, name: str) -> Key:
        return proposals.named(self.holders[name].public_key, name)

    def keys(self, *names: str, threshold: int = 2) -> Keys:
        return Keys(tuple(map(self.key, names)), threshold)

    def propose(self, *names: str, threshold: int = 2) -> Proposal:
        keys = self.keys(*names, threshold=threshold)
        changes = {Role.ROOT: keys, Role.TARGETS: keys}
        return proposals.propose_root(self.root, changes, self.now, self.targets, POLICY)

    def signed(self, proposal: Proposal, *names: str) -> Proposal:
        for name in names:
            signer = self.signers[Role.ROOT] if name == "home" else self.holders[name]
            proposal = proposals.sign(proposal, signer)
        return proposal

    def check(self, proposal: Proposal) -> proposals.Accepted:
        return proposals.check(proposal, self.root, self.targets, self.now)

    def refused(self, proposal: Proposal, code: Code = Code.CHANGE_INVALID) -> str:
        with pytest.raises(SimpulError) as caught:
            self.check(proposals.parse(proposal.to_bytes()))
        assert caught.value.code is code
        return caught.value.message


@pytest.fixture
def ceremony(publisher: Publisher, signers: Signers, now: int) -> Ceremony:
    names = ("anna", "budi", "citra", "dewi")
    holders = {name: CryptoSigner.generate_ed25519() for name in names}
    return Ceremony(publisher.root, publisher.targets, signers, now, holders)


def waiting(proposal: Proposal) -> list[str]:
    return [proposals.said(need) for need in proposals.needs(proposal)]


def changed(data: bytes | None, kind: Any, change: Callable[[Any], None]) -> bytes:
    """Metadata that says something else, without its signatures."""
    assert data is not None
    metadata = Metadata[kind].from_bytes(data)
    change(metadata.signed)
    return Metadata(metadata.signed).to_bytes()


def test_who_must_sign_and_who_has(ceremony: Ceremony) -> None:
    made = ceremony.propose("anna", "budi", "citra")
    assert waiting(ceremony.signed(made, "home", "budi")) == [
        "root 2, by the keys of root 1: 1 of 1 signed",
        "root 2, by the keys of root 2: 1 of 2 signed, waits for 1 of anna, citra",
        "policy 2: 1 of 2 signed, waits for 1 of anna, citra",
    ]
    whole = ceremony.signed(made, "home", "budi", "citra")
    accepted = ceremony.check(proposals.parse(whole.to_bytes()))
    assert accepted.next_root is not None
    assert accepted.next_targets is not None
    assert accepted.policy == POLICY
    # What is published is what was signed.
    assert Metadata[Root].from_bytes(accepted.next_root[1]).signed.version == 2
    assert "root by 2 of anna, budi, citra" in proposals.described(whole)


@pytest.mark.parametrize(
    "who",
    [(), ("home",), ("anna", "budi"), ("home", "anna"), ("home", "anna", "anna")],
)
def test_too_few_signatures_are_too_few(ceremony: Ceremony, who: tuple[str, ...]) -> None:
    made = ceremony.signed(ceremony.propose("anna", "budi", "citra"), *who)
    assert "isn't signed yet" in ceremony.refused(made)


def test_a_forged_signature_counts_for_nothing(ceremony: Ceremony) -> None:
    made = ceremony.signed(ceremony.propose("anna", "budi", "citra"), "home", "anna")
    other = ceremony.signed(ceremony.propose("anna", "budi", "citra", threshold=1), "budi")
    assert made.next_root is not None
    assert other.next_root is not None
    ours = Metadata[Root].from_bytes(made.next_root)
    theirs = Metadata[Root].from_bytes(other.next_root)
    keyid = ceremony.key("budi").keyid
    ours.signatures[keyid] = theirs.signatures[keyid]
    assert "isn't signed yet" in ceremony.refused(replace(made, next_root=ours.to_bytes()))


def test_copies_that_were_signed_apart_are_merged(ceremony: Ceremony) -> None:
    made = ceremony.propose("anna", "budi", "citra")
    copies = [ceremony.signed(made, name) for name in ("home", "anna", "citra")]
    ceremony.check(proposals.merge(copies))
    with pytest.raises(SimpulError, match="copies of one"):
        proposals.merge([made, ceremony.propose("anna", "budi")])
    policy = proposals.propose_policy(ceremony.root, ceremony.targets, POLICY, ceremony.now)
    with pytest.raises(SimpulError, match="copies of one"):
        proposals.merge([made, policy])


def test_who_is_not_to_sign_is_told(ceremony: Ceremony) -> None:
    with pytest.raises(SimpulError, match="nobody waits"):
        ceremony.signed(ceremony.propose("anna", "budi"), "dewi")


def test_one_key_counts_once(ceremony: Ceremony) -> None:
    key = ceremony.key("anna")
    twin = type(key)("ff" * 32, key.keytype, key.scheme, dict(key.keyval), {"x-holder": "budi"})
    changes = {Role.ROOT: Keys((key, twin), 2)}
    with pytest.raises(SimpulError, match="count twice"):
        proposals.propose_root(ceremony.root, changes, ceremony.now)

    # Also where somebody wrote the file by hand.
    def list_twin(root: Root) -> None:
        root.keys[twin.keyid] = twin
        root.roles["root"].keyids.append(twin.keyid)

    made = ceremony.propose("anna", "budi", threshold=2)
    forged = replace(made, next_root=changed(made.next_root, Root, list_twin))
    assert "count twice" in ceremony.refused(ceremony.signed(forged, "home", "anna", "budi"))


@pytest.mark.parametrize("threshold", [0, 4])
def test_a_threshold_that_can_t_be_met_is_refused(ceremony: Ceremony, threshold: int) -> None:
    with pytest.raises(SimpulError, match="can't sign"):
        ceremony.propose("anna", "budi", "citra", threshold=threshold)


def test_two_holders_of_one_name_are_refused(ceremony: Ceremony) -> None:
    twin = proposals.named(ceremony.holders["budi"].public_key, "anna")
    changes = {Role.ROOT: Keys((ceremony.key("anna"), twin), 2)}
    with pytest.raises(SimpulError, match="one holder's name"):
        proposals.propose_root(ceremony.root, changes, ceremony.now)


def _next(version: int) -> Callable[[Any], None]:
    return lambda value: setattr(value, "version", version)


def _without_snapshots(root: Root) -> None:
    root.consistent_snapshot = False


def _two_for_the_timestamp(root: Root) -> None:
    root.roles["timestamp"].keyids.append(root.roles["snapshot"].keyids[0])
    root.roles["timestamp"].threshold = 2


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_next(3), "doesn't follow"),
        (_next(1), "doesn't follow"),
        (_without_snapshots, "layout"),
        (_two_for_the_timestamp, "signs timestamp alone"),
    ],
)
def test_a_root_that_can_t_follow_is_refused(
    ceremony: Ceremony, change: Callable[[Root], None], what: str
) -> None:
    made = ceremony.propose("anna", "budi")
    forged = replace(made, next_root=changed(made.next_root, Root, change))
    assert what in ceremony.refused(ceremony.signed(forged, "home", "anna", "budi"))


def _another_target(targets: Targets) -> None:
    targets.targets["members/DAERAH/53.15"] = TargetFile.from_data("x", b"x", ["sha256"])


def _another_family(targets: Targets) -> None:
    assert targets.delegations is not None
    assert targets.delegations.roles is not None
    targets.delegations.roles["members"].paths = ["*/*/*"]


def _nobody(targets: Targets) -> None:
    targets.delegations = None


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (_another_target, "or something more"),
        (_another_family, "delegates otherwise"),
        (_nobody, "delegates to nobody"),
    ],
)
def test_targets_that_say_more_than_the_policy_are_refused(
    ceremony: Ceremony, change: Callable[[Targets], None], what: str
) -> None:
    made = ceremony.propose("anna", "budi")
    forged = replace(made, next_targets=changed(made.next_targets, Targets, change))
    assert what in ceremony.refused(ceremony.signed(forged, "home", "anna", "budi"))


def test_a_policy_that_targets_don_t_list_is_refused(ceremony: Ceremony) -> None:
    made = replace(ceremony.propose("anna", "budi"), policy=POLICY + POLICY)
    assert "another policy" in ceremony.refused(ceremony.signed(made, "home", "anna", "budi"))


def test_who_signs_the_policy_can_t_change_without_them(ceremony: Ceremony) -> None:
    """Nodes would refuse the policy in force from then on."""
    made = replace(ceremony.propose("anna", "budi"), next_targets=None, policy=b"")
    signed = ceremony.signed(made, "home", "anna", "budi")
    assert "who signs the policy changes" in ceremony.refused(signed)


def test_what_was_overtaken_is_a_conflict(ceremony: Ceremony) -> None:
    made = ceremony.signed(ceremony.propose("anna", "budi"), "home", "anna", "budi")
    accepted = ceremony.check(made)
    assert accepted.next_root is not None
    assert accepted.next_targets is not None
    ceremony.root, ceremony.targets = accepted.next_root[1], accepted.next_targets[1]
    ceremony.refused(made, Code.CONFLICT)


def test_what_was_proposed_long_ago_is_refused(ceremony: Ceremony) -> None:
    made = ceremony.signed(ceremony.propose("anna", "budi"), "home", "anna", "budi")
    ceremony.now += 336 * MS_PER_DAY
    assert "too long ago" in ceremony.refused(made)


def test_a_file_is_read_as_it_was_written(ceremony: Ceremony) -> None:
    made = ceremony.signed(ceremony.propose("anna", "budi"), "anna")
    again = proposals.parse(made.to_bytes())
    assert again.to_bytes() == made.to_bytes()
    assert proposals.needs(again) == proposals.needs(made)
    assert {str(role) for role in TOP_LEVEL} == set(proposals.parse_root(made.root).roles)


def _bad_files(proposal: Proposal) -> list[bytes]:
    tree = json.loads(proposal.to_bytes())
    others: list[dict[str, object]] = [
        {"format": "simpul-proposal-2"},
        {"more": 1},
        {"root": None},
        {"root": tree["next_targets"]},
        {"next_root": tree["next_targets"]},
        {"next_targets": {}},
        {"next_root": None, "next_targets": None, "policy": ""},
        {"policy": ""},
        {"policy": "!"},
        {"policy": 1},
    ]
    return [json.dumps({**tree, **other}).encode() for other in others]


def test_what_is_no_proposal_is_refused(ceremony: Ceremony) -> None:
    long = b" " * (proposals.MAX_BYTES + 1)
    for data in (b"", b"[]", b"{}", b"1", long, *_bad_files(ceremony.propose("anna", "budi"))):
        with pytest.raises(SimpulError) as caught:
            proposals.parse(data)
        assert caught.value.code is Code.CHANGE_INVALID


@given(st.binary(max_size=200))
def test_any_bytes_are_refused_by_a_code(data: bytes) -> None:
    with pytest.raises(SimpulError):
        proposals.parse(data)


def test_holders_keys_have_a_name_and_a_known_kind() -> None:
    signer = CryptoSigner.generate_ed25519()
    with pytest.raises(SimpulError) as caught:
        proposals.named(signer.public_key, "an\nna")
    assert caught.value.code is Code.KEY_MALFORMED
    rsa = generate_private_key(65537, 2048).public_key()
    pem = rsa.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for data in (b"", pem):
        with pytest.raises(SimpulError) as caught:
            proposals.holder_key(data, "anna")
        assert caught.value.code is Code.KEY_MALFORMED
    assert isinstance(signer.public_key, SSlibKey)
