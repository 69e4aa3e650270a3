"""The image's recipe: no daemon is needed to judge what it says."""

import subprocess
import sys
import tomllib
from pathlib import Path

from tests.architecture.project import PROJECT

RECIPE = PROJECT / "deploy/container/Containerfile"


def test_hadolint_finds_nothing() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, RECIPE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


def test_it_takes_every_package_of_the_wheel_and_runs_as_nobody() -> None:
    text = RECIPE.read_text()
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
    packages = project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    for package in packages:
        assert f"COPY {package.split('/')[0]} " in text
    ignored = (PROJECT / ".dockerignore").read_text().splitlines()
    assert {f"!{package.split('/')[0]}" for package in packages} <= set(ignored)
    assert "USER 65532:65532" in text
