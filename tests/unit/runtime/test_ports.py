import socket
import string
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import ports
from runtime.ports import Address, TcpAddress, UnixAddress, ensure_free, parse_address
from security.errors import Code, SimpulError


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:8443", TcpAddress("127.0.0.1", 8443)),
        ("localhost:0", TcpAddress("localhost", 0)),
        ("node-1.example.go.id:65535", TcpAddress("node-1.example.go.id", 65535)),
        ("[::1]:443", TcpAddress("::1", 443)),
        ("[fe80::1%eth0]:443", TcpAddress("fe80::1%eth0", 443)),
        ("unix:/run/simpul/gateway.sock", UnixAddress("/run/simpul/gateway.sock")),
        ("unix:run/a b.sock", UnixAddress("run/a b.sock")),
    ],
)
def test_an_address_parses_and_prints_as_it_was(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "8443",
        ":8443",
        "127.0.0.1",
        "127.0.0.1:",
        "127.0.0.1:-1",
        "127.0.0.1:65536",
        "127.0.0.1:99999999999999999999",
        "127.0.0.1:08443",
        "127.0.0.1:+1",
        "127.0.0.1:1_0",
        "127.0.0.1:٣",  # a digit, but not of ASCII
        "127.0.0.1:80\n",
        " 127.0.0.1:80",
        "::1:443",
        "[::1]",
        "[registry:8440]:1",
        "[12345::]:1",
        "http://127.0.0.1:80",
        "unix:",
        "unix:" + "x" * 108,
        "unix:a\0b",
    ],
)
def test_what_is_no_address_is_refused_in_one_line(text: str) -> None:
    with pytest.raises(SimpulError) as caught:
        parse_address(text)
    assert caught.value.code is Code.CONFIG_INVALID
    assert "\n" not in caught.value.message


@given(st.text(alphabet=string.printable + "٣é[]:.", max_size=30))
def test_what_parses_prints_back(text: str) -> None:
    try:
        address = parse_address(text)
    except SimpulError:
        return
    assert str(address) == text


def test_a_port_in_use_names_the_address_and_the_setting() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        address = TcpAddress("127.0.0.1", taken.getsockname()[1])
        with pytest.raises(SimpulError) as caught:
            ensure_free(address, "gateway.listen")
    assert caught.value.code is Code.PORT_IN_USE
    assert str(address) in caught.value.message
    assert "gateway.listen" in caught.value.message
    ensure_free(address, "gateway.listen")


def test_an_address_of_another_machine_is_a_wrong_setting() -> None:
    # TEST-NET-1, which no machine has.
    with pytest.raises(SimpulError) as caught:
        ensure_free(TcpAddress("192.0.2.1", 0), "link.listen")
    assert caught.value.code is Code.CONFIG_INVALID
    assert "link.listen" in caught.value.message


def test_a_socket_file_is_in_use_only_while_somebody_listens(tmp_path: Path) -> None:
    path = tmp_path / "s.sock"
    address = UnixAddress(str(path))
    ensure_free(address, "gateway.listen")
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(str(path))
        taken.listen(1)
        with pytest.raises(SimpulError) as caught:
            ensure_free(address, "gateway.listen")
        assert caught.value.code is Code.PORT_IN_USE
    assert path.exists()
    ensure_free(address, "gateway.listen")


def test_a_socket_file_needs_its_folder(tmp_path: Path) -> None:
    with pytest.raises(SimpulError) as caught:
        ensure_free(UnixAddress(str(tmp_path / "none" / "s.sock")), "gateway.listen")
    assert caught.value.code is Code.CONFIG_INVALID


def test_free_addresses_are_different_and_free() -> None:
    addresses = ports.free_addresses(20)

    assert len(set(addresses)) == 20
    for address in addresses:
        assert address.port in ports.inbound_ports()
        ensure_free(address, "x")


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("32768\t60999\n", range(10_000, 32_768)),
        ("16000\t65535\n", range(10_000, 16_000)),
        ("49152 65535", range(10_000, 32_768)),
        # Hardly any is left: as if the machine had said nothing.
        ("1024 65535", range(10_000, 32_768)),
        ("", range(10_000, 32_768)),
        ("nonsense", range(10_000, 32_768)),
        (None, range(10_000, 32_768)),
    ],
)
def test_ports_for_outgoing_connections_are_left_alone(
    said: str | None, expected: range, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "range"
    if said is not None:
        file.write_text(said)
    monkeypatch.setattr(ports, "_OUTGOING", file)

    assert ports.inbound_ports() == expected


def test_a_machine_without_a_free_port_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(ports, "inbound_ports", lambda: range(port, port + 1))
        with pytest.raises(SimpulError) as caught:
            ports.free_addresses(1)
    assert caught.value.code is Code.PORT_IN_USE
