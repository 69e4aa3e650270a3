"""Keeps the node's TLS certificate fresh: a new one at two thirds of its life.

The key stays; servers and channels read the chain anew at each handshake, so nothing stops.
"""

from __future__ import annotations

import asyncio
from typing import Final

import structlog

from node.home import KeyName
from node.operations.desk import Desk
from runtime.files import write_durably
from security.certificate import from_pem, make_request, renewal_due_ms, to_pem
from security.errors import SimpulError

_log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 3600.0


async def keep_renewed(desk: Desk) -> None:
    """Look every hour, and renew when it is time; until cancelled. A failure is tried again."""
    while True:
        try:
            if await asyncio.to_thread(_is_due, desk):
                await renew(desk)
        except SimpulError as error:
            _log.error("certificate not renewed", code=error.code, why=error.message)
        except Exception:  # noqa: BLE001 - logged; a full disk must not stop the node
            _log.exception("certificate not renewed")
        await asyncio.sleep(LOOK_EVERY_S)


async def renew(desk: Desk) -> None:
    """Get a new certificate from the registry, for the same key.

    Raises:
        SimpulError: REGISTRY_UNREACHABLE, or the registry's no.
    """
    key = await asyncio.to_thread(desk.home.key_file(KeyName.TLS).read_bytes)
    request = make_request(key, desk.config.node_id)
    chain = await desk.changes.renew_certificate(request, desk.now_ms())
    await asyncio.to_thread(write_durably, desk.home.chain, to_pem(*chain))
    _log.info("certificate renewed")


def _is_due(desk: Desk) -> bool:
    return desk.now_ms() >= renewal_due_ms(from_pem(desk.home.chain.read_bytes())[0])
