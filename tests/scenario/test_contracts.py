"""A contract from its .proto to its next version, with real processes on both sides."""

from pathlib import Path

from cli.protos import read_contract
from tests.scenario.harness import Federation, Ran, done, refused, serving, simpul, until

OWNER = "ID/DAERAH/52.05"
NEIGHBOUR = "ID/DAERAH/53.15"
SOURCE = """\
// Permits to fish.
syntax = "proto3";
package perikanan.v1;

// Tells of permits.
service Izin {
  // One permit.
  rpc Get(GetRequest) returns (Permit);
}
// Which permit.
message GetRequest {
  // As printed on it.
  string number = 1;
}
// A permit.
message Permit {
  // Who may fish.
  string holder = 1;
  // How many boats.
  int32 boats = 2;
}
"""


def test_a_contract_is_published_discussed_and_versioned(
    federation: Federation, home: Path
) -> None:
    federation.join(home / "n", OWNER, "perikanan-1")
    with serving(home / "n", home / "n.log") as (node, _):
        _publishes_and_follows(federation, node.home, home)
        _is_implemented(federation, node.home, home)
        _is_recommended_by_the_registry(federation, node.home)
        _is_retired(federation, node.home)


def _publishes_and_follows(federation: Federation, node: Path, folder: Path) -> None:
    file = folder / "izin.proto"
    file.write_text(SOURCE)
    publish = ("contract", "publish", file, "--home", node, "--member", OWNER)
    assert "revision 1" in done(*publish, "--licence", "CC-BY-4.0").err
    assert "ALREADY_EXISTS" in refused("ALREADY_EXISTS", *publish).err

    file.write_text(SOURCE.replace("int32 boats = 2;", "int32 boats = 2;\n  string sea = 3;"))
    # Two people publish at once, by the same revision: the second is told what came.
    assert done(*publish, "--json", "--follows", "1").json["revision"] == 2
    file.write_text(SOURCE.replace("int32 boats = 2;", "int32 boats = 2;\n  string port = 3;"))
    assert "perikanan.v1.Permit changed" in refused("CONFLICT", *publish, "--follows", "1").err

    file.write_text(SOURCE.replace("int32 boats = 2;", "string boats = 2;"))
    said = refused("CONTRACT_BREAKING", *publish).err
    assert "izin.proto: perikanan.v1.Permit.boats" in said
    assert "perikanan.v2" in said

    # Another member is not the owner.
    theirs = ("contract", "publish", file, "--home", federation.provider.home)
    assert OWNER in refused("CONTRACT_OWNER", *theirs, "--member", NEIGHBOUR).err


def _is_implemented(federation: Federation, node: Path, folder: Path) -> None:
    protoset = folder / "izin.protoset"
    shown = done("contract", "show", "perikanan.v1", "--home", node, "--protoset", protoset).out
    assert "perikanan.v1.Permit.holder: Who may fish." in shown
    neighbour = federation.provider.home
    serve = (
        "service", "publish", "--home", neighbour, "--subsystem", f"{NEIGHBOUR}/perikanan",
        "--target", federation.target, "--protoset",
    )  # fmt: skip
    other = folder / "other.proto"
    other.write_text(SOURCE.replace("int32 boats", "int64 boats"))
    wrong = folder / "wrong.protoset"
    wrong.write_bytes(_compiled(other))
    assert "CONTRACT_DIFFERS" in refused("CONTRACT_DIFFERS", *serve, wrong).err
    done(*serve, protoset)
    (entry,) = [
        item
        for item in done("contract", "list", "--home", neighbour, "--json").json["contracts"]
        if item["card"]["package"] == "perikanan.v1"
    ]
    assert entry["users"] == [
        {"service_id": f"{NEIGHBOUR}/perikanan/perikanan.v1.Izin", "revision": 2}
    ]


def _is_recommended_by_the_registry(federation: Federation, node: Path) -> None:
    asked = done("contract", "set", "perikanan.v1", "--maturity", "recommended", "--home", node)
    assert "an operator of the registry decides" in asked.err
    waits = done("contract", "submissions", "--home", node, "--json").json["submissions"]
    number = str(waits[0]["id"])
    at = ("--home", federation.registry)
    done("registry", "contract", "comment", number, "Who uses it?", *at)
    done("contract", "comment", number, "Two regencies do.", "--home", node)
    thread = done("registry", "contract", "show", number, *at).out
    assert "Who uses it?" in thread
    assert "Two regencies do." in thread
    assert "Who uses it?" in done("contract", "submissions", number, "--home", node).out
    assert "published" in done("registry", "contract", "approve", number, *at).err
    assert "recommended" in _until_shown(node, "recommended").out


def _is_retired(federation: Federation, node: Path) -> None:
    done("contract", "retire", "perikanan.v1", "--successor", "perikanan.v2", "--home", node)
    assert "perikanan.v2" in _until_shown(node, "retired").out
    assert federation.registry.is_dir()


def _until_shown(node: Path, word: str) -> Ran:
    def look() -> Ran | None:
        shown = simpul("contract", "show", "perikanan.v1", "--home", node)
        return shown if word in shown.out else None

    return until(look, 15.0)


def _compiled(file: Path) -> bytes:
    return read_contract([file], [file.parent])
