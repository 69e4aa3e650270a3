"""Processes that are killed, stopped, or several: calls go on, and the journal is whole."""

import contextlib
import os
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import grpc

from cli.demo.tamper import captured
from examples.gen.wisata.v1 import wisata_pb2 as pb
from node.calls import new_call_id
from node.supervisor import GRACE_S
from runtime.clock import now_ms
from security.identifiers import NodeId
from security.kinds import EntryKind
from tests.scenario.harness import (
    GET_KOMODO,
    PROTOSET,
    SUPERAPP,
    WISATA,
    Federation,
    Process,
    Told,
    call,
    children_of,
    descendants_of,
    done,
    lives,
    opened_by,
    serving,
    until,
)


class Regency:
    """A provider that a test may hurt: its node is not one of those that all tests share."""

    def __init__(self, federation: Federation, home: Path, code: str, node: str) -> None:
        self.federation = federation
        self.home = home / "n"
        self.subsystem = f"ID/DAERAH/{code}/pariwisata"
        federation.join(self.home, f"ID/DAERAH/{code}", node)

    def publish(self) -> None:
        service = done(
            "service", "publish", "--home", self.home, "--subsystem", self.subsystem,
            "--target", self.federation.target, "--protoset", PROTOSET,
        ).out.strip()  # fmt: skip
        done("access", "allow", "--home", self.home, "--consumer", SUPERAPP, "--service", service)

    def ask(self) -> Told:
        return self.federation.ask({"simpul-to": self.subsystem})

    def answers(self) -> bool:
        return self.ask().status == "OK"

    def verified(self) -> dict[str, object]:
        report: dict[str, object] = done("journal", "verify", "--home", self.home, "--json").json
        assert report["ok"], report
        return report


def test_two_workers_share_one_port(federation: Federation, home: Path) -> None:
    """As consumer and as provider: each worker has a slot of the journal."""
    regency = Regency(federation, home, "52.08", "two-workers-1")
    config = regency.home / "node.toml"
    config.write_text(config.read_text().replace("[node]", "[node]\nworkers = 2"))
    with serving(regency.home, home / "n.log") as (node, process):
        assert len(children_of(process.pid)) == 2
        regency.publish()
        status = done("node", "status", "--home", node.home, "--json").json
        assert status["workers_ready"] == 2
        token = _allowed_back(federation, node.home, f"{regency.subsystem}")
        metadata = {"simpul-to": "ID/DAERAH/53.15/pariwisata", "simpul-token": token}
        data = pb.GetRequest(code="53.15.40084").SerializeToString()
        # Each connection falls to one of the workers.
        for _ in range(24):
            told = call(node.gateway, f"/{WISATA}/Get", metadata, data)
            assert told.status == "OK", told
        assert regency.ask().status == "OK"
    slots = regency.verified()["slots"]
    assert isinstance(slots, list)
    assert len([slot for slot in slots if slot["size"] > 0]) == 2


async def test_a_call_that_comes_to_both_workers_is_served_once(
    federation: Federation, home: Path
) -> None:
    """Over many links with one call id: the kernel gives each connection to one of the workers."""
    regency = Regency(federation, home, "52.07", "two-workers-2")
    config = regency.home / "node.toml"
    config.write_text(config.read_text().replace("[node]", "[node]\nworkers = 2"))
    with serving(regency.home, home / "n.log") as (node, _):
        regency.publish()
        until(regency.answers)
        opened = opened_by(federation, regency.subsystem)
        same = new_call_id(now_ms(), os.urandom(10))
        ends = []
        for _ in range(12):
            async with captured(federation.consumer.home, NodeId.parse(node.id)) as link:
                await link.send(link.parcel(opened, GET_KOMODO, same).frame)
                kind = (await link.answer()).parsed.kind
                ends.append("served" if kind.kind is EntryKind.CLOSE else getattr(kind, "code", ""))
    assert ends == ["served", *["CALL_REPEATED"] * 11]
    slots = regency.verified()["slots"]
    assert isinstance(slots, list)
    assert len([slot for slot in slots if slot["size"] > 0]) == 2


def _allowed_back(federation: Federation, home: Path, consumer: str) -> str:
    done(
        "access", "allow", "--home", federation.provider.home, "--consumer", consumer,
        "--service", f"ID/DAERAH/53.15/pariwisata/{WISATA}",
    )  # fmt: skip
    return done("app", "add", "back", "--home", home, "--subsystem", consumer).out.strip()


