"""Calls that rest on a citizen's consent: given, withdrawn while a stream runs, kept by whom."""

import json
import queue
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import pytest

from examples.gen.wisata.v1 import wisata_pb2 as pb
from tests.scenario.harness import (
    CHECKOUT,
    GET_KOMODO,
    OWN_CONNECTION,
    PROTOSET,
    SUPERAPP,
    WISATA,
    Federation,
    Told,
    done,
    refused,
    serving,
    until,
)

SAMARINDA, BONTANG = "ID/DAERAH/64.72", "ID/DAERAH/64.74"
PURPOSE: Final = "uji-persetujuan"
CITIZEN, NEIGHBOUR = "6472010140190001", "6472010140190002"


@dataclass(frozen=True)
class Provider:
    """A regency's node that has joined, and that others may ask with citizens' consent."""

    federation: Federation
    home: Path
    member: str

    @property
    def subsystem(self) -> str:
        return f"{self.member}/pariwisata"

    @property
    def service(self) -> str:
        return f"{self.subsystem}/{WISATA}"

    def agree(self) -> str:
        """Publish, and let the super app call by consent; the agreement's hash."""
        done(
            "service", "publish", "--home", self.home, "--subsystem", self.subsystem,
            "--target", self.federation.target, "--protoset", PROTOSET, "--service", WISATA,
        )  # fmt: skip
        consumer = self.federation.consumer.home
        made = done(
            "access", "request", "--home", consumer, "--consumer", SUPERAPP,
            "--service", self.service, "--purpose", PURPOSE, "--legal-basis", "CONSENT", "--json",
        ).json  # fmt: skip
        assert any("rests on consent" in hint for hint in made["hints"]), made
        agreement = str(made["agreement"])
        done("access", "approve", agreement, "--home", self.home)
        until(lambda: self._is_active(agreement) or None)
        return agreement

    def _is_active(self, agreement: str) -> bool:
        consumer = self.federation.consumer.home
        shown = done("access", "show", agreement, "--home", consumer, "--json").json
        return bool(shown["agreement"]["state"] == "active")

    def record(self) -> str:
        return done(
            "consent", "record", "--home", self.home, "--subject", CITIZEN, "--consumer", SUPERAPP,
            "--service", self.service, "--purpose", PURPOSE, "--days", "30",
        ).out.strip()  # fmt: skip

    def metadata(self, consent: str, subject: str = CITIZEN) -> dict[str, str]:
        return {
            "simpul-to": self.subsystem, "simpul-purpose": PURPOSE, "simpul-consent": consent,
            "simpul-subject": subject,
        }  # fmt: skip

    def ask(self, consent: str, subject: str = CITIZEN) -> Told:
        return self.federation.ask(self.metadata(consent, subject), data=GET_KOMODO)

    @contextmanager
    def stream(self, consent: str) -> Iterator[Any]:
        """A conversation that goes on; one question was answered."""
        questions: queue.Queue[bytes | None] = queue.Queue()
        said = {**self.metadata(consent), "simpul-token": self.federation.token}
        gateway = self.federation.consumer.gateway
        with grpc.insecure_channel(gateway, options=OWN_CONNECTION) as channel:
            method: Any = channel.stream_stream(f"/{WISATA}/Chat")
            chat = method(iter(questions.get, None), metadata=tuple(said.items()), timeout=60)
            questions.put(pb.ChatRequest(name="komodo").SerializeToString())
            assert next(iter(chat))
            yield chat
            questions.put(None)


def ended(chat: Any, code: str, within_s: float) -> None:
    """The stream ends by this code, so soon after now."""
    began_s = time.monotonic()
    with pytest.raises(grpc.RpcError):
        next(iter(chat))
    assert time.monotonic() - began_s < within_s
    assert dict(chat.trailing_metadata())["simpul-error"] == code


def test_a_consent_lets_calls_pass_until_it_is_withdrawn(
    federation: Federation, home: Path
) -> None:
    federation.join(home / "n", SAMARINDA, "kaltim-samarinda-1")
    provider = Provider(federation, home / "n", SAMARINDA)
    with serving(provider.home, home / "n.log"):
        provider.agree()
        _is_needed(provider)
        reference = provider.record()
        call_id = _lets_pass(provider, reference)
        _is_recorded(provider, reference, call_id, home)
        _is_withdrawn(provider, reference)


def _is_needed(provider: Provider) -> None:
    missing = provider.ask("")
    assert (missing.status, missing.code) == ("INVALID_ARGUMENT", "CONSENT_MISSING")
    unknown = provider.ask("cns-nobody-gave-it")
    assert (unknown.status, unknown.code) == ("PERMISSION_DENIED", "CONSENT_REFUSED")
    malformed = provider.ask(CITIZEN)
    assert (malformed.status, malformed.code) == ("INVALID_ARGUMENT", "CONSENT_MALFORMED")


