"""`simpul journal`, on journals that the node's own store wrote."""

import json
import os
import pty
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from cli.seals import seal_check
from node.config import write_config
from node.journal.checkpoints import KeptCheckpoint
from node.journal.model import CallNote, LinkEnd, Outcome, Role, SettledNote, Settlement
from node.journal.sql_checkpoints import SqlCheckpointStore
from node.journal.store import Append
from security.checkpoint import Checkpoint, sign_checkpoint
from security.errors import Code
from tests.architecture.project import PROJECT
from tests.conformance import fixed
from tests.unit.cli.conftest import Ran, Simpul
from tests.unit.node.journal.builder import (
    AGREEMENT,
    CONSUMER,
    NOW_MS,
    PEER,
    PROVIDER,
    SERVICE,
    Link,
    call_id,
    open_entry,
    refuse_entry,
    unary_call,
)
from tests.unit.node.journal.support import open_place, tamper, write

CONFIG: dict[str, dict[str, object]] = {
    "node": {"id": "ID/~labuan-bajo-1", "members": ["ID/DAERAH/53.15"]},
    "registry": {
        "address": "127.0.0.1:7000",
        "directory_url": "http://127.0.0.1:7001/",
        "certificate_sha256": "ab" * 32,
    },
    "link": {"listen": "127.0.0.1:8442", "advertise": "node.example:8442"},
}
ONE, TWO, THREE = (call_id(number).hex() for number in (1, 2, 3))


@pytest.fixture(autouse=True)
def journal(simpul: Simpul) -> Path:
    """Call 1: closed, as consumer; 2: refused here, as provider; 3: open."""
    simpul.home.mkdir()
    write_config(simpul.home / "node.toml", CONFIG)
    path = simpul.home / "journal.db"
    ours, theirs = Link("ours"), Link("theirs")
    write(
        path,
        unary_call(ours, 1),
        [theirs.received(open_entry(2)), theirs.sent(refuse_entry(2))],
        [ours.sent(open_entry(3, "List"))],
    )
    return path


def listed(ran: Ran) -> set[str]:
    return {call["call_id"] for call in ran.ok().json()["calls"]}


def test_list_as_json(simpul: Simpul) -> None:
    calls = {call["call_id"]: call for call in simpul("journal", "list", "--json").json()["calls"]}
    assert set(calls) == {ONE, TWO, THREE}
    one = calls[ONE]
    assert one["agreement"] == AGREEMENT.hex()
    assert (one["role"], one["outcome"], one["grpc_status"]) == ("consumer", "closed", "OK")
    assert (one["consumer"], one["provider"]) == (CONSUMER, PROVIDER)
    assert (one["service"], one["method"], one["peer"]) == (SERVICE, "Get", PEER)
    assert (calls[TWO]["role"], calls[TWO]["code"]) == ("provider", "ACCESS_NO_AGREEMENT")
    assert calls[THREE]["grpc_status"] is None
    assert set(one) == set(calls[THREE])


def test_list_for_people(simpul: Simpul) -> None:
    out = simpul("journal", "list").ok().out
    (row,) = (line.split() for line in out.splitlines() if ONE in line)
    wanted = [ONE, "consumer", f"{SERVICE}/Get", PROVIDER, PEER, "closed", "OK"]
    assert row[2:] == wanted
    assert "refused ACCESS_NO_AGREEMENT" in out


@pytest.mark.parametrize(
    ("args", "calls"),
    [
        (("--role", "provider"), {TWO}),
        (("--outcome", "open"), {THREE}),
        (("--method", "Get"), {ONE, TWO}),
        (("--code", "ACCESS_NO_AGREEMENT"), {TWO}),
        (("--peer", "ID/~nobody"), set()),
        (("--agreement", AGREEMENT.hex()), {ONE, TWO, THREE}),
        (("--consumer", PROVIDER), set()),
        (("--provider", PROVIDER, "--service", SERVICE), {ONE, TWO, THREE}),
        (("--purpose", "tourism"), {ONE, TWO, THREE}),
        (("--purpose", "war"), set()),
        (("--status", "OK"), {ONE}),
        (("--status", "permission_denied"), {TWO}),
        (("--status", "7"), {TWO}),
        (("--call", ONE), {ONE}),
        (("--call", THREE.upper()), {THREE}),
        (("--since", "2025-10-09"), {ONE, TWO, THREE}),
        (("--since", "2025-10-09T08:53:20.001"), set()),
        (("--until", "2025-10-09T08:53:20"), set()),
        (("--until", "2025-10-09T15:53:20.001+07:00"), {ONE, TWO, THREE}),
        (("--since", "1s"), set()),
        (("--since", "2000w"), {ONE, TWO, THREE}),
    ],
)
def test_filters(simpul: Simpul, args: tuple[str, ...], calls: set[str]) -> None:
    assert listed(simpul("journal", "list", "--json", *args)) == calls


