"""Clients to be copied: their shape in five languages, and contracts that would put more in."""

from __future__ import annotations

import ast
import json
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from node.catalogue.opening import reachable
from node.catalogue.places import implementations
from node.catalogue.snippets.called import Gateway, make_called, tree
from node.catalogue.snippets.golang import go_name
from node.catalogue.snippets.java import java_name
from node.catalogue.snippets.snippet import LANGUAGES, snippet
from runtime.ports import parse_address
from security.errors import Code, SimpulError
from simpul.v1 import catalogue_pb2 as pb
from tests.support.catalogued import Contract, Offers, directory
from tests.support.protos import compiled

GATEWAY = Gateway("127.0.0.1:8441", tls=False)
PORTS = """\
syntax = "proto3";
package pelabuhan.v1;
import "google/protobuf/empty.proto";
import "google/protobuf/timestamp.proto";
service Port {
  rpc Get(GetRequest) returns (Ship);
  rpc ListShips(GetRequest) returns (stream Ship);
  rpc Import(stream Ship) returns (GetRequest);
  rpc Chat(stream Ship) returns (stream Ship);
  rpc ping_all(google.protobuf.Empty) returns (google.protobuf.Empty);
}
message GetRequest {
  string code = 1;
  int64 big = 2;
  bool open = 3;
  double depth = 4;
  bytes seal = 5;
  Kind kind = 6;
  optional string note = 7;
  google.protobuf.Timestamp at = 8;
  repeated string tags = 9;
  map<string, int32> counts = 10;
  string from = 11;
}
enum Kind { KIND_UNSPECIFIED = 0; KIND_FERRY = 1; }
message Ship { string name = 1; }
"""
SET = compiled(PORTS, name="port-calls.proto")
SERVICE = "pelabuhan.v1.Port"
PACKAGE = "pelabuhan.v1"
VIEW = directory([Contract(PACKAGE, SET)], [Offers("ID/DAERAH/53.15", ("53.15",), (SERVICE,))])
KNOWN = implementations(VIEW)
FULL = json.dumps(
    {
        "code": "a\"b\\c`d'e\n$(reboot)\u2028é",
        "big": "9007199254740993",
        "open": True,
        "depth": 1.5,
        "seal": "AAH/",
        "kind": "KIND_FERRY",
        "note": "",
        "at": "2026-11-24T00:00:00Z",
        "tags": ["x"],
        "counts": {"y": 3},
        "from": "z",
    }
)


def made(language: int, method: str = "Get", **said: str) -> str:
    request = pb.CatalogueSnippetRequest(
        method=f"{SERVICE}/{method}",
        language=pb.CatalogueLanguage.ValueType(language),
        **said,
    )
    return snippet(VIEW, KNOWN, request, GATEWAY)


@pytest.mark.parametrize("method", ["Get", "ListShips", "Import", "Chat", "ping_all"])
@pytest.mark.parametrize("request_json", ["", "full"])
def test_python_is_python(method: str, request_json: str) -> None:
    said = FULL if request_json and method in {"Get", "ListShips"} else ""
    text = made(pb.CATALOGUE_LANGUAGE_PYTHON, method, request_json=said)
    ast.parse(text)
    assert f"stub.{method}(" in text
    assert "import port_calls_pb2_grpc" in text
    assert ("iter([request])" in text) == (method in {"Import", "Chat"})
    assert ("for response in" in text) == (method in {"ListShips", "Chat"})
    assert ("from google.protobuf import empty_pb2" in text) == (method == "ping_all")
    assert '("simpul-to", "ID/DAERAH/53.15/layanan")' in text


