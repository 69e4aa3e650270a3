"""A province acts for a regency, with real nodes: from the delegation to its end.

The province's node and the regency's are the tests' own; the provider is the shared federation's.
"""

import queue
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from tests.scenario.harness import (
    GET_KOMODO,
    LABUAN_BAJO,
    OWN_CONNECTION,
    WISATA,
    Federation,
    Place,
    Told,
    call,
    done,
    refused,
    serving,
    until,
)

PROVINCE: Final = "ID/DAERAH/61"
REGENCY: Final = "ID/DAERAH/61.01"
OTHER: Final = "ID/DAERAH/61.02"
PORTAL: Final = f"{PROVINCE}/portal"
SERVICE: Final = f"{LABUAN_BAJO}/{WISATA}"
PURPOSE: Final = "uji-kuasa"
REQUEST: Final = (
    "access", "request", "--consumer", PORTAL, "--service", SERVICE, "--purpose", PURPOSE,
    "--on-behalf-of", REGENCY,
)  # fmt: skip


@dataclass(frozen=True)
class Acting:
    """Who acts, for whom, and towards whom."""

    federation: Federation
    province: Place
    regency: Place
    token: str

    @property
    def metadata(self) -> dict[str, str]:
        return {
            "simpul-to": LABUAN_BAJO,
            "simpul-token": self.token,
            "simpul-purpose": PURPOSE,
            "simpul-on-behalf-of": REGENCY,
        }

    def ask(self, **changed: str) -> Told:
        """A call of the province's app; an empty value hides."""
        other = {f"simpul-{key}".replace("_", "-"): value for key, value in changed.items()}
        kept = {key: value for key, value in {**self.metadata, **other}.items() if value}
        return call(self.province.gateway, f"/{WISATA}/Get", kept, GET_KOMODO)

    def state(self, agreement: str, home: Path) -> str:
        shown = done("access", "show", agreement, "--home", home, "--json").json
        return str(shown["agreement"]["state"])


@pytest.fixture(scope="module")
def acting(federation: Federation, place: Path) -> Iterator[Acting]:
    folder = place / "kalbar"
    folder.mkdir()
    province = federation.join(folder / "p", PROVINCE, "kalbar-1")
    regency = federation.join(folder / "r", REGENCY, "kalbar-sambas-1")
    with (
        serving(province, folder / "p.log") as (acts, _),
        serving(regency, folder / "r.log") as (gives, _),
    ):
        added = done("app", "add", "portal", "--home", province, "--subsystem", PORTAL, "--json")
        yield Acting(federation, acts, gives, added.json["token"])


@pytest.fixture
def delegation(acting: Acting) -> Iterator[str]:
    """The regency lets the province act, within bounds."""
    given = done(
        "access", "delegate", "--home", acting.regency.home, "--to", PROVINCE,
        "--service", SERVICE, "--method", "Get", "--method", "Chat", "--purpose", PURPOSE,
        "--days", "30", "--json",
    ).json  # fmt: skip
    assert (given["state"], given["side"], given["untold"]) == ("active", "delegator", None)
    yield given["delegation"]
    held = done("access", "delegations", "--home", acting.regency.home, "--json").json
    if any(
        (item["delegation"], item["state"]) == (given["delegation"], "active")
        for item in held["delegations"]
    ):
        done("access", "undelegate", given["delegation"], "--home", acting.regency.home)


@pytest.fixture
def agreement(acting: Acting, delegation: str) -> str:
    """What the province asked for by it, and the provider approved."""
    home = acting.province.home
    asked = done(*REQUEST, "--home", home, "--json").json
    assert (asked["state"], asked["untold"]) == ("requested", None)
    assert (asked["on_behalf_of"], asked["delegation"]) == (REGENCY, delegation)
    # Of methods and days the delegation's, because the request left them open.
    assert sorted(asked["methods"]) == ["Chat", "Get"]
    done("access", "approve", asked["agreement"], "--home", acting.federation.provider.home)
    until(lambda: acting.state(asked["agreement"], home) == "active" or None)
    return str(asked["agreement"])


