"""Names: what is one, what is none, and that there is one spelling of each."""

import copy
import pickle
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.identifiers import (
    MemberId,
    NodeId,
    RegionCode,
    ServiceId,
    SubsystemId,
    check_federation,
    check_method_name,
    check_service_name,
    service_of,
)

MEMBER = r"[A-Z][A-Z0-9]{1,15}/[A-Z][A-Z0-9_]{0,31}/[A-Za-z0-9](\.?[A-Za-z0-9_-]){0,31}"
SUBSYSTEM = MEMBER + r"/[a-z0-9][a-z0-9._-]{0,63}"
SERVICE = SUBSYSTEM + r"/[A-Za-z_][A-Za-z0-9_]{0,9}(\.[A-Za-z_][A-Za-z0-9_]{0,9}){1,4}"
NODE = r"[A-Z][A-Z0-9]{1,15}/~n([a-z0-9-]{0,61}[a-z0-9])?"
REGION = r"[0-9]{2}(\.[0-9]{2}(\.[0-9]{2}(\.[0-9]{4})?)?)?"

Parser = Callable[[str], object]

BAD: list[tuple[Parser, str]] = [
    (MemberId.parse, ""),
    (MemberId.parse, "ID/DAERAH"),
    (MemberId.parse, "ID/DAERAH/53.15/x"),
    (MemberId.parse, "id/DAERAH/53.15"),
    (MemberId.parse, "I/DAERAH/53.15"),
    (MemberId.parse, "I" * 17 + "/DAERAH/53.15"),
    (MemberId.parse, "1D/DAERAH/53.15"),
    (MemberId.parse, "ID/Daerah/53.15"),
    (MemberId.parse, "ID/_D/53.15"),
    (MemberId.parse, "ID/" + "D" * 33 + "/53.15"),
    (MemberId.parse, "ID/DAERAH/"),
    (MemberId.parse, "ID/DAERAH/.."),
    (MemberId.parse, "ID/DAERAH/5..3"),
    (MemberId.parse, "ID/DAERAH/.53"),
    (MemberId.parse, "ID/DAERAH/" + "5" * 65),
    (MemberId.parse, " ID/DAERAH/53.15"),
    (MemberId.parse, "ID/DAERAH/53.15\n"),
    (MemberId.parse, "ID/DAERAH/٥٣"),
    (SubsystemId.parse, "ID/DAERAH/53.15"),
    (SubsystemId.parse, "ID/DAERAH/53.15/"),
    (SubsystemId.parse, "ID/DAERAH/53.15/Pariwisata"),
    (SubsystemId.parse, "ID/DAERAH/53.15/a/b"),
    (SubsystemId.parse, "ID/DAERAH/53.15/" + "a" * 65),
    (SubsystemId.parse, "ID/DAERAH/53.15/a\n"),
    (ServiceId.parse, "ID/DAERAH/53.15/pariwisata"),
    (ServiceId.parse, "ID/DAERAH/53.15/pariwisata/Wisata"),
    (ServiceId.parse, "ID/DAERAH/53.15/pariwisata/wisata..Wisata"),
    (ServiceId.parse, "ID/DAERAH/53.15/pariwisata/wisata.1.Wisata"),
    (ServiceId.parse, "ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata/List"),
    (ServiceId.parse, "ID/DAERAH/53.15/pariwisata/a." + "b" * 254),
    (NodeId.parse, "ID/labuan-bajo-1"),
    (NodeId.parse, "ID/~"),
    (NodeId.parse, "ID/~-a"),
    (NodeId.parse, "ID/~a-"),
    (NodeId.parse, "ID/~A"),
    (NodeId.parse, "ID/~a.b"),
    (NodeId.parse, "ID/~" + "a" * 64),
    (NodeId.parse, "ID/~a/~b"),
    (NodeId.parse, "ID/~registry"),
    (NodeId.parse, "id/~a"),
    (RegionCode.parse, ""),
    (RegionCode.parse, "5"),
    (RegionCode.parse, "53."),
    (RegionCode.parse, "53.1"),
    (RegionCode.parse, "5315"),
    (RegionCode.parse, "53.15.01.201"),
    (RegionCode.parse, "53.15.01.2001.1"),
    (RegionCode.parse, "53.15\n"),
    (RegionCode.parse, "٥٣"),
    (check_federation, "ID "),
    (check_service_name, "Wisata"),
    (check_service_name, ".wisata.Wisata"),
    (check_method_name, ""),
    (check_method_name, "Li/st"),
    (check_method_name, "L" * 256),
]


