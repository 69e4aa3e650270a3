"""One federation for all scenario tests: `simpul demo up`, the way that anybody starts one."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.scenario.harness import Federation, Process, descendants_of, done, lives

pytestmark = pytest.mark.scenario


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    here = Path(__file__).parent
    for item in items:
        if item.path.is_relative_to(here):
            item.add_marker(pytest.mark.scenario)


@pytest.fixture(scope="session")
def place() -> Iterator[Path]:
    """A folder with a short path: sockets have room for about a hundred bytes."""
    path = Path(tempfile.mkdtemp(prefix="simpul-", dir="/tmp"))
    yield path
    logs = [log for log in path.rglob("*.log") if "Traceback" in log.read_text(errors="replace")]
    told = "\n".join(f"{log}:\n{log.read_text(errors='replace')}" for log in logs)
    shutil.rmtree(path)
    assert not logs, f"a traceback met an operator: {told}"


@pytest.fixture
def home(place: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    """A folder of one test's own."""
    path = Path(tempfile.mkdtemp(prefix="t-", dir=place))
    yield path
    logs = [log for log in path.rglob("*.log") if "Traceback" in log.read_text(errors="replace")]
    assert not logs, logs[0].read_text(errors="replace")


@pytest.fixture(scope="session")
def federation(place: Path) -> Iterator[Federation]:
    """Registry, three nodes, two services."""
    home = place / "fed"
    process = Process(place / "up.log", "demo", "up", "--home", home, "--nodes", "3")
    try:
        document = process.until_file(home / "federation.json")
        yield Federation(home, document, process)
        pids = descendants_of(process.pid)
        assert {node["pid"] for node in document["nodes"]} <= set(pids)
    finally:
        assert process.stop() == 0, process.text
    assert not [pid for pid in pids if lives(pid)], "the demo left processes behind"


@pytest.fixture(scope="session")
def other_root(place: Path) -> Path:
    """The root metadata of another federation."""
    done("registry", "init", "--home", place / "other", "--federation", "XX")
    return place / "other" / "root.json"
