"""A home whose node answers, one whose registry answers, and a way to run the command."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from cli.main import app
from simpul.node.v1 import admin_pb2_grpc as node_grpc
from simpul.registry.v1 import admin_pb2_grpc as registry_grpc
from tests.architecture.project import PROJECT
from tests.unit.cli.fakes import FakeGateway, FakeNode, FakeRegistry, serving


@dataclass(frozen=True)
class Ran:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> Any:
        return json.loads(self.out)

    def json_lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]

    def ok(self) -> "Ran":
        assert self.code == 0, self
        return self


class Simpul:
    """The command, with a home of its own; inside this process, or as a real one."""

    def __init__(self, home: Path) -> None:
        self.home = home
        self.env = {"SIMPUL_HOME": str(home), "COLUMNS": "80"}

    def __call__(self, *args: str, stdin: str | None = None) -> Ran:
        result = CliRunner().invoke(app, list(args), input=stdin, env=self.env)
        return Ran(result.exit_code, result.stdout, result.stderr)

    def start(self, *args: str, **env: str) -> subprocess.Popen[str]:
        """A real process, its three streams piped."""
        return subprocess.Popen(
            [sys.executable, "-m", "cli.main", *args],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=PROJECT,
            env={**os.environ, **self.env, "PYTHONPATH": f"{PROJECT}:{PROJECT}/protos", **env},
        )

    def process(self, *args: str, stdin: str = "", **env: str) -> Ran:
        """A real process, to its end."""
        with self.start(*args, **env) as process:
            out, err = process.communicate(stdin, timeout=30)
            return Ran(process.returncode, out, err)


@pytest.fixture
def simpul(tmp_path: Path) -> Simpul:
    """The command; its home is empty until a fixture fills it."""
    return Simpul(tmp_path / "home")


def _make_home(home: Path, config: str) -> str:
    (home / "run").mkdir(parents=True)
    (home / config).touch()
    return f"unix:{home}/run/admin.sock"


@pytest.fixture
def node(simpul: Simpul) -> Iterator[FakeNode]:
    """A node that answers in the command's home."""
    fake = FakeNode()
    socket = _make_home(simpul.home, "node.toml")
    with serving(socket, lambda s: node_grpc.add_NodeAdminServicer_to_server(fake, s)):
        yield fake


@pytest.fixture
def gateway(node: FakeNode) -> Iterator[FakeGateway]:
    """The gateway of that node."""
    fake = FakeGateway(node)
    with serving("127.0.0.1:0", lambda s: s.add_generic_rpc_handlers((fake,))) as port:
        node.gateway = f"127.0.0.1:{port}"
        yield fake


@pytest.fixture
def registry(simpul: Simpul) -> Iterator[FakeRegistry]:
    """A registry that answers in the command's home."""
    fake = FakeRegistry()
    socket = _make_home(simpul.home, "registry.toml")
    with serving(socket, lambda s: registry_grpc.add_RegistryAdminServicer_to_server(fake, s)):
        yield fake
