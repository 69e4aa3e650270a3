"""What is asked of a worker's Envoy, over its admin socket: HTTP/1.1 on a Unix socket.

The supervisor makes the two requests that a stop in order needs, and the worker itself asks what
Envoy turned away. A worker that does not answer is one that has
ended or is about to, so no answer is an answer too.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from pathlib import Path
from typing import Final

TIMEOUT_S: Final = 1.0
MAX_ANSWER_BYTES: Final = 256 * 1024

_DRAIN: Final = "POST /drain_listeners?graceful&skip_exit"
_ACTIVE: Final = "GET /stats?filter=http.gateway.downstream_rq_active"
_COUNT: Final = re.compile(rb"downstream_rq_active: (\d+)")
_COUNTERS: Final = "GET /stats?usedonly&type=Counters"
_COUNTER: Final = re.compile(rb"^([a-z0-9_.]+): (\d+)\r?$", re.MULTILINE)


class EnvoyAdmin:
    """One Envoy's admin socket."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def drain(self) -> bool:
        """Close the listener and have apps call elsewhere; says whether Envoy took it."""
        return b" 200 " in (await self._ask(_DRAIN)).split(b"\r\n", 1)[0]

    async def open_calls(self) -> int:
        """How many apps' calls are under way; 0 too when Envoy does not answer."""
        match = _COUNT.search(await self._ask(_ACTIVE))
        return 0 if match is None else int(match[1])

    async def counters(self) -> dict[str, int]:
        """What Envoy has counted and is not 0; nothing where it does not answer."""
        found = _COUNTER.findall(await self._ask(_COUNTERS))
        return {name.decode(): int(value) for name, value in found}

    async def _ask(self, what: str) -> bytes:
        answer = b""
        with contextlib.suppress(OSError, TimeoutError):
            async with asyncio.timeout(TIMEOUT_S):
                reader, writer = await asyncio.open_unix_connection(str(self._path))
                try:
                    writer.write(f"{what} HTTP/1.1\r\nhost: envoy\r\nconnection: close\r\n"
                                 "content-length: 0\r\n\r\n".encode())  # fmt: skip
                    answer = await reader.read(MAX_ANSWER_BYTES)
                    while more := await reader.read(MAX_ANSWER_BYTES - len(answer)):
                        answer += more
                finally:
                    writer.close()
        return answer
