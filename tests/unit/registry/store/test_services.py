"""Subsystems, services and contract revisions."""

import pytest

from registry.model import Contract, Service, Subsystem
from registry.store import changes, contracts, members, nodes, services, subsystems
from registry.store.database import Store
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId
from tests.unit.registry.store.conftest import KOMODO, LABUAN, MEMBER, NOW, a_node

WISATA = ServiceId.parse("ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata")
FILE, NEWER_FILE = b"f" * 32, b"n" * 32


def a_contract(content: bytes = b"set", publisher: MemberId = KOMODO) -> Contract:
    return Contract("wisata.v1.Wisata", content.ljust(32, b"."), content, publisher)


@pytest.fixture
def listed(store: Store) -> Store:
    with store.transaction() as session:
        members.add(session, MEMBER, NOW)
        subsystems.ensure(session, Subsystem(WISATA.subsystem, "Pariwisata"))
        contracts.ensure(session, a_contract(), FILE, NOW)
        services.put(session, Service(WISATA, FILE))
    return store


def test_they_come_back_as_they_were(listed: Store) -> None:
    service = Service(WISATA, FILE)
    with listed.transaction() as session:
        assert subsystems.of_member(session, KOMODO) == (Subsystem(WISATA.subsystem, "Pariwisata"),)
        assert services.of_member(session, KOMODO) == (service,)
        assert services.find(session, WISATA) == service
        assert services.count(session) == 1
        assert contracts.find(session, contracts.every_key(session)[0]) == a_contract()


def test_a_service_moves_to_another_revision_and_both_stay(listed: Store) -> None:
    newer = a_contract(b"newer")
    with listed.transaction() as session:
        contracts.ensure(session, newer, NEWER_FILE, NOW)
        services.put(session, Service(WISATA, NEWER_FILE))
    with listed.transaction() as session:
        assert services.find(session, WISATA) == Service(WISATA, NEWER_FILE)
        assert services.count(session) == 1
        assert len(contracts.every_key(session)) == 2


def test_a_revision_keeps_its_first_publisher_and_a_subsystem_its_name(listed: Store) -> None:
    other = MemberId.parse("ID/DAERAH/74.07")
    with listed.transaction() as session:
        assert contracts.ensure(session, a_contract(publisher=other), NEWER_FILE, NOW) == FILE
        subsystems.ensure(session, Subsystem(WISATA.subsystem, "Another"))
    with listed.transaction() as session:
        assert contracts.find(session, contracts.every_key(session)[0]) == a_contract()
        assert subsystems.of_member(session, KOMODO)[0].name == "Pariwisata"


def test_a_removed_service_leaves_its_contract(listed: Store) -> None:
    with listed.transaction() as session:
        services.remove(session, WISATA)
    with listed.transaction() as session:
        assert services.find(session, WISATA) is None
        assert len(contracts.every_key(session)) == 1


def test_a_change_is_recorded_once(listed: Store) -> None:
    with listed.transaction() as session:
        nodes.add(session, a_node(), NOW)
        changes.add(session, LABUAN, 1, "publish_service", (b"h" * 32, b"s" * 64), (NOW, NOW))
    with pytest.raises(SimpulError) as caught, listed.transaction() as session:
        changes.add(session, LABUAN, 1, "publish_service", (b"h" * 32, b"s" * 64), (NOW, NOW))

    assert caught.value.code is Code.CONFLICT
