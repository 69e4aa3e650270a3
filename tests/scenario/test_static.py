"""The directory from a plain folder and a plain web server; a node lives on that alone."""

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runtime.ports import free_addresses
from tests.scenario.harness import Process, done, refused, until
from tests.scenario.world import REGENCY, World

NODE = "kupang-1"


def test_a_node_lives_on_plain_files(home: Path) -> None:
    with ExitStack() as stack:
        world = World(home, stack)
        done("registry", "init", "--home", world.registry)
        process = Process(home / "r.log", "registry", "serve", "--home", world.registry)
        stack.callback(process.stop)
        world.endpoints = process.until_file(world.registry / "run" / "endpoints.json")
        world.join(REGENCY, NODE)
        done(
            "registry", "member", "add", "ID/DAERAH/11.01", "--name", "x", "--home", world.registry
        )
        version = done("registry", "status", "--home", world.registry, "--json").json[
            "directory_version"
        ]
        assert process.stop() == 0

        # Nothing of ours runs any more, and the node has no copy either.
        shutil.copytree(world.registry / "directory", home / "www")
        shutil.rmtree(world.path(NODE) / "directory")
        refused("DIRECTORY_ABSENT", "node", "serve", "--home", world.path(NODE))
        with _plain_server(home / "www") as url:
            _point(world.path(NODE), url)
            node = world.serve(NODE)
            status = done("node", "status", "--home", node.home, "--json").json
            assert status["directory_version"] == version
        # Its server is gone, too: it starts from its own copy.
        world.stop(NODE)
        world.serve(NODE)


@contextmanager
def _plain_server(folder: Path) -> Iterator[str]:
    """Python's own static file server, which knows nothing of us."""
    (address,) = free_addresses(1)
    options = ("--bind", address.host, "--directory", str(folder), str(address.port))
    served = subprocess.Popen(
        [sys.executable, "-m", "http.server", *options],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        url = f"http://{address}"
        until(lambda: _answers(url), 10.0, "the file server")
        yield url
    finally:
        served.terminate()
        served.wait()


def _answers(url: str) -> bool:
    probe = [sys.executable, "-c", f"import urllib.request as u; u.urlopen('{url}/metadata/')"]
    return subprocess.run(probe, capture_output=True, check=False).returncode == 0


def _point(home: Path, url: str) -> None:
    file = home / "node.toml"
    text, count = re.subn(r'directory_url = "[^"]*"', f'directory_url = "{url}"', file.read_text())
    assert count == 1
    file.write_text(text)
