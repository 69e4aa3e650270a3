"""The servers as programs: the ready line, addresses, signals, exit codes."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import grpc
import pytest

from examples.gen.bandara.v1 import bandara_pb2, bandara_pb2_grpc
from examples.gen.wisata.v1 import wisata_pb2, wisata_pb2_grpc

ROOT = Path(__file__).parents[3]
WAIT_S = 20


@contextmanager
def program(*arguments: str) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-m", *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def address_of(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    said, _, address = process.stdout.readline().strip().rpartition(" ")
    assert said == "listening on"
    return address


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_region_says_when_it_is_ready_answers_and_stops_clean(number: signal.Signals) -> None:
    with program("examples.wisata.server", "--region", "52.08") as process:
        address = address_of(process)
        assert address.startswith("127.0.0.1:")
        with grpc.insecure_channel(address) as channel:
            stub = wisata_pb2_grpc.WisataStub(channel)
            names = [answer.island.name for answer in stub.List(wisata_pb2.ListRequest())]
        assert names == ["Gili Air", "Gili Meno", "Gili Trawangan"]
        os.kill(process.pid, number)
        rest, errors = process.communicate(timeout=WAIT_S)
        assert (process.returncode, rest, errors) == (0, "", "")


def test_the_ministry_listens_on_a_unix_socket(tmp_path: Path) -> None:
    listen = f"unix:{tmp_path / 'b.sock'}"
    with program("examples.bandara.server", "--listen", listen) as process:
        assert address_of(process) == listen
        with grpc.insecure_channel(listen) as channel:
            place = bandara_pb2.Coordinate(latitude=-8.57, longitude=119.45)
            request = bandara_pb2.NearestRequest(position=place)
            answer = bandara_pb2_grpc.BandaraStub(channel).Nearest(request, timeout=WAIT_S)
        assert answer.airports[0].airport.iata == "LBJ"


@pytest.mark.parametrize("listen", ["in use", "nonsense", "unix:/no/such/folder/b.sock"])
def test_an_address_that_can_not_be_had_is_one_clear_line(listen: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        if listen == "in use":
            listen = f"127.0.0.1:{taken.getsockname()[1]}"
        with program("examples.bandara.server", "--listen", listen) as process:
            output, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 1
    assert output == ""
    assert errors.splitlines()[-1].startswith(f"can't listen on {listen}: ")
    assert "Traceback" not in errors


def test_a_second_server_can_not_share_a_port() -> None:
    with program("examples.bandara.server") as first:
        address = address_of(first)
        with program("examples.bandara.server", "--listen", address) as second:
            assert second.wait(timeout=WAIT_S) == 1


def test_an_unknown_region_is_wrong_usage() -> None:
    with program("examples.wisata.server", "--region", "99.99") as process:
        _, errors = process.communicate(timeout=WAIT_S)
    assert process.returncode == 2
    assert "there is no regency 99.99" in errors.splitlines()[-1]
