"""Revisions of a contract, before and after: what `buf breaking` is asked about, and so are we."""

from typing import Final

HEAD: Final = 'syntax = "proto3";\npackage a.v1;\n'
HEAD2: Final = 'syntax = "proto2";\npackage a.v1;\n'
ENUM: Final = "enum E { E_UNSPECIFIED = 0; E_ONE = 1; E_TWO = 2; }\n"
ALIASES: Final = (
    "enum E { option allow_alias = true; E_UNSPECIFIED = 0; E_ONE = 1; E_TWO = 2; E_ZWEI = 2; }\n"
)
SERVICE: Final = "message N {}\nmessage O {}\nservice S { rpc A(N) returns (O); }\n"
USED: Final = "message N {}\nenum E { E_UNSPECIFIED = 0; }\n"
TYPES: Final = (
    "int32", "int64", "uint32", "uint64", "bool", "sint32", "sint64", "fixed32", "sfixed32",
    "fixed64", "sfixed64", "double", "float", "string", "bytes", "N", "E",
)  # fmt: skip
CARDINALITIES: Final = (
    "int32", "optional int32", "repeated int32", "map<string, int32>", "N", "repeated N", "string",
    "repeated string",
)  # fmt: skip
MAPS: Final = (
    "map<string, int32>", "map<string, int64>", "map<string, uint32>", "map<string, string>",
    "map<int32, string>", "map<int64, string>", "map<string, N>", "map<string, E>",
)  # fmt: skip

Case = tuple[str, str, str]


def message(body: str, head: str = HEAD) -> str:
    """A file with one message."""
    return f"{head}message M {{ {body} }}\n"


def _pairs(kinds: tuple[str, ...]) -> list[Case]:
    return [
        (f"{one} to {other}", message(f"{one} f = 1;") + USED, message(f"{other} f = 1;") + USED)
        for one in kinds
        for other in kinds
        if one != other
    ]


