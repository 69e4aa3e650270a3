"""How much the gateway takes from apps, and the way to services from services, in one place."""

from __future__ import annotations

from dataclasses import dataclass

from security.limits import KIB, MIB


@dataclass(frozen=True, slots=True)
class CallLimits:
    """What one call may take, and how many there may be at once in one worker."""

    max_message_bytes: int = 16 * MIB
    max_metadata_bytes: int = 64 * KIB
    max_open_calls: int = 20_000