@pytest.mark.parametrize("method", ["Get", "ListShips", "Import", "Chat", "ping_all"])
def test_javascript_is_javascript(method: str, tmp_path: Path) -> None:
    said = FULL if method in {"Get", "ListShips"} else ""
    text = made(pb.CATALOGUE_LANGUAGE_JAVASCRIPT, method, request_json=said)
    assert '["pelabuhan"]["v1"]["Port"]' in text
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    file = tmp_path / "client.cjs"
    file.write_text(text)
    ran = subprocess.run(["node", "--check", file], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr


def test_a_shell_takes_grpcurl_as_it_was_meant() -> None:
    text = made(pb.CATALOGUE_LANGUAGE_GRPCURL, request_json=FULL)
    words = shlex.split(text, comments=True)
    assert words[0] == "grpcurl"
    assert words[-2:] == ["127.0.0.1:8441", f"{SERVICE}/Get"]
    # As protobuf's JSON writes it.
    assert json.loads(words[words.index("-d") + 1]) == json.loads(FULL)
    assert words[words.index("-proto") + 1] == "port-calls.proto"
    assert "simpul-to: ID/DAERAH/53.15/layanan" in words


def test_go_has_the_form_of_its_stubs() -> None:
    text = made(pb.CATALOGUE_LANGUAGE_GO, request_json=FULL)
    assert "pb.NewPortClient(connection)" in text
    assert "client.Get(ctx, request)" in text
    assert 'pb "example.com/client/contract"' in text
    assert "request := &pb.GetRequest{}" in text
    assert "Mport-calls.proto=example.com/client/contract" in text
    assert '"io"' not in text
    stream = made(pb.CATALOGUE_LANGUAGE_GO, "Chat")
    assert "stream.CloseSend()" in stream
    assert '"io"' in stream
    empty = made(pb.CATALOGUE_LANGUAGE_GO, "ping_all")
    assert 'types "google.golang.org/protobuf/types/known/emptypb"' in empty
    assert "client.PingAll(ctx, request)" in empty
    # Tabs, and never a line that a literal left open.
    assert all(line.count('"') % 2 == 0 for line in stream.splitlines())


def test_java_has_the_form_of_its_stubs() -> None:
    text = made(pb.CATALOGUE_LANGUAGE_JAVA, request_json=FULL)
    assert "pelabuhan.v1.PortCalls.GetRequest.newBuilder()" in text
    assert "pelabuhan.v1.PortGrpc.newBlockingStub(channel)" in text
    assert "stub.get(request.build())" in text
    assert "stub.import_(printing(ended))" in made(pb.CATALOGUE_LANGUAGE_JAVA, "Import")
    assert "com.google.protobuf.Empty.newBuilder()" in made(pb.CATALOGUE_LANGUAGE_JAVA, "ping_all")
    assert text.count("{") == text.count("}")


@pytest.mark.parametrize(
    ("name", "go", "java"),
    [
        ("List", "List", "list"),
        ("list_ships", "ListShips", "listShips"),
        ("_hidden", "XHidden", "Hidden"),
        ("Get2nd", "Get2Nd", "get2nd"),
        ("Outer_Inner", "Outer_Inner", "outerInner"),
        ("Import", "Import", "import_"),
    ],
)
def test_names_are_what_the_plugins_make_of_them(name: str, go: str, java: str) -> None:
    assert (go_name(name), java_name(name)) == (go, java)


def test_the_request_is_shown_with_its_empty_fields() -> None:
    text = made(pb.CATALOGUE_LANGUAGE_PYTHON)
    assert (
        "port_calls_pb2.GetRequest(code=\"\", big=0, open=False, depth=0.0, seal=b'', "
        "kind=\"KIND_UNSPECIFIED\", **{'from': ''})"
    ) in text
    called = make_called(SET, PACKAGE, SERVICE, "Get", FULL, GATEWAY, ())
    assert tree(called.request)["at"] == {"seconds": 1795478400, "nanos": 0}
    assert tree(called.request)["counts"] == {"y": 3}


def test_whom_it_calls() -> None:
    python = pb.CATALOGUE_LANGUAGE_PYTHON
    assert '("simpul-region", "53.15")' in made(python, region="53.15")
    assert '("simpul-to", "ID/KEMENTERIAN/X/y")' in made(python, to="ID/KEMENTERIAN/X/y")
    nobody = directory([Contract(PACKAGE, SET)])
    request = pb.CatalogueSnippetRequest(method=PACKAGE, language=python)
    text = snippet(nobody, {}, request, Gateway("host:1", tls=True))
    assert 'grpc.secure_channel("host:1", grpc.ssl_channel_credentials())' in text
    # Without a method: the first that is unary.
    assert "stub.Get(" in text


@pytest.mark.parametrize(
    ("said", "code"),
    [
        ({"method": "nobody.v1.None/Get"}, Code.CONTRACT_UNKNOWN),
        ({"method": f"{PACKAGE}.None/Get"}, Code.CONTRACT_UNKNOWN),
        ({"method": ""}, Code.CONTRACT_UNKNOWN),
        ({"method": f"{SERVICE}/None"}, Code.METHOD_UNKNOWN),
        ({"language": 0}, Code.REQUEST_MALFORMED),
        ({"language": 77}, Code.REQUEST_MALFORMED),
        ({"to": "ID/DAERAH/53.15/x", "region": "53.15"}, Code.REQUEST_MALFORMED),
        ({"to": 'ID/"); x'}, Code.ID_MALFORMED),
        ({"region": "53.*"}, Code.ID_MALFORMED),
        ({"request_json": "{"}, Code.REQUEST_MALFORMED),
        ({"request_json": '{"nobody": 1}'}, Code.REQUEST_MALFORMED),
        ({"request_json": "[" * 60_000}, Code.REQUEST_MALFORMED),
        ({"request_json": " " * 70_000}, Code.REQUEST_MALFORMED),
    ],
)
def test_bad_questions_are_refused(said: dict[str, object], code: Code) -> None:
    asked = {"method": f"{SERVICE}/Get", "language": pb.CATALOGUE_LANGUAGE_PYTHON, **said}
    with pytest.raises(SimpulError) as caught:
        snippet(VIEW, KNOWN, pb.CatalogueSnippetRequest(**asked), GATEWAY)  # type: ignore[arg-type]
    assert caught.value.code is code


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize(
    "name",
    [
        "x.proto; rm -rf ~", "x.proto\nimport os", "../x.proto", "/etc/x.proto", "-x.proto",
        "$(x).proto", "a\\u000ab.proto", "a b.proto", "x.txt", "a/.ssh/x.proto",
    ],
)  # fmt: skip
def test_a_file_whose_name_would_do_something_has_no_snippet(language: int, name: str) -> None:
    files = FileDescriptorSet.FromString(SET)
    files.file[-1].name = name
    with pytest.raises(SimpulError) as caught:
        LANGUAGES[language](
            make_called(files.SerializeToString(), PACKAGE, SERVICE, "Get", "", GATEWAY, ())
        )
    assert caught.value.code is Code.PROTOSET_INVALID


@pytest.mark.parametrize("language", LANGUAGES)
def test_options_of_the_contract_put_nothing_into_a_snippet(language: int) -> None:
    files = FileDescriptorSet.FromString(SET)
    evil = 'x"; os.Exit(1); //\n'
    options = files.file[-1].options
    options.java_package, options.go_package, options.java_outer_classname = evil, evil, evil
    called = make_called(files.SerializeToString(), PACKAGE, SERVICE, "Get", "", GATEWAY, ())
    assert "Exit" not in LANGUAGES[language](called)
    options.java_package, options.java_multiple_files = "id.go.ntt", True
    called = make_called(files.SerializeToString(), PACKAGE, SERVICE, "Get", "", GATEWAY, ())
    text = LANGUAGES[language](called)
    if language == pb.CATALOGUE_LANGUAGE_JAVA:
        assert "id.go.ntt.GetRequest.newBuilder()" in text


@pytest.mark.parametrize(
    ("listen", "told"),
    [
        ("127.0.0.1:8441", "127.0.0.1:8441"),
        ("0.0.0.0:8441", "localhost:8441"),
        ("[::]:8441", "localhost:8441"),
        ("[::1]:8441", "[::1]:8441"),
        ("unix:/run/simpul/gateway.sock", "unix:/run/simpul/gateway.sock"),
    ],
)
def test_where_apps_call(listen: str, told: str) -> None:
    assert reachable(parse_address(listen)) == told
