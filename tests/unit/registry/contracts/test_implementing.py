"""Services of another member's contract, and publishers that come at once; on both databases."""

from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

from registry import changes
from registry.registrar import Registrar
from registry.store import cards, services
from security.contract_card import ContractTermsView, Maturity
from security.errors import Code, SimpulError
from security.identifiers import ServiceId
from simpul.v1 import registry_pb2
from tests.support.protos import ISLANDS, compiled
from tests.unit.registry.conftest import KOMODO, NOW, WAKATOBI, Actor, publish_service
from tests.unit.registry.contracts.test_workflow import (
    PACKAGE,
    WIDER,
    ask,
    card,
    publish,
    published,
    refused,
    submission,
)


def test_an_adopters_service_matches_a_revision_or_is_told_how_it_differs(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    publish(registrar, enrolled)
    publish(registrar, enrolled, WIDER, 1)
    own = f"{WAKATOBI}/pariwisata"

    # What no caller can tell: options, other methods, what is reserved.
    more = ISLANDS.replace("rpc Get", "rpc Drop(Island) returns (Island);\n  rpc Get")
    more = more.replace("int64 area = 2;", "int64 area = 2 [deprecated = true];\n  reserved 30;")
    ask(registrar, neighbour, publish_service=publish_service(own, protoset=compiled(more)))
    with registrar.store.transaction() as session:
        service = services.find(session, ServiceId.parse(f"{own}/wisata.v1.Wisata"))
    assert service is not None
    found = card(registrar).of_contract(service.contract)
    assert found is not None
    assert found.number == 1
    # Nothing of it comes into the contract.
    assert len(card(registrar).revisions) == 2

    other = WIDER.replace("string name = 1;\n  // In", "bytes name = 1;\n  // In")
    theirs = publish_service(own, protoset=compiled(other))
    error = refused(Code.CONTRACT_DIFFERS, registrar, neighbour, publish_service=theirs)
    assert "closest to 2: wisata.v1.Island.name: holds bytes, and by the contract" in error.message
    assert error.details["difference_01"].startswith("wisata.v1.Island.name: holds bytes")
    assert (error.details["count"], error.details["step"]) == ("1", "10")

    far = compiled(
        WIDER.replace("string name = 1;", "bytes title = 9;").replace("rpc Get", "rpc Of")
    )
    theirs = publish_service(own, protoset=far)
    assert "Wisata.Get: the service lacks this method" in (
        refused(Code.CONTRACT_DIFFERS, registrar, neighbour, publish_service=theirs).message
    )
    ghost = compiled(ISLANDS.replace("service Wisata", "service Hantu"))
    theirs = publish_service(own, protoset=ghost, service="wisata.v1.Hantu")
    assert "has no service wisata.v1.Hantu" in (
        refused(Code.CONTRACT_DIFFERS, registrar, neighbour, publish_service=theirs).message
    )


def test_nobody_begins_to_match_a_contract_that_is_retired(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    publish(registrar, enrolled, terms=ContractTermsView(maturity=Maturity.RETIRED))
    bare = compiled(ISLANDS.replace("int64 area = 2;", "int64 area = 2 [deprecated = true];"))
    theirs = publish_service(f"{WAKATOBI}/pariwisata", protoset=bare)
    refused(Code.CONTRACT_RETIRED, registrar, neighbour, publish_service=theirs)


def at_once(
    registrar: Registrar, *asked: tuple[Actor, registry_pb2.PublishContract]
) -> list[Code | int]:
    """What became of several that are sent together: the revision, or the code."""
    together = Barrier(len(asked))
    signed = [actor.sign_change(actor.change(publish_contract=kind)) for actor, kind in asked]

    def send(change: tuple[bytes, bytes]) -> Code | int:
        together.wait(10)
        try:
            return submission(changes.apply(registrar, *change, NOW)).revision
        except SimpulError as error:
            return error.code

    with ThreadPoolExecutor(len(asked)) as pool:
        return list(pool.map(send, signed))


def test_of_two_that_publish_at_once_one_is_published(
    registrar: Registrar, enrolled: Actor, neighbour: Actor
) -> None:
    """Two members want the package; then two people of its owner the next revision."""
    ended = at_once(
        registrar, (enrolled, published()), (neighbour, published(WIDER, member=WAKATOBI))
    )
    assert ended.count(1) == 1, ended
    assert {*ended} <= {1, Code.CONFLICT, Code.CONTRACT_OWNER}
    owner = card(registrar).owner
    assert card(registrar).newest.number == 1

    actor = enrolled if owner == KOMODO else neighbour
    base = ISLANDS if owner == KOMODO else WIDER
    more = [
        base.replace("int64 area = 2;", f"int64 area = 2;\n  int32 {name} = {number};")
        for number, name in ((20, "boats"), (21, "ferries"))
    ]
    ended = at_once(registrar, *((actor, published(text, 1, owner)) for text in more))
    assert ended.count(2) == 1, ended
    assert {*ended} <= {2, Code.CONFLICT, Code.CHANGE_REPLAYED}
    assert card(registrar).newest.number == 2
    with registrar.store.transaction() as session:
        assert len(cards.revisions(session, PACKAGE)) == 2
