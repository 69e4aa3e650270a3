"""The catalogue, with real processes: found, shown, downloaded, and called by what it gives."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from cli.protos import read_contract
from simpul.v1 import catalogue_pb2, catalogue_pb2_grpc
from tests.interop import node_client
from tests.scenario.harness import (
    KOMODO,
    LABUAN_BAJO,
    SUPERAPP,
    WISATA,
    Federation,
    Ran,
    done,
    refused,
    serving,
    simpul,
    until,
)

OWNER = "ID/DAERAH/73.01"
TIMEOUT_S = 30
ASKED = json.dumps({"code": KOMODO})
SOURCE = """\
syntax = "proto3";
package rumputlaut.v1;

// Panen rumput laut di pesisir.
service Panen {
  // Hasil panen satu kelompok tani.
  rpc Ambil(AmbilRequest) returns (Hasil);
}
// Kelompok yang dicari.
message AmbilRequest {
  // Seperti pada kartu.
  string nomor_kelompok = 1;
}
// Hasil panen.
message Hasil {
  // Dalam kilogram.
  int64 berat_kering = 1;
}
"""


def test_a_contract_is_found_by_words_region_class_and_field(
    federation: Federation, home: Path
) -> None:
    consumer = federation.consumer.home
    file = home / "panen.proto"
    file.write_text(SOURCE)
    token = federation.enrol(OWNER, "sulsel-catalogue", "--region", "73.01")
    assert federation.init(home / "n", token).status == 0
    with serving(home / "n", home / "n.log") as (node, _):
        done("contract", "publish", file, "--home", node.home, "--member", OWNER)
        done(
            "service", "publish", "--home", node.home, "--subsystem", f"{OWNER}/kelautan",
            "--target", federation.target, "--protoset", _protoset(home),
        )  # fmt: skip
        found = until(lambda: _hit(_search(consumer, "rumput laut")), what="the contract")
        assert (found["package"], found["implementations"]) == ("rumputlaut.v1", 1)
        # In the other language, by beginning, field and class.
        assert _hit(_search(consumer, "harvest")) is not None
        assert _hit(_search(consumer, "--class", "DAERAH", "panen")) is not None
        assert _hit(_search(consumer, "--class", "KEMENTERIAN", "panen")) is None
        by_field = _hit(_search(consumer, "--field", "nomor kelompok"))
        assert by_field is not None
        assert by_field["fields"] == ["rumputlaut.v1.AmbilRequest.nomor_kelompok"]
        assert _hit(_search(consumer, "--region", "73.01", "panen")) is not None
        assert _hit(_search(consumer, "--region", "73.*")) is not None
        assert _hit(_search(consumer, "--region", "53.*")) is None
        _is_for_another_region(node.home, consumer)
        shown = done("catalogue", "show", "rumputlaut.v1", "--home", consumer).out
        assert "Hasil panen satu kelompok tani." in shown
        assert f"{OWNER}/kelautan/rumputlaut.v1.Panen" in shown
    people = done("catalogue", "search", "panen", "--home", consumer).out
    assert "rumputlaut.v1" in people


def _is_for_another_region(node: Path, consumer: Path) -> None:
    """Once the contract is for other regions only, no call by region finds the member."""
    call = (
        "call", "rumputlaut.v1.Panen", "Ambil", "--region", "73.01", "--from", SUPERAPP,
        "--home", consumer,
    )  # fmt: skip
    done("contract", "set", "rumputlaut.v1", "--regions", "74", "--home", node)
    until(
        lambda: _hit(_search(consumer, "--region", "73.01")) is None, what="the contract's regions"
    )
    assert "is for 74 and the regions within" in refused("REGION_UNSERVED", *call).err
    done("contract", "set", "rumputlaut.v1", "--regions", "73", "--home", node)
    until(lambda: _hit(_search(consumer, "--region", "73.01")), what="the contract's regions")
    # Found again, and what is missing now is an agreement.
    assert "ACCESS_NO_AGREEMENT" in refused("GATHER_INCOMPLETE", *call).err


def test_bad_questions(federation: Federation) -> None:
    at = ("--home", federation.consumer.home)
    refused("REQUEST_MALFORMED", "catalogue", "search", "***", *at)
    refused("REQUEST_MALFORMED", "catalogue", "search", "--class", "DESA", *at)
    refused("REQUEST_MALFORMED", "catalogue", "search", "--maturity", "ripe", *at)
    refused("REQUEST_MALFORMED", "catalogue", "search", "--page", "x", *at)
    refused("REGION_UNKNOWN", "catalogue", "search", "--region", "99.01", *at)
    refused("ID_MALFORMED", "catalogue", "search", "--region", "5x", *at)
    refused("REQUEST_MALFORMED", "catalogue", "search", os.fsdecode(b"\xff"), *at)
    none = done("catalogue", "search", "zzzyx", *at)
    assert (none.out, "No contract matches" in none.err) == ("", True)
    assert done("catalogue", "search", "zzzyx", "--json", *at).json["hits"] == []
    refused("CONTRACT_UNKNOWN", "catalogue", "show", "nobody.v1", *at)
    refused("CONTRACT_UNKNOWN", "catalogue", "show", "wisata.v1.Nobody", *at)
    refused("CONTRACT_UNKNOWN", "catalogue", "show", "wisata.v1", "--revision", "99", *at)
    refused("METHOD_UNKNOWN", "catalogue", "show", f"{WISATA}/No", "--snippet", "go", *at)
    refused(
        "REQUEST_MALFORMED", "catalogue", "show", f"{WISATA}/Get", "--snippet", "go", "-d", "{", *at
    )


def test_an_app_asks_its_node_and_sees_its_own_calls(federation: Federation) -> None:
    before = _calls(federation, federation.token)
    assert federation.ask().status == "OK"
    until(lambda: _calls(federation, federation.token) > before or None, 15.0, "the call")
    # An app of another subsystem hears of none of them.
    added = done(
        "app", "add", "sulsel-other", "--home", federation.consumer.home, "--subsystem",
        "ID/KEMENTERIAN/KOMDIGI/katalog", "--json",
    ).json  # fmt: skip
    assert _calls(federation, str(added["token"])) == 0
    with grpc.insecure_channel(federation.consumer.gateway) as channel:
        stub = catalogue_pb2_grpc.CatalogueStub(channel)
        metadata = (("simpul-token", federation.token),)
        found = stub.Search(
            catalogue_pb2.CatalogueSearchRequest(text="island"),
            metadata=metadata,
            timeout=TIMEOUT_S,
        )
        assert "wisata.v1" in {hit.package for hit in found.hits}
        files = {
            each.name: each.text
            for each in stub.Download(
                catalogue_pb2.CatalogueDownloadRequest(name=WISATA), metadata=metadata,
                timeout=TIMEOUT_S,
            )
        }  # fmt: skip
        assert any("service Wisata" in text for text in files.values())
        for wrong in ((), (("simpul-token", "simpul_app_wrong"),)):
            with pytest.raises(grpc.RpcError) as caught:
                stub.Show(
                    catalogue_pb2.CatalogueShowRequest(name=WISATA),
                    metadata=wrong,
                    timeout=TIMEOUT_S,
                )
            assert cast("grpc.Call", caught.value).code() is grpc.StatusCode.UNAUTHENTICATED


def test_the_python_client_works_as_it_is_given(federation: Federation, home: Path) -> None:
    _write_protos(federation, home)
    text = _snippet(federation, f"{WISATA}/Get", "python", "-d", ASKED)
    (command,) = (line[2:] for line in text.splitlines() if "grpc_tools.protoc" in line)
    program, *arguments = command.split()
    assert program == "python"
    _run([sys.executable, *arguments], home, {})
    assert "Pulau Komodo" in _client([sys.executable, "client.py"], text, home, federation)
    listed = _snippet(federation, f"{WISATA}/List", "python", "--region", "53.15")
    assert "53.15" in _client([sys.executable, "list.py"], listed, home, federation)


def test_the_javascript_client_works_as_it_is_given(federation: Federation, home: Path) -> None:
    why = node_client.missing()
    if why:
        pytest.skip(why)
    _write_protos(federation, home)
    text = _snippet(federation, f"{WISATA}/Get", "javascript", "-d", ASKED)
    assert "Pulau Komodo" in _client(["node", "client.cjs"], text, home, federation)
    listed = _snippet(federation, f"{WISATA}/List", "javascript", "--region", "53.15")
    assert "53.15" in _client(["node", "list.cjs"], listed, home, federation)
    # A call that fails says so.
    no = _snippet(federation, f"{WISATA}/Get", "javascript", "--to", "ID/DAERAH/73.99/none")
    (home / "no.cjs").write_text(no)
    ran = _ran(["node", "no.cjs"], home, _environment(federation))
    assert (ran.returncode, "73.99" in ran.stderr) == (1, True), ran.stderr


def test_the_other_clients_name_what_they_call(federation: Federation) -> None:
    gateway = federation.consumer.gateway
    go = _snippet(federation, f"{WISATA}/Get", "go")
    assert f'grpc.NewClient("{gateway}", transport)' in go
    assert "pb.NewWisataClient(connection)" in go
    java = _snippet(federation, f"{WISATA}/List", "java")
    assert "WisataGrpc.newBlockingStub(channel)" in java
    grpcurl = _snippet(federation, f"{WISATA}/Get", "grpcurl", "-d", ASKED)
    assert f"{gateway} {WISATA}/Get" in grpcurl
    assert f"simpul-to: {LABUAN_BAJO}" in grpcurl


def _search(home: Path, *words: str) -> Ran:
    return simpul("catalogue", "search", *words, "--home", home, "--json")


def _hit(ran: Ran) -> Any:
    """The seaweed's contract, if it was found."""
    if ran.status:
        return None
    hits = [hit for hit in ran.json["hits"] if hit["package"] == "rumputlaut.v1"]
    return hits[0] if hits else None


