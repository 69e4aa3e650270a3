"""How many rounds: few in every test run, many by `make chaos`."""

import os
import random
from collections.abc import Iterator

import pytest

from tests.chaos import disk


@pytest.fixture
def rounds() -> int:
    return int(os.environ.get("SIMPUL_CHAOS_ROUNDS", "20"))


@pytest.fixture
def chance() -> random.Random:
    """The same in every run, unless SIMPUL_CHAOS_SEED says another."""
    return random.Random(int(os.environ.get("SIMPUL_CHAOS_SEED", "20")))


@pytest.fixture(scope="session", autouse=True)
def _library_removed() -> Iterator[None]:
    yield
    if disk.library.cache_info().currsize > 0:
        disk.library().unlink(missing_ok=True)
