"""`simpul contract adopt`, `check` and `similar`, and the server that adopting writes."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from cli import protos
from cli.adopting.readme import readme
from cli.adopting.skeleton import Adopted, server_source, services_of
from cli.contract_adopt import read_named
from security.errors import Code, SimpulError
from tests.support.protos import ISLANDS, compiled
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import PROTOSET, FakeNode

OWNER = "ID/DAERAH/53.15"
WISATA = "wisata.v1.Wisata"


def adopted(text: str = ISLANDS, package: str = "wisata.v1") -> Adopted:
    return Adopted(package, 2, OWNER, compiled(text))


def test_what_is_written(simpul: Simpul, node: FakeNode, tmp_path: Path) -> None:
    out = tmp_path / "ours"
    ran = simpul("contract", "adopt", "wisata.v1@1", "-o", str(out)).ok()
    request = node.heard.last()
    assert (request.name, request.revision) == ("wisata.v1", 1)
    assert "simpul contract check wisata.v1@1" in ran.err
    assert (out / "contract.protoset").read_bytes() == node.contract
    assert (out / "protos" / "wisata" / "v1" / "wisata.proto").is_file()
    assert (out / "gen" / "wisata" / "v1" / "wisata_pb2_grpc.py").is_file()
    assert "grpcio>=" in (out / "requirements.txt").read_text()
    said = (out / "README.md").read_text()
    assert "--subsystem MEMBER/SUBSYSTEM" in said
    assert "protos/wisata/v1/wisata.proto" in said
    taken = simpul("contract", "adopt", "wisata.v1", "-o", str(out), "--json")
    assert (taken.code, taken.json()["error"]["code"]) == (1, "ALREADY_EXISTS")


def test_without_a_compiler_the_readme_says_how(
    simpul: Simpul, node: FakeNode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protos, "generate_python", lambda _folder, _names: False)
    ran = simpul("contract", "adopt", "wisata.v1", "-o", str(tmp_path / "ours")).ok()
    assert "README.md says how to make it" in " ".join(ran.err.split())
    assert node.heard.requests


def test_a_retired_contract_is_not_begun(simpul: Simpul, node: FakeNode, tmp_path: Path) -> None:
    node.retired_for = "wisata.v2"
    ran = simpul("contract", "adopt", "wisata.v1", "-o", str(tmp_path / "ours"))
    assert ran.code == 1
    assert "CONTRACT_RETIRED" in ran.err
    assert "adopt wisata.v2" in ran.err
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("text", ["wisata.v1@", "wisata.v1@0", "wisata.v1@x", "w@1001", "w@²"])
def test_a_revision_is_a_number_from_1(text: str) -> None:
    with pytest.raises(SimpulError) as caught:
        read_named(text)
    assert caught.value.code is Code.ID_MALFORMED
    assert read_named("wisata.v1") == ("wisata.v1", 0)
    assert read_named("wisata.v1@12") == ("wisata.v1", 12)


def test_every_method_has_its_comments_and_its_kind() -> None:
    source = server_source(Adopted("wisata.v1", 1, OWNER, PROTOSET.read_bytes()))
    tree = ast.parse(source)
    (made,) = (node for node in tree.body if isinstance(node, ast.ClassDef))
    methods = [node for node in made.body if isinstance(node, ast.AsyncFunctionDef)]
    assert [method.name for method in methods] == ["Get", "List", "Import", "Chat"]
    streams = [any(isinstance(each, ast.Yield) for each in ast.walk(one)) for one in methods]
    assert streams == [False, True, False, True]
    asked = [method.args.args[1].arg for method in methods]
    assert asked == ["request", "request", "request_iterator", "request_iterator"]
    assert "    # NOT_FOUND: this regency has no island with that code.\n" in source


def test_what_a_contract_says_stays_a_comment() -> None:
    text = ISLANDS.replace("// One island.", '// One """ island.\f\\\n  //\\x\n  // \x0bimport os')
    tree = ast.parse(server_source(adopted(text)))
    names = [
        each.name for one in ast.walk(tree) if isinstance(one, ast.Import) for each in one.names
    ]
    assert "os" not in names


@pytest.mark.parametrize(
    ("old", "new"), [("rpc Get(", "rpc import("), ("Wisata {", "None {"), ("Island", "True")]
)
def test_names_that_python_cannot_take_are_refused(old: str, new: str) -> None:
    with pytest.raises(SimpulError) as caught:
        server_source(adopted(ISLANDS.replace(old, new)))
    assert caught.value.code is Code.PROTOSET_INVALID
    assert "another language" in caught.value.message


def test_a_files_own_name_may_be_a_word_of_python() -> None:
    data = compiled(name="class.proto")
    assert "import class_pb2\n" in server_source(Adopted("wisata.v1", 1, OWNER, data))


