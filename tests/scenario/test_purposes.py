"""A register of purposes, from its first entry to a retirement that ends a stream."""

import queue
import time
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

SERVICE: Final = f"{LABUAN_BAJO}/{WISATA}"
CONSUMER: Final = "ID/DAERAH/63.01/dinas"
PURPOSE: Final = "peta-wisata"
OTHER: Final = "statistik"
TEXT: Final = "Show islands and their sights to visitors"


class Consumer:
    """A regency that asks Labuan Bajo, and keeps a register of its own."""

    def __init__(self, federation: Federation, node: Place) -> None:
        self.node = node
        self._token = done(
            "app", "add", "peta", "--home", node.home, "--subsystem", CONSUMER
        ).out.strip()
        self._provider = federation.provider.home

    def agree(self) -> str:
        """For both purposes; what the provider's operator sees before it says yes."""
        asked = done(
            "access", "request", "--home", self.node.home, "--consumer", CONSUMER,
            "--service", SERVICE, "--purpose", PURPOSE, "--purpose", OTHER, "--json",
        ).json  # fmt: skip
        agreement = str(asked["agreement"])
        inbox = done("access", "inbox", "--home", self._provider, "--json").json["agreements"]
        (waiting,) = [item for item in inbox if item["agreement"] == agreement]
        said = {item["term"]: item["says"] for item in waiting["registered"]}
        assert said.keys() == {PURPOSE, OTHER}
        assert TEXT in said[PURPOSE]
        assert TEXT in done("access", "inbox", "--home", self._provider).out
        assert TEXT in done("access", "show", agreement, "--home", self._provider).out
        done("access", "approve", agreement, "--home", self._provider)
        until(lambda: self.state(agreement) == "active" or None)
        return agreement

    def state(self, agreement: str) -> str:
        shown = done("access", "show", agreement, "--home", self.node.home, "--json").json
        return str(shown["agreement"]["state"])

    def metadata(self, purpose: str) -> dict[str, str]:
        return {
            "simpul-to": LABUAN_BAJO, "simpul-token": self._token, "simpul-purpose": purpose,
        }  # fmt: skip

    def ask(self, purpose: str) -> Told:
        return call(self.node.gateway, f"/{WISATA}/Get", self.metadata(purpose), GET_KOMODO)


def test_what_isn_t_in_the_register_is_refused_and_a_retirement_ends_a_stream(
    federation: Federation, home: Path
) -> None:
    federation.join(home / "n", "ID/DAERAH/63.01", "kalsel-tujuan")
    with serving(home / "n", home / "n.log") as (node, _):
        for purpose, title, text in (
            (PURPOSE, "Tourist map", TEXT), (OTHER, "Statistics", "Count islands"),
        ):  # fmt: skip
            done(
                "purpose", "add", purpose, "--home", node.home, "--title", title,
                "--purpose", text, "--retention", "30 days", "--officer", "pdp@kotabaru.example",
            )  # fmt: skip
        never = ("access", "request", "--home", node.home, "--consumer", CONSUMER)
        refused("ACCESS_PURPOSE", *never, "--service", SERVICE, "--purpose", "never-registered")
        consumer = Consumer(federation, node)
        agreement = consumer.agree()
        for purpose in (PURPOSE, OTHER):
            assert consumer.ask(purpose).status == "OK"
        done("purpose", "retire", OTHER, "--home", node.home)
        for purpose in (OTHER, "whatever it takes"):
            assert consumer.ask(purpose).code == "ACCESS_PURPOSE"
        done("purpose", "revise", PURPOSE, "--home", node.home, "--retention", "7 days")
        versions = done(
            "purpose", "list", "--home", federation.provider.home, "--member", "ID/DAERAH/63.01",
            "--json",
        ).json["purposes"]  # fmt: skip
        assert [(item["id"], item["version"], item["retention"]) for item in versions] == [
            (PURPOSE, 2, "7 days"), (OTHER, 2, "30 days"),
        ]  # fmt: skip
        assert consumer.ask(PURPOSE).status == "OK"

        _a_stream_ends(node, consumer)

        assert consumer.ask(PURPOSE).code == "ACCESS_PURPOSE"
        refused("CHANGE_INVALID", "purpose", "revise", PURPOSE, "--home", node.home)
        shown = done("access", "show", agreement, "--home", federation.provider.home)
        assert f"retired: Tourist map. {TEXT}" in shown.out


def _a_stream_ends(node: Place, consumer: Consumer) -> None:
    questions: queue.Queue[bytes | None] = queue.Queue()
    metadata = tuple(consumer.metadata(PURPOSE).items())
    with grpc.insecure_channel(node.gateway, options=OWN_CONNECTION) as channel:
        method: Any = channel.stream_stream(f"/{WISATA}/Chat")
        chat = method(iter(questions.get, None), metadata=metadata, timeout=60)
        questions.put(pb.ChatRequest(name="komodo").SerializeToString())
        assert next(iter(chat))
        done("purpose", "retire", PURPOSE, "--home", node.home)
        began_s = time.monotonic()
        with pytest.raises(grpc.RpcError):
            next(iter(chat))
        took_s = time.monotonic() - began_s
        questions.put(None)
    assert chat.code() is grpc.StatusCode.PERMISSION_DENIED
    assert dict(chat.trailing_metadata())["simpul-error"] == "ACCESS_PURPOSE"
    # As for a revocation, counted from when the command had returned.
    assert took_s < 1.0
