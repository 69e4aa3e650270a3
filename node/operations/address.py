"""Where other nodes reach this one: told to the registry, then written down."""

from __future__ import annotations

import asyncio

from node.config_edit import replace_value
from node.operations.desk import Desk
from runtime.ports import TcpAddress, parse_address
from security.errors import Code, SimpulError


async def set_link_address(desk: Desk, text: str) -> int:
    """Have the directory list another address; returns the version that does.

    Links that are up stay up. The port that this node listens on is another setting.

    Raises:
        SimpulError: CONFIG_INVALID for what is no address; what the registry refuses.
    """
    address = parse_address(text)
    if not isinstance(address, TcpAddress) or address.port == 0:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{text!r} must be HOST:PORT, with a port that others can reach"
        )
    version = await desk.changes.set_link_address(str(address), desk.now_ms())
    await asyncio.to_thread(replace_value, desk.home.config, "link", "advertise", str(address))
    await desk.catch_up(version)
    return version
