"""A regency takes over another one's contract: looked for, adopted, run, compared, published."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest
from grpc_health.v1 import health_pb2

from examples.gen.wisata.v1 import wisata_pb2 as pb
from examples.gen.wisata.v1 import wisata_pb2_grpc
from tests.scenario.harness import WISATA, Federation, done, refused, serving, until
from tests.scenario.test_duplicates import TWIN

MEMBER = "ID/DAERAH/72.02"
SUBSYSTEM = f"{MEMBER}/pariwisata"


@contextmanager
def running(folder: Path) -> Iterator[str]:
    """The address of an adopted server, as its README starts it."""
    log = folder / "server.log"
    # Where neither this project nor its stubs are.
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, folder / "server.py", "--listen", "127.0.0.1:0"],
            stdout=out, stderr=out, cwd=folder, env=kept,
        )  # fmt: skip
    try:
        yield until(lambda: _listening(process, log), 30)
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0, log.read_text()


def _listening(process: "subprocess.Popen[bytes]", log: Path) -> str | None:
    assert process.poll() is None, log.read_text()
    start = "listening on "
    lines = log.read_text().splitlines()
    return next((line[len(start) :] for line in lines if line.startswith(start)), None)


@pytest.mark.timeout(400)
def test_a_contract_is_adopted_run_and_published(federation: Federation, home: Path) -> None:
    federation.join(home / "n", MEMBER, "sulteng-poso-1")
    with serving(home / "n", home / "n.log") as (node, _):
        _looks_for_one(node.home, home)
        folder = home / "ours"
        adopt = ("contract", "adopt", "wisata.v1@1", "--home", node.home, "-o", folder)
        said = done(*adopt, "--json").json
        assert (said["package"], said["revision"], said["generated"]) == ("wisata.v1", 1, True)
        assert said["services"] == [WISATA]

        other = _another(folder, home / "other")
        with running(folder) as target, running(other) as wrong:
            _answers_nothing_yet(target)
            check = ("contract", "check", "wisata.v1", "--home", node.home)
            assert "matches wisata.v1, revision 1" in done(*check, "--target", target).err
            _another_is_refused(node.home, folder, wrong)
            publish = ("service", "publish", "--home", node.home, "--subsystem", SUBSYSTEM)
            done(*publish, "--target", target)
            again = ("--target", target, "--protoset", folder / "contract.protoset", "--json")
            published = done(*publish, *again).json
            assert published["not_compared"] == ""
            assert published["revisions"] == [
                {"service_id": f"{SUBSYSTEM}/{WISATA}", "revision": 1}
            ]
        shown = done("contract", "show", "wisata.v1", "--home", node.home, "--json").json
        assert {"service_id": f"{SUBSYSTEM}/{WISATA}", "revision": 1} in shown["contract"]["users"]


def _looks_for_one(node: Path, folder: Path) -> None:
    """Before anything is published: who has made it already?"""
    file = folder / "pulau.proto"
    file.write_text(TWIN)
    said = done("contract", "similar", file, "--home", node, "--json").json
    assert said["package"] == "pariwisata.pulau.v1"
    closest = said["similar"][0]
    assert (closest["package"], closest["close"]) == ("wisata.v1", True)
    assert "ID/DAERAH/53.15" in closest["users"]
    # One that is published is compared with the others, and not with itself.
    own = done("contract", "similar", "wisata.v1", "--home", node, "--json").json
    assert "wisata.v1" not in [item["package"] for item in own["similar"]]


def _another(folder: Path, other: Path) -> Path:
    """The same server, of a contract that somebody has improved on."""
    proto = folder / "protos" / "wisata" / "v1" / "wisata.proto"
    text = proto.read_text()
    changed = text.replace("string name = 2;", "bytes name = 2;", 1).replace(
        "bool is_populated = 5;", "bool is_populated = 5;\n  string owner_nik = 9;"
    )
    assert changed.count("owner_nik") == 1
    (other / "gen").mkdir(parents=True)
    made = other / "protos" / "wisata" / "v1" / "wisata.proto"
    made.parent.mkdir(parents=True)
    made.write_text(changed)
    (other / "server.py").write_bytes((folder / "server.py").read_bytes())
    subprocess.run(
        [
            sys.executable, "-m", "grpc_tools.protoc", "-I", other / "protos",
            f"--python_out={other / 'gen'}", f"--grpc_python_out={other / 'gen'}", made,
        ],
        check=True,
    )  # fmt: skip
    return other


def _answers_nothing_yet(target: str) -> None:
    with grpc.insecure_channel(target) as channel:
        alive = channel.unary_unary(
            "/grpc.health.v1.Health/Check",
            request_serializer=health_pb2.HealthCheckRequest.SerializeToString,
            response_deserializer=health_pb2.HealthCheckResponse.FromString,
        )(health_pb2.HealthCheckRequest(service=WISATA), timeout=10)
        assert alive.status == health_pb2.HealthCheckResponse.SERVING
        stub = wisata_pb2_grpc.WisataStub(channel)
        for call in (
            lambda: stub.Get(pb.GetRequest(), timeout=10),
            lambda: list(stub.List(pb.ListRequest(), timeout=10)),
            lambda: stub.Import(iter([pb.ImportRequest()]), timeout=10),
            lambda: list(stub.Chat(iter([pb.ChatRequest()]), timeout=10)),
        ):
            with pytest.raises(grpc.RpcError) as caught:
                call()
            assert isinstance(caught.value, grpc.Call)
            assert caught.value.code() is grpc.StatusCode.UNIMPLEMENTED
            assert caught.value.details() == "this method is not written yet"


def _another_is_refused(node: Path, folder: Path, wrong: str) -> None:
    ran = refused(
        "CONTRACT_DIFFERS", "contract", "check", "wisata.v1", "--home", node, "--target", wrong,
        "--json",
    )  # fmt: skip
    found = {
        item["element"]: item["what"]
        for service in ran.json["services"]
        for item in service["differences"]
    }
    assert found == {
        "wisata.v1.Island.name": "holds bytes, and by the contract string",
        "wisata.v1.Island.owner_nik": "the contract has no such field, number 9",
    }
    publish = ("service", "publish", "--home", node, "--subsystem", SUBSYSTEM, "--target", wrong)
    error = refused("CONTRACT_DIFFERS", *publish, "--json").json["error"]
    assert [line.split(": ")[0] for line in error["differences"]] == sorted(found)
    # The paper is right, and what answers isn't.
    paper = ("--protoset", folder / "contract.protoset")
    said = refused("CONTRACT_DIFFERS", *publish, *paper).err
    assert f"what answers at {wrong} isn't the wisata.v1.Wisata" in said
    assert "owner_nik" in said
    listed = done("service", "list", "--home", node, "--json").json["services"]
    assert listed == []
