"""A registry's backup: one file, written while it runs, read back before it counts.

    simpul-registry-backup     "1"
    registry.toml, root.json
    directory/…                what is published
    registry.db                every table, as SQLite, whatever database the registry has
    manifest.json              what it is, when it was made, and each file's size and SHA-256
    manifest.sha256
    keys.sealed                keys/ ca/ tls/, if they are not left out: AES-256-GCM under scrypt of
                               a passphrase, bound to the manifest

A tar, compressed. Rules: the directory is read before the database, so that what the database says
is never older than what is published. The witness's key and memory are not in it: a memory that is
put back could be made to cosign a fork, and a witness that lost it gets a new key. A file that is
changed anywhere, cut short, or holds anything else is refused, and nothing of it is used.
"""

import gzip
import io
import json
import os
import secrets
import sqlite3
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt
from sqlalchemy import insert, select, text

from registry import config
from registry.directory.folder import TIMESTAMP_NAME
from registry.home import RegistryHome
from registry.store.database import Store
from registry.store.tables import METADATA
from runtime.files import sync_folder
from security.errors import Code, SimpulError

Progress = Callable[[int, int], None]

MIN_PASSPHRASE_CHARS: Final = 12

_MAGIC: Final = "simpul-registry-backup"
_VERSION: Final = b"1\n"
_MANIFEST: Final = "manifest.json"
_DIGEST: Final = "manifest.sha256"
_SEALED: Final = "keys.sealed"
_DATABASE: Final = "registry.db"
_SETTINGS: Final = "registry.toml"
_ROOT: Final = "root.json"
# Folders of the home that hold keys.
SECRET: Final = ("keys", "ca", "tls")
_SCRYPT_N: Final = 2**16
_SALT_BYTES: Final = 16
_NONCE_BYTES: Final = 12
_MAX_FILE_BYTES: Final = 8 * 1024**3
_BATCH: Final = 500
_CHUNK_BYTES: Final = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Summary:
    """What a backup holds. `version` is the directory's; without keys it can't be used alone."""

    federation: str
    made_at_ms: int
    version: int
    files: int
    has_keys: bool
    sha256: str


def write(
    home: RegistryHome,
    file: Path,
    *,
    passphrase: str | None,
    now_ms: int,
    progress: Progress = lambda _done, _total: None,
) -> Summary:
    """Writes a backup of a home to `file`, and reads it back; there is then a whole one or none.

    Args:
        home: Whose registry may run meanwhile.
        file: A new file, 0600.
        passphrase: What the keys are sealed with; None: they are left out.
        now_ms: The time.
        progress: Told how many files are done, and of how many.

    Raises:
        SimpulError: HOME_EXISTS, when there is a file; CONFIG_INVALID for a passphrase that is
            guessed; as the database and the folder say.
    """
    if file.exists():
        raise SimpulError(Code.HOME_EXISTS, f"{file} exists already: choose another name")
    if passphrase is not None and len(passphrase) < MIN_PASSPHRASE_CHARS:
        raise SimpulError(
            Code.CONFIG_INVALID,
            f"the passphrase is shorter than {MIN_PASSPHRASE_CHARS} characters: who has the file "
            "can try all of them",
        )
    settings = config.load(home.settings_file, os.environ)
    with tempfile.TemporaryDirectory(dir=file.absolute().parent, prefix=".backup-") as folder:
        made = Path(folder) / "backup"
        made.touch(0o600)
        found = _published(home)
        database = Path(folder) / _DATABASE
        _copy_database(home.database_url(settings), database)
        found |= {
            _SETTINGS: home.settings_file,
            _ROOT: home.root_file,
            _DATABASE: database,
        }
        about = {
            "federation": settings.federation,
            "made_at_ms": now_ms,
            "directory_version": _snapshot_version(found[f"directory/{TIMESTAMP_NAME}"]),
            "keys": "excluded" if passphrase is None else "sealed",
        }
        with tarfile.open(made, "w:gz", compresslevel=6) as archive:
            digest = _add_files(archive, found, about, progress)
            if passphrase is not None:
                _add(archive, _SEALED, _seal(_secrets(home), passphrase, digest))
        with made.open("rb") as opened:
            os.fsync(opened.fileno())
        summary = read(made, None, passphrase=passphrase)
        made.rename(file)
    sync_folder(file.absolute().parent)
    return summary


