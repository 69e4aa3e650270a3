"""Proofs that a change is in the public log: one step of the verification at a time."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from securesystemslib.signer import CryptoSigner

from registry.directory import log_proof, proposals
from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import Role
from registry.directory.log import read_leaves
from registry.directory.proposals import Keys
from registry.directory.publisher import Publisher
from registry.directory.roles import first_root
from registry.directory.signers import Signers
from security.errors import Code, SimpulError
from security.public_log import Kind
from tests.unit.registry.directory.test_log import signed_head
from tests.unit.registry.directory.test_publisher import KOMODO, WAKATOBI

Change = Callable[[dict[str, Any]], None]


@pytest.fixture
def trusted(publisher: Publisher) -> bytes:
    return publisher.root


@pytest.fixture
def proof(
    publisher: Publisher, folder: PublishedFolder, signers: Signers, trusted: bytes, now: int
) -> bytes:
    """Of Komodo's change, after a root that replaced the timestamp's key."""
    publisher.publish({KOMODO: b"komodo"}, now)
    renewed = CryptoSigner.generate_ed25519()
    changes = {Role.TIMESTAMP: Keys((renewed.public_key,), 1)}
    proposal = proposals.sign(proposals.propose_root(trusted, changes, now), signers[Role.ROOT])
    accepted = proposals.check(proposal, trusted, publisher.targets, now)
    publisher.stage(accepted, {**signers, Role.TIMESTAMP: renewed})
    publisher.publish({WAKATOBI: b"wakatobi"}, now)
    leaves = list(read_leaves(folder, signed_head(folder).size))
    return log_proof.make(leaves, 3, folder.read(TIMESTAMP_NAME), [publisher.root])


def changed(proof: bytes, change: Change) -> bytes:
    tree = json.loads(proof)
    change(tree)
    return json.dumps(tree).encode()


def refused(proof: bytes, root: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        log_proof.verify(proof, root)
    assert caught.value.code is Code.PROOF_INVALID


def test_a_change_is_proven_from_the_first_root_or_the_newest(
    proof: bytes, trusted: bytes, publisher: Publisher
) -> None:
    found = log_proof.verify(proof, trusted)
    assert (found.leaf.kind, found.leaf.path, found.leaf.version) == (Kind.FILE, KOMODO, 2)
    assert log_proof.verify(proof, publisher.root) == found


def _no_roots(tree: dict[str, Any]) -> None:
    tree["roots"] = []


def _forged_root(tree: dict[str, Any]) -> None:
    tree["roots"][0]["signed"]["expires"] = "2099-01-01T00:00:00Z"


def _forged_head(tree: dict[str, Any]) -> None:
    tree["timestamp"]["signed"]["x-log"]["size"] += 1


def _no_head(tree: dict[str, Any]) -> None:
    del tree["timestamp"]["signed"]["x-log"]


def _another_leaf(tree: dict[str, Any]) -> None:
    tree["leaf"] = tree["leaf"].replace("53.15", "53.16")


def _another_place(tree: dict[str, Any]) -> None:
    tree["number"] += 1


def _short_path(tree: dict[str, Any]) -> None:
    tree["path"].pop()


def _no_leaf(tree: dict[str, Any]) -> None:
    tree["leaf"] = "x"


def _no_format(tree: dict[str, Any]) -> None:
    tree["format"] = "x"


@pytest.mark.parametrize(
    "change",
    [
        _no_roots,
        _forged_root,
        _forged_head,
        _no_head,
        _another_leaf,
        _another_place,
        _short_path,
        _no_leaf,
        _no_format,
    ],
)
def test_a_changed_proof_proves_nothing(proof: bytes, trusted: bytes, change: Change) -> None:
    refused(changed(proof, change), trusted)


def test_another_federations_root_proves_nothing(proof: bytes, now: int) -> None:
    other = {role: CryptoSigner.generate_ed25519() for role in Role}
    root = first_root(other, now).data
    for data in (proof, b"[]", b"{}", b"", b" " * (log_proof.MAX_BYTES + 1)):
        refused(data, root)
    refused(proof, b"{}")


def test_what_is_not_there_is_not_proven(folder: PublishedFolder, publisher: Publisher) -> None:
    del publisher
    leaves = list(read_leaves(folder, signed_head(folder).size))
    with pytest.raises(SimpulError) as caught:
        log_proof.make(leaves, len(leaves), folder.read(TIMESTAMP_NAME), [])
    assert caught.value.code is Code.PROOF_INVALID
