"""An agreement by which both sides keep contents; a citizen's call is found, erased, and told."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cli.admin import ask_node
from cli.demo.federation import PURPOSE
from security.errors import SimpulError
from simpul.node.v1 import admin_pb2
from tests.scenario.harness import (
    KOMODO,
    LABUAN_BAJO,
    SUPERAPP,
    WISATA,
    Federation,
    Place,
    done,
    refused,
    until,
)

NIK = "5315" + "0123456789" + "01"
OTHER = "5315" + "0123456789" + "02"
NIK_KEPT = "5315" + "0123456789" + "03"
BEARER = "Bearer scenario-of-erasure"


@pytest.fixture(scope="module")
def kept(federation: Federation) -> Iterator[Federation]:
    """From here on both nodes keep the contents of the super app's calls."""
    allow(federation, "both")
    yield federation
    allow(federation, "none")


def allow(federation: Federation, keep: str) -> None:
    made = done(
        "access", "allow", "--home", federation.provider.home, "--consumer", SUPERAPP,
        "--service", f"{LABUAN_BAJO}/{WISATA}", "--purpose", PURPOSE, "--keep", keep, "--json",
    ).json  # fmt: skip
    assert (made["state"], made["keep"]) == ("active", keep.upper())


def ask(federation: Federation, subject: str) -> str:
    told = federation.ask({"simpul-subject": subject, "authorization": BEARER})
    assert told.status == "OK"
    return told.call_id


def by_admin(node: Place, subject: str = "", user: str = "", issue: str = "") -> set[str]:
    """The calls that the running node lists for whom they concern."""
    request = admin_pb2.ListCallsRequest(subject=subject, user=user, issue=issue)
    listed = ask_node(node.home, lambda stub: stub.ListCalls(request))
    return {call.call_id.hex() for call in listed.calls}


def contents(node: Place, call_id: str) -> list[dict[str, object]]:
    shown = done("journal", "show", call_id, "--payloads", "--home", node.home, "--json").json
    (call,) = shown["calls"]
    found: list[dict[str, object]] = call["contents"]
    return found


def states(node: Place, call_id: str) -> set[str]:
    return {
        part["state"]
        for item in contents(node, call_id)
        for part in (item["payload"], item["private"])
        if isinstance(part, dict)
    }


def files(node: Place) -> bytes:
    return b"".join(file.read_bytes() for file in sorted(node.home.glob("journal.db*")))


def notices(node: Place, call_id: str) -> list[dict[str, object]]:
    found = done("journal", "erasures", "--home", node.home, "--json").json["notices"]
    return [item for item in found if item["call_id"] == call_id]


def verified(node: Place) -> dict[str, object]:
    report: dict[str, object] = done("journal", "verify", "--home", node.home, "--json").json
    assert report["ok"]
    return report


def test_both_sides_keep_all_but_credentials(kept: Federation, tmp_path: Path) -> None:
    mine = ask(kept, NIK_KEPT)
    for node in (kept.consumer, kept.provider):
        asked, told = contents(node, mine)
        assert asked["payload"]["message"] == {"code": KOMODO}  # type: ignore[index]
        assert told["payload"]["message"]["island"]["name"] == "Pulau Komodo"  # type: ignore[index]
        private = asked["private"]
        assert private["state"] == "kept in part"  # type: ignore[index]
        assert private["content"]["subject"] == NIK_KEPT  # type: ignore[index]
        assert BEARER not in str(private)
        # Readable to nobody without the keys.
        for secret in (NIK_KEPT.encode(), BEARER.encode(), b"Pulau Komodo"):
            assert secret not in files(node)

    # Evidence shows what was kept.
    evidence = tmp_path / "call.evidence"
    done("evidence", "export", mine, "--home", kept.consumer.home, "-o", evidence)
    assert b"Pulau Komodo" in evidence.read_bytes()


@pytest.mark.timeout(120)
def test_a_citizens_call_is_found_erased_and_told(kept: Federation) -> None:
    ours, theirs = kept.consumer, kept.provider
    mine, others = ask(kept, NIK), ask(kept, OTHER)

    # Found by the citizen, however the number is written; erased by him, and by nobody else.
    spelled = f"{NIK[:6]}-{NIK[6:12]}-{NIK[12:]}"
    listed = done("journal", "list", "--subject", spelled, "--home", ours.home, "--json").json
    assert [call["call_id"] for call in listed["calls"]] == [mine]
    assert by_admin(ours, subject=spelled) == {mine}
    assert by_admin(ours, subject=spelled, user="nobody") == set()
    with pytest.raises(SimpulError, match="names nobody"):
        by_admin(ours, issue="  ")
    erased = done(
        "journal", "erase", "--subject", NIK, "--reason", "consent-withdrawn", "--yes",
        "--home", ours.home, "--json",
    ).json  # fmt: skip
    assert [item["call_id"] for item in erased["calls"]] == [mine]
    assert erased["calls"][0]["tells"] == [theirs.id]
    assert states(ours, mine) == {"erased"}
    assert "kept" in states(ours, others)
    found = done("journal", "list", "--subject", NIK, "--home", ours.home, "--json").json
    assert found["calls"] == []

    # The other side is told, shows it, and has erased nothing by itself.
    (notice,) = until(lambda: notices(theirs, mine), what="the notice")
    assert (notice["state"], notice["reason"]) == ("open", "consent-withdrawn")
    assert notice["member"] == SUPERAPP.rpartition("/")[0]
    assert "kept" in states(theirs, mine)
    until(lambda: told_of(ours, mine), what="the acknowledgement")

    # It erases too, and tells so; both trees verify.
    done("journal", "erase", mine, "--home", theirs.home)
    assert states(theirs, mine) == {"erased"}
    assert notices(theirs, mine)[0]["state"] == "erased"
    (back,) = until(lambda: notices(ours, mine), what="the answer")
    assert back["state"] == "erased"
    for node in (ours, theirs):
        assert verified(node)["erased_entries"] == 2


def told_of(node: Place, call_id: str) -> bool:
    own = done("journal", "erasures", "--home", node.home, "--json").json["erasures"]
    (erasure,) = (item for item in own if item["call_id"] == call_id)
    return all(telling["told_at_ms"] is not None for telling in erasure["told"])


def test_what_is_kept_opens_with_the_next_key_alone(kept: Federation) -> None:
    call_id = ask(kept, OTHER)
    keys = kept.consumer.home / "keys"
    old = sorted(file.name for file in keys.glob("wrap*.key"))
    rotated = done("journal", "rotate-key", "--home", kept.consumer.home, "--json").json
    assert rotated["destroyed"] == len(old)
    assert rotated["rewrapped"] >= 2
    (new,) = keys.glob("wrap*.key")
    assert new.name not in old
    assert "kept" in states(kept.consumer, call_id)
    after = ask(kept, OTHER)
    assert "kept" in states(kept.consumer, after)


def test_a_call_that_is_not_there_is_not_erased(kept: Federation) -> None:
    refused("NOT_FOUND", "journal", "erase", "00" * 16, "--home", kept.consumer.home)
