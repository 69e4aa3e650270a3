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


@pytest.fixture(scope="session")
def ways() -> Iterator[Ways]:
    """The services, directly and through two nodes."""
    with federation() as found:
        yield found


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """A call of grpc.aio that its deadline ended may be collected when its loop is closed already.

    That is the client library's affair, and says nothing of what is tested here.
    """
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(
                pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
            )
