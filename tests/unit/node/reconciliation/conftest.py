"""Fixtures of comparing two journals."""

from pathlib import Path

import pytest

from tests.unit.node.reconciliation.pair import Two


@pytest.fixture
def two(tmp_path: Path) -> Two:
    return Two(tmp_path)