def test_a_limit_says_that_there_may_be_more(simpul: Simpul) -> None:
    ran = simpul("journal", "list", "--limit", "2").ok()
    assert len(ran.out.splitlines()) == 3
    assert "--limit" in ran.err


@pytest.mark.parametrize(
    "args",
    [
        ("--role", "king"),
        ("--outcome", "fine"),
        ("--limit", "0"),
        ("--limit", "10001"),
        ("--status", "SO_SO"),
        ("--status", "17"),
        ("--code", "ACCES_METHOD"),
        ("--page", "0"),
        ("--page", "101"),
    ],
)
def test_a_wrong_filter_is_wrong_usage(simpul: Simpul, args: tuple[str, str]) -> None:
    assert simpul("journal", "list", *args).code == 2


@pytest.mark.parametrize("text", ["yesterday", "2025-13-01", "3 fortnights", "2h30m", ""])
def test_a_time_that_is_none_says_what_there_is(simpul: Simpul, text: str) -> None:
    ran = simpul("journal", "list", "--since", text)
    assert ran.code == 1
    assert "2026-11-24" in ran.err
    assert "2h" in ran.err


def test_pages_follow_each_other(simpul: Simpul) -> None:
    pages = [
        simpul("journal", "list", "--json", "--limit", "2", "--page", page).ok().json()["calls"]
        for page in ("1", "2", "3")
    ]
    assert [len(page) for page in pages] == [2, 1, 0]
    assert {call["call_id"] for page in pages for call in page} == {ONE, TWO, THREE}
    assert "--page 2" in simpul("journal", "list", "--limit", "2").err


def test_all_streams_every_match(simpul: Simpul, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cli.journal_calls.STREAM_ROWS", 1)
    lines = simpul("journal", "list", "--all", "--method", "Get").ok().out.splitlines()
    assert {json.loads(line)["call_id"] for line in lines} == {ONE, TWO}
    assert len(lines) == 2


def test_roles_and_outcomes_in_the_help_are_those_there_are(simpul: Simpul) -> None:
    told = simpul("journal", "list", "--help").out
    assert all(name in told for name in [*Role, *Outcome])


def test_show(simpul: Simpul) -> None:
    found = simpul("journal", "show", ONE, "--json").ok().json()
    assert found["call_id"] == ONE
    (call,) = found["calls"]
    assert [(e["kind"], e["direction"]) for e in call["entries"]] == [
        ("open", "sent"),
        ("close", "received"),
    ]
    assert all(len(e["header_hash"]) == 64 for e in call["entries"])
    out = simpul("journal", "show", ONE.upper()).ok().out
    assert AGREEMENT.hex() in out
    assert call["entries"][0]["header_hash"] in out


def test_show_names_the_first_cosigned_checkpoint_over_all_of_it(
    simpul: Simpul, journal: Path
) -> None:
    assert "No cosigned checkpoint" in simpul("journal", "show", ONE).ok().err
    store = SqlCheckpointStore.open(journal)
    for size, quorum in ((1, 5), (2, None), (4, 7), (5, 9)):
        checkpoint = Checkpoint("origin", size, bytes(32))
        note = sign_checkpoint(checkpoint, fixed.key("a node")).note.to_bytes()
        store.save(KeptCheckpoint(0, size, note, NOW_MS, quorum))
    (call,) = simpul("journal", "show", ONE, "--json").ok().json()["calls"]
    # Its open is in parcel 0, its close in parcel 1: the first that covers both and is cosigned.
    (kept,) = call["cosigned_checkpoints"]
    assert (kept["slot"], kept["size"], kept["quorum_at_ms"]) == (0, 4, 7)
    assert kept["note"].startswith("origin\n4\n")
    assert "not after" in simpul("journal", "show", ONE).ok().out


def test_a_call_that_this_node_refused_is_shown_without_parcels(
    simpul: Simpul, journal: Path
) -> None:
    note = CallNote(call_id(9), CONSUMER, "", "", "", None, None, 3, "ADDRESS_MISSING", NOW_MS)
    store = open_place(journal)
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=1)
    store.append(lease, head, [Append(notes=(note,))], now_ms=NOW_MS)
    store.close()
    (call,) = simpul("journal", "show", call_id(9).hex(), "--json").ok().json()["calls"]
    assert (call["outcome"], call["code"]) == ("refused", "ADDRESS_MISSING")
    assert (call["entries"], call["cosigned_checkpoints"]) == ([], [])
    assert "refused it itself" in simpul("journal", "show", call_id(9).hex()).ok().err
    assert "?/?" in simpul("journal", "list").ok().out


