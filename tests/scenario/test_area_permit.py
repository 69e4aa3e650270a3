"""An area permit across three regencies: three nodes, and one service that asks them at once."""

import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import grpc
import pytest

from examples.gen.izin.v1 import izin_pb2
from examples.gen.kawasan.v1 import kawasan_pb2 as pb
from examples.gen.kawasan.v1 import kawasan_pb2_grpc
from tests.scenario.harness import CHECKOUT, SUPERAPP, Federation, Place, done, serving, until

REGENCIES = {"72.01": "banggai", "72.07": "bangkep", "72.11": "balut"}
IZIN = "izin.v1.Izin"
BANGGAI = izin_pb2.Area(latitude=-1.3, longitude=123.3, radius_km=60)


@contextmanager
def program(log: Path, *arguments: object) -> Iterator[str]:
    """An example's server; yields its address."""
    with log.open("w") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", *map(str, arguments)], stdout=out, stderr=out, cwd=CHECKOUT
        )
    start = "listening on "

    def listening() -> str | None:
        assert process.poll() is None, log.read_text()
        lines = log.read_text().splitlines()
        return next((line[len(start) :] for line in lines if line.startswith(start)), None)

    try:
        yield until(listening, 30)
    finally:
        process.terminate()
        assert process.wait(20) == 0, log.read_text()


def offer(place: Place, code: str, target: str) -> None:
    """Publishes a regency's service, and allows the super app."""
    subsystem = f"ID/DAERAH/{code}/perizinan"
    protoset = CHECKOUT / "examples" / "protos" / "izin.protoset"
    done(
        "service", "publish", "--home", place.home, "--subsystem", subsystem, "--target", target,
        "--protoset", protoset,
    )  # fmt: skip
    done(
        "access", "allow", "--home", place.home, "--consumer", SUPERAPP, "--service",
        f"{subsystem}/{IZIN}",
    )  # fmt: skip


@pytest.mark.timeout(400)
def test_one_application_to_three_regencies(federation: Federation, home: Path) -> None:
    for code, name in REGENCIES.items():
        token = federation.enrol(f"ID/DAERAH/{code}", f"sulteng-{name}-1", "--region", code)
        made = federation.init(home / name, token)
        assert made.status == 0, made.err
    with ExitStack() as stack:
        served = {
            code: (
                stack.enter_context(serving(home / name, home / f"{name}.log"))[0],
                stack.enter_context(
                    program(home / f"izin-{name}.log", "examples.izin.server", "--region", code)
                ),
            )
            for code, name in REGENCIES.items()
        }
        # The first to come owns the contract, and the others implement it.
        first, *others = served.items()
        offer(first[1][0], first[0], first[1][1])
        with ThreadPoolExecutor(2) as pool:
            list(pool.map(lambda it: offer(it[1][0], it[0], it[1][1]), others))
        kawasan = stack.enter_context(
            program(
                home / "kawasan.log", "examples.kawasan.server",
                "--gateway", federation.consumer.gateway,
                "--metadata", f"simpul-token={federation.token}",
            )
        )  # fmt: skip
        channel = stack.enter_context(grpc.insecure_channel(kawasan))
        stub = kawasan_pb2_grpc.KawasanStub(channel)

        def apply(*codes: str) -> pb.ApplyResponse:
            request = pb.ApplyRequest(area=BANGGAI, regency_codes=codes)
            return stub.Apply(request, timeout=30)

        answer = until(lambda: _answered(apply), 20)
        assert [word.regency_code for word in answer.words] == list(REGENCIES)
        assert answer.verdict == izin_pb2.VERDICT_CONDITIONAL
        assert sum(word.islands for word in answer.words) > 100
        # One that nobody serves: its silence is no consent.
        with pytest.raises(grpc.RpcError) as caught:
            apply(*REGENCIES, "72.12")
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        assert "no word of 72.12" in (caught.value.details() or "")
        with pytest.raises(grpc.RpcError) as caught:
            stub.Apply(pb.ApplyRequest(regency_codes=[*REGENCIES]), timeout=30)
        assert isinstance(caught.value, grpc.Call)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def _answered(apply: object) -> pb.ApplyResponse | None:
    """The answer, once the consumer's node knows all three."""
    assert callable(apply)
    try:
        found = apply(*REGENCIES)
    except grpc.RpcError:
        return None
    assert isinstance(found, pb.ApplyResponse)
    return found
