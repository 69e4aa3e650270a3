"""Access from a request to a revocation, with the real commands at two nodes that run."""

import queue
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from tests.scenario.harness import (
    GET_KOMODO,
    LABUAN_BAJO,
    OWN_CONNECTION,
    SUPERAPP,
    WISATA,
    Federation,
    done,
    refused,
    until,
)

SERVICE: Final = f"{LABUAN_BAJO}/{WISATA}"
# Agreements of these tests alone are found by it.
PURPOSE: Final = "uji-akses"


def request(federation: Federation, *terms: str) -> str:
    made = done(
        "access", "request", "--home", federation.consumer.home, "--consumer", SUPERAPP,
        "--service", SERVICE, "--purpose", PURPOSE, "--note", "for the tests", *terms, "--json",
    ).json  # fmt: skip
    assert made["state"] == "requested"
    assert made["untold"] is None
    return str(made["agreement"])


def state(federation: Federation, agreement: str, side: str) -> str:
    home = getattr(federation, side).home
    shown = done("access", "show", agreement[:12], "--home", home, "--json").json
    return str(shown["agreement"]["state"])


def revoke(federation: Federation, agreement: str) -> None:
    done("access", "revoke", agreement, "--home", federation.provider.home, "--reason", "done")


@pytest.fixture
def narrowed(federation: Federation) -> Iterator[str]:
    """An agreement that a provider's operator narrowed: Get alone, and of an island its name."""
    asked = request(federation, "--method", "Get", "--method", "Chat", "--rate", "100/s:200")
    inbox = done("access", "inbox", "--home", federation.provider.home, "--json").json
    assert asked in [item["agreement"] for item in inbox["agreements"]]
    offered = done(
        "access", "approve", asked, "--home", federation.provider.home, "--narrow",
        "--method", "Get", "--field", "Get/island.name", "--json",
    ).json  # fmt: skip
    # The consumer's node signs what it is offered by itself.
    assert offered["state"] == "active"
    assert state(federation, asked, "consumer") == "countered"
    yield offered["agreement"]
    revoke(federation, offered["agreement"])


def test_a_narrowed_request_lets_only_the_agreed_fields_pass(
    federation: Federation, narrowed: str
) -> None:
    home = federation.consumer.home
    shown = done("access", "show", narrowed, "--home", home, "--json").json
    changed = {change["term"]: change["direction"] for change in shown["changes"]}
    assert changed == {"methods": "narrower", "response fields": "narrower"}
    told = federation.ask({"simpul-purpose": PURPOSE})
    assert told.status == "OK"
    (answer,) = told.answers
    assert pb.GetResponse.FromString(answer) == pb.GetResponse(
        island=pb.Island(name="Pulau Komodo")
    )
    # What was not agreed is refused before anything travels.
    chat = federation.ask({"simpul-purpose": PURPOSE}, method="Chat", data=b"")
    assert chat.code == "ACCESS_PURPOSE"


def test_a_revocation_is_in_force_at_once_on_both_sides(
    federation: Federation, narrowed: str
) -> None:
    assert federation.ask({"simpul-purpose": PURPOSE}).status == "OK"
    revoke(federation, narrowed)
    assert state(federation, narrowed, "provider") == "revoked"
    until(lambda: state(federation, narrowed, "consumer") == "revoked" or None)
    assert federation.ask({"simpul-purpose": PURPOSE}).status == "PERMISSION_DENIED"


def test_a_revocation_ends_a_stream_that_runs(federation: Federation) -> None:
    made = request(federation, "--method", "Chat")
    done("access", "approve", made, "--home", federation.provider.home)
    until(lambda: state(federation, made, "consumer") == "active" or None)
    questions: queue.Queue[bytes | None] = queue.Queue()
    metadata = (
        ("simpul-to", LABUAN_BAJO), ("simpul-token", federation.token), ("simpul-purpose", PURPOSE),
    )  # fmt: skip
    with grpc.insecure_channel(federation.consumer.gateway, options=OWN_CONNECTION) as channel:
        method: Any = channel.stream_stream(f"/{WISATA}/Chat")
        chat = method(iter(questions.get, None), metadata=metadata, timeout=60)
        questions.put(pb.ChatRequest(name="komodo").SerializeToString())
        assert next(iter(chat))
        revoke(federation, made)
        began_s = time.monotonic()
        with pytest.raises(grpc.RpcError):
            next(iter(chat))
        took_s = time.monotonic() - began_s
        questions.put(None)
    assert chat.code() is grpc.StatusCode.PERMISSION_DENIED
    assert dict(chat.trailing_metadata())["simpul-error"] == "ACCESS_NO_AGREEMENT"
    # Counted from when the command had returned; within a second is asked for.
    assert took_s < 1.0


def test_a_quota_is_kept_over_a_day(federation: Federation) -> None:
    made = request(federation, "--method", "Get", "--per-day", "3")
    done("access", "approve", made, "--home", federation.provider.home)
    until(lambda: state(federation, made, "consumer") == "active" or None)
    told = [federation.ask({"simpul-purpose": PURPOSE}, data=GET_KOMODO) for _ in range(5)]
    assert [each.status for each in told] == ["OK"] * 3 + ["RESOURCE_EXHAUSTED"] * 2
    assert told[-1].code == "ACCESS_QUOTA"
    assert "try again in" in told[-1].message
    for side in ("provider", "consumer"):
        home = getattr(federation, side).home
        (used,) = done("access", "usage", made, "--home", home, "--json").json["usage"]
        assert (used["side"], used["given_today"], used["calls_per_day"]) == (side, 3, 3)
        assert used["calls"] >= 3
        assert used["response_bytes"] > 0
    revoke(federation, made)


def test_declined_and_withdrawn(federation: Federation) -> None:
    provider, consumer = federation.provider.home, federation.consumer.home
    first = request(federation, "--method", "Get")
    done("access", "decline", first, "--home", provider, "--reason", "no legal basis")
    until(lambda: state(federation, first, "consumer") == "declined" or None)
    shown = done("access", "show", first, "--home", consumer).out
    assert "no legal basis" in shown
    second = request(federation, "--method", "Get")
    done("access", "withdraw", second, "--home", consumer)
    until(lambda: state(federation, second, "provider") == "withdrawn" or None)
    refused("CONFLICT", "access", "approve", second, "--home", provider)


def test_what_cannot_be_asked_for(federation: Federation) -> None:
    home = federation.consumer.home
    for wrong, code in (
        (("--field", "Get/island.price"), "ACCESS_FIELDS"),
        (("--method", "Delete"), "METHOD_UNKNOWN"),
        (("--hours", "25:00-26:00"), "REQUEST_MALFORMED"),
        (("--purpose", "Not A Name"), "AGREEMENT_INVALID"),
    ):
        refused(
            code, "access", "request", "--home", home, "--consumer", SUPERAPP,
            "--service", SERVICE, *wrong,
        )  # fmt: skip
    refused("NOT_FOUND", "access", "show", "0" * 64, "--home", home)
    refused("REQUEST_MALFORMED", "access", "revoke", "xyz", "--home", home)
