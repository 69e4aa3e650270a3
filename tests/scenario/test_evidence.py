"""Evidence of real calls: exported at both sides, with a real witness, verified offline."""

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from cli.demo import calls, exchange
from cli.demo.calls import App
from cli.demo.cast import participants
from examples.gen.wisata.v1 import wisata_pb2 as pb
from security.evidence_format import parse_evidence
from tests.scenario.harness import (
    LABUAN_BAJO,
    SUPERAPP,
    WISATA,
    Federation,
    done,
    refused,
    simpul,
    until,
)
from tests.support.alone import verify_alone

_, REGENCY, _ = participants(3)
# A checkpoint every 2 s, its cosignature, and room for a busy machine.
WITNESSED_S = 20.0


@pytest.fixture
async def app(federation: Federation) -> AsyncIterator[App]:
    async with calls.app(SUPERAPP, federation.token, federation.consumer.gateway) as made:
        yield made


def export(call_id: str, node_home: Path, file: Path) -> Any:
    return done("evidence", "export", call_id, "--home", node_home, "-o", file, "--json", "--force")


def verified(file: Path, root: Path) -> dict[str, str]:
    """Each step's result by its name; the command itself succeeded."""
    report = done("evidence", "verify", file, "--root", root, "--json").json
    assert report["sound"]
    return {step["name"]: step["result"] for step in report["steps"]}


def witnessed(federation: Federation, call_id: str, folder: Path) -> tuple[Path, Path]:
    """Both sides' files, as soon as a quorum has cosigned both."""
    ours, theirs = folder / "ours.evidence", folder / "theirs.evidence"
    for file, node in ((ours, federation.consumer), (theirs, federation.provider)):

        def look(file: Path = file, home: Path = node.home) -> bool:
            export(call_id, home, file)
            return verified(file, federation.root)["cosignatures"] == "proven"

        until(look, WITNESSED_S, "the cosignatures")
    return ours, theirs


def salted(file: Path) -> bool:
    """Whether the call's entries stand with what could prove their contents."""
    evidence = parse_evidence(file.read_bytes())
    return any(
        entry.payload_salt or entry.private_salt
        for parcel in evidence.parcels
        for entry in parcel.entries
        if evidence.call_id in entry.entry
    )


