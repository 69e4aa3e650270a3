"""Which roles are signed anew now: pure.

A signature's life ends whether or not anything changed, and one expired bin would end exchange with
the members in it. All bins are born in one moment; signing a few an hour keeps them from making
every node fetch all of them at once, ever again.

Rules: what would expire within the dead age is signed now, whatever it costs; what is due is signed
oldest first, no more than the allowance; what isn't due is left.
"""

from collections.abc import Mapping

from registry.directory.layout import LIVES, key_role

MAX_PER_HOUR = 3


def due(
    expiries: Mapping[str, int], now_ms: int, dead_after_ms: int, allowance: int
) -> tuple[str, ...]:
    """The names of the roles to sign anew, oldest first.

    Args:
        expiries: By role name, when its signature expires, in ms since the epoch.
        now_ms: The time.
        dead_after_ms: The longest outage that nodes are to survive.
        allowance: How many may be signed that are due but not pressing.
    """
    oldest_first = sorted(expiries.items(), key=lambda item: (item[1], item[0]))
    pressing = [name for name, at in oldest_first if at - now_ms <= dead_after_ms]
    waiting = [
        name
        for name, at in oldest_first
        if name not in pressing and LIVES[key_role(name)].is_due(at, now_ms)
    ]
    return (*pressing, *waiting[: max(0, allowance)])
