"""One call to many regions: a plain app, the commands, a plain Node.js client, and the report."""

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import grpc
import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from examples.perjalanan import app
from simpul.v1 import gather_pb2, gather_pb2_grpc
from tests.architecture.project import PROJECT
from tests.interop import node_client
from tests.scenario.harness import SUPERAPP, WISATA, Federation, Process, done, refused

MINISTRY = "ID/KEMENTERIAN/KEMENHUB/bandara"
REGIONS = ("53.15", "74.07", "52.08", "21.05")
TIMEOUT_S = 30


@pytest.fixture(scope="module")
def wide(place: Path) -> Iterator[Federation]:
    """A federation with four regencies."""
    home = place / "wide"
    process = Process(place / "wide.log", "demo", "up", "--home", home, "--nodes", "6")
    try:
        document = process.until_file(home / "federation.json")
        yield Federation(home, document, process)
    finally:
        assert process.stop() == 0, process.text


def gather(wide: Federation, text: str, *more: tuple[str, str]) -> tuple[list[str], Any]:
    """A plain stub's call of `List` at regions: each message's region, and the call."""
    with grpc.insecure_channel(wide.consumer.gateway) as channel:
        call = channel.unary_stream(
            f"/{WISATA}/List",
            request_serializer=pb.ListRequest.SerializeToString,
            response_deserializer=pb.ListResponse.FromString,
        )(
            pb.ListRequest(limit=2),
            metadata=(("simpul-token", wide.token), ("simpul-region", text), *more),
            timeout=TIMEOUT_S,
        )
        came: list[str] = []
        try:
            came.extend(answer.island.regency_code for answer in call)
        except grpc.RpcError:
            assert call.code() is not grpc.StatusCode.OK
        return came, call


def report(
    wide: Federation, gather_id: str, token: str | None = None
) -> gather_pb2.GatherReportResponse:
    """`simpul.v1.Gather/Report`, through the gateway."""
    with grpc.insecure_channel(wide.consumer.gateway) as channel:
        return gather_pb2_grpc.GatherStub(channel).Report(
            gather_pb2.GatherReportRequest(gather_id=gather_id),
            metadata=(("simpul-token", token or wide.token),),
            timeout=TIMEOUT_S,
        )


def test_one_stream_of_four_regions_and_its_report(wide: Federation) -> None:
    came, call = gather(wide, "*")
    assert call.code() is grpc.StatusCode.OK
    assert sorted(came) == sorted(REGIONS * 2)
    said = dict(call.trailing_metadata())
    assert sum(len(key) + len(str(value)) for key, value in said.items()) < 1024
    told = report(wide, said["simpul-gather-id"])
    assert (told.method, told.answered, told.missing, told.messages) == (f"{WISATA}/List", 4, 0, 8)
    assert {part.provider for part in told.parts} == {
        f"ID/DAERAH/{code}/pariwisata" for code in REGIONS
    }
    assert {(part.status, part.messages, part.outcome) for part in told.parts} == {(0, 2, "closed")}
    assert [list(part.regions) for part in told.parts if "53.15" in part.provider] == [["53.15"]]


def test_a_region_that_is_missing_is_never_a_silent_lie(wide: Federation) -> None:
    came, call = gather(wide, "53.15,53.99")
    assert came == ["53.15"] * 2
    said = dict(call.trailing_metadata())
    assert (call.code(), said["simpul-error"]) == (
        grpc.StatusCode.UNAVAILABLE,
        "GATHER_INCOMPLETE",
    )
    told = report(wide, said["simpul-gather-id"])
    (missing,) = (part for part in told.parts if part.status != 0)
    assert (missing.provider, list(missing.regions), missing.code) == (
        "",
        ["53.99"],
        "REGION_UNSERVED",
    )
    came, call = gather(wide, "53.15,53.99", ("simpul-partial", "ok"))
    assert (call.code(), came) == (grpc.StatusCode.OK, ["53.15"] * 2)


