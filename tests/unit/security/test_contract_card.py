"""Cards and comments in the directory: read strictly, bound to their revisions, and obeyed."""

from collections.abc import Callable, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.contract_card import (
    MAX_TERM_CHARS,
    ContractTermsView,
    Maturity,
    card_path,
    documentation_path,
    parse_card,
    parse_documentation,
    read_terms,
    terms_message,
)
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.hashing import sha256
from security.identifiers import RegionCode
from security.regions import Choice, RegionRules
from simpul.v1 import annotations_pb2, directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.cards import PACKAGE, Change, ChangeDocs, card, docs

CARD, DOCS = card_path(PACKAGE), documentation_path(PACKAGE, 1)
NOW = fixed.NOW_MS


def built(changed: Mapping[str, bytes]) -> DirectoryView:
    return directories.build(directories.targets(changed=changed))


def refused(step: int, call: Callable[[], object]) -> None:
    with pytest.raises(SimpulError) as caught:
        call()
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED
    assert caught.value.details["step"] == str(step)
    assert "\n" not in caught.value.message


def test_a_card_says_whose_a_contract_is_and_which_revision_a_service_goes_by() -> None:
    view = built({CARD: card(), DOCS: docs()})
    found = view.cards.of_service(fixed.SERVICE)
    assert found is not None
    assert (found.owner, found.newest.number, found.terms) == (
        fixed.REGENCY, 1, ContractTermsView(),
    )  # fmt: skip
    contract = view.service(fixed.TOURISM, fixed.SERVICE).contract
    assert found.of_contract(contract.hash) == found.newest
    assert found.of_contract(b"x" * 32) is None
    assert found.newest.documentation is not None
    comments = view.cards.documentation[found.newest.documentation].comments
    assert [item.element for item in comments] == ["wisata.v1", "wisata.v1.Wisata"]
    assert view.cards.of_service("lain.v1.Lain") is None


def test_what_is_the_same_is_not_parsed_again() -> None:
    files = directories.targets(changed={CARD: card(), DOCS: docs()})
    first = directories.build(files)
    again = DirectoryView.build(fixed.FEDERATION, 8, b"h" * 32, NOW, files, first)
    assert again.cards.by_package[PACKAGE] is first.cards.by_package[PACKAGE]


@pytest.mark.parametrize(
    "change",
    [
        lambda c: setattr(c, "version", 2),
        lambda c: setattr(c, "federation", "XX"),
        lambda c: setattr(c, "package", "lain.v1"),
        lambda c: setattr(c, "package", "9"),
        lambda c: setattr(c, "number", 0),
        lambda c: setattr(c, "owner", "ID"),
        lambda c: c.ClearField("terms"),
        lambda c: setattr(c.terms, "maturity", 9),
        lambda c: setattr(c.terms, "title", "x" * (MAX_TERM_CHARS + 1)),
        lambda c: setattr(c.terms, "steward", "a\nb"),
        lambda c: c.terms.regions.append("5"),
        lambda c: c.terms.regions.extend(["53", "53"]),
        lambda c: setattr(c.terms, "successor", PACKAGE),
        lambda c: c.terms.rules.add(service="lain.v1.Lain"),
        lambda c: c.terms.rules.add(service=fixed.SERVICE),
        lambda c: c.ClearField("revisions"),
        lambda c: setattr(c.revisions[0], "number", 2),
        lambda c: setattr(c.revisions[0], "published_at_ms", 0),
        lambda c: c.revisions[0].ClearField("services"),
        lambda c: c.revisions[0].services.append(c.revisions[0].services[0]),
        lambda c: setattr(c.revisions[0].services[0], "contract", b"x"),
        lambda c: setattr(c.revisions[0].services[0], "service", "lain.v1.Lain"),
        lambda c: setattr(c.revisions[0], "documentation", b"x"),
    ],
)
def test_step_3_cards(change: Change) -> None:
    refused(3, lambda: parse_card(fixed.FEDERATION, CARD, card(change)))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: setattr(d, "version", 2),
        lambda d: setattr(d, "federation", "XX"),
        lambda d: setattr(d, "package", "lain.v1"),
        lambda d: setattr(d, "revision", 2),
        lambda d: d.comments.append(d.comments[0]),
        lambda d: d.comments.add(element="a"),
    ],
)
def test_step_3_documentation(change: ChangeDocs) -> None:
    refused(3, lambda: parse_documentation(fixed.FEDERATION, DOCS, docs(change)))


@given(st.binary(max_size=200))
def test_any_bytes_are_refused(data: bytes) -> None:
    for parse, path in ((parse_card, CARD), (parse_documentation, DOCS)):
        refused(3, lambda: parse(fixed.FEDERATION, path, data))  # noqa: B023  (called at once)


def test_step_8_what_a_card_names_is_there() -> None:
    refused(8, lambda: built({CARD: card()}))
    missing = card(lambda c: setattr(c.revisions[0].services[0], "contract", b"x" * 32))
    refused(8, lambda: built({CARD: missing, DOCS: docs()}))
    other, content = directories.contract_file("bandara.v1.Bandara")
    wrong = card(lambda c: setattr(c.revisions[0].services[0], "contract", sha256(content)))
    refused(8, lambda: built({CARD: wrong, DOCS: docs(), other: content}))
    # Of another revision's number.
    docs2 = docs(lambda d: setattr(d, "revision", 2))
    second = card(lambda c: setattr(c.revisions[0], "documentation", sha256(docs2)))
    refused(8, lambda: built({CARD: second, documentation_path(PACKAGE, 2): docs2}))


def rule(card: directory_pb2.ContractCard, *, enclosing: bool) -> None:
    choice = annotations_pb2.PROVIDER_CHOICE_ORDERED
    rules = annotations_pb2.RegionRules(enclosing=enclosing, choice=choice)
    card.terms.rules.add(service=fixed.SERVICE, regions=rules)


@pytest.mark.parametrize("enclosing", [True, False])
def test_the_cards_rules_are_obeyed_in_calls_by_region(enclosing: bool) -> None:
    village = RegionCode("53.15.01")
    ruled = card(lambda c: rule(c, enclosing=enclosing))
    view = built({CARD: ruled, DOCS: docs()})
    if enclosing:
        found = view.regions.one(fixed.SERVICE, village, NOW)
        assert (found.region, found.choice) == (RegionCode("53.15"), Choice.ORDERED)
    else:
        with pytest.raises(SimpulError) as caught:
            view.regions.one(fixed.SERVICE, village, NOW)
        assert caught.value.code is Code.REGION_UNSERVED


def test_terms_come_back_as_they_were() -> None:
    terms = ContractTermsView(
        "Islands", "Dinas Pariwisata", Maturity.RETIRED, (RegionCode("53"),), "CC-BY-4.0",
        "wisata.v2", {fixed.SERVICE: RegionRules(enclosing=True, choice=Choice.NEAREST)},
    )  # fmt: skip
    assert read_terms(terms_message(terms), PACKAGE) == terms
