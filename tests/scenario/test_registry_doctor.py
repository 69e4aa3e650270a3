"""`simpul registry doctor`: it is broken from a list, and each time it names what is broken."""

import re
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.directory.layout import Role
from registry.directory.signers import key_file
from registry.doctor.examine import examine
from registry.home import RegistryHome
from runtime.clock import now_ms
from runtime.doctor.findings import Health, well
from tests.scenario.harness import Federation, simpul

DAY_MS = 86_400_000


def looked_at(home: Path, *, at_ms: int | None = None) -> dict[str, Any]:
    """What is found by the copy of a home, at another time."""
    found = examine(RegistryHome.open(home), {}, at_ms or now_ms(), lambda: well("registry", ""))
    return {item.what: item for item in found}


@pytest.fixture
def copied(federation: Federation, home: Path) -> Path:
    """A home that may be broken, of a registry that runs on."""
    path = home / "r"
    source = federation.registry
    names = shutil.ignore_patterns("*.sock", "registry.db*")
    shutil.copytree(source, path, symlinks=True, ignore=names)
    # As it is at one moment, though it is written to meanwhile.
    before, after = sqlite3.connect(source / "registry.db"), sqlite3.connect(path / "registry.db")
    before.backup(after)
    before.close()
    after.close()
    return path


def test_all_is_well(federation: Federation) -> None:
    ran = simpul("registry", "doctor", "--home", federation.registry, "--json")
    found = {item["what"]: item for item in ran.json["findings"]}
    # Other tests of the shared federation add nodes that stop: those are warnings of their own.
    assert {what for what, item in found.items() if item["health"] != "well"} <= {
        what for what in found if what.startswith("node ")
    }
    assert ran.status == 0
    assert {"database", "audit trail", "directory", "roles", "gRPC", "nodes"} <= found.keys()
    assert "members" in found["registry"]["said"]


def test_a_registry_that_is_stopped_or_whose_settings_are_wrong(copied: Path) -> None:
    ran = simpul("registry", "doctor", "--home", copied, "--json")
    found = {item["what"]: item for item in ran.json["findings"]}
    assert (ran.status, found["registry"]["code"]) == (1, "NOT_RUNNING")
    settings = copied / "registry.toml"
    settings.write_text(settings.read_text().replace("[grpc]", "[gprc]"))
    shown = simpul("registry", "doctor", "--home", copied)
    assert (shown.status, "simpul explain CONFIG_INVALID" in shown.out) == (1, True)


def set_key(home: Path, section: str, line: str) -> None:
    """Puts a line at the beginning of a section of registry.toml."""
    settings = home / "registry.toml"
    text, times = re.subn(rf"(?m)^\[{section}\]$", f"[{section}]\n{line}", settings.read_text())
    assert times == 1
    settings.write_text(text)


def open_keys(home: Path) -> None:
    (home / "ca/authority.pem").chmod(0o644)


def no_database(home: Path) -> None:
    (home / "registry.db").unlink()


def damaged_database(home: Path) -> None:
    file = home / "registry.db"
    data = bytearray(file.read_bytes())
    # Past the header, so that it opens and can't be read.
    data[8192:12288] = bytes(4096)
    file.write_bytes(data)


def changed_audit(home: Path) -> None:
    with sqlite3.connect(home / "registry.db") as database:
        assert database.execute("DELETE FROM audit_entries WHERE number = 1").rowcount == 1


def older_schema(home: Path) -> None:
    with sqlite3.connect(home / "registry.db") as database:
        database.execute("UPDATE alembic_version SET version_num = '0001'")


def no_timestamp(home: Path) -> None:
    (home / "directory/metadata/timestamp.json").unlink()


def damaged_directory(home: Path) -> None:
    newest = max((home / "directory/metadata").glob("*.targets.json"))
    newest.write_bytes(newest.read_bytes() + b" ")


def no_online_key(home: Path) -> None:
    key_file(home / "keys", Role.SNAPSHOT).unlink()


def other_online_key(home: Path) -> None:
    shutil.copy(key_file(home / "keys", Role.ROOT), key_file(home / "keys", Role.SNAPSHOT))


def closed_authority(home: Path) -> None:
    pem = home / "ca/authority.pem"
    pem.write_text(pem.read_text().replace(" PRIVATE KEY", " ENCRYPTED PRIVATE KEY"))


def other_authority(home: Path) -> None:
    shutil.copy(home / "tls/server.pem", home / "ca/authority.pem")
    shutil.copy(home / "tls/server.crt", home / "ca/authority.crt")
    (home / "ca/authority.crt").write_text("no certificate")


def other_certificate(home: Path) -> None:
    shutil.copy(home / "ca/authority.crt", home / "tls/server.crt")


def no_witness(home: Path) -> None:
    (home / "witness/key.pem").write_text("no key")


def another_port(home: Path) -> None:
    (home / "run/endpoints.json").unlink()
    set_key(home, "grpc", 'public = "127.0.0.1:1"')


def another_mirror(home: Path) -> None:
    (home / "run/endpoints.json").unlink()
    set_key(home, "directory", 'public_url = "http://127.0.0.1:1"')


@pytest.mark.parametrize(
    ("break_it", "what", "code"),
    [
        (open_keys, "files", None),
        (no_database, "database", "DATABASE_CORRUPT"),
        (damaged_database, "database", "DATABASE_CORRUPT"),
        (changed_audit, "database", "DATABASE_CORRUPT"),
        (older_schema, "database", None),
        (no_timestamp, "directory", "DIRECTORY_ABSENT"),
        (damaged_directory, "directory", "DIRECTORY_UNTRUSTED"),
        (no_online_key, "directory", "CONFIG_INVALID"),
        (other_online_key, "directory", "CONFIG_INVALID"),
        (closed_authority, "authority", "CONFIG_INVALID"),
        (other_authority, "authority", "CERTIFICATE_MISMATCH"),
        (other_certificate, "gRPC", "CERTIFICATE_MISMATCH"),
        (no_witness, "witness", "KEY_MALFORMED"),
        (another_port, "gRPC", "REGISTRY_UNREACHABLE"),
        (another_mirror, "directory's files", "REGISTRY_UNREACHABLE"),
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
    an_hour_ago = looked_at(copied, at_ms=now_ms() - 3_600_000)
    assert an_hour_ago["clock"].code == "DIRECTORY_ROLLBACK"
    in_an_hour = looked_at(copied, at_ms=now_ms() + 3_600_000)
    assert in_an_hour["directory"].health is Health.WARNING
    in_8_days = looked_at(copied, at_ms=now_ms() + 8 * DAY_MS)
    assert in_8_days["directory"].code == "DIRECTORY_DEAD"
    in_130_days = looked_at(copied, at_ms=now_ms() + 130 * DAY_MS)
    assert in_130_days["role members"].health is Health.WARNING
    in_370_days = looked_at(copied, at_ms=now_ms() + 370 * DAY_MS)
    assert in_370_days["role root"].code == "DIRECTORY_UNTRUSTED"
    in_11_years = looked_at(copied, at_ms=now_ms() + 4_000 * DAY_MS)
    assert in_11_years["certificate"].code == "CERTIFICATE_MISMATCH"
