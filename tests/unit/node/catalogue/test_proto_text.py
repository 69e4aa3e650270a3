"""The text of a contract, compiled again by protoc: the same descriptors, and the same comments."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet
from grpc_tools import protoc

from node.catalogue.proto_text import proto_files
from security.errors import Code, SimpulError

PROJECT = Path(__file__).parents[4]
INCLUDED = Path(protoc.__file__).parent / "_proto"

PROTO3 = """
// Licence of this file.

// About the syntax.
syntax = "proto3";
// About the package.
package class.v1;
import "google/protobuf/timestamp.proto";
import "own.proto";
option java_package = "id.go.\\"class\\"";
option (own.text) = "a\\nb";

// Detached.

// An enum.
enum Kind {
  option allow_alias = true;
  reserved 5 to max;
  reserved "OLD";
  KIND_UNSPECIFIED = 0; // none
  KIND_SAME = 0 [deprecated = true];
  KIND_MINUS = -1;
}
// What is asked.
// In two lines.
message Ask {
  // Trailing of the message.

  message Ask { int32 return = 1; }
  message v1 { Kind kind = 1; }
  // Inside.
  Ask import = 1;
  map<string, Ask> from = 2;
  optional string none = 3 [json_name = "nil"];
  reserved 10, 20 to 30, 1000 to max;
  reserved "gone", "lost";
  oneof class {
    option (own.of_oneof) = true;
    string def = 4;
    // A moment.
    google.protobuf.Timestamp at = 5; // in UTC
  }
  repeated int32 many = 6 [packed = false, (own.weight) = -1.5];
  map<int64, v1> others = 7;
  message Last { .class.v1.Kind k = 1 [(own.rule) = { text: "x" number: 3 }]; }
  Last __last_one = 8;
}
message None { .class.v1.Ask outer = 1; }
// A service.
service import {
  option (own.sort) = B;
  // A method.
  rpc def(Ask) returns (stream None);
  rpc Both(stream Ask) returns (stream Ask.Ask) { option idempotency_level = NO_SIDE_EFFECTS; }
  rpc Empty(None) returns (None) {}
}
"""
OWN = """
syntax = "proto2";
package own;
import "google/protobuf/descriptor.proto";
enum Sort { A = 1; B = 2; }
message Rule { optional string text = 1; repeated int32 number = 2; extensions 100 to max; }
extend google.protobuf.FileOptions { optional string text = 50001; }
extend google.protobuf.OneofOptions { optional bool of_oneof = 50002; }
extend google.protobuf.FieldOptions {
  optional double weight = 50003;
  optional Rule rule = 50004;
}
extend google.protobuf.ServiceOptions { optional Sort sort = 50005; }
message Old {
  required int32 id = 1 [default = -7];
  optional string s = 2 [default = "it's \\"so\\"\\n\\303\\251"];
  optional bytes b = 3 [default = "\\000\\377\\"'"];
  optional double d = 4 [default = -inf];
  optional Sort sort = 5 [default = B];
  repeated group Part = 6 { optional int32 x = 1; map<string, int32> m = 2; }
  optional bool yes = 7 [default = true, deprecated = true];
  oneof one { int32 i = 8; group Two = 9 { optional string t = 1; } }
  extend Rule { optional Old more = 101; }
  extensions 200 to 210, 300;
}
"""
EDITIONS = """
edition = "2023";
package e;
option features.field_presence = IMPLICIT;
message M {
  reserved foo;
  string a = 1;
  string b = 2 [features.field_presence = EXPLICIT];
  M c = 3 [features.message_encoding = DELIMITED];
  repeated int32 r = 4 [features.repeated_field_encoding = EXPANDED];
  oneof o { int32 x = 5; }
}
enum E { option features.enum_type = CLOSED; reserved BAR; ONE = 1; }
service S { rpc Go(M) returns (M); }
"""


def compiled(folder: Path, files: dict[str, str]) -> bytes:
    folder.mkdir()
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    out = folder / "out.protoset"
    status = protoc.main(
        ["protoc", f"-I{folder}", f"-I{INCLUDED}", "--include_imports", "--include_source_info",
         f"--descriptor_set_out={out}", *files],
    )  # fmt: skip
    assert status == 0, "\n".join(files.values())
    return out.read_bytes()


def plain(data: bytes) -> dict[str, FileDescriptorProto]:
    files = {file.name: file for file in FileDescriptorSet.FromString(data).file}
    for file in files.values():
        file.ClearField("source_code_info")
    return files


def comments(data: bytes) -> dict[tuple[str, tuple[int, ...]], list[str]]:
    return {
        (file.name, tuple(at.path)): [
            at.leading_comments, at.trailing_comments, *at.leading_detached_comments
        ]
        for file in FileDescriptorSet.FromString(data).file
        if not file.name.startswith("google/")
        for at in file.source_code_info.location
        if at.leading_comments or at.trailing_comments or at.leading_detached_comments
    }  # fmt: skip


SOURCES = {
    "proto3": {"a/b-c.proto": PROTO3, "own.proto": OWN},
    "proto2": {"own.proto": OWN},
    "editions": {"e.proto": EDITIONS},
}


@pytest.mark.parametrize("files", SOURCES.values(), ids=SOURCES)
def test_protoc_makes_the_same_of_it(tmp_path: Path, files: dict[str, str]) -> None:
    first = compiled(tmp_path / "first", files)
    printed = proto_files(first)
    assert printed.keys() == files.keys()
    again = compiled(tmp_path / "again", printed)
    assert plain(again) == plain(first)
    assert comments(again) == comments(first)
    # And the text is its own text.
    assert proto_files(again) == printed


@pytest.mark.parametrize("name", ["wisata", "bandara"])
def test_the_contracts_of_the_examples(tmp_path: Path, name: str) -> None:
    first = (PROJECT / "examples" / "protos" / f"{name}.protoset").read_bytes()
    again = compiled(tmp_path / "again", proto_files(first))
    assert plain(again) == plain(first)


def test_a_set_without_an_import_is_refused() -> None:
    file = FileDescriptorProto(name="a.proto", dependency=["b.proto"])
    with pytest.raises(SimpulError) as refused:
        proto_files(FileDescriptorSet(file=[file]).SerializeToString())
    assert refused.value.code is Code.PROTOSET_INVALID
