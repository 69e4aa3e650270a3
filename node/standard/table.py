"""Which of an app's calls the node answers itself: one table of paths."""

from __future__ import annotations

from functools import partial

from node.calls import InboundCall
from node.exchange.attempts import Peers
from node.exchange.consuming import OwnAnswer
from node.gather import gather
from node.gather.gather import Gather
from node.model import Current
from node.standard import health, reflection
from node.standard.catalogue import AskCatalogue, CatalogueCalls
from node.standard.own import CATALOGUE, CATALOGUE_METHODS


def own_services(
    current: Current, peers: Peers, gathers: Gather, ask_catalogue: AskCatalogue
) -> dict[str, OwnAnswer]:
    """By gRPC path."""
    checks = health.Health(current, peers)
    catalogue = CatalogueCalls(current, ask_catalogue)

    async def reflect(call: InboundCall, now_ms: int) -> None:
        await reflection.reflect(call, current, now_ms)

    return {
        f"/{health.SERVICE}/Check": checks.check,
        f"/{health.SERVICE}/Watch": checks.watch,
        f"/{gather.SERVICE}/Call": gathers.call,
        f"/{gather.SERVICE}/Report": gathers.report,
        **{
            f"/{CATALOGUE}/{method}": partial(catalogue.answer, method)
            for method in CATALOGUE_METHODS
        },
        **{f"/{name}/{reflection.METHOD}": reflect for name in reflection.SERVICES},
    }
