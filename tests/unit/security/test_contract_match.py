"""A service that describes itself otherwise than its contract, in every way that counts or not."""

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from security.contract_match import beside, differences
from security.errors import Code, SimpulError
from tests.support.protos import compiled

SERVICE = "pulau.v1.Pulau"
SOURCE = """\
syntax = "proto3";
package pulau.v1;
service Pulau {
  rpc Get(GetRequest) returns (Island);
  rpc List(GetRequest) returns (stream Island);
}
message GetRequest { string name = 1; }
message Island {
  string name = 1;
  int64 area = 2;
  optional bool wet = 3;
  repeated string harbours = 4;
  map<string, int32> boats = 5;
  Kind kind = 6;
  Place place = 7;
  oneof reached { string ferry = 8; string airport = 9; }
}
message Place { double latitude = 1; Island within = 2; }
enum Kind { KIND_UNSPECIFIED = 0; KIND_ATOLL = 1; }
"""
ISLAND = "pulau.v1.Island"


def said(text: str, contract: str = SOURCE) -> list[str]:
    return [str(each) for each in differences(compiled(contract), compiled(text), SERVICE)]


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  rpc List(GetRequest) returns (stream Island);\n", "",
            "pulau.v1.Pulau.List: the service lacks this method",
        ),
        (
            "returns (stream Island)", "returns (Island)",
            ("pulau.v1.Pulau.List: answers one pulau.v1.Island, "
            "and by the contract a stream of pulau.v1.Island"),
        ),
        (
            "Get(GetRequest)", "Get(Place)",
            ("pulau.v1.Pulau.Get: takes one pulau.v1.Place, "
            "and by the contract one pulau.v1.GetRequest"),
        ),
        ("  int64 area = 2;\n", "", f"{ISLAND}.area: the service lacks this field, number 2"),
        (
            "int64 area = 2;", "int64 area = 2; string owner = 20;",
            f"{ISLAND}.owner: the contract has no such field, number 20",
        ),
        ("int64 area", "string area", f"{ISLAND}.area: holds string, and by the contract int64"),
        ("int64 area", "sint64 area", f"{ISLAND}.area: holds sint64, and by the contract int64"),
        (
            "int64 area", "int64 size",
            (f"{ISLAND}.area: is called size, and by the contract area; "
            "is called in JSON size, and by the contract area"),
        ),
        (
            "int64 area = 2;", 'int64 area = 2 [json_name = "luas"];',
            f"{ISLAND}.area: is called in JSON luas, and by the contract area",
        ),
        (
            "optional bool wet", "bool wet",
            f"{ISLAND}.wet: is there always, its default too, and by the contract or absent",
        ),
        (
            "repeated string harbours", "string harbours",
            f"{ISLAND}.harbours: holds string, and by the contract many string",
        ),
        ("<string, int32>", "<string, int64>", "holds int64, and by the contract int32"),
        ("Kind kind = 6", "int32 kind = 6", "holds int32, and by the contract pulau.v1.Kind"),
        (
            "{ string ferry = 8; string airport = 9; }",
            "{ string ferry = 8; } string airport = 9;",
            f"{ISLAND}.ferry: stands by itself, and by the contract in a oneof of the fields 8, 9",
        ),
        (
            "KIND_ATOLL = 1;", "KIND_REEF = 1;",
            ("pulau.v1.Kind.KIND_ATOLL: value 1 is called KIND_REEF, "
            "and by the contract KIND_ATOLL"),
        ),
        ("KIND_ATOLL = 1;", "", "Kind.KIND_ATOLL: the service lacks this value, number 1"),
        (
            "KIND_ATOLL = 1;", "KIND_ATOLL = 1; KIND_BAR = 2;",
            "pulau.v1.Kind.KIND_BAR: the contract has no such value, number 2",
        ),
        (
            "double latitude = 1;", "float latitude = 1;",
            "pulau.v1.Place.latitude: holds float, and by the contract double",
        ),
    ],
)  # fmt: skip
def test_what_a_caller_can_tell_is_said(old: str, new: str, expected: str) -> None:
    assert old in SOURCE
    found = said(SOURCE.replace(old, new))
    assert found, "nothing was found"
    assert any(line.endswith(expected) for line in found), found


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("package pulau.v1;", 'package pulau.v1;\noption java_package = "id.go.pulau";'),
        ("  int64 area = 2;", "  reserved 30; reserved 'old';\n  // Area.\n  int64 area = 2;"),
        ("int64 area = 2;", "int64 area = 2 [deprecated = true];"),
        ("int64 area = 2;", 'int64 area = 2 [json_name = "area"];'),
        ("rpc Get", "rpc Drop(Place) returns (Place);\n  rpc Get"),
        ("oneof reached", "oneof way"),
        ("optional bool wet = 3;", "oneof only { bool wet = 3; }"),
        ("message GetRequest", "message Unused { string secret = 1; }\nmessage GetRequest"),
        ("repeated string harbours = 4;\n", ""),
    ],
)
def test_what_no_caller_can_tell_does_not_count(old: str, new: str) -> None:
    """The last one moves a field to another place in the file."""
    text = SOURCE.replace(old, new)
    if not new:
        text = text.replace("  oneof reached", f"  {old}  oneof reached")
    assert text != SOURCE
    assert said(text) == []


