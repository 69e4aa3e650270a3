import pytest

from node.store.engine import Store
from node.store.routes import Route, list_routes, remove_route, set_route
from security.errors import Code, SimpulError
from security.identifiers import ServiceId

SERVICE = ServiceId.parse("ID/DAERAH/53.15/pariwisata/wisata.v1.Wisata")


def test_a_route_is_replaced_and_removed(store: Store) -> None:
    set_route(store, Route(SERVICE, "127.0.0.1:1"), 1)
    set_route(store, Route(SERVICE, "unix:/run/x.sock"), 2)
    assert list_routes(store) == (Route(SERVICE, "unix:/run/x.sock"),)
    remove_route(store, SERVICE)
    assert list_routes(store) == ()
    with pytest.raises(SimpulError) as caught:
        remove_route(store, SERVICE)
    assert caught.value.code is Code.NOT_FOUND
