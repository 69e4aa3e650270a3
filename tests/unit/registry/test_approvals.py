"""What waits for an operator: checked at once, applied when approved, and only once."""

from dataclasses import replace

import pytest

from registry import administration, changes
from registry.membership import Act
from registry.model import Touched
from registry.registrar import Registrar
from registry.requests import parse_change, summary
from registry.store import nodes
from registry.store.waiting import WaitingState
from security.errors import Code, SimpulError
from simpul.v1 import registry_pb2
from tests.unit.registry.conftest import (
    KOMODO,
    LABUAN,
    NOW,
    Actor,
    publish_service,
)

ADDRESS = "127.0.0.1:7777"
MOVE = registry_pb2.SetLinkAddress(link_address=ADDRESS)
ONE, TWO = Act("operator one", NOW + 1), Act("operator two", NOW + 2, "no")


@pytest.fixture
def careful(registrar: Registrar) -> Registrar:
    """A registry where an operator decides about addresses and services."""
    return replace(
        registrar, decided_by_operators=frozenset({"set_link_address", "publish_service"})
    )


def ask(registrar: Registrar, actor: Actor, **kind: object) -> changes.Applied:
    return changes.apply(registrar, *actor.sign_change(actor.change(**kind)), NOW)


def address(registrar: Registrar) -> str:
    with registrar.store.transaction() as session:
        return nodes.get(session, LABUAN).link_address


def refused(code: Code, call: object) -> SimpulError:
    assert callable(call)
    with pytest.raises(SimpulError) as caught:
        call()
    assert caught.value.code is code
    return caught.value


def test_a_change_waits_and_is_approved(careful: Registrar, enrolled: Actor) -> None:
    asked = ask(careful, enrolled, set_link_address=MOVE)
    assert (asked.waits, asked.touched) == (True, Touched())
    assert address(careful) != ADDRESS
    (waiting,) = changes.list_waiting(careful, decided=False)
    assert summary(parse_change(waiting.change)) == f"take links at {ADDRESS}"

    done, touched = changes.approve(careful, waiting.id, ONE)

    assert (done.state, done.decided_by) == (WaitingState.APPROVED, "operator one")
    assert touched == Touched(frozenset({KOMODO}))
    assert address(careful) == ADDRESS
    assert changes.list_waiting(careful, decided=False) == ()
    assert changes.list_waiting(careful, decided=True) == (done,)


def test_the_second_operator_is_told_what_the_first_did(
    careful: Registrar, enrolled: Actor
) -> None:
    ask(careful, enrolled, set_link_address=MOVE)
    (waiting,) = changes.list_waiting(careful, decided=False)
    changes.decline(careful, waiting.id, TWO)

    error = refused(Code.CONFLICT, lambda: changes.approve(careful, waiting.id, ONE))

    assert "declined already by operator two" in error.message
    assert address(careful) != ADDRESS


def test_what_was_withdrawn_is_not_approved(careful: Registrar, enrolled: Actor) -> None:
    ask(careful, enrolled, set_link_address=MOVE)
    number = enrolled.number
    ask(careful, enrolled, withdraw_change=registry_pb2.WithdrawChange(number=number))
    (waiting,) = changes.list_waiting(careful, decided=True)

    error = refused(Code.CONFLICT, lambda: changes.approve(careful, waiting.id, ONE))

    assert "withdrawn already" in error.message


def test_only_a_change_of_ones_own_that_waits_is_withdrawn(
    careful: Registrar, enrolled: Actor
) -> None:
    unknown = registry_pb2.WithdrawChange(number=99)
    refused(Code.NOT_FOUND, lambda: ask(careful, enrolled, withdraw_change=unknown))


def test_what_would_be_refused_is_refused_at_once(careful: Registrar, enrolled: Actor) -> None:
    bad = registry_pb2.SetLinkAddress(link_address="nowhere")
    refused(Code.CHANGE_INVALID, lambda: ask(careful, enrolled, set_link_address=bad))
    assert changes.list_waiting(careful, decided=True) == ()


def test_a_number_is_used_up_by_waiting(careful: Registrar, enrolled: Actor) -> None:
    data, signature = enrolled.sign_change(enrolled.change(set_link_address=MOVE))
    changes.apply(careful, data, signature, NOW)
    refused(Code.CHANGE_REPLAYED, lambda: changes.apply(careful, data, signature, NOW))


def test_a_change_of_a_node_that_was_revoked_goes_on_waiting(
    careful: Registrar, enrolled: Actor
) -> None:
    ask(careful, enrolled, publish_service=publish_service())
    (waiting,) = changes.list_waiting(careful, decided=False)
    administration.revoke_node(careful, LABUAN, NOW)

    refused(Code.NODE_REVOKED, lambda: changes.approve(careful, waiting.id, ONE))

    assert changes.list_waiting(careful, decided=False) == (waiting,)


def test_a_change_is_declined_for_a_reason(careful: Registrar, enrolled: Actor) -> None:
    ask(careful, enrolled, set_link_address=MOVE)
    (waiting,) = changes.list_waiting(careful, decided=False)
    refused(Code.CHANGE_INVALID, lambda: changes.decline(careful, waiting.id, ONE))
    assert changes.decline(careful, waiting.id, TWO).reason == "no"


def test_there_is_no_such_change(careful: Registrar) -> None:
    refused(Code.NOT_FOUND, lambda: changes.approve(careful, 7, ONE))


def test_kinds_that_are_automatic_do_not_wait(careful: Registrar, enrolled: Actor) -> None:
    statement = enrolled.sign_statement(enrolled.next_view())
    replaced = registry_pb2.ReplaceStatement(statement=statement)
    assert not ask(careful, enrolled, replace_statement=replaced).waits
