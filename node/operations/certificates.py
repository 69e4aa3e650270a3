"""Keeps the node's TLS certificate fresh: a new one at two thirds of its life.

One that an outside authority issued can't be asked for here: then a warning is logged, once a day.
The key stays; servers and channels read the chain anew at each handshake, so nothing stops.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import structlog

from node.external import is_external
from node.home import KeyName
from node.operations.desk import Desk
from runtime.files import write_durably
from security.certificate import (
    expires_at_ms,
    from_pem,
    make_request,
    renewal_due_ms,
    to_pem,
)
from security.errors import SimpulError

_log = structlog.get_logger(__name__)

LOOK_EVERY_S: Final = 60.0
TRY_EVERY_MS: Final = 3600 * 1000
WARN_EVERY_MS: Final = 24 * 3600 * 1000

# Told when the certificate in use ends, and whether an outside authority issued it.
Show = Callable[[int, bool], None]


async def keep_renewed(desk: Desk, show: Show) -> None:
    """Look every minute, and renew when it is time; until cancelled. A failure is tried hourly."""
    next_ms = 0
    while True:
        try:
            found = await asyncio.to_thread(_look, desk)
            show(found.expires_at_ms, found.is_external)
            if found.is_due and desk.now_ms() >= next_ms:
                next_ms = desk.now_ms() + (WARN_EVERY_MS if found.is_external else TRY_EVERY_MS)
                if found.is_external:
                    _log.warning("an outside authority's certificate ends: import the next one")
                else:
                    await renew(desk)
                    continue
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


@dataclass(frozen=True, slots=True)
class _Found:
    expires_at_ms: int
    is_due: bool
    is_external: bool


def _look(desk: Desk) -> _Found:
    leaf = from_pem(desk.home.read_chain())[0]
    due = desk.now_ms() >= renewal_due_ms(leaf)
    return _Found(expires_at_ms(leaf), due, is_external(desk.home))
