"""A backup is whole or refused; what is made of it is newer than anything that nodes have seen."""

import gzip
import json
import shutil
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from registry import audit, backup, restore
from registry.home import RegistryHome
from registry.store import tokens
from registry.store.tables import METADATA
from runtime.clock import now_ms
from security.errors import Code, SimpulError
from simpul.registry.v1 import admin_pb2
from simpul.v1 import directory_pb2
from tests.unit.registry.conftest import KOMODO, WAKATOBI, open_store
from tests.unit.registry.running import run
from tests.unit.registry.test_replicas import add

PASSPHRASE = "correct horse battery"
MEMBER = Path("members/DAERAH")


def timestamp(home: Path) -> int:
    document = json.loads((home / "directory/metadata/timestamp.json").read_bytes())
    return int(document["signed"]["version"])


def record_number(home: Path) -> int:
    """The highest number of the record of 53.15 that a home publishes."""
    files = (home / "directory/targets" / MEMBER).glob("*.53.15")
    return max(directory_pb2.MemberRecord.FromString(file.read_bytes()).number for file in files)


@pytest.fixture
def backup_file(own_home: Path, tmp_path: Path) -> Path:
    """Of a home that never ran."""
    file = tmp_path / "registry.backup"
    backup.write(RegistryHome.open(own_home), file, passphrase=PASSPHRASE, now_ms=now_ms())
    return file


@pytest.mark.parametrize("url", ["sqlite"], indirect=True)
async def test_a_restored_registry_is_newer_than_what_it_never_knew(
    own_home: Path, tmp_path: Path
) -> None:
    file, again = tmp_path / "registry.backup", tmp_path / "again"
    async with run(own_home) as registry:
        await add(registry, KOMODO)
        spare = await registry.token(WAKATOBI)
        told: list[tuple[int, int]] = []
        made = backup.write(
            RegistryHome.open(own_home),
            file,
            passphrase=PASSPHRASE,
            now_ms=now_ms(),
            progress=lambda done, total: told.append((done, total)),
        )
        assert told[-1] == (made.files, made.files)
        # After the backup: all of this is lost.
        await registry.joined()
        await add(registry, WAKATOBI.__class__.parse("ID/DAERAH/11.01"))
        seen = (await registry.admin.Status(admin_pb2.StatusRequest())).directory_version
    lost = timestamp(own_home), record_number(own_home)

    done = restore.restore(file, again, passphrase=PASSPHRASE, now_ms=now_ms())

    assert done.version > seen > made.version
    store = open_store(again)
    with store.transaction() as session:
        token = tokens.find(session, spare.secret_hash)
        assert token is not None
        assert token.expires_at_ms <= now_ms()
    trail = audit.read(store, None, 10)
    assert trail.entries[-1][1].method == "Restore"
    audit.verify(store)
    store.close()
    shutil.rmtree(own_home)
    async with run(again) as registry:
        members = await registry.admin.ListMembers(admin_pb2.ListMembersRequest())
        assert {member.id for member in members.members} == {str(KOMODO), str(WAKATOBI)}
        await registry.joined()
    assert timestamp(again) > lost[0]
    assert record_number(again) > lost[1]


async def test_all_rows_come_back(own_home: Path, tmp_path: Path, url: str) -> None:
    async with run(own_home) as registry:
        await registry.joined()
        await add(registry, WAKATOBI)
        file = tmp_path / "registry.backup"
        home = RegistryHome.open(own_home)
        backup.write(home, file, passphrase=PASSPHRASE, now_ms=now_ms())
    made = tmp_path / "made"
    made.mkdir()
    backup.read(file, made, passphrase=None)
    text = (made / "registry.toml").read_text()
    (made / "registry.toml").write_text(text.split("[database]", maxsplit=1)[0])
    here, there = open_store(own_home), open_store(made)
    with here.transaction() as one, there.transaction() as other:
        for table in METADATA.sorted_tables:
            if table.name == "under_way":
                continue
            found = [
                sorted(map(repr, session.connection().execute(table.select())))
                for session in (one, other)
            ]
            assert found[0] == found[1], table.name
    here.close()
    there.close()
    del url


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_a_database_in_use_is_not_written_over(
    own_home: Path, backup_file: Path, tmp_path: Path
) -> None:
    async with run(own_home) as registry:
        await add(registry, KOMODO)

    with pytest.raises(SimpulError, match="not empty") as caught:
        restore.restore(backup_file, tmp_path / "again", passphrase=PASSPHRASE, now_ms=now_ms())

    assert caught.value.code is Code.CONFIG_INVALID
    assert not (tmp_path / "again").exists()