def read(
    file: Path,
    into: Path | None,
    *,
    passphrase: str | None,
    progress: Progress = lambda _done, _total: None,
) -> Summary:
    """Checks all of a backup, and puts what it holds into a folder.

    Args:
        file: The backup.
        into: An empty folder; None: it is only checked.
        passphrase: What its keys are sealed with; None: they are left sealed.
        progress: Told how many files are done, and of how many (0: not known yet).

    Raises:
        SimpulError: BACKUP_INVALID: it is none, not whole, or the passphrase is another one; `into`
            is then of no use.
    """
    hashes: dict[str, dict[str, Any]] = {}
    special: dict[str, bytes] = {}
    for name, data in _entries(file):
        if name in {_MANIFEST, _DIGEST, _SEALED}:
            special[name] = data
            continue
        if name in hashes or not _is_ours(name):
            raise _invalid(file, f"holds {name!a}")
        hashes[name] = _line(data)
        progress(len(hashes), 0)
        if into is not None:
            _put(into, name, data)
    digest = sha256(special.get(_MANIFEST, b"")).hexdigest().encode()
    if special.get(_DIGEST) != digest:
        raise _invalid(file, "is damaged or cut short")
    manifest = json.loads(special[_MANIFEST])
    has_keys = manifest["keys"] == "sealed"
    if manifest["files"] != hashes or has_keys != (_SEALED in special):
        raise _invalid(file, "does not hold what it says")
    if has_keys and passphrase is not None:
        for name, data in _unseal(special[_SEALED], passphrase, digest).items():
            if into is not None:
                _put(into, name, data)
    return Summary(
        federation=manifest["federation"],
        made_at_ms=manifest["made_at_ms"],
        version=manifest["directory_version"],
        files=len(hashes),
        has_keys=has_keys,
        sha256=digest.decode(),
    )


def _entries(file: Path) -> Iterator[tuple[str, bytes]]:
    """The entries of a backup, in order; raises SimpulError BACKUP_INVALID."""
    try:
        with gzip.open(file) as stream, tarfile.open(fileobj=stream, mode="r:") as archive:
            entries = iter(archive)
            first = next(entries, None)
            if first is None or first.name != _MAGIC or _content(archive, first) != _VERSION:
                raise _invalid(file, "is no backup of a registry, or of a newer version")
            for entry in entries:
                yield entry.name, _content(archive, entry)
            # To the very end, where the compression's own check stands.
            while stream.read(_CHUNK_BYTES):
                pass
    except (tarfile.TarError, OSError, EOFError, ValueError, zlib.error) as error:
        raise _invalid(file, "is damaged, cut short, or no backup") from error


def copy_rows(source: Store, target: Store, *, without: frozenset[str] = frozenset()) -> None:
    """Puts every row of a store into an empty one, in one transaction of each."""
    with source.transaction() as reading, target.transaction() as writing:
        for table in METADATA.sorted_tables:
            if table.name in without:
                continue
            rows = reading.connection().execute(select(table)).mappings()
            while batch := rows.fetchmany(_BATCH):
                writing.connection().execute(insert(table), [dict(row) for row in batch])
            if target.is_shared:
                _continue_numbers(writing.connection(), table)


def _continue_numbers(connection: Any, table: Any) -> None:  # noqa: ANN401  (Core's own types)
    """Has PostgreSQL go on counting after the rows that were put in with their numbers."""
    for column in table.primary_key.columns:
        sequence = connection.execute(
            text("SELECT pg_get_serial_sequence(:table, :column)"),
            {"table": table.name, "column": column.name},
        ).scalar()
        if sequence is not None:
            highest = connection.execute(select(column).order_by(column.desc()).limit(1)).scalar()
            connection.execute(
                text("SELECT setval(:sequence, :next, false)"),
                {"sequence": sequence, "next": (highest or 0) + 1},
            )


def _published(home: RegistryHome) -> dict[str, Path]:
    """The published files: all that a snapshot may name, the timestamp first, as it names them."""
    folder = home.directory
    below = ("metadata", "targets", "log")
    names = [TIMESTAMP_NAME, *sorted(name for part in below for name in folder.names(part))]
    return {f"directory/{name}": folder.path / name for name in dict.fromkeys(names)}


