"""A normal, a refused, a cancelled and a lost call, found again by every filter, at both nodes."""

import json
import os
import queue
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from typer.testing import CliRunner

from cli.admin import ask_node
from cli.main import app
from examples.gen.wisata.v1 import wisata_pb2 as pb
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2
from tests.scenario.harness import (
    OWN_CONNECTION,
    PROTOSET,
    SUPERAPP,
    WISATA,
    Federation,
    Place,
    children_of,
    done,
    refused,
    serving,
    until,
)

CODE, NODE = "62.02", "filters-1"
SUBSYSTEM = f"ID/DAERAH/{CODE}/pariwisata"


class Chat:
    """A streaming call whose first question was answered."""

    def __init__(self, federation: Federation) -> None:
        self._channel = grpc.insecure_channel(federation.consumer.gateway, options=OWN_CONNECTION)
        self._questions: queue.Queue[pb.ChatRequest | None] = queue.Queue()
        method = self._channel.stream_stream(
            f"/{WISATA}/Chat",
            request_serializer=pb.ChatRequest.SerializeToString,
            response_deserializer=pb.ChatResponse.FromString,
        )
        metadata = (("simpul-to", SUBSYSTEM), ("simpul-token", federation.token))
        self._call = method(self._asked(), metadata=metadata, timeout=30)
        self._questions.put(pb.ChatRequest(name="Komodo", limit=1))
        next(self._call)

    def _asked(self) -> Iterator[pb.ChatRequest]:
        while (question := self._questions.get()) is not None:
            yield question

    def cancel(self) -> None:
        self._call.cancel()
        self._end()

    def lost(self) -> tuple[str, str]:
        """How it ended, once it has: its code and its id."""
        trailers = dict(self._call.trailing_metadata())
        self._end()
        return str(trailers.get("simpul-error")), str(trailers.get("simpul-call-id"))

    def _end(self) -> None:
        self._questions.put(None)
        self._channel.close()


def journal(*arguments: object) -> Any:
    """The command, within this process: starting one takes a second, and these are many."""
    ran = CliRunner().invoke(app, ["journal", *map(str, arguments), "--json"])
    assert ran.exit_code == 0, ran.output
    return json.loads(ran.stdout)


def rows(home: Path, *filters: object) -> list[dict[str, Any]]:
    found = journal("list", "--home", home, *filters)["calls"]
    # Nodes tell each other of agreements by calls too, once more where nothing was heard.
    return [row for row in found if (row["provider"], row["service"]) == (SUBSYSTEM, WISATA)]


def ids(home: Path, *filters: object) -> set[str]:
    return {row["call_id"] for row in rows(home, *filters)}


def one(home: Path, *filters: object) -> dict[str, Any]:
    (found,) = until(lambda: rows(home, *filters) or None, what=str(filters))
    return found


def shown(home: Path, call_id: str) -> dict[str, Any]:
    (call,) = journal("show", call_id, "--home", home)["calls"]
    found: dict[str, Any] = call
    return found


def kinds(call: dict[str, Any]) -> list[str]:
    return [entry["kind"] for entry in call["entries"]]


def test_every_filter_finds_its_call_at_both_nodes(federation: Federation, home: Path) -> None:
    theirs, ours = home / "n", federation.consumer.home
    federation.join(theirs, f"ID/DAERAH/{CODE}", NODE)
    with serving(theirs, home / "n.log") as (node, process):
        service = done(
            "service", "publish", "--home", theirs, "--subsystem", SUBSYSTEM,
            "--target", federation.target, "--protoset", PROTOSET,
        ).out.strip()  # fmt: skip
        refusal = federation.ask({"simpul-to": SUBSYSTEM})
        assert refusal.code == "ACCESS_NO_AGREEMENT"
        done("access", "allow", "--home", theirs, "--consumer", SUPERAPP, "--service", service)
        normal = federation.ask({"simpul-to": SUBSYSTEM})
        assert normal.status == "OK", normal
        Chat(federation).cancel()
        cancelled = one(ours, "--method", "Chat", "--status", "CANCELLED")["call_id"]
        chat = Chat(federation)
        (worker,) = children_of(process.pid)
        os.kill(worker, signal.SIGKILL)
        code, lost = chat.lost()
        assert code == "OUTCOME_UNKNOWN"
        # Whoever takes the slot next settles what the killed worker left open.
        one(theirs, "--call", lost, "--outcome", "lost")
    _at_the_consumer(ours, node, (refusal.call_id, normal.call_id, cancelled, lost))
    _at_the_provider(theirs, (refusal.call_id, normal.call_id, cancelled, lost))
    _by_the_admin_api(ours, {refusal.call_id, normal.call_id, cancelled, lost}, normal.call_id)
    for each in (ours, theirs):
        assert journal("verify", "--home", each)["ok"]


