import socket
from pathlib import Path

import pytest

from runtime import service_manager


@pytest.mark.parametrize("abstract", [True, False])
def test_the_manager_hears_that_it_is_up_and_that_it_stops(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, abstract: bool
) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        place = str(tmp_path / "notify")
        manager.bind("\0" + place if abstract else place)
        monkeypatch.setenv(service_manager.VARIABLE, "@" + place if abstract else place)
        service_manager.tell_ready()
        service_manager.tell_stopping()
        assert [manager.recv(64), manager.recv(64)] == [b"READY=1", b"STOPPING=1"]


@pytest.mark.parametrize("address", [None, "", "/nowhere/notify", "vsock:2:1"])
def test_without_a_manager_nothing_happens(
    monkeypatch: pytest.MonkeyPatch, address: str | None
) -> None:
    monkeypatch.delenv(service_manager.VARIABLE, raising=False)
    if address is not None:
        monkeypatch.setenv(service_manager.VARIABLE, address)
    service_manager.tell_ready()
