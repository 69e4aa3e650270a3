"""Who answers for a region: itself, its heirs, what it was before, and what is around it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import example, given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode, SubsystemId
from security.regions import (
    MAX_LINEAGE,
    Choice,
    RegionIndex,
    RegionRules,
    Speaker,
    enclosing,
    in_order,
    read_region_rules,
)
from simpul.v1 import annotations_pb2

NOW = 1000
SERVICE = "wisata.v1.Wisata"
OTHER = "bandara.v1.Bandara"


@dataclass(frozen=True)
class Span:
    """A `RegionView` with the parts that are looked at."""

    code: RegionCode
    begins: int = 0
    ends: int = 1 << 40
    predecessors: tuple[RegionCode, ...] = ()
    successors: tuple[RegionCode, ...] = ()

    def is_valid(self, now_ms: int) -> bool:
        """Whether it holds then."""
        return self.begins <= now_ms < self.ends


@dataclass(frozen=True)
class Contract:
    """A contract that says this of calls by region."""

    region_rules: RegionRules


PLAIN = Contract(RegionRules())
AROUND = Contract(RegionRules(enclosing=True))


def span(code: str, *, ended: bool = False, before: str = "", after: str = "") -> Span:
    """A region that holds now, or did."""
    return Span(
        RegionCode.parse(code),
        ends=NOW if ended else 1 << 40,
        predecessors=tuple(map(RegionCode.parse, before.split())),
        successors=tuple(map(RegionCode.parse, after.split())),
    )


def speaker(
    name: str, *spans: Span, contract: Contract | None = PLAIN, service: str = SERVICE
) -> Speaker:
    """A member with regions, and with the service unless `contract` is None."""
    member = MemberId.parse(f"ID/DAERAH/{name}")
    offered = SubsystemId.parse(f"{member}/pariwisata")
    services = () if contract is None else ((service, offered, contract),)
    return Speaker(member, active=True, regions=spans, services=services)


def found(index: RegionIndex, code: str) -> str:
    """Which regions answer, and who, in one text."""
    served = index.find(SERVICE, RegionCode.parse(code), NOW)
    return " ".join(
        f"{each.region}:{','.join(p.member.code for p in each.providers)}" for each in served
    )


def refused(index: RegionIndex, code: str, service: str = SERVICE) -> Code:
    """Why a call by this region is refused."""
    with pytest.raises(SimpulError) as caught:
        index.one(service, RegionCode.parse(code), NOW)
    return caught.value.code


def test_the_region_itself_comes_first() -> None:
    index = RegionIndex(
        [speaker("53.15", span("53.15")), speaker("53", span("53"), contract=AROUND)]
    )
    assert found(index, "53.15") == "53.15:53.15"
    assert index.one(SERVICE, RegionCode("53.15"), NOW).choice is Choice.ONE


@pytest.mark.parametrize("code", ["99", "99.99", "99.99.01.2001"])
def test_a_region_of_which_nothing_is_known(code: str) -> None:
    nation = speaker("PUSAT", span("00"), contract=AROUND)
    assert refused(RegionIndex([speaker("53.15", span("53.15"))]), code) is Code.REGION_UNKNOWN
    assert refused(RegionIndex([]), code) is Code.REGION_UNKNOWN
    # Nor does the country's provider answer for what nobody has heard of.
    assert refused(RegionIndex([nation]), code) is Code.REGION_UNKNOWN


def test_a_region_without_a_provider() -> None:
    index = RegionIndex([speaker("53.15", span("53.15"), contract=None)])
    assert refused(index, "53.15") is Code.REGION_UNSERVED
    assert refused(index, "53.16") is Code.REGION_UNSERVED
    inactive = replace(speaker("53.15", span("53.15")), active=False)
    assert refused(RegionIndex([inactive]), "53.15") is Code.REGION_UNSERVED


@pytest.mark.parametrize(
    ("code", "who"),
    [
        ("53.15.01.2001", "53.15:53.15"),
        ("53.15.01", "53.15:53.15"),
        ("53.16", "53:53"),
        ("52.08", "00:PUSAT"),
        ("53", "53:53"),
    ],
)
def test_the_nearest_region_around_answers_where_its_contract_says_so(code: str, who: str) -> None:
    index = RegionIndex(
        [
            speaker("53.15", span("53.15"), contract=AROUND),
            speaker("53", span("53"), contract=AROUND),
            speaker("PUSAT", span("00"), contract=AROUND),
            speaker("52.08", span("52.08"), contract=None),
        ]
    )
    assert found(index, code) == who


def test_a_region_around_whose_contract_does_not_say_so_is_passed_over() -> None:
    index = RegionIndex(
        [speaker("53.15", span("53.15")), speaker("53", span("53"), contract=AROUND)]
    )
    assert found(index, "53.15.01") == "53:53"
    assert refused(RegionIndex([speaker("53", span("53"))]), "53.15") is Code.REGION_UNSERVED


@pytest.mark.parametrize("side", ["old", "new"])
def test_a_renamed_region_answers_under_its_new_code(side: str) -> None:
    old = span("91.07", ended=True, after="92.03" if side == "old" else "")
    new = span("92.03", before="91.07" if side == "new" else "")
    assert found(RegionIndex([speaker("P", old, new)]), "91.07") == "92.03:P"


def test_a_chain_of_heirs_is_followed_to_those_that_live() -> None:
    index = RegionIndex(
        [
            speaker("A", span("91.01", ended=True, after="92.01"), contract=None),
            speaker("B", span("92.01", ended=True, after="93.01 93.02"), contract=None),
            speaker("C", span("93.01")),
            speaker("D", span("93.02")),
        ]
    )
    assert found(index, "91.01") == "93.01:C 93.02:D"
    assert refused(index, "91.01") is Code.REGION_AMBIGUOUS


def test_of_a_region_that_was_split_one_half_may_answer_alone() -> None:
    index = RegionIndex(
        [
            speaker("A", span("91.01", ended=True, after="93.01 93.02"), contract=None),
            speaker("C", span("93.01")),
            speaker("D", span("93.02"), contract=None),
        ]
    )
    assert found(index, "91.01") == "93.01:C"


def test_a_region_around_the_heir_answers_and_not_around_the_old_code() -> None:
    index = RegionIndex(
        [
            speaker("A", span("91.07", ended=True, after="92.03"), span("92.03"), contract=None),
            speaker("91", span("91"), contract=AROUND),
            speaker("92", span("92"), contract=AROUND),
        ]
    )
    assert found(index, "91.07") == "92:92"


def test_a_new_region_that_offers_nothing_yet_is_served_by_what_it_was_a_part_of() -> None:
    index = RegionIndex(
        [
            speaker("old", span("53.10")),
            speaker("new", span("53.22", before="53.10"), contract=None),
            speaker("53", span("53"), contract=AROUND),
        ]
    )
    assert found(index, "53.22") == "53.10:old"


def test_a_region_that_lives_does_not_send_its_callers_to_its_heirs() -> None:
    index = RegionIndex(
        [speaker("A", span("53.10", after="53.22"), contract=None), speaker("B", span("53.22"))]
    )
    assert refused(index, "53.10") is Code.REGION_UNSERVED


def test_a_circle_of_successors_ends() -> None:
    index = RegionIndex(
        [
            speaker("A", span("91.01", ended=True, after="91.02"), contract=None),
            speaker("B", span("91.02", ended=True, after="91.01 91.02"), contract=None),
        ]
    )
    assert refused(index, "91.01") is Code.REGION_UNSERVED


def test_a_lineage_has_a_bound() -> None:
    codes = [f"91.01.{n // 100:02d}.{n % 100:04d}" for n in range(MAX_LINEAGE + 10)]
    chain = [
        speaker(f"M{n}", span(code, ended=True, after=codes[n + 1]), contract=None)
        for n, code in enumerate(codes[:-1])
    ]
    last = speaker("LAST", span(codes[-1]))
    assert refused(RegionIndex([*chain, last]), codes[0]) is Code.REGION_UNSERVED
    assert found(RegionIndex([*chain, last]), codes[20]) == f"{codes[-1]}:LAST"


def test_all_within_a_region_and_all_of_the_country() -> None:
    index = RegionIndex(
        [
            speaker("53.15", span("53.15")),
            speaker("53.16", span("53.16"), contract=None),
            speaker("53.17", span("53.17", ended=True)),
            speaker("53.01", span("53.01.02")),
            speaker("53", span("53")),
            speaker("52.08", span("52.08")),
            speaker("M", span("53.18"), service=OTHER),
        ]
    )

    def within(prefix: str | None) -> list[str]:
        code = None if prefix is None else RegionCode.parse(prefix)
        return [str(served.region) for served in index.within(SERVICE, code, NOW)]

    assert within("53") == ["53.01.02", "53.15"]
    assert within(None) == ["52.08", "53", "53.01.02", "53.15"]
    assert within("53.01") == ["53.01.02"]
    assert within("53.15") == []
    assert within("99") == []


def several(choice: Choice) -> RegionIndex:
    """Three providers of one province, of which one is a regency of it."""
    contract = Contract(RegionRules(choice=choice))
    return RegionIndex(
        [
            speaker("C", span("53"), span("53.15"), contract=contract),
            speaker("A", span("53"), contract=contract),
            speaker("B", span("53"), span("53.16"), contract=contract),
            speaker("ASKS", span("53.16.01"), contract=None),
        ]
    )


@pytest.mark.parametrize(
    ("choice", "turn", "order"),
    [
        (Choice.ORDERED, 5, "ABC"),
        (Choice.ROUND_ROBIN, 3, "ABC"),
        (Choice.ROUND_ROBIN, 4, "BCA"),
        (Choice.NEAREST, 4, "BAC"),
    ],
)
def test_several_providers_are_asked_in_the_order_of_the_contract(
    choice: Choice, turn: int, order: str
) -> None:
    index = several(choice)
    served = index.one(SERVICE, RegionCode("53"), NOW)
    ordered = in_order(
        index, served, service=SERVICE, consumer=MemberId.parse("ID/DAERAH/ASKS"), turn=turn,
        now_ms=NOW,
    )  # fmt: skip
    assert "".join(each.member.code for each in ordered) == order


def test_several_providers_where_the_contract_wants_one() -> None:
    index = several(Choice.ONE)
    served = index.one(SERVICE, RegionCode("53"), NOW)
    with pytest.raises(SimpulError, match=r"A/.* and .*B/.* and .*C/") as caught:
        in_order(
            index, served, service=SERVICE, consumer=MemberId.parse("ID/DAERAH/ASKS"), turn=0,
            now_ms=NOW,
        )  # fmt: skip
    assert caught.value.code is Code.REGION_AMBIGUOUS


def test_the_strictest_revision_decides() -> None:
    index = RegionIndex(
        [
            speaker("A", span("53"), contract=Contract(RegionRules(choice=Choice.ORDERED))),
            speaker("B", span("53")),
        ]
    )
    assert index.one(SERVICE, RegionCode("53"), NOW).choice is Choice.ONE


def test_what_is_around_a_region() -> None:
    around = [str(code) for code in enclosing(RegionCode("53.15.01.2001"))]
    assert around == ["53.15.01", "53.15", "53", "00"]
    assert list(enclosing(RegionCode("00"))) == []


CODES = st.from_regex(r"[0-3]{2}(\.[0-3]{2}(\.0[01])?)?", fullmatch=True)


@st.composite
def speakers(draw: st.DrawFn) -> Iterator[Speaker]:
    """Any members with any regions, heirs and rules."""
    number = draw(st.integers(0, 8))
    return iter(
        [
            speaker(
                f"M{n}",
                *(
                    span(
                        draw(CODES),
                        ended=draw(st.booleans()),
                        after=draw(st.one_of(st.just(""), CODES)),
                        before=draw(st.one_of(st.just(""), CODES)),
                    )
                    for _ in range(draw(st.integers(0, 3)))
                ),
                contract=draw(st.sampled_from([PLAIN, AROUND, None])),
            )
            for n in range(number)
        ]
    )


@given(speakers(), CODES)
def test_whoever_answers_speaks_for_what_it_answers_for(
    members: Iterator[Speaker], code: str
) -> None:
    index = RegionIndex(members)
    try:
        served = index.find(SERVICE, RegionCode(code), NOW)
    except SimpulError:
        served = ()
        assert not index.exact(SERVICE, RegionCode(code), NOW)
    for each in served:
        assert set(each.providers) <= set(index.exact(SERVICE, each.region, NOW))
    every = {each.region for each in index.within(SERVICE, None, NOW)}
    assert {each.region for each in served} <= every


SCOPED = {SERVICE: (RegionCode("53.15"), RegionCode("52"))}


@pytest.mark.parametrize(
    ("code", "who"),
    [
        ("53.15", "53.15:53.15"),
        # Within one of the contract's regions, and around it.
        ("53.15.01", "53:53"),
        ("52.08", "52.08:52.08"),
        # It took the place of one of them.
        ("53.22", "53.22:53.22"),
        # Not of the contract's, though somebody speaks for it or would answer.
        ("53.16", None),
        ("53", None),
        ("53.99", None),
        ("00", None),
    ],
)
def test_a_contract_for_some_regions_has_nobody_for_others(code: str, who: str | None) -> None:
    index = RegionIndex(
        [
            speaker("53.15", span("53.15")),
            speaker("53.16", span("53.16")),
            speaker("53.22", span("53.22", before="53.15")),
            speaker("52.08", span("52.08")),
            speaker("53", span("53"), contract=AROUND),
            speaker("PUSAT", span("00"), contract=AROUND),
        ],
        SCOPED,
    )
    if who is None:
        assert refused(index, code) is Code.REGION_UNSERVED
        with pytest.raises(SimpulError, match=r"is for 53\.15, 52 and the regions within"):
            index.find(SERVICE, RegionCode(code), NOW)
    else:
        assert found(index, code) == who


def test_a_pattern_matches_only_what_the_contract_is_for() -> None:
    members = [speaker(code, span(code)) for code in ("53.15", "53.16", "52.08", "51.01")]
    everywhere = [speaker(code, span(code), service=OTHER) for code in ("51.02",)]
    index = RegionIndex([*members, *everywhere], SCOPED)
    assert [str(each.region) for each in index.within(SERVICE, None, NOW)] == ["52.08", "53.15"]
    assert [str(each.region) for each in index.within(OTHER, None, NOW)] == ["51.02"]
    assert refused(index, "99") is Code.REGION_UNKNOWN
    nation = {SERVICE: (RegionCode("00"),)}
    assert len(RegionIndex(members, nation).within(SERVICE, None, NOW)) == len(members)


REGIONS = ("53.15", "53.16", "53", "00", "53.15.01", "52.08", "52", "99.01")


@given(
    spans=st.lists(
        st.tuples(
            st.sampled_from(REGIONS[:-1]), st.booleans(), st.sampled_from((SERVICE, OTHER)),
            st.sampled_from((PLAIN, AROUND)), st.sampled_from(("", "53.16", "53.15", "52.08")),
        ),
        max_size=8,
    ),
    scopes=st.sampled_from(({}, SCOPED)),
)  # fmt: skip
@example(
    # The heir's province answers.
    spans=[("53.15", True, SERVICE, PLAIN, "52.08"), ("52", False, OTHER, AROUND, ""),
           ("52.08", False, SERVICE, PLAIN, "")],
    scopes={},
)  # fmt: skip
def test_what_is_offered_for_a_region_is_what_a_call_finds(
    spans: list[tuple[str, bool, str, Contract, str]], scopes: dict[str, tuple[RegionCode, ...]]
) -> None:
    members = (
        speaker(f"M{n}", span(code, ended=ended, after=after if after != code else ""),
                contract=contract, service=service)
        for n, (code, ended, service, contract, after) in enumerate(spans)
    )  # fmt: skip
    index = RegionIndex(members, scopes)
    for text in REGIONS:
        region = RegionCode.parse(text)
        called: dict[str, set[SubsystemId]] = {}
        known = True
        for service in (SERVICE, OTHER):
            try:
                served = index.find(service, region, NOW)
            except SimpulError as error:
                known = error.code is not Code.REGION_UNKNOWN
                continue
            called[service] = {each for one in served for each in one.providers}
        if known:
            offered = index.offered(region, NOW)
            assert {name: set(found) for name, found in offered.items()} == called
        else:
            with pytest.raises(SimpulError) as caught:
                index.offered(region, NOW)
            assert caught.value.code is Code.REGION_UNKNOWN
    for prefix in (None, RegionCode("53"), RegionCode("53.15")):
        gathered = {
            name: {each for one in index.within(name, prefix, NOW) for each in one.providers}
            for name in (SERVICE, OTHER)
        }
        offered = index.offered_within(prefix, NOW)
        assert {name: set(found) for name, found in offered.items()} == {
            name: found for name, found in gathered.items() if found
        }


def test_rules_are_read_from_the_contract_s_options() -> None:
    files = FileDescriptorSet()
    file = files.file.add(name="wisata/v1/wisata.proto", package="wisata.v1")
    service = file.service.add(name="Wisata")
    assert read_region_rules(files.SerializeToString(), SERVICE) == RegionRules()
    said = service.options.Extensions[annotations_pb2.regions]
    said.enclosing, said.choice = True, annotations_pb2.PROVIDER_CHOICE_NEAREST
    data = files.SerializeToString()
    assert read_region_rules(data, SERVICE) == RegionRules(enclosing=True, choice=Choice.NEAREST)
    assert read_region_rules(data, OTHER) == RegionRules()
    said.choice = 99  # type: ignore[assignment]  # of a later version
    assert read_region_rules(files.SerializeToString(), SERVICE).choice is Choice.ONE
    assert read_region_rules(b"\xff", SERVICE) == RegionRules()
