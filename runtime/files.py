"""Files that survive a power cut, files that only their owner reads, and the lock on a home folder.

It knows no formats. Rules: a reader sees the old bytes or the new, never a part; when
`write_durably` returns, they are on the disk, and so is the name; a private file is 0600 from its
first byte, and there is no moment in which it is not; a home folder has one program at a time.
"""

import errno
import fcntl
import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path
from stat import S_ISDIR

from security.errors import Code, SimpulError

PRIVATE_MODE = 0o600
PUBLIC_MODE = 0o644
PRIVATE_FOLDER_MODE = 0o700
LOCK_NAME = "lock"
# Linux's file system in memory.
MEMORY = Path("/dev/shm")  # noqa: S108  (a folder there is looked at before it's used)


def write_durably(path: Path, data: bytes, *, mode: int = PUBLIC_MODE) -> None:
    """Replaces `path` by `data`, whole: temporary file, fsync, rename, fsync of the folder.

    Args:
        path: Its folder must exist.
        data: The new content.
        mode: The permissions from the first byte on, whatever the umask lets through.

    Raises:
        OSError: as it comes (disk full, no permission): `path` is then as it was before.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(temporary, data, mode)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def write_private(path: Path, data: bytes) -> None:
    """`write_durably` with 0600: for keys, tokens and whatever else only the owner may read."""
    write_durably(path, data, mode=PRIVATE_MODE)


def create_private(path: Path, data: bytes) -> None:
    """Writes a private file that must not exist yet: a key is never overwritten by accident.

    Raises:
        FileExistsError: when `path` exists; it is then untouched.
    """
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(temporary, data, PRIVATE_MODE)
        # A link, and not a rename: it fails where the name exists, in one step.
        os.link(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def shred(path: Path) -> None:
    """Overwrites a small secret file, and removes it, durably.

    What a disk that writes elsewhere, or a snapshot of it, still has, nobody can reach from here.
    """
    size = path.stat().st_size
    handle = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.pwrite(handle, bytes(size), 0)
        os.fsync(handle)
    finally:
        os.close(handle)
    path.unlink()
    sync_folder(path.parent)


def make_private_folder(path: Path) -> None:
    """Creates `path` and what is missing above it, 0700, durably. What exists stays as it is."""
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        sync_folder(folder.parent)


def memory_folder(of: Path, otherwise: Path) -> Path:
    """A private folder in memory for the program of a home; `otherwise` where there is none.

    For files that processes share by mapping them: a mapped page that finds no room on a full disk
    ends its process at once (SIGBUS), and no handler can refuse a call instead.

    Args:
        of: The home, which it is named after.
        otherwise: A folder, which is made.
    """
    named = sha256(str(of.absolute()).encode()).hexdigest()[:16]
    folder = MEMORY / f"simpul-{os.getuid()}-{named}"
    with suppress(OSError):
        folder.mkdir(mode=PRIVATE_FOLDER_MODE, exist_ok=True)
        found = folder.lstat()
        # Anybody may make a folder there.
        if S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return folder
    make_private_folder(otherwise)
    return otherwise


def sync_folder(folder: Path) -> None:
    """Makes the names in `folder` durable: without it a power cut can take a new file away."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def folder_lock(folder: Path) -> Iterator[None]:
    """Holds `folder` for this process until the block ends, or the process does, however it ends.

    The system drops the lock with the process, so a file left behind locks nothing.

    Raises:
        SimpulError: HOME_LOCKED, when another process holds it; the message names its process id.
    """
    path = folder / LOCK_NAME
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_MODE)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno not in {errno.EAGAIN, errno.EACCES}:
                raise
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip() or "unknown"
            raise SimpulError(
                Code.HOME_LOCKED,
                f"{folder} is in use by process {holder}: stop it, or give another --home",
                home=str(folder),
                process=holder,
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        yield
    finally:
        os.close(handle)


def _write_new(path: Path, data: bytes, mode: int) -> None:
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    # Closes the handle, also when a write fails half-way.
    with open(handle, "wb") as file:  # noqa: PTH123  (a handle has no Path)
        file.write(data)
        file.flush()
        os.fsync(handle)
