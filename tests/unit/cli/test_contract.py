"""`simpul contract` and `simpul registry contract`."""

from pathlib import Path

import pytest

from security.contract_comments import comments_of
from simpul.v1 import annotations_pb2
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeNode, FakeRegistry

MEMBER = "ID/DAERAH/53.15"
SOURCE = """\
// What islands there are.
syntax = "proto3";
package wisata.v1;
import "simpul/v1/annotations.proto";
// Tells of islands.
service Wisata {
  option (simpul.v1.regions) = {choice: PROVIDER_CHOICE_ORDERED};
  rpc Get(Island) returns (Island);
}
message Island {
  // As on the map.
  string name = 1;
}
"""


@pytest.fixture
def proto(tmp_path: Path) -> Path:
    file = tmp_path / "wisata.proto"
    file.write_text(SOURCE)
    return file


def test_proto_files_are_compiled_with_their_comments(
    simpul: Simpul, node: FakeNode, proto: Path
) -> None:
    ran = simpul(
        "contract", "publish", str(proto), "--member", MEMBER, "--title", "Islands",
        "--follows", "0",
    ).ok()  # fmt: skip
    request = node.heard.last()
    found = comments_of(request.descriptor_set, "wisata.v1")
    comments = {item.element: item.leading for item in found}
    assert comments["wisata.v1.Island.name"] == "As on the map."
    assert comments["wisata.v1"] == "What islands there are."
    assert (request.settings.title, request.follows) == ("Islands", 0)
    assert not request.settings.HasField("licence")
    assert "wisata.v1 is published, at revision 1" in ran.out + ran.err


def test_a_submission_that_waits_says_why_and_what_it_is_like(
    simpul: Simpul, node: FakeNode, proto: Path
) -> None:
    node.published = False
    ran = simpul("contract", "publish", str(proto), "--member", MEMBER).ok()
    said = ran.out + ran.err
    assert "because it is much like pariwisata.v1" in said
    assert "91% (close)" in said
    assert "say in a comment what it is" in said


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (SOURCE.replace("simpul/v1/annotations.proto", "lacks.proto"), "lacks.proto"),
        (SOURCE.replace("(Island);", "(Isle);"), "Isle"),
        ("\x00", "don't compile"),
    ],
    ids=["import", "type", "rubbish"],
)
def test_what_does_not_compile_is_said_in_one_line(
    simpul: Simpul, node: FakeNode, proto: Path, text: str, says: str
) -> None:
    proto.write_text(text)
    ran = simpul("contract", "publish", str(proto), "--member", MEMBER)
    assert ran.code == 1
    assert "PROTOSET_INVALID" in ran.err
    assert says in ran.err.replace("\n", "")
    assert not node.heard.requests


def test_files_of_two_kinds_are_refused(simpul: Simpul, node: FakeNode, proto: Path) -> None:
    protoset = proto.with_name("x.protoset")
    protoset.write_bytes(b"x")
    ran = simpul("contract", "publish", str(proto), str(protoset), "--member", MEMBER)
    assert ran.code == 1
    assert "PROTOSET_INVALID" in ran.err
    assert node.heard is not None


def test_rules_keep_what_is_not_said(simpul: Simpul, node: FakeNode) -> None:
    simpul("contract", "set", "wisata.v1", "--enclosing").ok()
    request = node.heard.last()
    (rules,) = request.settings.rules
    assert rules.service == "wisata.v1.Wisata"
    assert rules.regions.enclosing
    assert rules.regions.choice == annotations_pb2.PROVIDER_CHOICE_ONE
    wrong = simpul("contract", "set", "wisata.v1", "--choice", "best")
    assert (wrong.code, "nearest" in wrong.err) == (1, True)


def test_the_cards_are_listed_and_shown(simpul: Simpul, node: FakeNode, tmp_path: Path) -> None:
    assert "trial" in simpul("contract", "list").ok().out
    file = tmp_path / "out.protoset"
    shown = simpul("contract", "show", "wisata.v1", "--protoset", str(file)).ok()
    assert "wisata.v1.Wisata: Islands." in shown.out
    assert file.read_bytes() == node.contract
    assert simpul("contract", "show", "wisata.v1", "--json").ok().json()["revision"] == 1
    simpul("contract", "retire", "wisata.v1", "--successor", "wisata.v2").ok()
    request = node.heard.last()
    assert (request.settings.maturity, request.settings.successor) == ("retired", "wisata.v2")


def test_both_sides_see_the_thread(simpul: Simpul, node: FakeNode) -> None:
    assert "in discussion" in simpul("contract", "submissions").ok().out
    shown = simpul("contract", "submissions", "7").ok().out
    assert "anna (registry), in discussion: could you adopt it?" in shown
    assert "could you adopt it?" in simpul("contract", "comment", "7", "We could.").ok().out
    simpul("contract", "withdraw", "7").ok()
    assert node.heard.last().number == 4


def test_the_registry_discusses_and_decides(simpul: Simpul, registry: FakeRegistry) -> None:
    assert "much like pariwisata.v1" in simpul("registry", "contract", "list").ok().out
    assert "ours has harbours" in simpul("registry", "contract", "show", "7").ok().out
    assert "wisata.v1" in simpul("registry", "contract", "cards").ok().out
    simpul("registry", "contract", "comment", "7", "Could you adopt it?").ok()
    assert "published" in simpul("registry", "contract", "approve", "7").ok().err
    declined = simpul("registry", "contract", "decline", "7", "--reason", "adopt it").ok()
    assert "declined" in declined.err
    assert simpul("registry", "contract", "decline", "7").code == 2
    simpul("registry", "contract", "give", "wisata.v1", "ID/DAERAH/53.16").ok()
    request = registry.heard.last()
    assert (request.owner, request.HasField("terms")) == ("ID/DAERAH/53.16", False)
