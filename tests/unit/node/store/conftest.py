"""An open, empty state database."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from node.store.engine import Store


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store.open(tmp_path / "state.db")
    yield opened
    opened.close()
