"""h2load, a client in C that shares nothing with the others: gRPC frames on bare HTTP/2."""

from pathlib import Path

import pytest

from bench.load import LoadError, Shape, find_h2load, run
from tests.interop import wire
from tests.interop.federation import Ways
from tests.interop.probe import SERVICE, Side


@pytest.fixture(scope="module")
def _installed() -> None:
    try:
        find_h2load()
    except LoadError as error:
        pytest.skip(str(error))


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize(("kind", "answers"), [("Unary", 1), ("ServerStream", 20)])
def test_every_call_of_h2load_is_answered_in_full(
    ways: Ways, tmp_path: Path, kind: str, answers: int
) -> None:
    """On four connections, sixteen at once on each; `run` raises where a byte is missing."""

    async def behave(side: Side) -> None:
        message = await side.read() or b""
        await side.read_all()
        for _ in range(answers):
            await side.write(message)

    request = tmp_path / "request"
    request.write_bytes(wire.frame(b"x" * 1000))
    name = ways.probe.behave(behave)
    headers = [": ".join(pair) for pair in (*ways.nodes.metadata, ("x-probe", name))]
    shape = Shape(f"/{SERVICE}/{kind}", request, 1005 * answers, clients=4, streams=16)
    for way in ways.both:
        seen = run(way.target, headers, shape, 500, tmp_path)
        assert seen.calls == 500
    assert len(ways.probe.wait(name, 1000)) == 1000
    ways.nothing_is_left()


@pytest.mark.usefixtures("_installed")
def test_a_refused_call_of_h2load_is_no_answer(ways: Ways, tmp_path: Path) -> None:
    """That the count above can fail: a refusal has no bytes of an answer."""
    request = tmp_path / "request"
    request.write_bytes(wire.frame(b"x"))
    shape = Shape(f"/{SERVICE}/Unary", request, 6, clients=1, streams=4)
    with pytest.raises(LoadError, match="of 8 calls"):
        run(ways.nodes.target, ["simpul-token: none"], shape, 8, tmp_path)
