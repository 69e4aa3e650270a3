"""Finding a home's program, and what is said when it doesn't answer."""

import socket
from pathlib import Path

import pytest

from cli.admin import ask_node, find_node, find_registry
from security.errors import Code, SimpulError
from simpul.node.v1 import admin_pb2
from tests.unit.cli.conftest import Simpul
from tests.unit.cli.fakes import FakeNode


def status(home: Path) -> str:
    return ask_node(home, lambda stub: stub.Status(admin_pb2.StatusRequest())).node


def refused(home: Path) -> SimpulError:
    with pytest.raises(SimpulError) as caught:
        status(home)
    return caught.value


def node_home(path: Path) -> Path:
    (path / "run").mkdir(parents=True)
    (path / "node.toml").touch()
    return path


def test_it_answers(simpul: Simpul, node: FakeNode) -> None:
    assert status(simpul.home) == "ID/~jakarta-1"
    assert len(node.heard.requests) == 1


def test_a_refusal_comes_as_it_was_said(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["Status"] = SimpulError(Code.SUPERVISOR_LOST, "wait", since="1")
    error = refused(simpul.home)
    assert (error.code, error.message) == (Code.SUPERVISOR_LOST, "wait")
    assert error.details["since"] == "1"


def test_its_own_not_running_is_not_taken_for_ours(simpul: Simpul, node: FakeNode) -> None:
    node.heard.refusals["Status"] = SimpulError(Code.NOT_RUNNING, "no worker is ready")
    assert refused(simpul.home).message == "no worker is ready"


def test_nothing_listens(tmp_path: Path) -> None:
    error = refused(node_home(tmp_path))
    assert error.code is Code.NOT_RUNNING
    assert f"start it with: simpul node serve --home {tmp_path}" in error.message


def test_a_socket_was_left_behind(tmp_path: Path) -> None:
    home = node_home(tmp_path)
    with socket.socket(socket.AF_UNIX) as left:
        left.bind(str(home / "run" / "admin.sock"))
    assert refused(home).code is Code.NOT_RUNNING


def test_something_else_listens(tmp_path: Path) -> None:
    home = node_home(tmp_path)
    with socket.socket(socket.AF_UNIX) as other:
        other.bind(str(home / "run" / "admin.sock"))
        other.listen(0)
        # It is full, so the knock isn't answered.
        with socket.socket(socket.AF_UNIX) as held:
            held.connect(str(home / "run" / "admin.sock"))
            assert refused(home).code is Code.NOT_RUNNING


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    error = refused(node_home(tmp_path / ("x" * 120)))
    assert error.code is Code.CONFIG_INVALID
    assert "too long" in error.message


def test_no_home(tmp_path: Path) -> None:
    error = refused(tmp_path / "none")
    assert error.code is Code.HOME_MISSING
    assert "simpul node init" in error.message


@pytest.mark.parametrize(
    ("find", "holds"), [(find_node, "registry.toml"), (find_registry, "node.toml")]
)
def test_another_programs_home(find: object, holds: str, tmp_path: Path) -> None:
    (tmp_path / holds).touch()
    with pytest.raises(SimpulError) as caught:
        find(tmp_path)  # type: ignore[operator]
    assert caught.value.code is Code.HOME_FOREIGN
