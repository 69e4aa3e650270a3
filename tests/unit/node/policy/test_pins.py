import pytest

from node.policy.pins import suspended
from security.directory import DirectoryView
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, PrivateKey, generate
from security.statement import MemberStatementView, SealKeyView, make_statement
from simpul.v1 import directory_pb2
from tests.unit.node.directory.fake_registry import MEMBER, OTHER, member_path, policy, record

OWNER = MemberId.parse("ID/KEMENTERIAN/KOMDIGI")
PINNED, FALSE = generate(Algorithm.ED25519), generate(Algorithm.ED25519)


def directory(identity: PrivateKey | None) -> DirectoryView:
    data = directory_pb2.MemberRecord.FromString(record(MEMBER))
    if identity is not None:
        seal = SealKeyView(
            generate(Algorithm.ED25519).public, NodeId.parse("ID/~labuan-bajo-1"), 1, 2
        )
        view = MemberStatementView(MEMBER, 1, identity.public, (seal,), 1, None)
        data.statement.CopyFrom(make_statement(view, identity))
    targets = {
        "policy": policy(),
        member_path(MEMBER): data.SerializeToString(),
        member_path(OTHER): record(OTHER),
    }
    return DirectoryView.build("ID", 1, b"h" * 32, 1, targets)


def test_a_partner_with_its_pinned_key_is_not_suspended() -> None:
    assert suspended([(OWNER, MEMBER, PINNED.public)], directory(PINNED)) == frozenset()


@pytest.mark.parametrize("identity", [FALSE, None], ids=["another key", "no statement"])
def test_a_partner_without_its_pinned_key_is_suspended(identity: PrivateKey | None) -> None:
    found = suspended([(OWNER, MEMBER, PINNED.public)], directory(identity))
    assert found == {frozenset((OWNER, MEMBER))}


def test_a_partner_who_is_listed_no_more_is_suspended() -> None:
    gone = MemberId.parse("ID/DAERAH/74.07")
    found = suspended([(OWNER, gone, PINNED.public)], directory(PINNED))
    assert found == {frozenset((OWNER, gone))}


def test_without_pins_nobody_is_suspended() -> None:
    assert suspended([], directory(None)) == frozenset()
