"""`simpul demo run`: what `make demo` does, as one command."""

import json
import os
import signal
from pathlib import Path

import pytest

from cli.demo import cast, exchange
from cli.demo.exchange import CheckError
from tests.scenario.harness import Process, children_of, simpul, until
from tests.support.alone import verify_alone

FOUR_KINDS = {"unary", "server stream", "client stream", "bidirectional"}


def test_the_demo_passes_every_check(home: Path) -> None:
    ran = simpul("demo", "run", "--nodes", "3", "--home", home / "fed", "--json")
    assert ran.status == 0, ran.err
    said = ran.json
    assert said["passed"]
    assert [step["title"] for step in said["steps"] if not step["passed"]] == []
    assert {call["kind"] for call in said["calls"]} == FOUR_KINDS
    assert len({call["call_id"] for call in said["calls"]}) == len(said["calls"])
    denied = [call for call in said["calls"] if call["code"] is not None]
    assert [call["code"] for call in denied] == ["ACCESS_NO_AGREEMENT"] * 2
    for log in (home / "fed" / "logs").iterdir():
        assert "Traceback" not in log.read_text(errors="replace"), log
        if not log.name.endswith("-service.log"):
            for line in log.read_text().splitlines():
                assert line.startswith("{"), f"{log}: {line}"
                json.loads(line)

    # The demo's own evidence, where nothing of this project is but `security/` and the root.
    files = sorted((home / "fed" / "evidence").glob("*.evidence"))
    assert len(files) == 2
    alone = home / "alone"
    alone.mkdir()
    for file in files:
        found = verify_alone(file, home / "fed" / "registry" / "root.json", alone)
        assert "failed" not in found.values()
        assert found["seals"] == found["cosignatures"] == found["agreement"] == "proven"
    data = bytearray(files[0].read_bytes())
    data[len(data) // 2] ^= 1
    files[0].write_bytes(data)
    assert (
        "failed" in verify_alone(files[0], home / "fed" / "registry" / "root.json", alone).values()
    )


def test_a_failed_check_is_named_and_is_the_exit_code(home: Path) -> None:
    """Labuan Bajo's service is killed before it is asked for anything."""
    fed = home / "fed"
    process = Process(home / "run.log", "demo", "run", "--nodes", "3", "--home", fed)
    try:
        log = fed / "logs" / "labuan-bajo-1-service.log"
        until(lambda: (log.exists() and "listening" in log.read_text()) or None)
        until(lambda: (fed / "labuan-bajo-1" / "run" / "endpoints.json").exists() or None)
        (service,) = (pid for pid in children_of(process.pid) if _regency(pid) == "53.15")
        os.kill(service, signal.SIGKILL)
        assert process.wait(40) == 1
    finally:
        process.stop()
    last = process.text.splitlines()[-1]
    assert "checks failed: unary call, server stream, " in last
    assert "SERVICE_UNREACHABLE" not in last
    assert "✗ unary call: UNAVAILABLE" in process.text
    # One fault is not taken for many: what needs no service has passed.
    assert "✓ journals verified" in process.text


def _regency(pid: int) -> str:
    arguments = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    return arguments[-2].decode() if b"--region" in arguments else ""


def test_too_few_nodes_are_wrong_usage(home: Path) -> None:
    assert simpul("demo", "up", "--home", home / "fed", "--nodes", "2").status == 2


def test_a_home_that_is_taken(home: Path) -> None:
    (home / "file").touch()
    ran = simpul("demo", "run", "--home", home)
    assert (ran.status, ran.error) == (1, "HOME_EXISTS")


def test_the_cast() -> None:
    found = cast.participants(40)
    assert [who.node for who in found[:6]] == [
        "komdigi-1", "labuan-bajo-1", "kemenhub-1", "wakatobi-1", "lombok-utara-1",
        "kepulauan-anambas-1",
    ]  # fmt: skip
    assert len({who.node for who in found}) == len({who.member for who in found}) == 40
    assert all(len(exchange.register_of(who)) for who in found[3:])
    with pytest.raises(ValueError, match="at least 3"):
        cast.participants(2)
    with pytest.raises(ValueError, match="at most"):
        cast.participants(10_000)


def test_a_check_can_fail() -> None:
    with pytest.raises(CheckError, match="because"):
        exchange.require(False, "because")
