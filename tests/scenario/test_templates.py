"""Access by a template: an operator approves once, members of a group are answered at once."""

import queue
import time
from collections.abc import Iterator
from typing import Any, Final

import grpc
import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from tests.scenario.harness import (
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
PURPOSE: Final = "uji-kelompok"
CONSUMER: Final = "ID/KEMENTERIAN/KOMDIGI"
# From an operator's word at the registry to refusal at a connected node.
LIMIT_S: Final = 2.0


def request(federation: Federation, *terms: str) -> Any:
    return done(
        "access", "request", "--home", federation.consumer.home, "--consumer", SUPERAPP,
        "--service", SERVICE, "--purpose", PURPOSE, "--days", "30", *terms, "--json",
    ).json  # fmt: skip


def provider(federation: Federation, *command: str) -> Any:
    return done("access", *command, "--home", federation.provider.home, "--json").json


def approve(federation: Federation, name: str, *group: str) -> Any:
    return provider(
        federation, "template", "approve", name, *group, "--service", SERVICE, "--purpose", PURPOSE,
        "--method", "Get", "--method", "Chat", "--rate", "100/s", "--days", "30",
    )  # fmt: skip


@pytest.fixture
def partners(federation: Federation) -> Iterator[str]:
    """A group of the provider's with the ministry, and a template for it."""
    name = "uji-mitra"
    provider(federation, "group", "add", name, "--title", "Partners")
    provider(federation, "group", "include", name, CONSUMER)
    approve(federation, "uji-baca", "--group", name)
    yield name
    provider(federation, "template", "end", "uji-baca")
    provider(federation, "group", "drop", name)


def test_a_member_of_a_group_is_answered_at_once_until_it_leaves(
    federation: Federation, partners: str
) -> None:
    # More than the template permits waits for an operator, as ever.
    wider = request(federation, "--method", "Get", "--rate", "101/s")
    assert wider["state"] == "requested"
    done("access", "withdraw", wider["agreement"], "--home", federation.consumer.home)

    made = request(federation, "--method", "Get", "--method", "Chat", "--rate", "50/s")
    assert made["state"] == "active"
    shown = done("access", "show", made["agreement"], "--home", federation.provider.home).out
    assert "by template uji-baca, which local administrator approved" in shown
    (template,) = provider(federation, "template", "show", "uji-baca")["templates"]
    assert [item["agreement"] for item in template["agreements"]] == [made["agreement"]]
    assert federation.ask({"simpul-purpose": PURPOSE}).status == "OK"

    questions: queue.Queue[bytes | None] = queue.Queue()
    metadata = (
        ("simpul-to", LABUAN_BAJO), ("simpul-token", federation.token), ("simpul-purpose", PURPOSE),
    )  # fmt: skip
    with grpc.insecure_channel(federation.consumer.gateway, options=OWN_CONNECTION) as channel:
        method: Any = channel.stream_stream(f"/{WISATA}/Chat")
        chat = method(iter(questions.get, None), metadata=metadata, timeout=60)
        questions.put(pb.ChatRequest(name="komodo").SerializeToString())
        assert next(iter(chat))
        left = provider(federation, "group", "exclude", partners, CONSUMER)
        began_s = time.monotonic()
        assert left["ended"] == [made["agreement"]]
        with pytest.raises(grpc.RpcError):
            next(iter(chat))
        took_s = time.monotonic() - began_s
        questions.put(None)
    assert chat.code() is grpc.StatusCode.PERMISSION_DENIED
    assert took_s < 1.0
    assert federation.ask({"simpul-purpose": PURPOSE}).status == "PERMISSION_DENIED"
    again = request(federation, "--method", "Get", "--rate", "50/s")
    assert again["state"] == "requested"
    done("access", "withdraw", again["agreement"], "--home", federation.consumer.home)


def test_the_federation_s_group_is_the_registry_s_word(federation: Federation) -> None:
    registry = ("--home", federation.registry, "--json")
    group = ("registry", "group")
    done(*group, "add", "uji-kementerian", "--title", "Ministries", *registry)
    added = done(*group, "include", "uji-kementerian", CONSUMER, *registry).json
    assert added["members"] == [CONSUMER]
    refused(
        "MEMBER_UNKNOWN", *group, "include", "uji-kementerian", "ID/DAERAH/63.99",
        "--home", federation.registry,
    )  # fmt: skip

    def wide() -> list[Any]:
        groups = provider(federation, "group", "list")["groups"]
        return [item for item in groups if item["name"] == "uji-kementerian" and item["members"]]

    (known,) = until(lambda: wide() or None)
    assert known["owner"] == ""
    approve(federation, "uji-luas", "--federation-group", "uji-kementerian")
    made = request(federation, "--method", "Get", "--rate", "50/s")
    assert made["state"] == "active"
    assert federation.ask({"simpul-purpose": PURPOSE}).status == "OK"
    done(*group, "retire", "uji-kementerian", *registry)
    began_s = time.monotonic()
    until(lambda: federation.ask({"simpul-purpose": PURPOSE}).status == "PERMISSION_DENIED")
    assert time.monotonic() - began_s < LIMIT_S
    template = provider(federation, "template", "end", "uji-luas")
    assert template["ended_by"] == "local administrator"
