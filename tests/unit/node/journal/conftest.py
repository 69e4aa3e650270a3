"""Fixtures of the journal's tests."""

from pathlib import Path

import pytest

from node.journal.place import Place
from tests.support.postgres import new_database


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "journal.db"


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request: pytest.FixtureRequest, path: Path) -> Place:
    """Where a journal may be: each kind in turn."""
    return path if request.param == "sqlite" else new_database()
