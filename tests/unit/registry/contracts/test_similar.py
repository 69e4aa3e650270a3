"""What is like a contract, asked before it is published; on both databases."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from registry import changes
from registry.contracts.model import Likeness
from registry.contracts.similar import find_similar
from registry.registrar import Registrar
from registry.similarity.comparer import SimilarityComparer
from security.errors import Code, SimpulError
from security.hashing import QUERY_SIGNATURE, SIMILAR_QUERY_SIGNATURE
from security.identifiers import MemberId
from simpul.v1 import registry_pb2
from tests.support.protos import ISLANDS, compiled
from tests.unit.registry.conftest import DAY_MS, FEDERATION, KOMODO, NOW, WAKATOBI, Actor

TWIN = ISLANDS.replace("wisata.v1", "pariwisata.v1")


@pytest.fixture
def comparing(registrar: Registrar, enrolled: Actor) -> Registrar:
    """A registry in which the regency's contract is published."""
    kind = registry_pb2.PublishContract(
        package="wisata.v1", member=str(KOMODO), descriptor_set=compiled()
    )
    changes.apply(registrar, *enrolled.sign_change(enrolled.change(publish_contract=kind)), NOW)
    return replace(registrar, comparer=SimilarityComparer())


def ask(
    registrar: Registrar, actor: Actor, domain: bytes = SIMILAR_QUERY_SIGNATURE, **more: object
) -> tuple[Likeness, ...]:
    query = registry_pb2.SimilarQuery(
        version=1, federation=FEDERATION, node=str(actor.node), made_at_ms=NOW,
        package="pariwisata.v1", descriptor_set=compiled(TWIN), member=str(WAKATOBI),
    )  # fmt: skip
    for name, value in more.items():
        setattr(query, name, value)
    data = query.SerializeToString(deterministic=True)
    return find_similar(registrar, data, actor.node_key.sign(domain, data), NOW)


def test_the_closest_come_with_what_they_share(comparing: Registrar, enrolled: Actor) -> None:
    (found,) = ask(comparing, enrolled)
    assert (found.package, found.owner, found.close) == ("wisata.v1", KOMODO, True)
    assert "1 method: Wisata.Get" in found.shared
    # Nothing is kept of a question: the next one finds the same.
    assert ask(comparing, enrolled) == (found,)


def test_an_owners_other_versions_and_the_package_itself_do_not_count(
    comparing: Registrar, enrolled: Actor
) -> None:
    next_one = compiled(ISLANDS.replace("wisata.v1", "wisata.v2"))

    def seen(member: MemberId | str) -> int:
        found = ask(
            comparing, enrolled, member=str(member), package="wisata.v2", descriptor_set=next_one
        )
        return len(found)

    assert [seen(member) for member in (KOMODO, "", WAKATOBI)] == [0, 0, 1]
    assert ask(comparing, enrolled, package="wisata.v1", descriptor_set=compiled()) == ()


def test_bad_queries_are_refused(comparing: Registrar, enrolled: Actor) -> None:
    cases: tuple[tuple[Callable[[], object], Code, str], ...] = (
        (lambda: ask(comparing, enrolled, version=2), Code.REQUEST_MALFORMED, "2"),
        (lambda: ask(comparing, enrolled, package="9"), Code.ID_MALFORMED, "2"),
        (lambda: ask(comparing, enrolled, member="x"), Code.ID_MALFORMED, "2"),
        (lambda: ask(comparing, enrolled, federation="SG"), Code.CHANGE_INVALID, "3"),
        (lambda: ask(comparing, enrolled, node="ID/~nobody-1"), Code.NODE_UNKNOWN, "4"),
        # A signature over a question about submissions is none over this one.
        (lambda: ask(comparing, enrolled, QUERY_SIGNATURE), Code.SIGNATURE_INVALID, "5"),
        (lambda: ask(comparing, enrolled, made_at_ms=NOW - DAY_MS), Code.CHANGE_INVALID, "6"),
        (lambda: ask(comparing, enrolled, descriptor_set=b"\xff"), Code.PROTOSET_INVALID, "10"),
        (lambda: ask(comparing, enrolled, package="a.v1"), Code.PROTOSET_LACKS_SERVICE, "10"),
    )
    for call, code, step in cases:
        with pytest.raises(SimpulError) as caught:
            call()
        assert (caught.value.code, caught.value.details["step"]) == (code, step)