def test_show_says_what_the_nodes_told_each_other_after_a_break(
    simpul: Simpul, journal: Path
) -> None:
    assert simpul("journal", "show", THREE, "--json").ok().json()["calls"][0]["settled"] is None
    store = open_place(journal)
    lease, head = store.take(0, "test", now_ms=NOW_MS, lease_ms=1_000)
    note = SettledNote(
        Link("ours").link_id, LinkEnd.DIALLER, ((call_id(3), Settlement.NOT_STARTED),)
    )
    store.append(lease, head, [Append(notes=(note,))], now_ms=NOW_MS)
    store.close()
    (call,) = simpul("journal", "show", THREE, "--json").ok().json()["calls"]
    assert call["settled"] == "not_started"
    assert "the other node never had it" in simpul("journal", "show", THREE).ok().out


def test_show_takes_a_uuid_with_dashes(simpul: Simpul) -> None:
    dashed = "-".join((ONE[:8], ONE[8:12], ONE[12:16], ONE[16:20], ONE[20:]))
    assert simpul("journal", "show", dashed, "--json").ok().json()["call_id"] == ONE


@pytest.mark.parametrize(("call", "code"), [("00" * 16, Code.NOT_FOUND), ("x", Code.ID_MALFORMED)])
def test_show_refuses(simpul: Simpul, call: str, code: Code) -> None:
    assert simpul("journal", "show", call).err.startswith(f"simpul: {code}: ")


def test_verify(simpul: Simpul) -> None:
    ran = simpul("journal", "verify", "--json").ok()
    found = ran.json()
    assert (found["ok"], found["problem_count"], found["problems"]) == (True, 0, [])
    assert (found["parcels"], found["calls"], found["unfinished"]) == (5, 3, 1)
    assert found["unfinished_calls"] == [THREE]
    assert [(slot["slot"], slot["size"]) for slot in found["slots"]] == [(0, 5)]
    assert found["seals_judged"] is False
    people = simpul("journal", "verify").ok()
    assert "3 (1 unfinished)" in people.out
    assert "every check passed" in people.err
    assert "not judged" in people.err


def test_verify_names_the_step_that_fails(simpul: Simpul, journal: Path) -> None:
    tamper(journal, ("UPDATE parcels SET seal = ? WHERE idx = 1", (b"\x0a\x00",)))
    ran = simpul("journal", "verify", "--json")
    assert ran.code == 1
    # One document that says all: the report, and the error in it.
    found = ran.json()
    assert found["ok"] is False
    assert found["problems"]
    assert set(found["problems"][0]) == {"step", "name", "where", "message"}
    assert found["error"]["code"] == Code.JOURNAL_CORRUPT
    people = simpul("journal", "verify")
    assert people.code == 1
    assert found["problems"][0]["message"] in people.out
    assert "simpul: JOURNAL_CORRUPT: " in people.err


def test_no_journal_yet(simpul: Simpul, journal: Path) -> None:
    journal.unlink()
    assert simpul("journal", "list").err.startswith("simpul: NOT_FOUND: ")


def test_no_home(simpul: Simpul) -> None:
    shutil.rmtree(simpul.home)
    ran = simpul("journal", "list", "--json")
    assert ran.json()["error"]["code"] == "HOME_MISSING"


def test_without_a_directory_no_seal_is_judged(simpul: Simpul) -> None:
    assert seal_check(simpul.home) is None


def test_verify_shows_how_far_it_is_on_a_terminal_and_nowhere_else(simpul: Simpul) -> None:
    screen, other = pty.openpty()
    try:
        done = subprocess.run(
            [sys.executable, "-m", "cli.main", "journal", "verify"],
            env={**os.environ, **simpul.env, "TERM": "xterm"},
            cwd=PROJECT,
            stdout=subprocess.PIPE,
            stderr=other,
            check=True,
        )
        os.set_blocking(screen, False)
        shown = os.read(screen, 100_000)
    finally:
        os.close(screen)
        os.close(other)
    assert b"5/5" in shown
    assert b"5/5" not in done.stdout
    assert "5/5" not in simpul("journal", "verify").ok().err