def _lets_pass(provider: Provider, reference: str) -> str:
    told = provider.ask(reference)
    assert told.status == "OK", told
    # It is one citizen's.
    assert provider.ask(reference, NEIGHBOUR).code == "CONSENT_REFUSED"
    assert provider.ask(reference, "").code == "CONSENT_REFUSED"
    return told.call_id


def _is_recorded(provider: Provider, reference: str, call_id: str, folder: Path) -> None:
    consumer = provider.federation.consumer.home
    for home in (provider.home, consumer):
        (shown,) = done("journal", "show", call_id, "--home", home, "--json").json["calls"]
        assert shown["consent"] == reference
    file = folder / "call.evidence"

    def export() -> bool | None:
        done("evidence", "export", call_id, "--home", consumer, "-o", file)
        return True

    until(export)
    root = provider.federation.root
    report = done("evidence", "verify", file, "--root", root, "--json").json
    assert report["call"]["consent"] == reference
    (listed,) = done(
        "consent", "list", "--home", provider.home, "--subject", CITIZEN, "--json"
    ).json["consents"]  # fmt: skip
    assert (listed["reference"], listed["state"]) == (reference, "given")
    database = b"".join(path.read_bytes() for path in provider.home.glob("state.db*"))
    assert CITIZEN.encode() not in database


def _is_withdrawn(provider: Provider, reference: str) -> None:
    other = provider.record()
    with provider.stream(other) as going_on, provider.stream(reference) as chat:
        done("consent", "withdraw", reference, "--home", provider.home)
        # Counted from when the command had returned; within a second is asked for.
        ended(chat, "CONSENT_WITHDRAWN", 1.0)
        assert going_on.is_active()
    assert provider.ask(reference).code == "CONSENT_WITHDRAWN"
    assert provider.ask(other).status == "OK"
    again = done("consent", "withdraw", reference, "--home", provider.home, "--json").json
    assert again["again"] is True
    refused("NOT_FOUND", "consent", "show", "cns-nobody-gave-it", "--home", provider.home)


def test_an_agencys_own_register_decides_and_its_silence_is_a_no(
    federation: Federation, home: Path
) -> None:
    federation.join(home / "n", BONTANG, "kaltim-bontang-1")
    provider = Provider(federation, home / "n", BONTANG)
    consents, socket = home / "consents.json", home / "r.sock"
    consent = {
        "reference": "psj-2026-000123", "subject": CITIZEN, "consumer": SUPERAPP,
        "provider": provider.subsystem, "service": WISATA, "purpose": PURPOSE,
        "until": "2100-01-01T00:00:00+07:00",
    }  # fmt: skip
    write(consents, [consent, {**consent, "reference": "psj-2026-000124"}])
    settings = {"SIMPUL_NODE__CONSENT__VERIFIER": f"unix:{socket}"}
    with (
        register(consents, socket) as process,
        serving(provider.home, home / "n.log", **settings),
    ):
        provider.agree()
        refused("CONSENT_ELSEWHERE", "consent", "list", "--home", provider.home)
        assert provider.ask("psj-2026-000123").status == "OK"
        assert provider.ask("psj-2026-000999").code == "CONSENT_REFUSED"
        with provider.stream("psj-2026-000124") as other:
            with provider.stream("psj-2026-000123") as chat:
                write(
                    consents,
                    [{**consent, "withdrawn": True}, {**consent, "reference": "psj-2026-000124"}],
                )
                ended(chat, "CONSENT_WITHDRAWN", 1.0)
            assert other.is_active()
            process.terminate()
            process.wait(10)
            # Nobody is left who would tell of a withdrawal: a second to notice, one to ask anew.
            ended(other, "CONSENT_UNVERIFIED", 3.0)
        silent = provider.ask("psj-2026-000124")
        assert (silent.status, silent.code) == ("UNAVAILABLE", "CONSENT_UNVERIFIED")
    with register(consents, socket), serving(provider.home, home / "n.log", **settings):
        until(lambda: provider.ask("psj-2026-000124").status == "OK" or None)


def write(file: Path, consents: list[dict[str, Any]]) -> None:
    """As people edit a file: whole."""
    new = file.with_suffix(".new")
    new.write_text(json.dumps(consents))
    new.replace(file)


@contextmanager
def register(consents: Path, socket: Path) -> Iterator[subprocess.Popen[str]]:
    """The example's register of consents, listening."""
    arguments = ("--consents", str(consents), "--listen", f"unix:{socket}")
    process = subprocess.Popen(
        [sys.executable, "-m", "examples.persetujuan.server", *arguments],
        stdout=subprocess.PIPE, text=True, cwd=CHECKOUT,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        assert process.stdout.readline().startswith("listening on ")
        yield process
    finally:
        process.terminate()
        process.wait(10)
        process.stdout.close()
