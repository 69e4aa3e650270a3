"""What stands in for the rooms behind the services that a node answers itself."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from node.journal.model import GatheredCall


async def echo_catalogue(
    method: str, data: bytes, consumers: Sequence[str]
) -> AsyncIterator[bytes]:
    """What was asked, message by message; `none` has no answer."""
    if data == b"none":
        return
    for part in (method.encode(), data, *(each.encode() for each in consumers)):
        yield part


async def no_gathers(_: bytes) -> list[GatheredCall]:
    """A list is no index of calls."""
    return []