def test_another_edition_that_reads_alike_matches() -> None:
    text = SOURCE.replace('syntax = "proto3";', 'edition = "2023";').replace("optional ", "")
    # An edition has presence by default, where proto3 has none.
    assert f"{ISLAND}.area: is there or absent" in " ".join(said(text))
    implicit = 'edition = "2023";\noption features.field_presence = IMPLICIT;'
    text = text.replace('edition = "2023";', implicit)
    assert (
        said(text.replace("bool wet = 3", "bool wet = 3 [features.field_presence = EXPLICIT]"))
        == []
    )


def test_groups_defaults_and_extensions_are_told_apart() -> None:
    old = """\
syntax = "proto2";
package pulau.v1;
service Pulau { rpc Get(Island) returns (Island); }
message Island {
  required string name = 1;
  optional int32 boats = 2 [default = 3];
  optional Kind kind = 3;
  extensions 100 to 200;
}
enum Kind { ATOLL = 1; REEF = 2; }
"""
    assert said(old, old) == []
    assert said(old.replace("default = 3", "default = 4"), old) == [
        f"{ISLAND}.boats: is unsaid 4, and by the contract 3"
    ]
    assert said(old.replace("required", "optional"), old) == [
        f"{ISLAND}.name: is there or absent, and by the contract always"
    ]
    extended = f"{old}extend Island {{ optional string owner = 100; }}\n"
    assert said(extended, old) == [f"{ISLAND}.owner: the contract has no such field, number 100"]
    swapped = old.replace("ATOLL = 1; REEF = 2;", "REEF = 2; ATOLL = 1;")
    assert said(swapped, old) == [f"{ISLAND}.kind: is unsaid REEF, and by the contract ATOLL"]
    nested = old.replace("optional Kind kind = 3;", "optional group Kind = 3 { }").replace(
        "enum Kind { ATOLL = 1; REEF = 2; }", ""
    )
    message = nested.replace(
        "optional group Kind = 3 { }", "optional Kind kind = 3; message Kind { }"
    )
    assert "delimited" in said(nested, message)[0]


def test_a_type_of_another_file_is_found_and_one_within_itself_ends() -> None:
    split = FileDescriptorSet.FromString(compiled(SOURCE))
    (file,) = split.file
    kept = [each for each in file.message_type if each.name != "GetRequest"]
    other = split.file.add(name="zz.proto", package="pulau.v1", syntax="proto3")
    other.message_type.extend(each for each in file.message_type if each.name == "GetRequest")
    del file.message_type[:]
    file.message_type.extend(kept)
    file.dependency.append("zz.proto")
    assert differences(compiled(SOURCE), split.SerializeToString(), SERVICE) == ()


def test_further_methods_are_named_and_a_service_that_is_not_there_is_refused() -> None:
    more = SOURCE.replace("rpc Get", "rpc Drop(Place) returns (Place);\n  rpc Get")
    assert beside(compiled(SOURCE), compiled(more), SERVICE) == ("Drop",)
    with pytest.raises(SimpulError) as caught:
        differences(compiled(SOURCE), compiled(), SERVICE)
    assert caught.value.code is Code.PROTOSET_LACKS_SERVICE
