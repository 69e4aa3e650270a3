"""Where the calls of this node's published services go."""

from dataclasses import dataclass

from sqlmodel import col, delete, select

from node.store.engine import Store
from node.store.models import RouteRow
from security.errors import Code, SimpulError
from security.identifiers import ServiceId


@dataclass(frozen=True, slots=True)
class Route:
    """`target` is `HOST:PORT` or `unix:PATH` of the gRPC server."""

    service: ServiceId
    target: str


def set_route(store: Store, route: Route, now_ms: int) -> None:
    """Stores a route, in place of the service's earlier one."""
    with store.transaction() as session:
        session.merge(
            RouteRow(service_id=str(route.service), target=route.target, routed_at_ms=now_ms)
        )


def list_routes(store: Store) -> tuple[Route, ...]:
    """All routes, by service."""
    with store.transaction() as session:
        rows = session.exec(select(RouteRow).order_by(col(RouteRow.service_id)))
        return tuple(Route(ServiceId.parse(row.service_id), row.target) for row in rows)


def remove_route(store: Store, service: ServiceId) -> None:
    """Forgets a route.

    Raises:
        SimpulError: NOT_FOUND.
    """
    with store.transaction() as session:
        result = session.exec(delete(RouteRow).where(col(RouteRow.service_id) == str(service)))
        if result.rowcount != 1:
            raise SimpulError(
                Code.NOT_FOUND,
                f"{service} has no route here: `simpul service list` shows those there are",
            )