def test_kill_9_of_a_worker_and_of_the_supervisor(federation: Federation, home: Path) -> None:
    regency = Regency(federation, home, "21.05", "killed-1")
    with serving(regency.home, home / "n.log") as (_, process):
        regency.publish()
        assert regency.answers()
        (worker,) = children_of(process.pid)
        os.kill(worker, signal.SIGKILL)
        until(lambda: regency.answers() or None, what="calls after a worker was killed")
        (second,) = children_of(process.pid)
        assert second != worker
        process.send(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        until(lambda: not lives(second) or None, 15.0, "the end of the worker")
    regency.verified()
    with serving(regency.home, home / "again.log"):
        until(lambda: regency.answers() or None, what="calls after a restart")
    report = regency.verified()
    assert report["parcels"]


def test_sigterm_lets_a_call_in_flight_end(federation: Federation, home: Path) -> None:
    regency = Regency(federation, home, "71.03", "stopped-1")
    with serving(regency.home, home / "n.log") as (_, process):
        regency.publish()
        answered, told = _talk_while(federation, regency, process)
    assert told == "OK"
    assert answered == 2
    assert process.status == 0
    report = regency.verified()
    assert report["unfinished"] == 0


def test_sigterm_waits_for_a_call_that_does_not_end_as_long_as_it_says(
    federation: Federation, home: Path
) -> None:
    regency = Regency(federation, home, "71.04", "stopped-2")
    with serving(regency.home, home / "n.log") as (_, process):
        regency.publish()
        began = time.monotonic()
        answered, told = _talk_while(federation, regency, process, end=False)
        took_s = time.monotonic() - began
        assert (answered, told) == (1, "UNAVAILABLE")
        # The grace, then the links' own end, with room for a busy machine.
        assert GRACE_S - 1 < took_s < GRACE_S + 15
        process.wait(15)
    assert process.status == 0
    # What it could not end is on record as lost, and not left open.
    report = regency.verified()
    assert report["unfinished"] == 0, report
    lost = done("journal", "list", "--home", regency.home, "--outcome", "lost", "--json").json
    assert len(lost["calls"]) == 1, lost


def _talk_while(
    federation: Federation, regency: Regency, process: Process, *, end: bool = True
) -> tuple[int, str]:
    """A call of two questions; the node is told to stop between them. Returns what came.

    Not `end`: the second is never asked.
    """
    metadata = (("simpul-to", regency.subsystem), ("simpul-token", federation.token))
    stopped = threading.Event()

    def questions() -> Iterator[pb.ChatRequest]:
        yield pb.ChatRequest(name="Komodo", limit=1)
        if not stopped.wait(60):
            return
        yield pb.ChatRequest(name="Rinca", limit=1)

    with grpc.insecure_channel(federation.consumer.gateway) as channel:
        chat = channel.stream_stream(
            f"/{WISATA}/Chat",
            request_serializer=pb.ChatRequest.SerializeToString,
            response_deserializer=pb.ChatResponse.FromString,
        )
        answers = chat(questions(), metadata=metadata, timeout=20)
        next(answers)
        process.send(signal.SIGTERM)
        time.sleep(0.5)
        assert process.status is None
        if end:
            stopped.set()
        count = 1
        with contextlib.suppress(grpc.RpcError):
            count += len(list(answers))
        stopped.set()
        return count, answers.code().name


def test_a_revoked_node_is_refused_within_two_seconds(federation: Federation, home: Path) -> None:
    regency = Regency(federation, home, "74.03", "revoked-1")
    with serving(regency.home, home / "n.log") as (node, _):
        regency.publish()
        assert regency.answers()
        began_s = time.monotonic()
        done("registry", "node", "revoke", node.id, "--home", federation.registry)
        until(lambda: _no_longer_answered(regency), 5.0)
        assert time.monotonic() - began_s < 2.0
        # A call that was under way may have been cut; the next one is told why.
        told = regency.ask()
        assert told.code in {"NODE_REVOKED", "NODE_UNKNOWN", "KEY_REVOKED"}, told


def _no_longer_answered(regency: Regency) -> Told | None:
    told = regency.ask()
    return None if told.status == "OK" else told


def test_a_demo_that_is_killed_leaves_no_process_behind(home: Path) -> None:
    process = Process(home / "up.log", "demo", "up", "--home", home / "fed", "--nodes", "3")
    try:
        document = process.until_file(home / "fed" / "federation.json")
        pids = descendants_of(process.pid)
        assert {node["pid"] for node in document["nodes"]} <= set(pids)
        # Registry, keeper, two services, three nodes with a worker each.
        assert len(pids) == 10
    finally:
        status = process.stop(signal.SIGKILL)
    assert status == -signal.SIGKILL
    until(lambda: not any(map(lives, pids)) or None, 20.0, "the end of all processes")


def test_a_demo_that_fails_leaves_no_process_behind(home: Path) -> None:
    """The registry's port range is fine, but every node is told to use one gateway port."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        env = {"SIMPUL_NODE__GATEWAY__LISTEN": "127.0.0.1:{1}".format(*taken.getsockname())}
        process = Process(
            home / "up.log", "demo", "up", "--home", home / "fed", "--nodes", "3", **env
        )
        pids: set[int] = set()
        while process.status is None:
            pids.update(descendants_of(process.pid))
            time.sleep(0.05)
    assert process.stop() == 1
    assert "NOT_RUNNING" in process.text
    assert "PORT_IN_USE" in process.text
    assert len(pids) > 5
    assert not [pid for pid in pids if lives(pid)]
