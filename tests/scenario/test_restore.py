"""A registry is lost and restored from an older backup: its nodes saw more, and go on with it."""

import signal
from pathlib import Path
from typing import Any

from tests.scenario.harness import Process, done, refused, simpul, until
from tests.support.ports import node_ports

PASSPHRASE = {"SIMPUL_BACKUP_PASSPHRASE": "correct horse battery"}


def start(home: Path, log: Path) -> tuple[Process, Any]:
    process = Process(log, "registry", "serve", "--home", home)
    return process, process.until_file(home / "run" / "endpoints.json")


def add(home: Path, code: str) -> None:
    done("registry", "member", "add", f"ID/DAERAH/{code}", "--name", code, "--home", home)


def version(registry: Path) -> int:
    return int(done("registry", "status", "--home", registry, "--json").json["directory_version"])


def seen(node: Path) -> int:
    return int(done("node", "status", "--home", node, "--json").json["directory_version"])


def test_a_node_that_saw_later_versions_follows_the_restored_registry(tmp_path: Path) -> None:
    home, node_home, file = tmp_path / "r", tmp_path / "n", tmp_path / "registry.backup"
    done("registry", "init", "--home", home)
    registry, endpoints = start(home, tmp_path / "r.log")
    token = done(
        "registry", "enrol", "ID/DAERAH/53.15", "--node", "labuan-bajo-1", "--home", home
    ).out.strip()  # fmt: skip
    done(
        "node", "init", "--home", node_home, "--registry", endpoints["grpc"], "--token", token,
        "--root", home / "root.json", *node_ports(),
    )  # fmt: skip
    node = Process(tmp_path / "n.log", "node", "serve", "--home", node_home)
    try:
        node.until_file(node_home / "run" / "endpoints.json")
        refused("CONFIG_INVALID", "registry", "backup", "-o", file, "--home", home)
        done("registry", "backup", "-o", file, "--home", home, **PASSPHRASE)
        # What the backup knows nothing of, and the node does.
        for code in ("11.01", "11.02", "11.03"):
            add(home, code)
        later = version(home)
        until(lambda: seen(node_home) >= later, 20, f"version {later}")
        registry.stop(signal.SIGKILL)
        home.rename(tmp_path / "lost")

        assert simpul("registry", "restore", file, "--check", **PASSPHRASE).status == 0
        done("registry", "restore", file, "--home", home, **PASSPHRASE)
        registry, _ = start(home, tmp_path / "r.log")
        add(home, "11.04")

        wanted = version(home)
        assert wanted > later
        until(lambda: seen(node_home) >= wanted, 40, f"version {wanted}: {node.text}")
        assert "DIRECTORY_ROLLBACK" not in node.text
        members = done("registry", "member", "list", "--home", home, "--json").json["members"]
        assert [member["id"] for member in members] == ["ID/DAERAH/11.04", "ID/DAERAH/53.15"]
    finally:
        node.stop()
        registry.stop()
