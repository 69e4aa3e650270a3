"""A second contract much like `wisata.v1` is caught on publishing, with real processes."""

from pathlib import Path

from tests.scenario.harness import Federation, done, refused, serving
from tests.support.protos import compiled

OWNER = "ID/DAERAH/53.21"
TWIN = """\
// Pulau-pulau untuk wisatawan.
syntax = "proto3";
package pariwisata.pulau.v1;

// Menjawab pertanyaan tentang pulau wisata satu kabupaten.
service LayananWisata {
  // Satu pulau.
  rpc AmbilPulau(AmbilPulauRequest) returns (Pulau);
  // Semua pulau, menurut kodenya.
  rpc DaftarPulau(DaftarPulauRequest) returns (stream Pulau);
}
// Pulau mana.
message AmbilPulauRequest {
  // Kode pulau.
  string kode = 1;
}
// Pulau mana saja.
message DaftarPulauRequest {
  // Hanya yang berpenghuni.
  bool hanya_berpenghuni = 1;
  // Paling banyak sekian.
  uint32 batas = 2;
}
// Satu pulau.
message Pulau {
  // Kode pulau.
  string kode = 1;
  // Nama pulau.
  string nama = 2;
  // Kode kabupaten.
  string kode_kabupaten = 3;
  // Letaknya.
  Koordinat posisi = 4;
}
// Titik di bumi.
message Koordinat {
  // Derajat lintang.
  double lintang = 1;
  // Derajat bujur.
  double bujur = 2;
}
"""


def test_a_contract_much_like_wisata_is_caught_and_an_operator_decides(
    federation: Federation, home: Path
) -> None:
    federation.join(home / "n", OWNER, "pariwisata-1")
    file = home / "pulau.proto"
    file.write_text(TWIN)
    with serving(home / "n", home / "n.log") as (node, _):
        publish = ("contract", "publish", file, "--home", node.home, "--member", OWNER)
        said = refused("CONTRACT_SIMILAR", *publish).err
        assert "wisata.v1" in said
        assert "DaftarPulau = Wisata.List" in said

        asked = done(*publish, "--why-not", "Ours tells of small islands only.", "--json").json
        assert asked["waits_because"] == "it is much like wisata.v1"
        (closest, *_) = asked["similar"]
        assert (closest["package"], closest["close"]) == ("wisata.v1", True)
        # Other tests of the shared federation list more.
        assert "ID/DAERAH/53.15" in closest["users"]
        at = ("--home", federation.registry)
        shown = done("registry", "contract", "show", str(asked["id"]), *at).out
        assert "Ours tells of small islands only." in shown
        done("registry", "contract", "decline", str(asked["id"]), "--reason", "Adopt it.", *at)
        listed = done("contract", "list", "--home", node.home, "--json").json["contracts"]
        assert "pariwisata.pulau.v1" not in [item["card"]["package"] for item in listed]

        # Nor does it come in with its first service.
        protoset = home / "pulau.protoset"
        protoset.write_bytes(compiled(TWIN))
        service = ("service", "publish", "--subsystem", f"{OWNER}/pariwisata")
        way = ("--target", "127.0.0.1:1", "--protoset", protoset, "--home", node.home)
        assert "--why-not" in refused("CONTRACT_SIMILAR", *service, *way).err
