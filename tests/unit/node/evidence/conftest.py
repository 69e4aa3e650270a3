import pytest

from tests.support.evidence import Scene


@pytest.fixture
def scene() -> Scene:
    """A federation of which a later directory was published, too."""
    made = Scene()
    made.later()
    return made
