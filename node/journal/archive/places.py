"""Where archives are kept: a folder, or a bucket of a store that speaks S3.

    DIR                   an absolute path; made where it's missing
    s3://BUCKET/PREFIX    credentials and endpoint from the environment (AWS_ACCESS_KEY_ID, ...,
                          AWS_ENDPOINT_URL) or from AWS's credentials file; never from our own
                          configuration

**Whole or not at all.** `put` returns after the archive is durable under its name; before that
nobody sees a part of it. What is there already is overwritten: only this node writes there.

**Errors.** `SimpulError` only: NOT_FOUND for a name that isn't there, ARCHIVE_FAILED for all else.

Source: docs/how-to/keep-the-journal-small.md.
"""

import configparser
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final, cast
from urllib.parse import urlsplit

from runtime.files import sync_folder
from security.errors import Code, SimpulError

if TYPE_CHECKING:
    from obstore.store import S3Config, S3Store

S3_SCHEME: Final = "s3"
PIECE_BYTES: Final = 256 * 1024
PART_BYTES: Final = 8 * 1024 * 1024
FOLDER_MODE: Final = 0o750
CREDENTIALS_FILE: Final = "AWS_SHARED_CREDENTIALS_FILE"
_CREDENTIALS: Final = {
    "AWS_ACCESS_KEY_ID": "access_key_id",
    "AWS_SECRET_ACCESS_KEY": "secret_access_key",
    "AWS_SESSION_TOKEN": "session_token",
}
# Whoever runs with a role says so.
_ROLES: Final = (
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI",
)
# An S3 store is asked so long; the journal keeps what couldn't be put.
RETRY_S: Final = 60


class ArchivePlace(ABC):
    """See the module's text: it is the contract. `str()` gives what the journal remembers."""

    @abstractmethod
    def put(self, name: str, staged: Path) -> None:
        """Keeps the file `staged` under a name, durably."""

    @abstractmethod
    def read(self, name: str) -> Iterator[bytes]:
        """Yields what is kept under a name, in pieces."""

    @abstractmethod
    def names(self, folder: str = "") -> tuple[str, ...]:
        """Returns the names of all that is kept, or of what is kept below a folder; sorted."""


