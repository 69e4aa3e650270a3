"""`simpul node doctor`: it is broken from a list, and each time it names what is broken."""

import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from node.doctor.examine import Running, examine
from node.home import KeyName, NodeHome
from node.journal.sqlite_store import SqliteJournalStore
from runtime.clock import now_ms
from runtime.doctor.findings import Health, well
from security.keys import Algorithm, PrivateKey
from tests.scenario.harness import WISATA, Federation, simpul

DAY_MS = 86_400_000


def doctor(home: Path) -> tuple[int, dict[str, Any]]:
    ran = simpul("node", "doctor", "--home", home, "--json")
    return ran.status, {item["what"]: item for item in ran.json["findings"]}


def looked_at(
    home: Path, *, at_ms: int | None = None, targets: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """What is found by the copy of a home, at another time."""
    running = Running(well("node", ""), targets or {})
    found = examine(NodeHome.at(home), {}, at_ms or now_ms(), lambda: running)
    return {item.what: item for item in found}


@pytest.fixture
def copied(federation: Federation, home: Path) -> Path:
    """A home that may be broken, of a node that runs on."""
    path = home / "n"
    shutil.copytree(
        federation.consumer.home, path, symlinks=True, ignore=shutil.ignore_patterns("*.sock")
    )
    return path


# What other tests of the shared federation leave as it is: they add nodes and services that stop.
OWN = (
    "configuration", "files", "disk", "directory", "node", "listing", "node key",
    "certificate", "journal", "registry", "directory's files", "clock",
)  # fmt: skip


def test_all_is_well(federation: Federation) -> None:
    for node in (federation.consumer, federation.provider):
        _, found = doctor(node.home)
        assert {what: found[what]["health"] for what in OWN} == dict.fromkeys(OWN, "well")
    service = f"service ID/DAERAH/53.15/pariwisata/{WISATA}"
    assert found[service]["said"] == f"{federation.target} answers"
    assert found["nodes"]["health"] == "well"


def test_a_node_that_is_stopped_or_whose_settings_are_wrong(copied: Path) -> None:
    status, found = doctor(copied)
    assert (status, found["node"]["code"]) == (1, "NOT_RUNNING")
    config = copied / "node.toml"
    config.write_text(config.read_text().replace("[link]", "[lnk]"))
    status, found = doctor(copied)
    assert status == 1
    assert [(name, item["code"]) for name, item in found.items()] == [
        ("configuration", "CONFIG_INVALID")
    ]
    shown = simpul("node", "doctor", "--home", copied)
    assert "simpul explain CONFIG_INVALID" in shown.out


def open_keys(home: Path) -> None:
    (home / "keys/node.pem").chmod(0o644)


def other_key(home: Path) -> None:
    path = NodeHome.at(home).key_file(KeyName.NODE)
    path.write_bytes(PrivateKey.generate(Algorithm.ED25519).to_pem())


def set_line(home: Path, key: str, value: str) -> None:
    """Sets the one line of node.toml that has this key."""
    config = home / "node.toml"
    text, lines = re.subn(rf"(?m)^{key} = .*$", f'{key} = "{value}"', config.read_text())
    assert lines == 1
    config.write_text(text)


def other_registry(home: Path) -> None:
    set_line(home, "certificate_sha256", "ab" * 32)


def other_address(home: Path) -> None:
    set_line(home, "advertise", "node.example:1")


def no_registry(home: Path) -> None:
    set_line(home, "address", "127.0.0.1:1")


def no_directory(home: Path) -> None:
    shutil.rmtree(home / "directory")


def damaged_directory(home: Path) -> None:
    (index,) = (home / "directory/current").resolve().glob("index*")
    index.write_text("{}")


def old_journal(home: Path) -> None:
    for name in home.glob("journal.db*"):
        name.unlink()
    store = SqliteJournalStore.open(home / "journal.db")
    lease, _ = store.take(0, "test", now_ms=now_ms(), lease_ms=1_000)
    store.release(lease)
    store.close()


@pytest.mark.parametrize(
    ("break_it", "what", "code"),
    [
        (open_keys, "files", None),
        (other_key, "node key", "GREETING_SIGNATURE"),
        (other_registry, "registry", "CERTIFICATE_MISMATCH"),
        (no_registry, "registry", "REGISTRY_UNREACHABLE"),
        (other_address, "listing", None),
        (no_directory, "directory", "DIRECTORY_ABSENT"),
        (damaged_directory, "directory", "DIRECTORY_ABSENT"),
        (old_journal, "journal", "JOURNAL_RESTORED_OR_FORKED"),
    ],
)
def test_what_is_broken_is_named(
    copied: Path, break_it: Callable[[Path], None], what: str, code: str | None
) -> None:
    before = looked_at(copied)
    assert before[what].health is Health.WELL
    break_it(copied)
    item = looked_at(copied)[what]
    assert item.health in {Health.FAULT, Health.WARNING}
    assert (item.code, bool(item.mend)) == (code, True)


def test_time(copied: Path) -> None:
    in_25_days = looked_at(copied, at_ms=now_ms() + 25 * DAY_MS)
    assert in_25_days["certificate"].health is Health.WARNING
    assert in_25_days["directory"].code == "DIRECTORY_DEAD"
    assert in_25_days["clock"].code == "PARCEL_TIME"
    in_40_days = looked_at(copied, at_ms=now_ms() + 40 * DAY_MS)
    assert in_40_days["certificate"].code == "CERTIFICATE_MISMATCH"
    in_an_hour = looked_at(copied, at_ms=now_ms() + 3_600_000)
    assert in_an_hour["directory"].health is Health.WARNING
    a_bit = looked_at(copied, at_ms=now_ms() - 20_000)
    assert (a_bit["clock"].health, "behind" in a_bit["clock"].said) == (Health.WARNING, True)


def test_services_that_do_not_answer(copied: Path) -> None:
    found = looked_at(copied, targets={"S/gone": "127.0.0.1:1", "S/odd": "nothing"})
    assert found["service S/gone"].code == "SERVICE_UNREACHABLE"
    assert found["service S/odd"].code == "CONFIG_INVALID"


def test_a_disk_that_is_full_or_takes_nothing(
    copied: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(copied)
    for free, health in ((10_000, Health.FAULT), (500 * 1024**2, Health.WARNING)):
        monkeypatch.setattr(shutil, "disk_usage", lambda _, free=free: usage._replace(free=free))
        assert looked_at(copied)["disk"].health is health

    def fails(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fsync", fails)
    item = looked_at(copied)["disk sync"]
    assert (item.health, item.code) == (Health.FAULT, "JOURNAL_FAILED")
    assert "Input/output error" in item.said
    assert not list(copied.glob(".doctor-*"))


def test_another_nodes_certificate(copied: Path, federation: Federation) -> None:
    chain = federation.provider.home / "tls/chain.pem"
    shutil.copy(chain, copied / "tls/chain.pem")
    assert looked_at(copied)["certificate"].code == "CERTIFICATE_MISMATCH"