@pytest.mark.parametrize(("parse", "text"), BAD)
def test_what_is_no_name_is_refused(parse: Parser, text: str) -> None:
    with pytest.raises(SimpulError) as caught:
        parse(text)
    assert caught.value.code is Code.ID_MALFORMED
    assert "\n" not in caught.value.message
    assert len(caught.value.message) < 250


def test_parts() -> None:
    service = ServiceId.parse("ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata")
    assert service.service == "wisata.v1.Wisata"
    assert service.subsystem == SubsystemId(MemberId("ID", "DAERAH", "53.15"), "pariwisata")
    assert str(service.subsystem.member) == "ID/DAERAH/53.15"


def test_a_value_made_by_hand_obeys_the_same_rules() -> None:
    with pytest.raises(SimpulError):
        MemberId("ID", "DAERAH", "../x")
    with pytest.raises(SimpulError):
        SubsystemId(MemberId("ID", "DAERAH", "53.15"), "a/b")


def test_a_nodes_name_in_its_certificate() -> None:
    assert NodeId.parse("ID/~labuan-bajo-1").dns_name == "labuan-bajo-1.id.simpul.internal"


def test_a_node_is_known_by_its_dns_name() -> None:
    node = NodeId.parse("ID/~labuan-bajo-1")
    assert NodeId.from_dns_name(node.dns_name) == node
    for text in ("", "localhost", "a.id.simpul.internal.example", "A.id.simpul.internal", "a..b"):
        with pytest.raises(SimpulError) as caught:
            NodeId.from_dns_name(text)
        assert caught.value.code is Code.ID_MALFORMED


@given(st.from_regex(MEMBER, fullmatch=True))
def test_a_member_prints_as_it_was_parsed(text: str) -> None:
    assert str(MemberId.parse(text)) == text


@given(st.from_regex(SUBSYSTEM, fullmatch=True))
def test_a_subsystem_prints_as_it_was_parsed(text: str) -> None:
    assert str(SubsystemId.parse(text)) == text


@given(st.from_regex(SERVICE, fullmatch=True))
def test_a_service_prints_as_it_was_parsed(text: str) -> None:
    assert str(ServiceId.parse(text)) == text


@given(st.from_regex(NODE, fullmatch=True))
def test_a_node_prints_as_it_was_parsed(text: str) -> None:
    assert str(NodeId.parse(text)) == text


@given(st.from_regex(REGION, fullmatch=True))
def test_a_region_prints_as_it_was_parsed(text: str) -> None:
    assert str(RegionCode.parse(text)) == text


@given(st.text(alphabet="IDA5.~/-a_\n", max_size=30))
def test_whatever_comes_it_prints_as_it_was_parsed_or_is_refused(text: str) -> None:
    for parse in (MemberId.parse, SubsystemId.parse, ServiceId.parse, NodeId.parse):
        try:
            name = parse(text)
        except SimpulError:
            continue
        assert str(name) == text


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        (MemberId, "ID/DAERAH/53.15"),
        (SubsystemId, "ID/DAERAH/53.15/pariwisata"),
        (ServiceId, "ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata"),
        (NodeId, "ID/~labuan-bajo-1"),
        (RegionCode, "53.15"),
    ],
)
def test_a_name_is_found_by_its_text_however_it_was_made(
    kind: type[MemberId | SubsystemId | ServiceId | NodeId | RegionCode], text: str
) -> None:
    name = kind.parse(text)
    twins = (copy.copy(name), copy.deepcopy(name), pickle.loads(pickle.dumps(name)))  # noqa: S301
    by_hand = replace(name)
    assert by_hand is not name
    for twin in (*twins, by_hand):
        assert twin == name
        assert hash(twin) == hash(name)
        assert {name: "found"}[twin] == "found"
        assert str(twin) == text
    assert name != text
    assert kind.parse(text[:-1] + ("2" if text[-1].isdigit() else "x")) != name


def test_names_of_different_kinds_are_never_equal() -> None:
    assert RegionCode("53") != MemberId("ID", "DAERAH", "53")
    # Both are spelt alike only in a test: no text is a name of two kinds.
    twin = RegionCode("53")
    object.__setattr__(twin, "_text", "ID/DAERAH/53")
    assert twin != MemberId("ID", "DAERAH", "53")


def test_a_service_by_its_subsystem_is_the_one_by_its_text() -> None:
    subsystem = SubsystemId.parse("ID/DAERAH/53.15/pariwisata")
    assert service_of(subsystem, "wisata.v1.Wisata") == ServiceId(subsystem, "wisata.v1.Wisata")
    for bad in ("", "wisata", "a/b.C", "/wisata.v1.Wisata"):
        with pytest.raises(SimpulError) as caught:
            service_of(subsystem, bad)
        assert caught.value.code is Code.ID_MALFORMED
