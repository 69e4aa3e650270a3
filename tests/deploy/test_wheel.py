"""The wheel, as somebody gets it who has no checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.architecture.project import PROJECT
from tests.support.ports import node_ports

START_S = 90.0
MEMBER = "ID/DAERAH/74.07"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def simpul(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command, installed by pip; of the development environment only the libraries are seen."""
    place = tmp_path_factory.mktemp("installed")
    subprocess.run([sys.executable, "-m", "venv", str(place)], check=True)
    (site,) = place.glob("lib/python*/site-packages")
    # As a path of its own it brings the libraries, but none of its .pth files: no checkout.
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib"))
    pip = [str(place / "bin/python"), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", "--no-index", str(wheel)], check=True)
    return place / "bin/simpul"


def build(folder: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=PROJECT,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def run(simpul: Path, *arguments: object) -> Any:
    done = subprocess.run(
        [str(simpul), *map(str, arguments), "--json"],
        cwd=simpul.parent,
        capture_output=True,
        text=True,
        timeout=START_S,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@contextmanager
def serving(simpul: Path, room: str, home: Path) -> Iterator[None]:
    """A program of the wheel, from when its status answers."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [str(simpul), room, "serve", "--home", str(home)]
    with subprocess.Popen(command, env=kept, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + START_S
            status = [str(simpul), room, "status", "--home", str(home)]
            while subprocess.run(status, capture_output=True, check=False).returncode != 0:
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.2)
            yield
            process.terminate()
            assert process.wait(START_S) == 0
        finally:
            process.kill()


def test_it_holds_the_programs_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        tops = {name.split("/")[0] for name in packed.namelist()}
    assert {name for name in tops if not name.endswith(".dist-info")} == {
        "cli", "node", "registry", "runtime", "security", "simpul",
    }  # fmt: skip


def test_it_is_the_same_each_time_it_is_built(wheel: Path, tmp_path: Path) -> None:
    assert build(tmp_path).read_bytes() == wheel.read_bytes()


def test_a_registry_and_a_node_run_from_it(simpul: Path, tmp_path: Path) -> None:
    registry, node = tmp_path / "r", tmp_path / "n"
    run(simpul, "registry", "init", "--home", registry, "--federation", "ID")
    with serving(simpul, "registry", registry):
        where = run(simpul, "registry", "status", "--home", registry)
        token = run(
            simpul, "registry", "enrol", MEMBER, "--node", "wakatobi-1", "--home", registry,
            "--name", "Kabupaten Wakatobi",
        )["token"]  # fmt: skip
        run(
            simpul, "node", "init", "--home", node, "--registry", where["grpc"],
            "--root", registry / "root.json", "--token", token, "--slots", 1,
            *node_ports(),
        )  # fmt: skip
        with serving(simpul, "node", node):
            deadline = time.monotonic() + START_S
            while run(simpul, "node", "status", "--home", node)["workers_ready"] == 0:
                assert time.monotonic() < deadline
