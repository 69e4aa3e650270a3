"""What the catalogue finds: words of two languages, regions, classes, fields; and bad questions."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection, Sequence
from contextlib import asynccontextmanager

import pytest
from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st

from node.catalogue.documents import make_document
from node.catalogue.index import ContractIndex, Wanted
from node.catalogue.query import MAX_TEXT_CHARS, MAX_WORDS, match_field, match_text
from node.catalogue.service import MAX_WAITING, Catalogue
from node.catalogue.show import ByService
from node.catalogue.snippets.called import Gateway
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import RegionCode
from simpul.v1 import catalogue_pb2 as pb
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support.catalogued import Contract, Offers, directory
from tests.support.protos import ISLANDS, compiled

FERRIES = """\
syntax = "proto3";
package kapal.v1;

// Kapal penyeberangan ke pulau-pulau.
service Jadwal {
  // Kapal berikutnya dari sebuah pelabuhan.
  rpc CariKapal(CariKapalRequest) returns (Kapal);
}
message CariKapalRequest { string kode_pelabuhan = 1; }
message Kapal {
  string nama = 1;
  // Tertera di halaman muka.
  string nomor_paspor_nakhoda = 2;
}
"""
SCHOOLS = """\
syntax = "proto3";
package paud2.v1;

// Early schooling; the ferry's timetable isn't here.
service Schools {
  rpc ListSchools(ListSchoolsRequest) returns (stream School);
}
message ListSchoolsRequest { string district = 1; }
message School { string name = 1; }
"""
ISLAND_TERMS = directory_pb2.ContractTerms(
    maturity=directory_pb2.CONTRACT_MATURITY_RECOMMENDED,
    title="Sungai dan laut",
    steward="Bidang Data",
)
RETIRED = directory_pb2.ContractTerms(maturity=directory_pb2.CONTRACT_MATURITY_RETIRED)
CONTRACTS = (
    Contract("wisata.v1", compiled(), terms=ISLAND_TERMS),
    Contract("kapal.v1", compiled(FERRIES, name="kapal.proto")),
    Contract("paud2.v1", compiled(SCHOOLS, name="schools.proto"), terms=RETIRED),
)
REGENCY, PROVINCE, MINISTRY = "ID/DAERAH/53.15", "ID/DAERAH/53", "ID/KEMENTERIAN/KOMDIGI"
OFFERS = (
    Offers(REGENCY, ("53.15",), ("wisata.v1.Wisata",)),
    Offers(PROVINCE, ("53",), ("kapal.v1.Jadwal",)),
    Offers(MINISTRY, (), ("kapal.v1.Jadwal",)),
    Offers("ID/DAERAH/51", (), ("paud2.v1.Schools",), directory_pb2.MEMBER_STATE_SUSPENDED),
    Offers(
        "ID/DAERAH/52.08", ("52.08",), ("wisata.v1.Wisata",), directory_pb2.MEMBER_STATE_SUSPENDED
    ),
)
VIEW = directory(CONTRACTS, OFFERS)


def no_calls(
    services: Collection[str], since_ms: int, most: int, consumers: Collection[str] | None
) -> tuple[ByService, bool]:
    del services, since_ms, most, consumers
    return {}, False


@asynccontextmanager
async def catalogue(view: Callable[[], DirectoryView] = lambda: VIEW) -> AsyncIterator[Catalogue]:
    made = Catalogue(view, no_calls, Gateway("127.0.0.1:8441", tls=False), lambda: fixed.NOW_MS)
    try:
        yield made
    finally:
        await made.close()


async def search(**said: object) -> pb.CatalogueSearchResponse:
    async with catalogue() as made:
        return await made.search(pb.CatalogueSearchRequest(**said))  # type: ignore[arg-type]


def packages(answer: pb.CatalogueSearchResponse) -> list[str]:
    return [hit.package for hit in answer.hits]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        # Names, whatever they are written like, and their beginnings.
        ("wisata", ["wisata.v1"]),
        ("WISATA.V1", ["wisata.v1"]),
        ("wisata v2", []),
        ("CariKapal", ["kapal.v1"]),
        ("pelab", ["kapal.v1"]),
        ("paud", ["paud2.v1"]),
        ("paud2", ["paud2.v1"]),
        # The same in the other language: names of messages, methods and fields, and comments.
        ("pulau", ["wisata.v1", "kapal.v1"]),
        ("harbour", ["kapal.v1"]),
        ("sekolah", ["paud2.v1"]),
        # The cards' words.
        ("laut", ["wisata.v1"]),
        ("bidang data", ["wisata.v1"]),
        # Each word must be there; what tells nothing needn't.
        ("kapal pelabuhan", ["kapal.v1"]),
        ("kapal sekolah", []),
        ("layanan sekolah", ["paud2.v1"]),
        ("ferry", ["kapal.v1", "paud2.v1"]),
        # Spelt as the other language would.
        ("ferri", ["kapal.v1", "paud2.v1"]),
        ("", ["kapal.v1", "wisata.v1", "paud2.v1"]),
        ("  ", ["kapal.v1", "wisata.v1", "paud2.v1"]),
        # What is the index's syntax elsewhere is nothing here.
        ('kapal" OR "sekolah', []),
        ("maturity:wisata", []),
        ("kapal*", ["kapal.v1"]),
        ("-kapal", ["kapal.v1"]),
        ("NEAR(kapal, 2)", []),
        ("(kapal", ["kapal.v1"]),
        ("kapal'; DROP TABLE contracts; --", []),
        ("東京", []),
    ],
)
async def test_words(text: str, found: list[str]) -> None:
    answer = await search(text=text)
    assert sorted(packages(answer)) == sorted(found)
    assert answer.total == len(found)
    assert answer.directory_version == VIEW.version


async def test_a_name_comes_before_a_comment_and_what_is_retired_last() -> None:
    # A comment of the islands' names a ship too.
    said = compiled(ISLANDS.replace("What islands", "Kapal: what islands"))
    view = directory((Contract("wisata.v1", said), *CONTRACTS[1:]))
    async with catalogue(lambda: view) as made:
        answer = await made.search(pb.CatalogueSearchRequest(text="kapal"))
        assert packages(answer) == ["kapal.v1", "wisata.v1"]
        assert packages(await made.search(pb.CatalogueSearchRequest()))[-1] == "paud2.v1"


@pytest.mark.parametrize(
    ("field", "found", "fields"),
    [
        ("nomor paspor", ["kapal.v1"], ["kapal.v1.Kapal.nomor_paspor_nakhoda"]),
        ("passport", ["kapal.v1"], ["kapal.v1.Kapal.nomor_paspor_nakhoda"]),
        ("area", ["wisata.v1"], ["wisata.v1.Island.area"]),
        ("wisata", [], []),
        # Words of two fields are no field.
        ("kode nama", ["kapal.v1"], []),
    ],
)
async def test_fields(field: str, found: list[str], fields: list[str]) -> None:
    answer = await search(field=field)
    assert packages(answer) == found
    assert [name for hit in answer.hits for name in hit.fields] == fields


@pytest.mark.parametrize(
    ("region", "member_class", "found"),
    [
        ("53.15", "", ["wisata.v1"]),
        ("53", "", ["kapal.v1"]),
        ("53.*", "", ["wisata.v1"]),
        ("*", "", ["kapal.v1", "wisata.v1"]),
        # A known province's regency that nobody speaks for, and one whose member is suspended.
        ("53.99", "", []),
        ("52.08", "", []),
        ("73.*", "", []),
        ("", "KEMENTERIAN", ["kapal.v1"]),
        ("", "DAERAH", ["kapal.v1", "wisata.v1"]),
        # One and the same member must be of the class and answer for the region.
        ("53", "KEMENTERIAN", []),
        ("53", "DAERAH", ["kapal.v1"]),
    ],
)
async def test_places(region: str, member_class: str, found: list[str]) -> None:
    assert packages(await search(region=region, member_class=member_class)) == found


async def test_a_contract_for_some_regions_is_found_for_no_others() -> None:
    terms = directory_pb2.ContractTerms(
        maturity=directory_pb2.CONTRACT_MATURITY_DRAFT, regions=["53"]
    )
    offers = [Offers(f"ID/DAERAH/{at}", (at,), ("wisata.v1.Wisata",)) for at in ("53.15", "52.08")]
    view = directory([Contract("wisata.v1", compiled(), terms=terms)], offers)
    async with catalogue(lambda: view) as made:
        for region, found in (("53.15", 1), ("52.08", 0), ("52.*", 0), ("*", 1)):
            answer = await made.search(pb.CatalogueSearchRequest(region=region))
            assert (region, answer.total) == (region, found)
    with pytest.raises(SimpulError) as caught:
        view.regions.one("wisata.v1.Wisata", RegionCode("52.08"), fixed.NOW_MS)
    assert caught.value.code is Code.REGION_UNSERVED


async def test_a_hit_says_what_it_is() -> None:
    (hit,) = (await search(text="pulau", maturity=directory_pb2.CONTRACT_MATURITY_RECOMMENDED)).hits
    assert hit == pb.CatalogueHit(
        package="wisata.v1", title="Sungai dan laut", owner=REGENCY, revision=1,
        maturity=directory_pb2.CONTRACT_MATURITY_RECOMMENDED, services=["wisata.v1.Wisata"],
        implementations=2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"text": "***"}, Code.REQUEST_MALFORMED),
        ({"field": "_"}, Code.REQUEST_MALFORMED),
        ({"text": "a" * (MAX_TEXT_CHARS + 1)}, Code.REQUEST_MALFORMED),
        ({"text": "ab " * (MAX_WORDS + 1)}, Code.REQUEST_MALFORMED),
        ({"region": "5"}, Code.ID_MALFORMED),
        ({"region": "*.53"}, Code.ID_MALFORMED),
        ({"region": "99.01"}, Code.REGION_UNKNOWN),
        ({"member_class": "DESA"}, Code.REQUEST_MALFORMED),
        ({"maturity": 9}, Code.REQUEST_MALFORMED),
        ({"page_size": 101}, Code.REQUEST_MALFORMED),
        ({"page_token": "-1"}, Code.REQUEST_MALFORMED),
        ({"page_token": "9" * 40}, Code.REQUEST_MALFORMED),
        ({"page_token": "٣"}, Code.REQUEST_MALFORMED),
    ],
)
async def test_bad_questions_are_refused(said: dict[str, object], code: Code) -> None:
    with pytest.raises(SimpulError) as caught:
        await search(**said)
    assert caught.value.code is code


@given(st.text(max_size=MAX_TEXT_CHARS))
def test_nothing_that_is_typed_is_syntax(text: str) -> None:
    for make in (match_text, match_field):
        try:
            expression = make(text)
        except SimpulError as error:
            assert error.code is Code.REQUEST_MALFORMED  # noqa: PT017 - either is right
            continue
        assert INDEX.search(Wanted(text=expression), 5, 0).total <= len(CONTRACTS)


INDEX = ContractIndex()
INDEX.follow(VIEW)


async def test_pages_cover_everything_once() -> None:
    async with catalogue() as made:
        found: list[str] = []
        token = ""
        while True:
            request = pb.CatalogueSearchRequest(page_size=2, page_token=token)
            answer = await made.search(request)
            found += packages(answer)
            token = answer.next_page_token
            if not token:
                break
        assert found == ["kapal.v1", "wisata.v1", "paud2.v1"]
        past = await made.search(pb.CatalogueSearchRequest(page_token="900"))
        assert (packages(past), past.total, past.next_page_token) == ([], 3, "")


async def test_a_new_directory_is_followed_by_what_changed() -> None:
    views = [VIEW]
    async with catalogue(lambda: views[0]) as made:
        assert packages(await made.search(pb.CatalogueSearchRequest(text="kapal"))) == ["kapal.v1"]
        renamed = Contract(
            "kapal.v1", compiled(FERRIES.replace("Kapal", "Bus"), name="kapal.proto")
        )
        views[0] = directory((CONTRACTS[0], renamed), OFFERS[:1], version=8)
        answer = await made.search(pb.CatalogueSearchRequest(text="bus"))
        assert (packages(answer), answer.directory_version) == (["kapal.v1"], 8)
        assert packages(await made.search(pb.CatalogueSearchRequest(text="sekolah"))) == []
        assert (
            packages(await made.search(pb.CatalogueSearchRequest(member_class="KEMENTERIAN"))) == []
        )


def test_what_has_not_changed_is_not_read_again() -> None:
    with ContractIndex() as index:
        assert index.follow(VIEW) == 3
        assert index.follow(VIEW) == 0
        assert index.follow(directory(CONTRACTS, (), version=8)) == 0
        assert index.follow(directory(CONTRACTS[1:], (), version=9)) == 1


def test_a_set_that_is_not_sound_hides_nothing_else() -> None:
    broken = FileDescriptorSet.FromString(compiled(FERRIES, name="kapal.proto"))
    broken.file[0].message_type[0].name = "Odd\u2028Name"
    for data in (b"\xff\xff", broken.SerializeToString()):
        document_of = Contract("kapal.v1", compiled(FERRIES, name="kapal.proto"))
        card = directory([document_of]).cards.by_package["kapal.v1"]
        assert make_document(card, data, ()).package == "kapal.v1"


async def test_too_many_questions_at_once_are_refused() -> None:
    async with catalogue() as made:
        asked = [made.search(pb.CatalogueSearchRequest()) for _ in range(MAX_WAITING + 5)]
        answers = await asyncio.gather(*asked, return_exceptions=True)
        refused = [each for each in answers if isinstance(each, SimpulError)]
        assert [each.code for each in refused] == [Code.OVERLOADED] * 5
        await made.search(pb.CatalogueSearchRequest())


def many(count: int) -> Sequence[Contract]:
    """Contracts with forty fields each, of made-up words."""
    words = (
        "izin",
        "sekolah",
        "pulau",
        "pasien",
        "pajak",
        "jalan",
        "kapal",
        "air",
        "tanah",
        "desa",
    )
    made = []
    for number in range(count):
        package = f"layanan{number}.v1"
        files = FileDescriptorSet()
        file = files.file.add(name=f"layanan{number}.proto", package=package, syntax="proto3")
        message = file.message_type.add(name=f"{words[number % 10].title()}{number}")
        for place in range(40):
            message.field.add(
                name=f"{words[(number + place) % 10]}_{place}", number=place + 1,
                type=FieldDescriptorProto.TYPE_STRING, label=FieldDescriptorProto.LABEL_OPTIONAL,
            )  # fmt: skip
        file.service.add(name=f"Layanan{words[number % 7].title()}").method.add(
            name="Get", input_type=f".{package}.{message.name}",
            output_type=f".{package}.{message.name}",
        )  # fmt: skip
        made.append(Contract(package, files.SerializeToString()))
    return made


async def test_five_thousand_contracts_are_searched_quickly_and_in_pages() -> None:
    contracts = many(5000)
    offers = [
        Offers(f"ID/DAERAH/53.{n:02}", (f"53.{n:02}",), [c.services[0] for c in contracts[n::90]])
        for n in range(1, 90)
    ]
    view = directory(contracts, offers)
    async with catalogue(lambda: view) as made:
        answer = await made.search(pb.CatalogueSearchRequest(text="pulau kapal"))
        assert (answer.total, len(answer.hits)) == (5000, 20)
        for said in (
            {"text": "island"},
            {"text": "layanan4999"},
            {"text": "school", "region": "53.17"},
            {"region": "53.*"},
            {"region": "*", "field": "tanah", "page_size": 100},
            {},
            {"member_class": "DAERAH", "text": "a" * 3},
        ):
            began = time.perf_counter()
            answer = await made.search(pb.CatalogueSearchRequest(**said))
            took_s = time.perf_counter() - began
            assert len(answer.hits) <= 100
            # Milliseconds; with room for a machine that is busy.
            assert took_s < 1.0