async def test_both_sides_prove_a_call_and_their_files_join(
    federation: Federation, app: App, home: Path, other_root: Path
) -> None:
    await exchange.unary(app, REGENCY)
    await exchange.server_stream(app, REGENCY)
    unary, streaming = (note.call_id for note in app.notes)
    ours, theirs = witnessed(federation, unary, home)
    both = home / "both.evidence"
    done("evidence", "join", ours, theirs, "-o", both)
    for file in (ours, theirs, both):
        found = verified(file, federation.root)
        unproven = {name for name, result in found.items() if result != "proven"}
        assert unproven <= {
            "time stamps", "registry's log", "payloads", "private blocks", "revocations",
        }, found  # fmt: skip
    report = done("evidence", "verify", both, "--root", federation.root, "--json").json
    asked = next(item for item in report["parcels"] if "open" in item["entries"])
    assert len(asked["journals"]) == 2
    assert asked["not_before_ms"] <= asked["claimed_ms"] <= asked["not_after_ms"]
    assert report["call"]["consumer"] == SUPERAPP
    # A long stream as well, and where nothing of a node is at hand.
    stream = home / "stream.evidence"
    export(streaming, federation.consumer.home, stream)
    report = done("evidence", "verify", stream, "--root", federation.root, "--json").json
    assert report["call"]["responses"] == 244
    assert verify_alone(both, federation.root, home)["receipts"] == "proven"
    # One changed bit, and another federation's root.
    data = bytearray(both.read_bytes())
    data[len(data) // 2] ^= 1
    both.write_bytes(data)
    ran = refused("EVIDENCE_INVALID", "evidence", "verify", both, "--root", federation.root)
    assert "step 1, container, fails" in ran.err
    ran = refused("EVIDENCE_INVALID", "evidence", "verify", ours, "--root", other_root)
    assert "step 2, roots, fails" in ran.err


@pytest.fixture
def approved(federation: Federation) -> Iterator[str]:
    """An agreement that the consumer asked for and an operator of the provider approved."""
    home = federation.consumer.home
    asked = done(
        "access", "request", "--home", home, "--consumer", SUPERAPP, "--service",
        f"{LABUAN_BAJO}/{WISATA}", "--method", "Get", "--purpose", "uji-bukti", "--note",
        "for the tests", "--json",
    ).json["agreement"]  # fmt: skip
    done("access", "approve", asked, "--home", federation.provider.home)

    def active() -> bool:
        shown = done("access", "show", asked, "--home", home, "--json").json
        return bool(shown["agreement"]["state"] == "active")

    until(active, what="the approval to arrive")
    yield asked
    done("access", "revoke", asked, "--home", federation.provider.home, "--reason", "done")
    until(lambda: not active(), what="the revocation to arrive")


@pytest.mark.usefixtures("approved")
def test_an_agreement_that_was_asked_for_and_approved_is_proven_from_both_sides(
    federation: Federation, home: Path
) -> None:
    told = federation.ask({"simpul-purpose": "uji-bukti"})
    assert told.status == "OK"
    files = []
    for side in (federation.consumer.home, federation.provider.home):
        file = home / f"{side.name}.evidence"
        written = export(told.call_id, side, file)
        assert written.json["offer"]
        assert written.json["decision"]
        report = done("evidence", "verify", file, "--root", federation.root, "--json").json
        offer = report["steps"][17]
        assert (offer["result"], len(offer["findings"])) == ("proven", 2)
        assert offer["findings"][0].startswith("requested in")
        files.append(file)
    both = home / "both.evidence"
    done("evidence", "join", *files, "-o", both)
    assert verified(both, federation.root)["offer"] == "proven"


async def test_a_call_under_way_is_proven_as_far_as_it_came(
    federation: Federation, app: App, home: Path
) -> None:
    call = app.wisata.Chat(metadata=app.metadata(LABUAN_BAJO), timeout=30)
    answers = aiter(call)
    await call.write(pb.ChatRequest(name="Pulau Komodo", limit=1))
    assert (await anext(answers)).matches
    listed = done("journal", "list", "--home", federation.consumer.home, "--outcome", "open",
                  "--method", "Chat", "--limit", "1", "--json").json  # fmt: skip
    (row,) = listed["calls"]
    file = home / "open.evidence"
    export(row["call_id"], federation.consumer.home, file)
    report = done("evidence", "verify", file, "--root", federation.root, "--json").json
    assert report["call"]["outcome"] == "unfinished"
    assert report["steps"][12]["result"] == "not proven"
    await call.done_writing()
    assert [answer async for answer in answers] == []


def test_a_call_that_was_refused_before_it_left_has_no_evidence(
    federation: Federation, home: Path
) -> None:
    told = federation.ask({"simpul-purpose": "another"})
    assert told.code == "ACCESS_PURPOSE"
    file = home / "none.evidence"
    refused("NOT_FOUND", "evidence", "export", told.call_id, "--home", federation.consumer.home,
            "-o", file)  # fmt: skip
    assert not file.exists()


def test_a_file_is_replaced_only_where_that_is_said(federation: Federation, home: Path) -> None:
    call_id = federation.ask().call_id
    file = home / "call.evidence"
    arguments = ("evidence", "export", call_id, "--home", federation.provider.home, "-o", file)
    done(*arguments)
    assert salted(file)
    refused("ALREADY_EXISTS", *arguments)
    done(*arguments, "--force", "--without-payload")
    assert not salted(file)
    shown = done("evidence", "show", file, "--json").json
    assert shown["call_id"] == call_id
    assert simpul("evidence", "verify", file, "--root", federation.root).status == 0


async def test_archives_are_verified_from_the_root_alone(
    federation: Federation, app: App, home: Path, other_root: Path
) -> None:
    await exchange.unary(app, REGENCY)
    (note,) = app.notes
    witnessed(federation, note.call_id, home)
    for node in (federation.consumer, federation.provider):
        folder = home / node.home.name
        done("journal", "archive", "--home", node.home, "--to", folder, "--before", "2100-01-01")
        verify = ("journal", "archive", "verify", folder, "--json", "--root")
        rows = done(*verify, federation.root).json["archives"]
        assert rows
        assert all(row["cosignatures_judged"] and row["quorum_at_ms"] for row in rows)
        refused("ARCHIVE_INVALID", *verify, other_root)
        # What is archived, and still in the journal, is exported as well.
        file = home / "call.evidence"
        done("evidence", "export", note.call_id, "--home", node.home, "-o", file, "--force",
             "--archive", folder)  # fmt: skip
        assert verified(file, federation.root)["cosignatures"] == "proven"
