"""Verifies an evidence file as a machine would that has only `security/`, `protos/` and the root.

Both folders are copied into an empty one; a process of its own sees these and installed packages,
nothing else of this project, and may open no socket, start no program and read no clock.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]

_SCRIPT = """
import importlib.util, json, socket, subprocess, sys
from pathlib import Path

folder, project = Path(sys.argv[1]), sys.argv[4]
# The project's own folders are on the path of an environment that it is installed in.
rest = [path for path in sys.path if not path.startswith(project) or "site-packages" in path]
sys.path[:] = [str(folder), str(folder / "protos"), *rest]
for room in ("node", "registry", "runtime", "cli", "tests"):
    assert importlib.util.find_spec(room) is None, room

from security.evidence import verify

def none(*_arguments, **_more):
    raise RuntimeError("an evidence file is verified offline")

socket.socket.connect = none
subprocess.Popen.__init__ = none
report = verify(Path(sys.argv[2]).read_bytes(), Path(sys.argv[3]).read_bytes())
print(json.dumps({step.name: step.result.value for step in report.steps}))
assert "sqlalchemy" not in sys.modules and "grpc" not in sys.modules
"""


def verify_alone(file: Path, root: Path, folder: Path) -> dict[str, Any]:
    """The result of each step, by its name."""
    for room in ("security", "protos"):
        target = folder / room
        if not target.exists():
            shutil.copytree(
                PROJECT / room, target, ignore=shutil.ignore_patterns("__pycache__", "*.proto")
            )
    ran = subprocess.run(
        [sys.executable, "-I", "-c", _SCRIPT, str(folder), str(file), str(root), str(PROJECT)],
        cwd=folder,
        env={},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: dict[str, Any] = json.loads(ran.stdout)
    return found