class FolderPlace(ArchivePlace):
    """A folder of this machine, or one that is mounted."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __str__(self) -> str:
        return str(self._folder)

    def put(self, name: str, staged: Path) -> None:
        """See the contract."""
        path = self._folder / name
        temporary = path.with_name(f".{path.name}.part")
        with _told(str(self)):
            _make_folder(path.parent)
            # A copy and not a move: the other may be another disk.
            with staged.open("rb") as source, temporary.open("wb") as target:
                while piece := source.read(PIECE_BYTES):
                    target.write(piece)
                target.flush()
                os.fsync(target.fileno())
            temporary.replace(path)
            sync_folder(path.parent)

    def read(self, name: str) -> Iterator[bytes]:
        """See the contract."""
        path = self._folder / name
        with _told(str(self)), path.open("rb") as file:
            # What was written is read from the disk, where the system can be asked for that.
            if hasattr(os, "posix_fadvise"):
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            while piece := file.read(PIECE_BYTES):
                yield piece

    def names(self, folder: str = "") -> tuple[str, ...]:
        """See the contract."""
        with _told(str(self)):
            top = self._folder / folder
            if not top.exists():
                return ()
            found = (path for path in top.rglob("*") if path.is_file())
            names = (path.relative_to(self._folder).as_posix() for path in found)
            return tuple(sorted(name for name in names if not _is_hidden(name)))


class S3Place(ArchivePlace):
    """A bucket, below a prefix. Needs the package `simpul[s3]`."""

    def __init__(self, url: str, env: Mapping[str, str]) -> None:
        parts = urlsplit(url)
        self._url = url.rstrip("/")
        self._prefix = parts.path.strip("/")
        self._store = _open_s3(parts.netloc, env)

    def __str__(self) -> str:
        return self._url

    def put(self, name: str, staged: Path) -> None:
        """See the contract. A store answers once it has all parts, and shows nothing before."""
        import obstore  # noqa: PLC0415  (an extra that few install)

        with _s3_told(self._url):
            obstore.put(self._store, self._key(name), staged, chunk_size=PART_BYTES)

    def read(self, name: str) -> Iterator[bytes]:
        """See the contract."""
        import obstore  # noqa: PLC0415

        with _s3_told(self._url):
            for piece in obstore.get(self._store, self._key(name)).stream(PIECE_BYTES):
                yield bytes(piece)

    def names(self, folder: str = "") -> tuple[str, ...]:
        """See the contract."""
        import obstore  # noqa: PLC0415

        found: list[str] = []
        start = f"{self._prefix}/" if self._prefix else ""
        with _s3_told(self._url):
            for page in obstore.list(self._store, f"{start}{folder}".strip("/") or None):
                found += (item["path"].removeprefix(start) for item in page)
        return tuple(sorted(found))

    def _key(self, name: str) -> str:
        return f"{self._prefix}/{name}" if self._prefix else name


def parse_archive_place(text: str, env: Mapping[str, str]) -> ArchivePlace:
    """Opens the place that `text` names.

    Raises:
        SimpulError: CONFIG_INVALID, where it names none or what it needs isn't installed.
    """
    parts = urlsplit(text)
    if parts.scheme == S3_SCHEME:
        if parts.netloc == "" or "@" in parts.netloc or parts.query or parts.fragment:
            raise _invalid("give s3://BUCKET/PREFIX, and the credentials in the environment")
        return S3Place(text, env)
    if parts.scheme != "" or text == "" or "\0" in text:
        raise _invalid("give a folder, or s3://BUCKET/PREFIX")
    return FolderPlace(Path(text).absolute())


def read_credentials(env: Mapping[str, str]) -> dict[str, str]:
    """What the environment says, or else AWS's credentials file of the profile in force.

    Raises:
        SimpulError: CONFIG_INVALID, where the file can't be read.
    """
    if "AWS_ACCESS_KEY_ID" in env:
        return {name: env[key] for key, name in _CREDENTIALS.items() if key in env}
    home = env.get("HOME", "")
    default = str(Path(home) / ".aws" / "credentials") if home else ""
    path = env.get(CREDENTIALS_FILE, default)
    parser = configparser.RawConfigParser()
    try:
        parser.read(path)
    except (configparser.Error, OSError, UnicodeDecodeError) as error:
        raise _invalid(f"{path} can't be read") from error
    profile = env.get("AWS_PROFILE", "default")
    said = dict(parser.items(profile)) if parser.has_section(profile) else {}
    return {name: said[key.lower()] for key, name in _CREDENTIALS.items() if key.lower() in said}


def _open_s3(bucket: str, env: Mapping[str, str]) -> "S3Store":
    try:
        from obstore.store import S3Store  # noqa: PLC0415  (an extra that few install)
    except ImportError as error:
        raise _invalid("S3 needs more: install simpul[s3]") from error
    config = {"bucket": bucket, **read_credentials(env)}
    if len(config) == 1 and not any(name in env for name in _ROLES):
        # Otherwise the library would ask the machine's metadata service, which may be anybody's.
        raise _invalid("no credentials for S3: set AWS_ACCESS_KEY_ID, or AWS's credentials file")
    endpoint = env.get("AWS_ENDPOINT_URL_S3") or env.get("AWS_ENDPOINT_URL") or ""
    if endpoint != "":
        config["endpoint"] = endpoint
    # Stores of one's own have none, and it's part of what is signed.
    config["region"] = env.get("AWS_REGION") or env.get("AWS_DEFAULT_REGION") or "us-east-1"
    return S3Store(
        config=cast("S3Config", config),
        client_options={"allow_http": endpoint.startswith("http://")},
        retry_config={"max_retries": 5, "retry_timeout": _seconds(RETRY_S)},
    )


def _seconds(count: int) -> timedelta:
    return timedelta(seconds=count)


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Gives the errors of files by the contract."""
    try:
        yield
    except FileNotFoundError as error:
        raise SimpulError(
            Code.NOT_FOUND, f"{where} has no such archive: look for a copy", place=where
        ) from error
    except OSError as error:
        raise _failed(where, (error.strerror or "unknown error").lower()) from error


@contextmanager
def _s3_told(where: str) -> Iterator[None]:
    """Gives the errors of a store by the contract."""
    from obstore.exceptions import BaseError, NotFoundError  # noqa: PLC0415

    try:
        yield
    except (NotFoundError, FileNotFoundError) as error:
        raise SimpulError(
            Code.NOT_FOUND, f"{where} has no such archive: look for a copy", place=where
        ) from error
    except (BaseError, OSError, ValueError) as error:
        # The first line: the rest is the library's own state.
        raise _failed(where, _first_line(str(error))) from error


def _first_line(text: str) -> str:
    return next(iter(text.strip().splitlines()), "unknown error")[:200]


def _make_folder(folder: Path) -> None:
    missing = [item for item in (folder, *folder.parents) if not item.exists()]
    for item in reversed(missing):
        try:
            item.mkdir(mode=FOLDER_MODE)
        except OSError as error:
            if error.errno != errno.EEXIST:
                raise
        sync_folder(item.parent)


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in PurePosixPath(name).parts)


def _failed(where: str, why: str) -> SimpulError:
    return SimpulError(
        Code.ARCHIVE_FAILED,
        f"archives can't be kept or read in {where} ({why}): mend that; nothing is dropped "
        "from the journal meanwhile",
        place=where,
    )


def _invalid(what: str) -> SimpulError:
    return SimpulError(
        Code.CONFIG_INVALID, f"journal.archive is no place: {what}", key="journal.archive"
    )
