import os
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from runtime import files
from security.errors import Code, SimpulError


@contextmanager
def umask(value: int) -> Iterator[None]:
    before = os.umask(value)
    try:
        yield
    finally:
        os.umask(before)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_file_is_written_and_replaced_with_nothing_left_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    files.write_durably(path, b"one")
    files.write_durably(path, b"two")
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    contents = {bytes([n]) * 200_000 for n in range(2)}
    files.write_durably(path, next(iter(contents)))
    done = threading.Event()

    def write() -> None:
        for _ in range(20):
            for content in contents:
                files.write_durably(path, content)
        done.set()

    writer = threading.Thread(target=write)
    writer.start()
    seen = set()
    while not done.is_set():
        seen.add(path.read_bytes())
    writer.join()
    assert seen <= contents


def test_a_failed_write_leaves_the_old_file_and_no_other(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "inside").write_bytes(b"x")
    with pytest.raises(OSError, match="directory"):
        files.write_durably(path, b"new")
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("write", [files.write_private, files.create_private])
def test_a_private_file_is_only_its_owners(tmp_path: Path, write: object) -> None:
    assert callable(write)
    path = tmp_path / "key.pem"
    with umask(0):
        write(path, b"secret")
    assert mode_of(path) == 0o600
    assert path.read_bytes() == b"secret"


def test_a_private_file_is_private_from_its_first_byte(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    real = os.fsync

    def watching(handle: int) -> None:
        seen.extend(mode_of(path) for path in tmp_path.iterdir())
        real(handle)

    monkeypatch.setattr(os, "fsync", watching)
    with umask(0):
        files.write_private(tmp_path / "key.pem", b"secret")
    assert set(seen) == {0o600}


def test_a_private_file_is_never_overwritten_by_create(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    files.create_private(path, b"first")
    with pytest.raises(FileExistsError):
        files.create_private(path, b"second")
    assert path.read_bytes() == b"first"
    assert list(tmp_path.iterdir()) == [path]


def test_the_file_and_then_its_folder_reach_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[bool] = []
    real = os.fsync

    def watching(handle: int) -> None:
        synced.append(stat.S_ISDIR(os.fstat(handle).st_mode))
        real(handle)

    monkeypatch.setattr(os, "fsync", watching)
    files.write_durably(tmp_path / "a", b"x")
    assert synced == [False, True]


def test_private_folders_are_made_all_the_way(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b"
    with umask(0):
        files.make_private_folder(path)
    assert mode_of(path) == mode_of(path.parent) == 0o700
    (tmp_path / "c").mkdir(mode=0o755)
    files.make_private_folder(tmp_path / "c")
    assert mode_of(tmp_path / "c") == 0o755


def test_a_lock_is_held_once_and_says_by_whom(tmp_path: Path) -> None:
    with files.folder_lock(tmp_path):
        with pytest.raises(SimpulError) as caught, files.folder_lock(tmp_path):
            pytest.fail("two hold one lock")
        assert caught.value.code is Code.HOME_LOCKED
        assert f"process {os.getpid()}" in caught.value.message
    with files.folder_lock(tmp_path):
        pass


def test_a_lock_ends_with_its_process_however_it_ends(tmp_path: Path) -> None:
    script = (
        "import sys; from pathlib import Path; from runtime.files import folder_lock\n"
        "with folder_lock(Path(sys.argv[1])):\n"
        "    print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        cwd=Path(__file__).parents[3],
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(SimpulError, match=f"process {holder.pid}"), files.folder_lock(tmp_path):
            pytest.fail("two processes hold one lock")
        holder.kill()
    with files.folder_lock(tmp_path):
        pass


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "memory"
    folder.mkdir()
    monkeypatch.setattr(files, "MEMORY", folder)
    return folder


def test_a_folder_in_memory_is_private_and_a_homes_own(memory: Path, tmp_path: Path) -> None:
    first = files.memory_folder(tmp_path / "a", tmp_path / "else")
    assert first.parent == memory
    assert first.stat().st_mode & 0o777 == 0o700
    assert files.memory_folder(tmp_path / "a", tmp_path / "else") == first
    assert files.memory_folder(tmp_path / "b", tmp_path / "else") != first
    assert not (tmp_path / "else").exists()


@pytest.mark.parametrize("what", ["a link", "open to others", "no memory"])
def test_what_somebody_else_made_there_is_not_used(what: str, memory: Path, tmp_path: Path) -> None:
    taken = files.memory_folder(tmp_path / "a", tmp_path / "else")
    taken.rmdir()
    if what == "a link":
        (tmp_path / "theirs").mkdir(mode=0o700)
        taken.symlink_to(tmp_path / "theirs")
    elif what == "open to others":
        taken.mkdir()
        taken.chmod(0o777)
    else:
        memory.rmdir()
    assert files.memory_folder(tmp_path / "a", tmp_path / "else") == tmp_path / "else"