def test_a_report_is_for_who_gathered(wide: Federation) -> None:
    _, call = gather(wide, "*")
    gather_id = dict(call.trailing_metadata())["simpul-gather-id"]
    other = "ID/KEMENTERIAN/KOMDIGI/portal"
    home = wide.consumer.home
    added = done("app", "add", "other", "--home", home, "--subsystem", other, "--json").json
    with pytest.raises(grpc.RpcError) as caught:
        report(wide, gather_id, str(added["token"]))
    call = cast("grpc.Call", caught.value)
    assert dict(call.trailing_metadata())["simpul-error"] == "GATHER_UNKNOWN"


def test_the_commands(wide: Federation) -> None:
    home = wide.consumer.home
    ran = done(
        "call", WISATA, "List", "--region", "*", "-d", '{"limit": 1}', "--home", home,
        "--from", SUPERAPP, "--json",
    )  # fmt: skip
    *answers, end = [json.loads(line) for line in ran.out.splitlines()]
    assert sorted(answer["region"] for answer in answers) == sorted(REGIONS)
    assert {part["grpc_status"] for part in end["parts"]} == {"OK"}
    shown = done("gather", "report", end["gather_id"], "--home", home, "--json").json
    assert {part["messages"] for part in shown["parts"]} == {1}
    assert "ANSWERED" in done("gather", "report", end["gather_id"], "--home", home).out.upper()
    listed = done("journal", "list", "--gather", end["gather_id"], "--home", home, "--json").json
    assert {call["gather_id"] for call in listed["calls"]} == {end["gather_id"]}
    assert len(listed["calls"]) == len(REGIONS)
    single = done(
        "call", WISATA, "Get", "--region", "53.*", "-d", '{"code": "53.15.40084"}', "--home", home,
    )  # fmt: skip
    assert "Pulau Komodo" in single.out
    refused(
        "GATHER_INCOMPLETE", "call", WISATA, "Get", "--region", "53.15,74.07", "-d",
        '{"code": "53.15.40084"}', "--home", home,
    )  # fmt: skip
    refused("REGION_UNSERVED", "call", WISATA, "List", "--region", "99.*", "--home", home)
    refused("GATHER_METHOD", "call", WISATA, "Chat", "--region", "*", "--home", home)
    refused("GATHER_UNKNOWN", "gather", "report", "ab" * 16, "--home", home)
    done("journal", "verify", "--home", home)


def test_the_trip_planner(wide: Federation, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = [
        "--gateway", wide.consumer.gateway, "--metadata", f"simpul-token={wide.token}",
        "--regions", ",".join(REGIONS), "--airports", MINISTRY,
    ]  # fmt: skip
    assert app.main(arguments) == 0
    out = capsys.readouterr().out
    assert "LBJ" in out
    assert out.endswith("4 regions answered, 0 are missing\n")
    assert app.main([*arguments[:5], "99.*", *arguments[6:]]) == 1
    assert "REGION" not in capsys.readouterr().out


def test_a_plain_node_js_client_does_the_same(wide: Federation) -> None:
    why = node_client.missing()
    if why:
        pytest.skip(why)
    ran = subprocess.run(
        [
            "node", "examples/perjalanan/app.cjs", wide.consumer.gateway,
            json.dumps([["simpul-token", wide.token]]), ",".join(REGIONS), MINISTRY, "2",
        ],
        cwd=PROJECT,
        env={**os.environ, "NODE_PATH": str(node_client.FOLDER / "node_modules")},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    said = json.loads(ran.stdout)
    assert (said["status"], said["answered"], said["missing"]) == (0, 4, 0)
    told = report(wide, said["gather_id"])
    assert (told.answered, told.messages) == (4, len(said["trips"]))
    assert {trip["iata"] for trip in said["trips"]} >= {"LBJ", "MWK"}
