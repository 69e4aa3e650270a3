"""What one member can cost the registry, and what is read only where it is needed."""

from dataclasses import replace

import pytest

from registry import changes
from registry.contracts import rules as contract_rules
from registry.contracts.listed import listed_contracts
from registry.registrar import Registrar
from registry.store import submissions
from security.contract_comments import without_comments
from security.errors import Code
from tests.support.protos import ISLANDS, compiled
from tests.unit.registry.conftest import KOMODO, NOW, Actor, publish_service
from tests.unit.registry.contracts.test_workflow import (
    PACKAGE,
    WIDER,
    AlwaysLike,
    ask,
    publish,
    published,
    refused,
    submission,
)


@pytest.fixture
def comparing(registrar: Registrar) -> Registrar:
    return replace(registrar, comparer=AlwaysLike())


def test_a_member_has_so_many_submissions_at_once(
    comparing: Registrar, enrolled: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract_rules, "MAX_OPEN", 2)
    for _ in range(2):
        assert publish(comparing, enrolled, why_not="ours").waits
    told = refused(Code.OVERLOADED, comparing, enrolled, publish_contract=published(why_not="ours"))
    assert "2 submissions" in told.message


def test_a_member_makes_so_many_submissions_in_a_day(
    registrar: Registrar, enrolled: Actor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contract_rules, "MAX_A_DAY", 1)
    publish(registrar, enrolled)
    kind = published(WIDER, 1)
    refused(Code.OVERLOADED, registrar, enrolled, publish_contract=kind)
    enrolled.now_ms = NOW + contract_rules.DAY_MS
    later = enrolled.sign_change(enrolled.change(publish_contract=kind))
    assert changes.apply(registrar, *later, NOW + contract_rules.DAY_MS).touched


def test_a_list_of_submissions_has_no_sets_and_one_has(
    comparing: Registrar, enrolled: Actor
) -> None:
    made = submission(publish(comparing, enrolled, why_not="ours"))
    assert made.change
    with comparing.store.transaction() as session:
        (listed,) = submissions.every(session, decided=True)
        assert submissions.get(session, made.id) == made
    assert listed == replace(made, change=b"", signature=b"")


def test_contracts_are_listed_with_who_implements_them_and_read_on_demand(
    registrar: Registrar, enrolled: Actor
) -> None:
    publish(registrar, enrolled)
    publish(registrar, enrolled, WIDER, 1)
    ask(registrar, enrolled, publish_service=publish_service(protoset=compiled(ISLANDS)))
    with registrar.store.transaction() as session:
        (found,) = listed_contracts(session)
        read = found.read()
    assert (found.package, found.revision, found.owner) == (PACKAGE, 2, KOMODO)
    assert found.users == (KOMODO,)
    assert read.descriptor_set == without_comments(compiled(WIDER))
    before = found.content
    publish(registrar, enrolled, WIDER.replace("area = 2;", "area = 2; // km2"), 2)
    with registrar.store.transaction() as session:
        assert listed_contracts(session)[0].content != before