def _copy_database(url: str, file: Path) -> None:
    if url.startswith("sqlite:///"):
        # As of one moment, while others write.
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"))) as connection:
            connection.execute("VACUUM INTO ?", (str(file),))
        return
    source, target = Store.open(url), Store.open(f"sqlite:///{file}")
    try:
        copy_rows(source, target)
    finally:
        source.close()
        target.close()


def _add_files(
    archive: tarfile.TarFile, found: dict[str, Path], about: dict[str, Any], progress: Progress
) -> bytes:
    """Adds the files and the manifest; gives the manifest's hash."""
    _add(archive, _MAGIC, _VERSION)
    lines = {}
    for done, (name, path) in enumerate(found.items(), 1):
        try:
            data = path.read_bytes()
        except FileNotFoundError:
            # Taken away meanwhile: nothing that is in force names it.
            continue
        lines[name] = _line(data)
        _add(archive, name, data)
        progress(done, len(found))
    manifest = json.dumps({**about, "files": lines}, sort_keys=True).encode()
    digest = sha256(manifest).hexdigest().encode()
    _add(archive, _MANIFEST, manifest)
    _add(archive, _DIGEST, digest)
    return digest


def _add(archive: tarfile.TarFile, name: str, data: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size, entry.mode = len(data), 0o600
    archive.addfile(entry, io.BytesIO(data))


def _content(archive: tarfile.TarFile, entry: tarfile.TarInfo) -> bytes:
    opened = archive.extractfile(entry) if entry.isreg() else None
    if opened is None or entry.size > _MAX_FILE_BYTES:
        raise ValueError(entry.name)
    data = opened.read()
    if len(data) != entry.size:
        raise EOFError
    return data


def _line(data: bytes) -> dict[str, Any]:
    return {"size": len(data), "sha256": sha256(data).hexdigest()}


def _is_ours(name: str) -> bool:
    """Whether a name is one that a backup has; none leads out of its folder."""
    parts = name.split("/")
    if not all(parts) or any(part in {".", ".."} for part in parts):
        return False
    return name in {_SETTINGS, _ROOT, _DATABASE} or name.startswith("directory/")


def _put(into: Path, name: str, data: bytes) -> None:
    path = into / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(0o600 if name.partition("/")[0] in SECRET or name == _DATABASE else 0o644)
    path.write_bytes(data)


def _secrets(home: RegistryHome) -> dict[str, bytes]:
    def walk() -> Iterator[Path]:
        for folder in SECRET:
            yield from sorted((home.path / folder).rglob("*"))

    return {
        path.relative_to(home.path).as_posix(): path.read_bytes()
        for path in walk()
        if path.is_file()
    }


def _key(passphrase: str, salt: bytes) -> bytes:
    kdf = Scrypt(salt=salt, length=32, n=_SCRYPT_N, r=8, p=1)
    return kdf.derive(passphrase.encode())


def _seal(found: dict[str, bytes], passphrase: str, bound: bytes) -> bytes:
    plain = json.dumps({name: data.hex() for name, data in found.items()}).encode()
    salt, nonce = secrets.token_bytes(_SALT_BYTES), secrets.token_bytes(_NONCE_BYTES)
    return salt + nonce + AESGCM(_key(passphrase, salt)).encrypt(nonce, plain, bound)


def _unseal(sealed: bytes, passphrase: str, bound: bytes) -> dict[str, bytes]:
    salt, nonce = sealed[:_SALT_BYTES], sealed[_SALT_BYTES : _SALT_BYTES + _NONCE_BYTES]
    try:
        cipher = AESGCM(_key(passphrase, salt))
        plain = cipher.decrypt(nonce, sealed[_SALT_BYTES + _NONCE_BYTES :], bound)
    except (InvalidTag, ValueError) as error:
        raise SimpulError(
            Code.BACKUP_INVALID,
            "the keys in this backup do not open: the passphrase is another one, or the backup was "
            "changed",
        ) from error
    return {name: bytes.fromhex(data) for name, data in json.loads(plain).items()}


def _snapshot_version(timestamp: Path) -> int:
    document = json.loads(timestamp.read_bytes())
    return int(document["signed"]["meta"]["snapshot.json"]["version"])


def _invalid(file: Path, what: str) -> SimpulError:
    return SimpulError(Code.BACKUP_INVALID, f"{file} {what}: nothing was restored from it")
