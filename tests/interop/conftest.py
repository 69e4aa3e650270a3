"""One registry and two nodes for all tests here: they take some seconds to start."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.interop.federation import Ways, federation


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.scenario)
            # What grpc.aio leaves behind its loop, for the garbage collector, is no fault of ours.
            item.add_marker(
                pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
            )


@pytest.fixture(scope="session")
def ways() -> Iterator[Ways]:
    """The services, directly and through two nodes."""
    with federation() as found:
        yield found
