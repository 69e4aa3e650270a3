"""Where a new node listens by default."""

import pytest

from cli.addresses import Addresses, choose
from runtime.ports import TcpAddress, ensure_free, parse_address
from security.errors import Code, SimpulError


def chosen(registry: str = "127.0.0.1:8440", **given: str) -> Addresses:
    names = ("listen", "advertise", "gateway", "metrics")
    values = {name: given.get(name) for name in names}
    return choose(
        registry,
        listen=values["listen"],
        advertise=values["advertise"],
        gateway=values["gateway"],
        metrics=values["metrics"],
    )


def test_beside_a_loopback_registry_ports_are_free_and_different() -> None:
    found = chosen()
    assert found.advertise == found.listen
    ports = set()
    for text in (found.listen, found.gateway, found.metrics):
        address = parse_address(text)
        assert isinstance(address, TcpAddress)
        assert address.host == "127.0.0.1"
        ensure_free(address, "x")
        ports.add(address.port)
    assert len(ports) == 3


def test_what_is_given_stays() -> None:
    found = chosen(
        listen="127.0.0.1:1", advertise="b:2", gateway="unix:/run/g", metrics="127.0.0.1:3"
    )
    assert found == Addresses("127.0.0.1:1", "b:2", "unix:/run/g", "127.0.0.1:3")


def test_all_addresses_are_no_address_to_tell_others() -> None:
    assert chosen(listen="0.0.0.0:7").advertise == "127.0.0.1:7"
    assert chosen(listen="[::]:7").advertise == "127.0.0.1:7"
    assert chosen(listen="node.example:7").advertise == "node.example:7"


@pytest.mark.parametrize(
    ("registry", "listen", "code"),
    [
        ("nowhere", None, Code.CONFIG_INVALID),
        ("unix:/x", None, Code.CONFIG_INVALID),
        ("127.0.0.1:1", "unix:/x", Code.CONFIG_INVALID),
        ("-.invalid:1", None, Code.REGISTRY_UNREACHABLE),
    ],
)
def test_refusals(registry: str, listen: str | None, code: Code) -> None:
    with pytest.raises(SimpulError) as caught:
        choose(registry, listen=listen, advertise=None, gateway=None, metrics=None)
    assert caught.value.code is code
