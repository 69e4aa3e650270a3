"""Groups of members in the directory: what can be one, and how it is found."""

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security.errors import Code, SimpulError
from security.group import (
    MAX_MEMBERS,
    GroupView,
    check_group_name,
    group_message,
    group_path,
    is_group_path,
    parse_group,
)
from security.identifiers import MemberId
from simpul.v1 import directory_pb2
from tests.support import directories

MEMBERS = tuple(MemberId.parse(f"ID/DAERAH/63.{number:02}") for number in range(1, 12))
GROUP = GroupView("dinas-pariwisata", 3, "Tourism agencies", frozenset(MEMBERS[:2]))
PATH = "members/~groups/dinas-pariwisata"
Wire = directory_pb2.GroupRecord


def wire(change: Callable[[Wire], object] = lambda _: None) -> bytes:
    message = group_message(GROUP, "ID")
    change(message)
    return message.SerializeToString(deterministic=True)


def put(name: str, value: object) -> Callable[[Wire], object]:
    return lambda message: setattr(message, name, value)


def members(*texts: str) -> Callable[[Wire], object]:
    def change(message: Wire) -> None:
        del message.members[:]
        message.members.extend(texts)

    return change


def refused(call: Callable[[], object]) -> SimpulError:
    with pytest.raises(SimpulError) as caught:
        call()
    assert caught.value.code is Code.DIRECTORY_UNTRUSTED
    assert caught.value.details["step"] == "4"
    return caught.value


@given(
    st.from_regex(r"[a-z0-9][a-z0-9-]{0,63}", fullmatch=True),
    st.integers(1, 2**63),
    st.sets(st.sampled_from(MEMBERS)),
    st.booleans(),
)
def test_what_is_printed_is_read_back(
    name: str, number: int, inside: set[MemberId], retired: bool
) -> None:
    group = GroupView(name, number, "A title", frozenset(() if retired else inside), retired)
    data = group_message(group, "ID").SerializeToString(deterministic=True)
    assert parse_group("ID", group_path(name), data) == group


@pytest.mark.parametrize(
    "change",
    [
        put("version", 2), put("federation", "XX"), put("name", ""), put("name", "Dinas"),
        put("name", "dinas-lain"), put("number", 0), put("title", ""), put("title", "two\nlines"),
        put("title", "x" * 201), put("retired", True), members("ID/DAERAH/63.01", "not a member"),
        members("ID/DAERAH/63.02", "ID/DAERAH/63.01"), members(*["ID/DAERAH/63.01"] * 2),
        members("XX/DAERAH/63.01"),
        members(*(f"ID/DAERAH/{number:05}" for number in range(MAX_MEMBERS + 1))),
    ],
)  # fmt: skip
def test_what_is_no_group_is_refused(change: Callable[[Wire], object]) -> None:
    refused(lambda: parse_group("ID", PATH, wire(change)))


@pytest.mark.parametrize("data", [b"\x07", wire() + b"\x78\x01"])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    refused(lambda: parse_group("ID", PATH, data))


@pytest.mark.parametrize("name", ["", "-dinas", "a/b", "..", "x" * 65, "dinas pariwisata"])
def test_names_of_groups(name: str) -> None:
    with pytest.raises(SimpulError):
        check_group_name(name)


def test_a_group_is_no_member() -> None:
    assert is_group_path(PATH)
    assert not is_group_path("members/DAERAH/53.15")
    with pytest.raises(SimpulError):
        MemberId.parse("ID/~groups/dinas-pariwisata")


def test_the_directory_has_groups_and_takes_over_what_did_not_change() -> None:
    files = directories.targets(changed={PATH: wire()})
    built = directories.build(files)
    assert built.groups == {GROUP.name: GROUP}
    again = built.build("ID", 2, b"h" * 32, 1, files, built)
    assert again.groups[GROUP.name] is built.groups[GROUP.name]
    other = replace(GROUP, number=4, members=frozenset())
    data = group_message(other, "ID").SerializeToString(deterministic=True)
    newer = built.build("ID", 2, b"h" * 32, 1, files | {PATH: data}, built)
    assert newer.groups == {GROUP.name: other}
    refused(lambda: directories.build(files | {"members/~groups/other": wire()}))