def test_a_folder_of_a_name_that_python_cannot_take_is_refused() -> None:
    files = FileDescriptorSet.FromString(compiled())
    files.file[0].name = "class/wisata.proto"
    with pytest.raises(SimpulError):
        server_source(Adopted("wisata.v1", 1, OWNER, files.SerializeToString()))


def test_types_of_other_files_nested_ones_and_googles_are_found(tmp_path: Path) -> None:
    """Made as the command makes it, and imported by a Python of its own."""
    sources = {
        "a/v1/kinds.proto": 'syntax = "proto3"; package a.v1; message Outer { message Inner {} }',
        "b/v1/kinds.proto": 'syntax = "proto3"; package b.v1; message Other {}',
        "b/v1/health.proto": 'syntax = "proto3"; package b.v1; message Alive {}',
        "b/v1/pulau.proto": (
            'syntax = "proto3"; package b.v1; import "a/v1/kinds.proto";'
            ' import "b/v1/kinds.proto"; import "b/v1/health.proto";'
            ' import "google/protobuf/empty.proto";'
            " service Pulau { rpc A(a.v1.Outer.Inner) returns (Other);"
            " rpc B(stream google.protobuf.Empty) returns (stream Alive); }"
            " service Darat { rpc C(Other) returns (Other); } service Kosong {}"
        ),
    }
    for name, text in sources.items():
        file = tmp_path / "protos" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    made = Adopted(
        "b.v1", 1, OWNER,
        protos.read_contract([tmp_path / "protos/b/v1/pulau.proto"], [tmp_path / "protos"]),
    )  # fmt: skip
    assert services_of(made) == ("b.v1.Pulau", "b.v1.Darat")
    assert protos.generate_python(tmp_path, list(sources))
    source = server_source(made)
    (tmp_path / "server.py").write_text(source)
    subprocess.run(
        [sys.executable, "-I", "-c", "import runpy; runpy.run_path('server.py')"],
        cwd=tmp_path,
        check=True,
    )
    assert "Outer.Inner" in source
    assert "empty_pb2.Empty" in source


def test_names_of_files_are_quoted_for_a_shell() -> None:
    said = readme(adopted(), ["a b/$(x).proto"])
    assert "'protos/a b/$(x).proto'" in said


def test_a_check_lists_what_differs(simpul: Simpul, node: FakeNode) -> None:
    ran = simpul("contract", "check", "wisata.v1@1", "--protoset", str(PROTOSET))
    assert ran.code == 1
    assert "wisata.v1.Island.name" in ran.out
    assert "CONTRACT_DIFFERS" in ran.err
    assert "nobody can call them" in ran.err
    asked = node.heard.last()
    assert (asked.package, asked.revision) == ("wisata.v1", 1)
    assert asked.descriptor_set == PROTOSET.read_bytes()
    said = simpul("contract", "check", "wisata.v1", "--target", "127.0.0.1:1", "--json").json()
    assert said["error"]["code"] == "CONTRACT_DIFFERS"
    assert said["services"][0]["differences"][0]["element"] == "wisata.v1.Island.name"
    node.matches = True
    assert "it matches wisata.v1, revision 1" in (
        simpul("contract", "check", "wisata.v1", "--target", "127.0.0.1:1").ok().err
    )
    for wrong in ((), ("--target", "x:1", "--protoset", str(PROTOSET))):
        assert simpul("contract", "check", "wisata.v1", *wrong).code == 2


def test_what_is_like_a_file_or_a_package_is_shown(
    simpul: Simpul, node: FakeNode, tmp_path: Path
) -> None:
    file = tmp_path / "wisata.proto"
    file.write_text(ISLANDS)
    ran = simpul("contract", "similar", str(file), "--member", OWNER).ok()
    asked = node.heard.last()
    assert (asked.package, asked.member) == ("", OWNER)
    assert asked.descriptor_set
    assert "91% (close)" in ran.out
    assert "pariwisata.v1: Island.name" in ran.out
    assert "simpul contract adopt pariwisata.v1" in ran.err

    said = simpul("contract", "similar", "wisata.v1", "--json").ok().json()
    asked = node.heard.last()
    assert (asked.package, asked.descriptor_set) == ("wisata.v1", b"")
    assert said["similar"][0]["users"] == [OWNER]
    assert simpul("contract", "similar", str(tmp_path / "no.proto")).code == 2


def test_a_refused_service_says_what_differs(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["PublishService"] = SimpulError(
        Code.CONTRACT_DIFFERS,
        "it differs",
        difference_02="b: two",
        difference_01="a: one",
        count="2",
    )
    ran = simpul(
        "service", "publish", "--subsystem", f"{OWNER}/pariwisata", "--target", "127.0.0.1:1",
        "--json",
    )  # fmt: skip
    assert ran.code == 1
    assert ran.json()["error"]["differences"] == ["a: one", "b: two"]
