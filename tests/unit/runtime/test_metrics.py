import socket
import urllib.error
import urllib.request

import pytest
from prometheus_client import Counter

from runtime.metrics import metrics_server, new_registry
from runtime.ports import TcpAddress
from security.errors import Code, SimpulError

ANYWHERE = TcpAddress("127.0.0.1", 0)


def fetch(address: TcpAddress) -> str:
    with urllib.request.urlopen(f"http://{address}/metrics", timeout=5) as answer:
        return str(answer.read().decode())


def test_two_programs_in_one_process_never_mix() -> None:
    one, two = new_registry(), new_registry()
    Counter("simpul_calls", "Calls.", registry=one).inc(3)
    Counter("simpul_calls", "Calls.", registry=two).inc(4)
    with metrics_server(one, ANYWHERE) as a, metrics_server(two, ANYWHERE) as b:
        assert a.address.port != b.address.port != 0
        assert "simpul_calls_total 3.0" in fetch(a.address)
        assert "simpul_calls_total 4.0" in fetch(b.address)


def test_a_program_says_how_its_process_is() -> None:
    with metrics_server(new_registry(), ANYWHERE) as server:
        text = fetch(server.address)
    assert "python_info" in text
    assert "python_gc_collections_total" in text


def test_after_close_nobody_answers_and_the_port_is_free() -> None:
    with metrics_server(new_registry(), ANYWHERE) as server:
        address = server.address
    with pytest.raises(urllib.error.URLError):
        fetch(address)
    with metrics_server(new_registry(), address) as again:
        assert again.address == address


def test_a_port_in_use_is_a_clear_error() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        address = TcpAddress("127.0.0.1", taken.getsockname()[1])
        with (
            pytest.raises(SimpulError, match=r"metrics\.listen") as caught,
            metrics_server(new_registry(), address),
        ):
            pytest.fail("it started")
    assert caught.value.code is Code.PORT_IN_USE