@pytest.mark.parametrize("url", ["postgresql"], indirect=True)
async def test_an_empty_database_is_filled(
    own_home: Path, backup_file: Path, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    restore.restore(backup_file, again, passphrase=PASSPHRASE, now_ms=now_ms())
    shutil.rmtree(own_home)
    async with run(again) as registry:
        # Numbers go on after those that were put in.
        await registry.joined()


ONLY_SQLITE = pytest.mark.parametrize("url", ["sqlite"], indirect=True)


@ONLY_SQLITE
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(data=st.data())
def test_a_changed_file_is_refused(backup_file: Path, tmp_path: Path, data: st.DataObject) -> None:
    content = bytearray(gzip.decompress(backup_file.read_bytes()))
    # A tar's own padding and dates say nothing, and are not read.
    at = data.draw(st.integers(0, len(content) - 1))
    before = content[at]
    content[at] ^= data.draw(st.integers(1, 255))
    changed = tmp_path / "changed"
    changed.write_bytes(gzip.compress(bytes(content), 1))
    try:
        found = backup.read(changed, None, passphrase=PASSPHRASE)
    except SimpulError as error:
        assert error.code is Code.BACKUP_INVALID  # noqa: PT017  (either outcome is judged)
    else:
        assert before == 0 or found == backup.read(backup_file, None, passphrase=PASSPHRASE)


@ONLY_SQLITE
@pytest.mark.parametrize("cut", [0, 10, 5000, -1, -2000])
def test_a_file_cut_short_is_refused(backup_file: Path, tmp_path: Path, cut: int) -> None:
    backup_file.write_bytes(backup_file.read_bytes()[:cut])

    with pytest.raises(SimpulError) as caught:
        restore.restore(backup_file, tmp_path / "again", passphrase=PASSPHRASE, now_ms=now_ms())

    assert caught.value.code is Code.BACKUP_INVALID
    assert [path.name for path in tmp_path.iterdir() if "again" in path.name] == []


@ONLY_SQLITE
def test_another_passphrase_opens_nothing(backup_file: Path, tmp_path: Path) -> None:
    with pytest.raises(SimpulError, match="passphrase") as caught:
        restore.restore(backup_file, tmp_path / "a", passphrase="a wrong one", now_ms=now_ms())
    assert caught.value.code is Code.BACKUP_INVALID
    assert not (tmp_path / "a").exists()


@ONLY_SQLITE
def test_no_private_key_is_in_the_clear(own_home: Path, backup_file: Path) -> None:
    content = gzip.decompress(backup_file.read_bytes())
    assert b"PRIVATE KEY" not in content
    assert (own_home / "keys/timestamp.pem").read_bytes().hex().encode() not in content
    assert backup_file.stat().st_mode & 0o777 == 0o600


@ONLY_SQLITE
def test_keys_may_be_kept_elsewhere(own_home: Path, tmp_path: Path) -> None:
    file = tmp_path / "without"
    made = backup.write(RegistryHome.open(own_home), file, passphrase=None, now_ms=now_ms())
    assert not made.has_keys
    with pytest.raises(SimpulError, match="--keys"):
        restore.restore(file, tmp_path / "again", passphrase=None, now_ms=now_ms())

    restore.restore(file, tmp_path / "again", passphrase=None, keys=own_home, now_ms=now_ms())

    assert (tmp_path / "again/keys/timestamp.pem").stat().st_mode & 0o777 == 0o600


@ONLY_SQLITE
def test_what_would_do_harm_is_refused(own_home: Path, backup_file: Path, tmp_path: Path) -> None:
    home = RegistryHome.open(own_home)
    for work, text in (
        (lambda: backup.write(home, backup_file, passphrase=None, now_ms=1), "exists already"),
        (lambda: backup.write(home, tmp_path / "f", passphrase="short", now_ms=1), "shorter"),
        (
            lambda: restore.restore(backup_file, own_home, passphrase=PASSPHRASE, now_ms=now_ms()),
            "there already",
        ),
        (
            lambda: restore.restore(backup_file, tmp_path / "a", passphrase=PASSPHRASE, now_ms=1),
            "clock",
        ),
    ):
        with pytest.raises(SimpulError, match=text):
            work()
