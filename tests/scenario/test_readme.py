"""The README's five minutes, run as they stand, and the paths that the documents name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scenario.harness import CHECKOUT, Federation, environment

MARK = "<!-- a test runs this block as it stands -->\n```sh\n"
PAGES = ("README.md", "docs/README.md", "docs/explanation/one-call.md")


def test_the_readmes_commands_work(federation: Federation, home: Path) -> None:
    block = (CHECKOUT / "README.md").read_text().partition(MARK)[2].partition("```")[0]
    assert "simpul node init" in block
    # The folders are this test's own, and so is the interpreter; the commands are the README's.
    folders = {"/tmp/fed": str(federation.home), "/tmp/wakatobi": f"{home}/wakatobi"}
    script = re.sub(r"/tmp/\w+", lambda found: folders[found[0]], block)
    script = script.replace(". .venv/bin/activate\n", "")
    script = "trap 'kill $(jobs -p) 2> /dev/null || true' EXIT\n" + script
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=CHECKOUT,
        env=environment({"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin"}),
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert ran.stdout.count('"regency_code":"74.07"') == 3
    assert "fingerprint" in ran.stdout
    assert ran.stderr.count("every check passed") == 2
    assert "Traceback" not in ran.stdout + ran.stderr


@pytest.mark.parametrize("page", PAGES)
def test_the_files_that_a_page_names_are_there(page: str) -> None:
    text = (CHECKOUT / page).read_text()
    named = set(re.findall(r"`((?:[a-z0-9_]+/)+[a-z0-9_.]*)`", text))
    linked = set(re.findall(r"\]\(([^)#:]+)\)", text))
    assert named | linked
    missing = [path for path in named if not (CHECKOUT / path).exists()]
    missing += [path for path in linked if not ((CHECKOUT / page).parent / path).exists()]
    assert not [path for path in missing if path not in {"unit/", "conformance/", "scenario/"}]
