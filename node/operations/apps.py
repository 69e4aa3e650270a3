"""Apps: who may call through this node, and for which subsystems."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Sequence

from node.operations.desk import Desk
from node.policy.apps import TOKEN_BYTES, AppCredential, make_token, token_hash
from node.store.apps import add_app, list_apps, remove_app
from security.certificate import from_pem
from security.errors import Code, SimpulError
from security.hashing import sha256
from security.identifiers import SubsystemId

MS_PER_S = 1000


async def add(
    desk: Desk, name: str, subsystems: Sequence[SubsystemId], certificate_pem: str, ttl_s: int
) -> str:
    """Add an app; returns its token, to be shown once, or nothing where it has a certificate.

    Raises:
        SimpulError: ALREADY_EXISTS, MEMBER_UNKNOWN, REQUEST_MALFORMED, ID_MALFORMED.
    """
    for subsystem in subsystems:
        desk.require_hosted(subsystem)
    now_ms = desk.now_ms()
    token = "" if certificate_pem else make_token(os.urandom(TOKEN_BYTES))
    app = AppCredential(
        name,
        tuple(subsystems),
        token_sha256=token_hash(token) if token else None,
        certificate_sha256=_certificate_hash(certificate_pem) if certificate_pem else None,
        expires_at_ms=now_ms + ttl_s * MS_PER_S if ttl_s else None,
    )
    await asyncio.to_thread(_forget_expired, desk, now_ms)
    await asyncio.to_thread(add_app, desk.store, app, now_ms)
    await desk.push()
    return token


async def remove(desk: Desk, name: str) -> None:
    """Remove an app; when this returns, no worker takes its credential any more.

    Raises:
        SimpulError: NOT_FOUND.
    """
    await asyncio.to_thread(remove_app, desk.store, name)
    await desk.push()


def apps(desk: Desk) -> tuple[AppCredential, ...]:
    """All apps, the expired ones too."""
    return list_apps(desk.store)


def _forget_expired(desk: Desk, now_ms: int) -> None:
    """`simpul call` adds an app for a minute: those must not pile up."""
    for app in list_apps(desk.store):
        if app.expires_at_ms is not None and app.expires_at_ms <= now_ms:
            with contextlib.suppress(SimpulError):
                remove_app(desk.store, app.name)


def _certificate_hash(pem: str) -> bytes:
    certificates = from_pem(pem.encode())
    if not certificates:
        raise SimpulError(Code.REQUEST_MALFORMED, "the file holds no PEM certificate")
    return sha256(certificates[0])
