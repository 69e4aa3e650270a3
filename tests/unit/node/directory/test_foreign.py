"""A member's own node tells of keys in its member's name that it didn't make."""

from pathlib import Path

import pytest
from structlog.testing import capture_logs

from node.directory.foreign import ForeignKeys, KeyKind, foreign_keys
from node.home import KeyName, NodeHome
from node.keyring import KeyRing
from security.keys import Algorithm, generate
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support.directories import directory, regency_record

IDENTITY, SEAL, NODE = (
    fixed.key(name).public.key_id
    for name in (
        f"{fixed.REGENCY} identity",
        f"{fixed.REGENCY} seal",
        f"{fixed.REGENCY_NODE} node",
    )
)
OWN = frozenset({IDENTITY, SEAL, NODE})


def with_another_node() -> directory_pb2.MemberRecord:
    """What a captured registry can list on its own: a node of the thief's, under a true member."""
    record = regency_record()
    added = record.nodes.add()
    added.CopyFrom(record.nodes[0])
    added.id = "ID/~labuan-bajo-9"
    added.node_key.CopyFrom(fixed.key("thief").public.to_proto())
    return record


def test_what_this_node_made_is_not_foreign() -> None:
    assert foreign_keys(directory(), [fixed.REGENCY], OWN) == ()


@pytest.mark.parametrize(
    ("missing", "kind"),
    [(IDENTITY, KeyKind.IDENTITY), (SEAL, KeyKind.SEAL), (NODE, KeyKind.NODE)],
)
def test_each_kind_of_key_is_seen(missing: bytes, kind: KeyKind) -> None:
    (found,) = foreign_keys(directory(), [fixed.REGENCY], OWN - {missing})
    assert (found.kind, found.key_id) == (kind, missing)


def test_a_key_that_appears_is_told_once_and_loudly() -> None:
    watch = ForeignKeys([fixed.REGENCY], lambda: OWN)
    with capture_logs() as logs:
        assert watch.look(directory()) == ()
        (key,) = watch.look(directory(with_another_node()))
        assert watch.look(directory(with_another_node())) == ()
    assert (key.kind, key.node) == (KeyKind.NODE, "ID/~labuan-bajo-9")
    assert watch.listed == (key,)
    assert [(item["log_level"], item["node"]) for item in logs] == [("error", "ID/~labuan-bajo-9")]
    # It goes, and comes again.
    watch.look(directory())
    assert not watch.listed
    assert watch.look(directory(with_another_node())) == (key,)


def test_what_is_there_at_the_start_is_told_too() -> None:
    watch = ForeignKeys([fixed.REGENCY], lambda: OWN)
    with capture_logs() as logs:
        assert len(watch.look(directory(with_another_node()))) == 1
    assert [item["log_level"] for item in logs] == ["warning"]


def test_other_members_keys_are_their_own_affair() -> None:
    watch = ForeignKeys([fixed.MINISTRY], frozenset)
    assert {key.member for key in watch.look(directory())} == {str(fixed.MINISTRY)}


def test_a_home_knows_all_keys_that_it_ever_made(tmp_path: Path) -> None:
    home = NodeHome(tmp_path)
    home.keys.mkdir()
    ring = KeyRing(home, [fixed.REGENCY])
    made = [generate(Algorithm.ED25519) for _ in range(4)]
    names = (KeyName.IDENTITY, KeyName.SEAL, KeyName.SEAL, KeyName.NODE)
    for name, key in zip(names, made, strict=True):
        ring.make_next(name, None if name is KeyName.NODE else fixed.REGENCY, key)
    assert ring.every_id([fixed.REGENCY]) == {key.public.key_id for key in made}
