"""The units of deploy/systemd, as systemd itself judges them."""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from registry import app
from registry.home import NewRegistry
from tests.architecture.project import PROJECT

UNITS = sorted((PROJECT / "deploy/systemd").glob("*.service"))
# What the project asks of itself: systemd's own score, from 0 (closed) to 10 (open).
MAX_EXPOSURE = 2.5

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze isn't on this machine"
)


def analyze(*arguments: str) -> str:
    done = subprocess.run(
        ["systemd-analyze", *arguments], capture_output=True, text=True, check=False
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    return said


def test_there_is_a_unit_for_each_program() -> None:
    assert [unit.name for unit in UNITS] == ["simpul-node@.service", "simpul-registry.service"]


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_systemd_finds_no_fault(unit: Path, tmp_path: Path) -> None:
    text = unit.read_text()
    program = "/opt/simpul/bin/simpul"
    assert f"ExecStart={program} " in text
    # What is checked is that the unit is sound, not that Simpul is installed here.
    copy = tmp_path / unit.name.replace("@", "@wakatobi")
    copy.write_text(text.replace(program, sys.executable).replace("User=simpul", "User=root"))
    said = analyze("verify", "--man=no", str(copy))
    assert copy.name not in said


@needs_systemd
@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.name)
def test_little_is_exposed(unit: Path) -> None:
    said = analyze("security", "--offline=true", "--no-pager", str(unit))
    found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", said)
    assert found is not None, said
    assert float(found[1]) < MAX_EXPOSURE


def test_the_manager_is_told_when_a_registry_is_up_and_when_it_stops(tmp_path: Path) -> None:
    home = tmp_path / "registry"
    app.init(home, NewRegistry())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(60)
        environment = {
            **os.environ,
            "NOTIFY_SOCKET": str(tmp_path / "notify"),
            "PYTHONPATH": f"{PROJECT}:{PROJECT / 'protos'}",
        }
        with subprocess.Popen(
            [sys.executable, "-m", "registry", str(home)],
            cwd=PROJECT,
            env=environment,
            stderr=subprocess.DEVNULL,
        ) as process:
            try:
                assert manager.recv(64) == b"READY=1"
                process.send_signal(signal.SIGTERM)
                assert manager.recv(64) == b"STOPPING=1"
                assert process.wait(60) == 0
            finally:
                process.kill()
