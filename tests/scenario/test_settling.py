"""A link that is cut while calls are under way: both nodes say later what became of each.

The provider's node is reached over a line that is slow, so that it can be cut while a question, or
an answer, is on its way; neither node stops. Or its worker is killed, and the next one tells by the
journal.
"""

import os
import signal
import sqlite3
import threading
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest

from tests.scenario.harness import (
    PROTOSET,
    SUPERAPP,
    Federation,
    Told,
    answering,
    children_of,
    done,
    serving,
    until,
)
from tests.support import slow_line
from tests.support.ports import free_port
from tests.support.slow_line import Line, Running

# No other test on the shared federation has a node of them.
REGENCY, OTHER_REGENCY = "ID/DAERAH/53.19", "ID/DAERAH/53.22"
# One way, and longer than whoever cuts takes to see what was recorded.
SLOW, QUICK = Line(delay_s=0.5), Line(delay_s=0.0)

# A parcel with a question has more, and a receipt less.
PARCEL_BYTES = 600


@pytest.fixture
def target() -> Iterator[str]:
    with answering(lambda request: request) as address:
        yield address


def test_both_nodes_say_what_became_of_calls_on_a_link_that_broke(
    federation: Federation, home: Path, target: str
) -> None:
    near = f"127.0.0.1:{free_port()}"
    provider = home / "n"
    with ExitStack() as stack:
        line, cut = _line(SLOW, near, 0)
        token = federation.enrol(REGENCY, "far-1")
        advertised = ("--listen", near, "--advertise", f"127.0.0.1:{line.port}")
        assert federation.init(provider, token, *advertised).status == 0
        stack.enter_context(serving(provider, home / "n.log"))
        service = done(
            "service", "publish", "--home", provider, "--subsystem", f"{REGENCY}/pariwisata",
            "--target", target, "--protoset", PROTOSET,
        ).out.strip()  # fmt: skip
        done("access", "allow", "--home", provider, "--consumer", SUPERAPP, "--service", service)
        until(lambda: _ask(federation).status == "OK", what="a first answer")

        # A question on its way.
        before = line.carried["out"]
        asked = _asking(federation)
        until(lambda: _calls(federation.consumer.home, outcome=0) > 0, what="a call that is open")
        until(lambda: line.carried["out"] > before + PARCEL_BYTES, what="its parcel")
        cut()
        question = _unknown(asked)

        # An answer on its way; the link over which it goes settles the first.
        line, cut = _line(SLOW, near, line.port)
        until(lambda: _ask(federation).status == "OK", what="an answer over a new link")
        before = _calls(provider, outcome=1)
        asked = _asking(federation)
        until(lambda: _calls(provider, outcome=1) > before, what="a call that is answered")
        cut()
        answer = _unknown(asked)

        _, cut = _line(QUICK, near, line.port)
        stack.callback(cut)
        until(lambda: _ask(federation).status == "OK", what="an answer over a third link")
        here = federation.consumer.home
        until(lambda: _shown(here, question)[0]["settled"] == "not_started", what="settling")
        assert _shown(provider, question) == []
        until(lambda: _shown(here, answer)[0]["settled"] == "arrived", what="settling")
        until(lambda: _shown(provider, answer)[0]["settled"] == "unheard", what="settling")
        (call,) = _shown(here, answer)
        assert (call["outcome"], call["code"]) == ("lost", "OUTCOME_UNKNOWN")
        (call,) = _shown(provider, answer)
        assert (call["outcome"], call["code"]) == ("closed", None)
        listed = done("journal", "list", "--home", here, "--call", question).out
        assert "lost OUTCOME_UNKNOWN (not started)" in listed
        listed = done("journal", "list", "--home", provider, "--call", answer).out
        assert "closed OK (unheard)" in listed
        told = done("journal", "show", answer, "--home", provider).out
        assert "never reached the other node" in told


def test_a_worker_that_follows_a_killed_one_tells_what_reached_the_journal(
    federation: Federation, home: Path
) -> None:
    asked_here, go_on = threading.Event(), threading.Event()

    def held(request: bytes) -> bytes:
        asked_here.set()
        go_on.wait(30)
        return request

    provider = home / "k"
    with ExitStack() as stack:
        target = stack.enter_context(answering(held))
        stack.callback(go_on.set)
        token = federation.enrol(OTHER_REGENCY, "settled-2")
        near = f"127.0.0.1:{free_port()}"
        assert federation.init(provider, token, "--listen", near, "--advertise", near).status == 0
        _, process = stack.enter_context(serving(provider, home / "k.log"))
        service = done(
            "service", "publish", "--home", provider, "--subsystem", f"{OTHER_REGENCY}/pariwisata",
            "--target", target, "--protoset", PROTOSET,
        ).out.strip()  # fmt: skip
        done("access", "allow", "--home", provider, "--consumer", SUPERAPP, "--service", service)
        go_on.set()
        until(lambda: _ask(federation, OTHER_REGENCY).status == "OK", what="a first answer")
        go_on.clear()
        asked_here.clear()
        asked = _asking(federation, OTHER_REGENCY)
        assert asked_here.wait(20)
        (worker,) = children_of(process.pid)
        os.kill(worker, signal.SIGKILL)
        call = _unknown(asked)
        go_on.set()
        until(lambda: _ask(federation, OTHER_REGENCY).status == "OK", what="an answer again")
        here = federation.consumer.home
        until(lambda: _shown(here, call)[0]["settled"] == "arrived", what="settling")
        (there,) = _shown(provider, call)
        assert (there["outcome"], there["code"]) == ("lost", "OUTCOME_UNKNOWN")


def _line(line: Line, to: str, port: int) -> tuple[Running, Any]:
    """A line that is up, and what cuts it."""
    stack = ExitStack()
    return stack.enter_context(slow_line.running(line, to, port)), stack.close


def _ask(federation: Federation, regency: str = REGENCY) -> Told:
    return federation.ask({"simpul-to": f"{regency}/pariwisata"})


def _asking(federation: Federation, regency: str = REGENCY) -> Future[Told]:
    found: Future[Told] = Future()

    def ask() -> None:
        found.set_result(_ask(federation, regency))

    threading.Thread(target=ask, daemon=True).start()
    return found


def _unknown(asked: Future[Told]) -> str:
    told = asked.result(30)
    assert told.code == "OUTCOME_UNKNOWN", told
    return told.call_id


def _calls(home: Path, *, outcome: int) -> int:
    with closing(sqlite3.connect(f"file:{home}/journal.db?mode=ro", uri=True)) as journal:
        row = journal.execute("SELECT count(*) FROM calls WHERE outcome = ?", (outcome,)).fetchone()
        return int(row[0])


def _shown(home: Path, call_id: str) -> list[dict[str, Any]]:
    listed = done("journal", "list", "--home", home, "--call", call_id, "--json").json
    found: list[dict[str, Any]] = listed["calls"]
    return found
