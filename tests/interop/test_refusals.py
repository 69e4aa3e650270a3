"""What gRPC would answer, the nodes answer: each refusal's status and code, on all four kinds."""

import pytest

from tests.interop.calling import Outcome, channel, finish
from tests.interop.federation import Ways
from tests.interop.probe import KINDS, SERVICE, Side

TOKEN = "simpul-token"
TO = "simpul-to"

# What a call says otherwise than a good one, and the status and code that it gets. A key that is
# None is left out.
REFUSED: dict[str, tuple[str, dict[str, str | None], int, str]] = {
    "a method that the contract has not": (f"/{SERVICE}/Nothing", {}, 12, "METHOD_UNKNOWN"),
    "a service that nobody offers": ("/nobody.v1.Nothing/Get", {}, 12, "SERVICE_UNKNOWN"),
    "no member": ("", {TO: "ID/DAERAH/99.99/x"}, 5, "MEMBER_UNKNOWN"),
    "no subsystem": ("", {TO: "ID/DAERAH/53.15/x"}, 5, "SUBSYSTEM_UNKNOWN"),
    "no region": ("", {TO: None, "simpul-region": "99.99"}, 5, "REGION_UNKNOWN"),
    "no agreement for the purpose": ("", {"simpul-purpose": "iklan"}, 7, "ACCESS_PURPOSE"),
    "another's subsystem": (
        "", {"simpul-from": "ID/KEMENTERIAN/KOMDIGI/x"}, 7, "APP_SUBSYSTEM_DENIED"
    ),
    "no credential": ("", {TOKEN: None}, 16, "APP_CREDENTIAL_MISSING"),
    "a wrong credential": ("", {TOKEN: "x" * 40}, 16, "APP_CREDENTIAL_WRONG"),
    "no address": ("", {TO: None}, 3, "ADDRESS_MISSING"),
}  # fmt: skip


async def ask_path(ways: Ways, path: str, metadata: dict[str, str]) -> Outcome:
    """A call of any path, with one message, by a stock client."""
    async with channel(ways.nodes) as opened:
        call = opened.stream_stream(path)(metadata=tuple(metadata.items()), timeout=10)
        return await finish(call, [b"x"])


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("what", REFUSED)
async def test_a_call_that_must_not_pass(ways: Ways, kind: str, what: str) -> None:
    async def answer(side: Side) -> None:
        raise AssertionError(side.method)

    path, otherwise, status, code = REFUSED[what]
    name = ways.probe.behave(answer)
    said = {**dict(ways.nodes.metadata), "x-probe": name, **otherwise}
    metadata = {key: value for key, value in said.items() if value is not None}
    found = await ask_path(ways, path or f"/{SERVICE}/{kind}", metadata)
    assert (found.code, found.value("simpul-error")) == (status, code), found.details
    assert found.details
    assert "\n" not in found.details
    assert len(str(found.value("simpul-call-id"))) == 32
    assert ways.probe.calls(name) == []
