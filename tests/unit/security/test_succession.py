"""Each step of following identity keys, with a negative test that names its number."""

from dataclasses import dataclass, field

import pytest

from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, PrivateKey, PublicKey, generate
from security.statement import MemberStatementView, SealKeyView, make_statement
from security.succession import follow_successions
from simpul.v1 import statement_pb2

MEMBER = MemberId.parse("ID/DAERAH/53.15")
OTHER = MemberId.parse("ID/DAERAH/74.07")
NODE = NodeId.parse("ID/~labuan-bajo-1")


def key() -> PrivateKey:
    return generate(Algorithm.ED25519)


def succession(
    number: int, new: PrivateKey, old: PrivateKey, member: MemberId = MEMBER
) -> statement_pb2.SignedStatement:
    view = MemberStatementView(
        member=member,
        number=number,
        identity_key=new.public,
        seal_keys=(SealKeyView(key().public, NODE, 1, 2),),
        issued_at_ms=1,
        previous=b"p" * 32,
    )
    return make_statement(view, new, old)


@dataclass
class Line:
    """Four identity keys, each signed by the one before it, in statements 3, 5 and 9."""

    keys: list[PrivateKey] = field(default_factory=lambda: [key() for _ in range(4)])

    @property
    def successions(self) -> list[statement_pb2.SignedStatement]:
        pairs = zip(self.keys, self.keys[1:], strict=False)
        return [
            succession(number, new, old)
            for number, (old, new) in zip((3, 5, 9), pairs, strict=True)
        ]


def refused(
    step: int,
    successions: list[statement_pb2.SignedStatement],
    pinned: PublicKey,
    current: PublicKey,
) -> None:
    with pytest.raises(SimpulError) as caught:
        follow_successions(successions, member=MEMBER, pinned=pinned, current=current)
    assert caught.value.code is Code.IDENTITY_CHANGED
    assert caught.value.details["step"] == str(step)


@pytest.mark.parametrize("pinned", range(4))
def test_every_earlier_key_leads_to_the_one_in_force(pinned: int) -> None:
    line = Line()
    found = follow_successions(
        line.successions,
        member=MEMBER,
        pinned=line.keys[pinned].public,
        current=line.keys[3].public,
    )
    assert found == line.keys[3].public


def test_step_1_form() -> None:
    line = Line()
    broken = statement_pb2.SignedStatement(statement=b"\xff")
    refused(1, [*line.successions, broken], line.keys[0].public, line.keys[3].public)


def test_step_1_another_members() -> None:
    line = Line()
    foreign = succession(11, key(), line.keys[3], OTHER)
    refused(1, [*line.successions, foreign], line.keys[0].public, line.keys[3].public)


def test_step_1_order() -> None:
    line = Line()
    first, second, third = line.successions
    refused(1, [first, third, second], line.keys[0].public, line.keys[3].public)


def test_step_3_its_own_signature() -> None:
    line = Line()
    successions = line.successions
    successions[1].signature = b"s" * 64
    refused(3, successions, line.keys[0].public, line.keys[3].public)


def test_step_4_a_key_that_the_pinned_one_never_signed() -> None:
    line, thief = Line(), key()
    refused(4, line.successions, thief.public, line.keys[3].public)
    # A registry that was captured signs with whatever it has.
    forged = [*line.successions[:2], succession(9, thief, thief)]
    refused(4, forged, line.keys[0].public, thief.public)


def test_step_4_a_missing_link() -> None:
    line = Line()
    first, _, third = line.successions
    refused(4, [first, third], line.keys[0].public, line.keys[3].public)


def test_step_5_the_last_is_not_the_one_in_force() -> None:
    line = Line()
    refused(5, line.successions, line.keys[0].public, key().public)
    refused(5, [], line.keys[0].public, line.keys[1].public)
