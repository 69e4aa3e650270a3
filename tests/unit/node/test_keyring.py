"""Which file is which member's key, and which key the directory has a node use."""

from pathlib import Path

import pytest

from node.home import KeyName, NodeHome
from node.keyring import KeyRing
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, generate

NODE = NodeId.parse("ID/~kupang-1")
OWN = MemberId.parse("ID/PROVINSI/53")
GUEST = MemberId.parse("ID/DAERAH/53.1")
# Its files begin like the other guest's.
OTHER = MemberId.parse("ID/DAERAH/53.1-identity")


@pytest.fixture
def ring(tmp_path: Path) -> KeyRing:
    home = NodeHome.create(tmp_path / "n")
    return KeyRing(home, (OWN, GUEST, OTHER))


def names(ring: KeyRing) -> set[str]:
    return {file.name for file in ring._home.keys.iterdir()}


def test_each_member_has_files_of_its_own(ring: KeyRing) -> None:
    made = {}
    for member in (OWN, GUEST, OTHER):
        for name in (KeyName.IDENTITY, KeyName.SEAL):
            made[member, name] = generate(Algorithm.ED25519)
            ring.make_next(name, member, made[member, name])

    assert {"identity.pem", "seal.pem", "DAERAH-53.1-identity.pem"} <= names(ring)
    for member in (OWN, GUEST, OTHER):
        assert [key.public for key in ring.identity_keys(member)] == [
            made[member, KeyName.IDENTITY].public
        ]
        assert [key.public for key in ring.seal_keys(member)] == [made[member, KeyName.SEAL].public]


def test_the_next_key_lies_beside_the_one_before(ring: KeyRing) -> None:
    keys = [generate(Algorithm.ED25519) for _ in range(11)]
    for key in keys:
        ring.make_next(KeyName.NODE, None, key)

    assert [key.public for key in ring.node_keys()] == [key.public for key in keys]
    assert {"node.pem", "node-2.pem", "node-11.pem"} <= names(ring)


def test_without_a_directory_the_oldest_node_key_is_used(ring: KeyRing) -> None:
    keys = [generate(Algorithm.ED25519) for _ in range(2)]
    for key in keys:
        ring.make_next(KeyName.NODE, None, key)

    assert ring.node_key(None, NODE).public == keys[0].public


def test_an_identity_key_that_is_elsewhere(ring: KeyRing) -> None:
    ring.make_next(KeyName.IDENTITY, OWN, generate(Algorithm.ED25519))
    with pytest.raises(SimpulError) as caught:
        ring.identity_key(OWN, generate(Algorithm.ED25519).public)
    assert caught.value.code is Code.IDENTITY_ABSENT


def test_a_key_that_is_gone(ring: KeyRing) -> None:
    with pytest.raises(SimpulError) as caught:
        ring.node_key(None, NODE)
    assert caught.value.code is Code.HOME_MISSING
