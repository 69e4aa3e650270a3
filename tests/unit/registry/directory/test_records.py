"""Target files as nodes read them, from the store to the whole directory's view."""

from dataclasses import replace

import pytest

from registry import changes
from registry.directory import content
from registry.directory.records import contract_file, member_file, slot_origin
from registry.model import Contract, Touched
from registry.registrar import Registrar
from registry.store import listings, members
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import RegionCode, ServiceId
from tests.unit.registry.conftest import (
    KOMODO,
    LABUAN,
    NOW,
    WAKATOBI,
    Actor,
    a_policy,
    publish_service,
)

WISATA = ServiceId.parse(f"{KOMODO}/pariwisata/wisata.v1.Wisata")


@pytest.fixture
def published(registrar: Registrar, enrolled: Actor) -> Registrar:
    message = enrolled.change(publish_service=publish_service())
    changes.apply(registrar, *enrolled.sign_change(message), NOW)
    return registrar


def test_a_node_reads_what_the_store_holds(published: Registrar) -> None:
    everything = content.everything(published.store)
    files = content.read_committed(published.store, published.policy, everything)
    policy = a_policy(published.authority.certificate_der)

    view = DirectoryView.build("ID", 1, b"h" * 32, NOW, {**files, "policy": policy})

    service = view.service(WISATA.subsystem, WISATA.service)
    assert set(service.contract.methods) == {"Get"}
    assert view.node(LABUAN).slots[1].origin == "labuan-bajo-1.id.simpul.internal/journal/1"
    assert [node.id for node in view.nodes_of(KOMODO, NOW)] == [LABUAN]
    found = view.regions.exact(WISATA.service, RegionCode.parse("53.15"), NOW)
    assert found == (WISATA.subsystem,)
    assert view.member(WAKATOBI).statement is None


def test_the_same_listing_gives_the_same_bytes(published: Registrar) -> None:
    with published.store.transaction() as session:
        listing = listings.get(session, KOMODO)

    assert member_file(listing, published.policy) == member_file(listing, published.policy)


def test_each_change_gives_a_higher_number(published: Registrar) -> None:
    with published.store.transaction() as session:
        before = members.get(session, KOMODO).number
        members.changed(session, KOMODO)
        assert members.get(session, KOMODO).number == before + 1


def test_what_a_node_would_refuse_is_not_built(published: Registrar) -> None:
    with published.store.transaction() as session:
        listing = listings.get(session, KOMODO)
    bad = replace(listing, member=replace(listing.member, legal_name=""))

    with pytest.raises(SimpulError, match="nodes would refuse") as caught:
        member_file(bad, published.policy)
    assert caught.value.code is Code.CHANGE_INVALID

    with pytest.raises(SimpulError, match="nodes would refuse"):
        contract_file(Contract("wisata.v1.Wisata", b"h" * 32, b"", KOMODO))


def test_one_bad_file_does_not_hold_up_the_others(published: Registrar) -> None:
    narrow = replace(published.policy, member_classes=frozenset({"KEMENTERIAN"}))

    everything = content.everything(published.store)
    files = content.read_committed(published.store, narrow, everything)

    assert {path.split("/")[0] for path in files} == {"contracts"}
    assert content.read_committed(published.store, narrow, Touched()) == {}


def test_origins_are_unique(published: Registrar) -> None:
    with published.store.transaction() as session:
        (node,) = listings.get(session, KOMODO).nodes

    assert slot_origin(node, 0) != slot_origin(node, 1)