def _calls(federation: Federation, token: str) -> int:
    """The calls of the super app's provider, as an app is told."""
    with grpc.insecure_channel(federation.consumer.gateway) as channel:
        shown = catalogue_pb2_grpc.CatalogueStub(channel).Show(
            catalogue_pb2.CatalogueShowRequest(name=WISATA),
            metadata=(("simpul-token", token),),
            timeout=TIMEOUT_S,
        )
    (made,) = (
        each for each in shown.implementations if each.service_id == f"{LABUAN_BAJO}/{WISATA}"
    )
    assert "53.15" in made.regions
    # What others asked is the operator's.
    assert made.answered == 0
    return made.calls


def _snippet(federation: Federation, method: str, language: str, *more: str) -> str:
    to = () if {"--region", "--to"} & set(more) else ("--to", LABUAN_BAJO)
    return done(
        "catalogue", "show", method, "--snippet", language, "--home", federation.consumer.home,
        *to, *more,
    ).out  # fmt: skip


def _write_protos(federation: Federation, folder: Path) -> None:
    ran = done(
        "catalogue", "show", WISATA, "--proto", folder / "protos", "--json",
        "--home", federation.consumer.home,
    )  # fmt: skip
    assert ran.json["files"]


def _client(command: list[str], text: str, folder: Path, federation: Federation) -> str:
    (folder / command[-1]).write_text(text)
    return _run(command, folder, _environment(federation))


def _environment(federation: Federation) -> dict[str, str]:
    modules = str(node_client.FOLDER / "node_modules")
    return {"SIMPUL_TOKEN": federation.token, "NODE_PATH": modules}


def _run(command: list[str], folder: Path, more: dict[str, str]) -> str:
    ran = _ran(command, folder, more)
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def _ran(
    command: list[str], folder: Path, more: dict[str, str]
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env={**os.environ, **more}, capture_output=True, text=True,
        timeout=TIMEOUT_S, check=False,
    )  # fmt: skip


def _protoset(folder: Path) -> Path:
    made = folder / "panen.protoset"
    made.write_bytes(read_contract([folder / "panen.proto"], [folder]))
    return made
