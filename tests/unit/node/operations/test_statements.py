"""Which keys a next statement lists, and that the registry's checks take it."""

import pytest

from node.keyring import choose
from node.operations.statements import Times, next_statement, with_key, without_node
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId
from security.keys import Algorithm, generate
from security.statement import (
    MemberStatementView,
    SealKeyView,
    VerifiedStatement,
    make_statement,
    verify_statement,
)

MEMBER = MemberId.parse("ID/DAERAH/53.15")
ONE, TWO = NodeId.parse("ID/~labuan-bajo-1"), NodeId.parse("ID/~labuan-bajo-2")
STALE = 600_000
NOW = 10 * STALE
TIMES = Times(NOW, STALE)
FAR = NOW * 100


def seal(node: NodeId, begins: int = 1, ends: int = FAR) -> SealKeyView:
    return SealKeyView(generate(Algorithm.ED25519).public, node, begins, ends)


def test_a_nodes_first_key_is_valid_at_once() -> None:
    old, new = seal(ONE), generate(Algorithm.ED25519).public
    kept, added = with_key((old,), new, TWO, TIMES)
    assert kept == old
    assert (added.key, added.node, added.valid_from_ms) == (new, TWO, NOW)


def test_a_replaced_key_serves_until_the_new_one_has_served_for_a_stale_age() -> None:
    old, other = seal(ONE), seal(TWO)
    kept, untouched, added = with_key((old, other), generate(Algorithm.ED25519).public, ONE, TIMES)
    assert untouched == other
    assert added.valid_from_ms == NOW + STALE
    assert kept.valid_until_ms == NOW + 2 * STALE


def test_a_key_is_never_made_to_serve_longer() -> None:
    soon = seal(ONE, ends=NOW + 1)
    kept, _ = with_key((soon,), generate(Algorithm.ED25519).public, ONE, TIMES)
    assert kept.valid_until_ms == NOW + 1


def test_keys_that_have_ended_are_dropped() -> None:
    ended = seal(ONE, ends=NOW)
    (added,) = with_key((ended,), generate(Algorithm.ED25519).public, ONE, TIMES)
    # And the node has no other: so this one is valid at once.
    assert added.valid_from_ms == NOW


def test_another_node_is_dropped_but_not_the_last() -> None:
    one, two = seal(ONE), seal(TWO)
    assert without_node((one, two), ONE, NOW) == (two,)
    with pytest.raises(SimpulError) as last:
        without_node((one,), ONE, NOW)
    assert last.value.code is Code.CHANGE_INVALID
    with pytest.raises(SimpulError) as unknown:
        without_node((one,), TWO, NOW)
    assert unknown.value.code is Code.NODE_UNKNOWN


@pytest.mark.parametrize("succeeds", [False, True])
def test_the_next_statement_follows(succeeds: bool) -> None:
    identity, successor = generate(Algorithm.ED25519), generate(Algorithm.ED25519)
    first = make_statement(
        MemberStatementView(MEMBER, 1, identity.public, (seal(ONE),), NOW, None), identity
    )
    previous = verified(first, None)
    signed = next_statement(
        previous, (seal(ONE), seal(TWO)), identity, NOW + 1, successor if succeeds else None
    )
    found = verified(signed, previous)
    assert found.number == 2
    assert found.identity_key == (successor if succeeds else identity).public


def verified(signed: object, previous: VerifiedStatement | None) -> VerifiedStatement:
    return verify_statement(
        signed,  # type: ignore[arg-type]  # a SignedStatement
        federation="ID",
        member=MEMBER,
        previous=previous,
        pinned_identity_key_id=None,
    )


@pytest.mark.parametrize(
    ("at", "chosen"),
    [
        (NOW, "old"),
        (NOW + STALE, "old"),  # valid, but a peer's clock may be behind
        (NOW + STALE + 60_000, "new"),
        (NOW + 2 * STALE, "new"),
        (NOW + 400 * 24 * 60 * 60 * 1000, None),
    ],
)
def test_the_new_key_seals_once_every_clock_has_passed_its_beginning(
    at: int, chosen: str | None
) -> None:
    old, new = with_key((seal(ONE),), generate(Algorithm.ED25519).public, ONE, TIMES)
    found = choose((old, new), at, STALE // 10)
    assert found is {"old": old, "new": new, None: None}[chosen]


def test_a_first_key_seals_at_once() -> None:
    (only,) = with_key((), generate(Algorithm.ED25519).public, ONE, TIMES)
    assert choose((only,), NOW, STALE // 10) is only
