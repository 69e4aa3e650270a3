"""From an operator's word to refusal at a connected node, on open links: two seconds."""

import asyncio
import time
from pathlib import Path
from typing import Any

import grpc
import pytest

from runtime.grpc_options import channel_options
from security.keys import PrivateKey
from simpul.registry.v1 import admin_pb2 as pb
from simpul.registry.v1 import admin_pb2_grpc
from tests.scenario.harness import Federation, Told, read_json, refused, serving, until
from tests.scenario.test_processes import Regency

LIMIT_S = 2.0


@pytest.mark.parametrize(
    ("what", "code", "told"),
    [
        ("node", "74.04", {"NODE_REVOKED", "NODE_UNKNOWN", "KEY_REVOKED"}),
        ("seal key", "74.05", {"NODE_REVOKED", "NODE_UNKNOWN", "KEY_REVOKED"}),
        ("member", "74.06", {"MEMBER_SUSPENDED"}),
    ],
)
def test_what_is_revoked_is_refused_within_two_seconds(
    federation: Federation, home: Path, what: str, code: str, told: set[str]
) -> None:
    regency = Regency(federation, home, code, f"revoke-{code.replace('.', '-')}")
    with serving(regency.home, home / "n.log") as (node, _):
        regency.publish()
        assert regency.answers()
        began_s = time.monotonic()
        _revoke(federation, what, f"ID/DAERAH/{code}", node.id, regency.home)
        until(lambda: _not_answered(regency), 5.0)
        assert time.monotonic() - began_s < LIMIT_S
        # A call that was under way may have been cut; the next one is told why.
        assert regency.ask().code in told


def test_what_nobody_lists_is_not_revoked(federation: Federation) -> None:
    revoke = ("registry", "revoke")
    at = ("--home", federation.registry)
    refused("KEY_UNKNOWN", *revoke, "ab" * 32, *at)
    refused("NODE_UNKNOWN", *revoke, "ID/~nowhere-1", *at)
    refused("MEMBER_UNKNOWN", *revoke, "ID/DAERAH/99", "--reason", "captured", *at)
    refused("CHANGE_INVALID", *revoke, "ID/DAERAH/99", *at)


def _revoke(federation: Federation, what: str, member: str, node: str, home: Path) -> None:
    """As `simpul registry revoke` does, without the start of a command."""
    seal = PrivateKey.from_pem((home / "keys" / "seal.pem").read_bytes()).public.key_id
    method, request = {
        "node": ("RevokeNode", pb.RevokeNodeRequest(node=node)),
        "seal key": ("RevokeKey", pb.RevokeKeyRequest(key=seal)),
        "member": (
            "SetMemberState",
            pb.SetMemberStateRequest(member=member, state="suspended", reason="captured"),
        ),
    }[what]
    address = read_json(federation.registry / "run" / "endpoints.json")["admin"]

    async def ask() -> Any:
        async with grpc.aio.insecure_channel(address, channel_options()) as channel:
            return await getattr(admin_pb2_grpc.RegistryAdminStub(channel), method)(request)

    asyncio.run(ask())


def _not_answered(regency: Regency) -> Told | None:
    told = regency.ask()
    return None if told.status == "OK" else told
