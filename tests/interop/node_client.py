"""Runs the Node.js client (tests/interop/node): `npm ci` once, then one process for all cases."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import cast

from tests.interop.federation import Way

FOLDER = Path(__file__).parent / "node"
TIMEOUT_S = 120


def missing() -> str:
    """Why the client can't run here; empty where it can."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not (FOLDER / "node_modules").is_dir():
        made = subprocess.run(
            ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        if made.returncode != 0:
            lines = made.stderr.strip().splitlines() or ["it says nothing"]
            return f"npm ci failed in {FOLDER}: {lines[-1]}"
    return ""


def run(way: Way) -> dict[str, str]:
    """Each case's name, and `ok` or why it failed."""
    ran = subprocess.run(
        ["node", "client.js", way.target, json.dumps(way.metadata)],
        cwd=FOLDER,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return cast("dict[str, str]", json.loads(ran.stdout))
