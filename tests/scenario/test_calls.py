"""Good calls through two nodes: the demo's own checks, and what else an app may see."""

from collections.abc import AsyncIterator

import pytest

from cli.demo import calls, exchange
from cli.demo.calls import App
from cli.demo.cast import participants
from examples.gen.wisata.v1 import wisata_pb2 as pb
from tests.scenario.harness import KOMODO, LABUAN_BAJO, SUPERAPP, WISATA, Federation, done

_, REGENCY, MINISTRY = participants(3)


@pytest.fixture
async def app(federation: Federation) -> AsyncIterator[App]:
    async with calls.app(SUPERAPP, federation.token, federation.consumer.gateway) as made:
        yield made


@pytest.mark.parametrize(
    "check",
    [exchange.unary, exchange.server_stream, exchange.client_stream, exchange.both_ways],
    ids=["unary", "server_stream", "client_stream", "both_ways"],
)
async def test_each_kind_of_call(app: App, check: exchange.RegencyCheck) -> None:
    assert await check(app, REGENCY)
    (note,) = app.notes
    assert note.status == "OK"
    assert len(bytes.fromhex(note.call_id)) == 16


async def test_the_super_app_joins_what_two_bodies_know(app: App) -> None:
    _, found = await exchange.super_app(app, REGENCY, MINISTRY)
    assert {trip.iata for trip in found} == {"LBJ"}


def test_a_region_is_as_good_as_a_subsystem(federation: Federation) -> None:
    told = federation.ask({"simpul-to": "", "simpul-region": "53.15"})
    assert told.status == "OK"
    assert pb.GetResponse.FromString(told.answers[0]).island.name == "Pulau Komodo"


def test_the_services_own_error_passes_as_it_is(federation: Federation) -> None:
    told = federation.ask(data=pb.GetRequest(code="53.15.99999").SerializeToString())
    assert (told.status, told.code) == ("NOT_FOUND", "")
    assert told.message == "regency 53.15 has no island 53.15.99999"
    assert told.call_id


def test_the_command_calls_all_the_same(federation: Federation) -> None:
    ran = done(
        "call", f"{LABUAN_BAJO}/{WISATA}", "Get", "-d", f'{{"code": "{KOMODO}"}}',
        "--home", federation.consumer.home, "--from", SUPERAPP, "--json",
    )  # fmt: skip
    call_id = ran.json["call_id"]
    assert ran.json["response"]["island"]["name"] == "Pulau Komodo"
    for node, role in ((federation.consumer, "consumer"), (federation.provider, "provider")):
        shown = done("journal", "show", call_id, "--home", node.home, "--json").json
        assert [item["role"] for item in shown["calls"]] == [role]


def test_both_journals_verify_while_the_nodes_run(federation: Federation) -> None:
    federation.ask()
    for node in (federation.consumer, federation.provider):
        report = done("journal", "verify", "--home", node.home, "--json").json
        assert report["ok"]
        assert report["seals_judged"]
        assert report["parcels"] > 0