def test_nobody_acts_without_a_delegation_or_beyond_it(acting: Acting) -> None:
    home = acting.province.home
    refused("ACCESS_DELEGATION", *REQUEST, "--home", home)
    given = done(
        "access", "delegate", "--home", acting.regency.home, "--to", PROVINCE,
        "--service", SERVICE, "--method", "Get", "--purpose", PURPOSE, "--json",
    ).json  # fmt: skip
    refused("DELEGATION_INVALID", *REQUEST, "--home", home, "--method", "Chat")
    done("access", "undelegate", given["delegation"], "--home", acting.regency.home)
    refused("ACCESS_DELEGATION", *REQUEST, "--home", home)
    # The province can give nothing in the regency's name.
    refused(
        "MEMBER_UNKNOWN", "access", "delegate", "--home", home, "--member", REGENCY,
        "--to", OTHER, "--service", SERVICE, "--purpose", PURPOSE,
    )  # fmt: skip


def test_every_record_shows_both_and_evidence_three_signatures(
    acting: Acting, agreement: str, delegation: str, home: Path
) -> None:
    told = acting.ask()
    assert told.status == "OK", told
    # Not in its own name, and in no other's.
    assert acting.ask(on_behalf_of="").code.startswith("ACCESS_")
    other = acting.ask(on_behalf_of="ID/DAERAH/53.15")
    assert other.code == "ACCESS_DELEGATION"
    (attempt,) = done(
        "journal", "list", "--home", acting.province.home, "--on-behalf-of", "ID/DAERAH/53.15",
        "--json",
    ).json["calls"]  # fmt: skip
    assert (attempt["call_id"], attempt["outcome"]) == (other.call_id, "refused")
    provider, federation = acting.federation.provider.home, acting.federation
    for side, role in ((acting.province.home, "consumer"), (provider, "provider")):
        (recorded,) = done(
            "journal", "list", "--home", side, "--call", told.call_id, "--on-behalf-of", REGENCY,
            "--json",
        ).json["calls"]  # fmt: skip
        assert (recorded["role"], recorded["consumer"]) == (role, PORTAL)
        assert (recorded["on_behalf_of"], recorded["agreement"]) == (REGENCY, agreement)
        (used,) = done(
            "access", "usage", "--home", side, "--on-behalf-of", REGENCY, agreement, "--json"
        ).json["usage"]
        assert (used["on_behalf_of"], used["side"]) == (REGENCY, role)
        assert used["calls"] >= 1
        file = home / f"{role}.evidence"
        done("evidence", "export", told.call_id, "--home", side, "-o", file)
        report = done("evidence", "verify", file, "--root", federation.root, "--json").json
        assert report["sound"]
        assert (report["call"]["consumer"], report["call"]["on_behalf_of"]) == (PORTAL, REGENCY)
        signed, offer = report["steps"][15], report["steps"][17]
        assert signed["result"] == offer["result"] == "proven"
        assert signed["findings"][1].startswith(
            f"on behalf of {REGENCY}, by delegation {delegation[:16]}, signed by {REGENCY}"
        )
    shown = done("access", "show", agreement, "--home", provider).out
    assert delegation in shown
    (known,) = (
        item
        for item in done("access", "delegations", "--home", acting.province.home, "--json").json[
            "delegations"
        ]
        if item["delegation"] == delegation
    )
    assert (known["side"], known["agreements"]) == ("delegate", [agreement])


def test_its_end_refuses_what_is_new_and_ends_what_runs(
    acting: Acting, agreement: str, delegation: str
) -> None:
    questions: queue.Queue[bytes | None] = queue.Queue()
    with grpc.insecure_channel(acting.province.gateway, options=OWN_CONNECTION) as channel:
        method: Any = channel.stream_stream(f"/{WISATA}/Chat")
        metadata = tuple(acting.metadata.items())
        chat = method(iter(questions.get, None), metadata=metadata, timeout=60)
        questions.put(pb.ChatRequest(name="komodo").SerializeToString())
        assert next(iter(chat))
        over = done(
            "access", "undelegate", delegation[:12], "--home", acting.regency.home,
            "--reason", "the contract is over", "--json",
        ).json  # fmt: skip
        began_s = time.monotonic()
        assert over["untold"] is None
        with pytest.raises(grpc.RpcError):
            next(iter(chat))
        took_s = time.monotonic() - began_s
        questions.put(None)
    assert chat.code() is grpc.StatusCode.PERMISSION_DENIED
    assert dict(chat.trailing_metadata())["simpul-error"] == "ACCESS_DELEGATION"
    # Counted from when the command had returned; within a second is asked for.
    assert took_s < 1.0
    assert acting.ask().code == "ACCESS_DELEGATION"
    for home in (acting.federation.provider.home, acting.province.home):
        assert acting.state(agreement, home) == "undelegated"
    refused("ACCESS_DELEGATION", *REQUEST, "--home", acting.province.home)
