"""gRPC's interoperability cases: what holds without Simpul holds through two nodes."""

import pytest

from tests.interop import cases, node_client, sync_cases
from tests.interop.federation import Ways
from tests.interop.generate import stale

WAYS = pytest.mark.parametrize("name", ["direct", "nodes"])


@WAYS
@pytest.mark.parametrize("case", cases.CASES, ids=lambda case: case.__name__)
async def test_grpc_aio(ways: Ways, name: str, case: cases.Case) -> None:
    async with cases.client(getattr(ways, name)) as one:
        await case(one)


@WAYS
@pytest.mark.parametrize("case", sync_cases.CASES, ids=lambda case: case.__name__)
def test_grpc(ways: Ways, name: str, case: sync_cases.Case) -> None:
    with sync_cases.client(getattr(ways, name)) as one:
        case(one)


def test_grpc_js(ways: Ways) -> None:
    why = node_client.missing()
    if why:
        pytest.skip(f"the Node.js client can't run here: {why}")
    direct, nodes = (node_client.run(way) for way in ways.both)
    assert direct == nodes == dict.fromkeys(direct, "ok")
    assert len(direct) > 15


def test_nothing_is_left_of_the_cases(ways: Ways) -> None:
    ways.nothing_is_left()


def test_generated_files_are_fresh() -> None:
    assert stale() == []