def _at_the_consumer(home: Path, node: Place, calls: tuple[str, str, str, str]) -> None:
    refusal, normal, cancelled, lost = calls
    mine = ("--provider", SUBSYSTEM)
    wanted: dict[tuple[object, ...], set[str]] = {
        mine: set(calls),
        (*mine, "--outcome", "refused"): {refusal},
        (*mine, "--outcome", "closed"): {normal, cancelled},
        (*mine, "--outcome", "lost"): {lost},
        (*mine, "--outcome", "open"): set(),
        (*mine, "--code", "ACCESS_NO_AGREEMENT"): {refusal},
        ("--code", "OUTCOME_UNKNOWN", "--peer", node.id): {lost},
        (*mine, "--status", "OK"): {normal},
        (*mine, "--status", "7"): {refusal},
        (*mine, "--status", "CANCELLED"): {cancelled},
        (*mine, "--status", "UNAVAILABLE"): {lost},
        (*mine, "--method", "Get"): {refusal, normal},
        (*mine, "--service", WISATA, "--method", "Chat"): {cancelled, lost},
        (*mine, "--consumer", SUPERAPP, "--role", "consumer"): set(calls),
        (*mine, "--role", "provider"): set(),
        ("--peer", node.id, "--role", "consumer"): {normal, cancelled, lost},
        (*mine, "--since", "1h"): set(calls),
        (*mine, "--until", "1h"): set(),
        ("--call", normal): {normal},
    }
    found = {filters: ids(home, *filters) for filters in wanted}
    assert found == wanted
    (row,) = rows(home, "--call", normal)
    terms = ("--agreement", row["agreement"], "--purpose", row["purpose"])
    assert ids(home, *terms) == {normal, cancelled, lost}
    for call, entries in ((normal, ["open", "close"]), (refusal, [])):
        assert kinds(shown(home, call)) == entries


def _at_the_provider(home: Path, calls: tuple[str, str, str, str]) -> None:
    refusal, normal, cancelled, lost = calls
    assert ids(home, "--provider", SUBSYSTEM, "--role", "provider") == {normal, cancelled, lost}
    refused("NOT_FOUND", "journal", "show", refusal, "--home", home)
    assert shown(home, normal)["outcome"] == "closed"
    assert kinds(shown(home, cancelled))[-2:] == ["cancel", "close"]
    assert (shown(home, lost)["outcome"], shown(home, lost)["code"]) == ("lost", "OUTCOME_UNKNOWN")


def _by_the_admin_api(home: Path, calls: set[str], normal: str) -> None:
    """The same, page by page, from the running node."""
    found: list[admin_pb2.RecordedCall] = []
    wanted = admin_pb2.ListCallsRequest(
        provider=SUBSYSTEM, service=WISATA, role="consumer", limit=3
    )
    while True:
        page = ask_node(home, lambda stub: stub.ListCalls(wanted))
        found += page.calls
        if not page.HasField("next"):
            break
        wanted.after.CopyFrom(page.next)
    assert {call.call_id.hex() for call in found} == calls
    assert len(found) == len(calls)
    request = admin_pb2.ShowCallRequest(call_id=bytes.fromhex(normal))
    (shown_call,) = ask_node(home, lambda stub: stub.ShowCall(request)).calls
    assert [entry.kind for entry in shown_call.entries] == ["open", "close"]
    assert shown_call.call.status == 0
    for bad in (
        admin_pb2.ListCallsRequest(outcome="fine"),
        admin_pb2.ListCallsRequest(call_id=b"short"),
        admin_pb2.ListCallsRequest(limit=10_001),
    ):
        with pytest.raises(SimpulError) as caught:
            ask_node(home, lambda stub, bad=bad: stub.ListCalls(bad))  # type: ignore[misc]
        assert caught.value.code in {Code.REQUEST_MALFORMED, Code.ID_MALFORMED}
