"""What makes two descriptor sets the same contract, and comments that stand beside it."""

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import given
from hypothesis import strategies as st

from security.contract_comments import (
    MAX_COMMENT_BYTES,
    comments_of,
    elements,
    with_comments,
    without_comments,
)
from security.contract_lint import advice
from security.contract_shape import package_shape, service_shape
from security.errors import Code, SimpulError
from tests.support.protos import ISLANDS, compiled

SERVICE, PACKAGE = "wisata.v1.Wisata", "wisata.v1"


@pytest.mark.parametrize(
    "other",
    [
        compiled(ISLANDS, comments=False),
        compiled(ISLANDS.replace("In square metres.", "Something else.")),
        compiled(ISLANDS, name="renamed.proto"),
        compiled(ISLANDS + "message Unused { string x = 1; }\n"),
        compiled('syntax = "proto3";\n' + ISLANDS.partition("\n")[2].partition("\n")[2]),
    ],
    ids=["bare", "words", "file", "unused", "head"],
)  # fmt: skip
def test_the_same_service_compiled_otherwise(other: bytes) -> None:
    assert service_shape(other, SERVICE) == service_shape(compiled(), SERVICE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("int64 area = 2;", "uint64 area = 2;"),
        ("int64 area = 2;", "int64 area = 3;"),
        ("int64 area = 2;", "int64 size = 2;"),
        ("int64 area = 2;", 'int64 area = 2 [json_name = "luas"];'),
        ("int64 area = 2;", "optional int64 area = 2;"),
        ("int64 area = 2;", "int64 area = 2; reserved 3;"),
        ("returns (Island)", "returns (stream Island)"),
        ("rpc Get(", "rpc Take("),
    ],
)
def test_another_service(old: str, new: str) -> None:
    other = compiled(ISLANDS.replace(old, new))
    assert service_shape(other, SERVICE) != service_shape(compiled(), SERVICE)
    assert package_shape(other, PACKAGE) != package_shape(compiled(), PACKAGE)


def test_json_names_that_the_compiler_left_out_are_the_same() -> None:
    files = FileDescriptorSet.FromString(compiled(ISLANDS.replace("int64 area", "int64 land_area")))
    before = service_shape(files.SerializeToString(), SERVICE)
    for message in files.file[0].message_type:
        for field in message.field:
            field.ClearField("json_name")
    assert service_shape(files.SerializeToString(), SERVICE) == before


def test_a_service_that_is_not_there() -> None:
    for name in ("wisata.v1.Lain", "wisata.v1.Island"):
        with pytest.raises(SimpulError) as caught:
            service_shape(compiled(), name)
        assert caught.value.code is Code.PROTOSET_LACKS_SERVICE


def test_comments_are_taken_out_and_put_back() -> None:
    found = comments_of(compiled(), PACKAGE)
    bare = without_comments(compiled())
    assert bare == without_comments(bare)
    assert b"square metres" not in bare
    assert {item.element for item in found} >= {PACKAGE, SERVICE, f"{SERVICE}.Get"}
    assert [item.element for item in found] == sorted(item.element for item in found)
    assert comments_of(with_comments(bare, found), PACKAGE) == found
    assert without_comments(with_comments(bare, found)) == bare


def test_comments_of_everything() -> None:
    text = """\
syntax = "proto3";
// P
package a.v1;
message M {
  // F
  string f = 1; // behind F
  // O
  oneof o { string g = 2; }
  // N
  message N {
    // X
    int32 x = 1;
  }
  // E
  enum E {
    // V
    E_A = 0;
  }
}
// S
service S {
  // R
  rpc R(M) returns (M);
}
"""
    found = {
        item.element: (item.leading, item.trailing) for item in comments_of(compiled(text), "a.v1")
    }
    assert found == {
        "a.v1": ("P", ""), "a.v1.M.f": ("F", "behind F"), "a.v1.M.o": ("O", ""),
        "a.v1.M.N": ("N", ""), "a.v1.M.N.x": ("X", ""), "a.v1.M.E": ("E", ""),
        "a.v1.M.E.E_A": ("V", ""), "a.v1.S": ("S", ""), "a.v1.S.R": ("R", ""),
    }  # fmt: skip
    names = [name for _, name in elements(FileDescriptorSet.FromString(compiled(text)).file[0])]
    assert len(set(names)) == len(names) - 1, "the package has two places"


def test_too_many_comments_are_refused() -> None:
    text = ISLANDS.replace("In square metres.", "x" * MAX_COMMENT_BYTES)
    with pytest.raises(SimpulError) as caught:
        comments_of(compiled(text), PACKAGE)
    assert caught.value.code is Code.PROTOSET_INVALID
    assert comments_of(compiled(text), "google.protobuf") == ()


@given(st.text(max_size=200))
def test_any_words_survive(words: str) -> None:
    bare = without_comments(compiled())
    said = [item for item in comments_of(compiled(), PACKAGE) if item.element == SERVICE]
    before = [type(item)(item.element, words) for item in said]
    found = comments_of(with_comments(bare, before), PACKAGE)
    again = comments_of(with_comments(bare, found), PACKAGE)
    assert [item.element for item in found] in ([SERVICE], [])
    if found and not found[0].leading.startswith((" ", "\n")):
        assert [item.leading.strip() for item in again] == [item.leading.strip() for item in found]


def test_advice_names_what_could_be_better() -> None:
    said = comments_of(compiled(), PACKAGE)
    assert advice(compiled(), PACKAGE, said) == ()
    text = (
        ISLANDS.replace("package wisata.v1", "package Wisata")
        .replace("rpc Get(", "rpc get_it(")
        .replace("string name = 1;\n  // In", "string Name = 1;\n  // In")
        + "enum E { first = 0; }\n"
    )
    found = advice(compiled(text), "Wisata", comments_of(compiled(text), "Wisata"))
    assert found == (
        "Wisata: write a package in lower case",
        "Wisata: end the package's name in a version, as in Wisata.v1",
        "Wisata.Wisata.get_it: write a method in PascalCase",
        "Wisata.Island.Name: write a field in lower_snake_case",
        "Wisata.E: say in a comment what it is",
        "Wisata.E.first: write a value in UPPER_SNAKE_CASE",
        "Wisata.E: let the value 0 end in _UNSPECIFIED, so that nothing said means nothing",
    )
    assert len(advice(without_comments(compiled()), PACKAGE, ())) == 7