_FIELDS: Final[list[Case]] = [
    ("same", message("string f = 1;"), message("string f = 1;")),
    ("added", message("string f = 1;"), message("string f = 1; string g = 2;")),
    ("deleted", message("string f = 1; string g = 2;"), message("string f = 1;")),
    ("number reserved", message("string g = 2;"), message("reserved 2;")),
    ("name reserved", message("string g = 2;"), message('reserved "g";')),
    ("both reserved", message("string g = 2;"), message('reserved 2; reserved "g";')),
    ("renamed", message("string f = 1;"), message("string g = 1;")),
    ("renamed, same JSON", message("string f = 1;"), message('string g = 1 [json_name = "f"];')),
    ("other JSON", message("string f = 1;"), message('string f = 1 [json_name = "h"];')),
    ("renumbered", message("string f = 1;"), message("string f = 2;")),
    ("into oneof", message("string f = 1;"), message("oneof x { string f = 1; }")),
    ("out of oneof", message("oneof x { string f = 1; }"), message("string f = 1;")),
    ("other oneof", message("oneof x { string f = 1; }"), message("oneof y { string f = 1; }")),
    ("range freed", message("reserved 5 to 9;"), message("")),
    ("range narrowed", message("reserved 5 to 9;"), message("reserved 5 to 8;")),
    ("range split", message("reserved 5 to 9;"), message("reserved 5 to 7, 8 to 9;")),
    ("name freed", message('reserved "x";'), message("")),
    ("packed", message("repeated int32 f = 1;"), message("repeated int32 f = 1 [packed = false];")),
    ("message type renamed", message("N f = 1;") + USED, message("P f = 1;") + "message P {}"),
    ("unused message gone", message("") + USED, message("")),
    ("nested type", message("I f=1; message I { int32 x=1; }"),
     message("I f=1; message I { string x=1; }")),
    ("nested moved", message("I f=1; message I { int32 x=1; }"),
     message("I f=1;") + "message I { int32 x=1; }"),
]  # fmt: skip
_PROTO2: Final[list[Case]] = [
    (name, message(one, HEAD2) + ENUM, message(other, HEAD2) + ENUM)
    for name, one, other in (
        ("default", "optional int32 f=1 [default=1];", "optional int32 f=1 [default=2];"),
        ("default gone", "optional int32 f=1 [default=1];", "optional int32 f=1;"),
        ("default new", "optional int32 f=1;", "optional int32 f=1 [default=1];"),
        ("default zero", "optional int32 f=1;", "optional int32 f=1 [default=0];"),
        ("text default", 'optional string f=1 [default="a"];', "optional string f=1;"),
        ("bool default", "optional bool f=1 [default=true];", "optional bool f=1;"),
        ("float default", "optional double f=1 [default=1.5];", "optional double f=1 [default=2];"),
        ("enum default", "optional E f=1 [default=E_ONE];", "optional E f=1;"),
        ("required new", "", "required int32 f=1;"),
        ("required gone", "required int32 f=1;", ""),
        ("no longer required", "required int32 f=1;", "optional int32 f=1;"),
        ("now required", "optional int32 f=1;", "required int32 f=1;"),
        ("required reserved", "required int32 f=1;", 'reserved 1; reserved "f";'),
        ("group", "optional group G = 1 { }", "optional bytes g = 1;"),
    )
]
_ENUMS: Final[list[Case]] = [
    ("value gone", HEAD + ENUM, HEAD + ENUM.replace("E_TWO = 2;", "")),
    ("value's number reserved", HEAD + ENUM, HEAD + ENUM.replace("E_TWO = 2;", "reserved 2;")),
    ("value's name reserved", HEAD + ENUM,
     HEAD + ENUM.replace("E_TWO = 2;", 'reserved "E_TWO";')),
    ("value reserved", HEAD + ENUM,
     HEAD + ENUM.replace("E_TWO = 2;", 'reserved 2; reserved "E_TWO";')),
    ("value renamed", HEAD + ENUM, HEAD + ENUM.replace("E_TWO", "E_ZWEI")),
    ("alias new", HEAD + ENUM, HEAD + ALIASES),
    ("alias gone", HEAD + ALIASES, HEAD + ENUM),
    ("enum gone", HEAD + ENUM, HEAD + "message X {}"),
    ("enum's range freed", HEAD + "enum E { E_A = 0; reserved 5 to 9; }",
     HEAD + "enum E { E_A = 0; }"),
    ("enum's range narrowed", HEAD + "enum E { E_A = 0; reserved 5 to 9; }",
     HEAD + "enum E { E_A = 0; reserved 5 to 8; }"),
    ("enum moved, wider", message("E f=1;") + ENUM,
     message("A.E f=1;") + "message A {" + ENUM.replace("E_TWO = 2;", "E_TWO = 2; E_X = 3;") + "}"),
    ("enum moved, narrower", message("E f=1;") + ENUM,
     message("A.E f=1;") + "message A {" + ENUM.replace("E_TWO = 2;", "") + "}"),
    ("enum of another name", message("E f=1;") + ENUM,
     message("F f=1;") + ENUM.replace("enum E", "enum F")),
    ("message made an enum", message("N f=1;") + USED,
     message("N f=1;") + "enum N { N_UNSPECIFIED = 0; }"),
]  # fmt: skip
_FILES: Final[list[Case]] = [
    ("proto3 to proto2", message("string f=1;"), message("optional string f=1;", HEAD2)),
    ("proto2 to proto3", message("optional string f=1;", HEAD2), message("optional string f=1;")),
    ("enum to proto2", HEAD + ENUM, HEAD2 + ENUM),
    ("other request", HEAD + SERVICE, HEAD + SERVICE.replace("A(N)", "A(O)")),
    ("other response", HEAD + SERVICE, HEAD + SERVICE.replace("(O)", "(N)")),
    ("requests stream", HEAD + SERVICE, HEAD + SERVICE.replace("A(N)", "A(stream N)")),
    ("responses stream", HEAD + SERVICE, HEAD + SERVICE.replace("(O)", "(stream O)")),
    ("idempotency", HEAD + SERVICE,
     HEAD + SERVICE.replace("(O);", "(O) { option idempotency_level = NO_SIDE_EFFECTS; }")),
    ("service new", HEAD + USED, HEAD + USED + SERVICE.partition("\n")[2]),
]  # fmt: skip

CASES: Final[list[Case]] = [
    *_pairs(TYPES), *_pairs(CARDINALITIES), *_pairs(MAPS), *_FIELDS, *_PROTO2, *_ENUMS, *_FILES,
]  # fmt: skip
