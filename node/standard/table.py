"""Which of an app's calls the node answers itself: one table of paths."""

from __future__ import annotations

from node.calls import InboundCall
from node.exchange.attempts import Peers
from node.exchange.consuming import OwnAnswer
from node.gather import gather
from node.gather.gather import Gather
from node.model import Current
from node.standard import health, reflection


def own_services(current: Current, peers: Peers, gathers: Gather) -> dict[str, OwnAnswer]:
    """By gRPC path."""
    checks = health.Health(current, peers)

    async def reflect(call: InboundCall, now_ms: int) -> None:
        await reflection.reflect(call, current, now_ms)

    return {
        f"/{health.SERVICE}/Check": checks.check,
        f"/{health.SERVICE}/Watch": checks.watch,
        f"/{gather.SERVICE}/Call": gathers.call,
        f"/{gather.SERVICE}/Report": gathers.report,
        **{f"/{name}/{reflection.METHOD}": reflect for name in reflection.SERVICES},
    }
