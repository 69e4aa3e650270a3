"""The folder that is published: written so that a reader at any moment sees one whole directory.

It knows names and bytes, and nothing of TUF's formats. Rules: a file is on the disk, with its name,
before `timestamp.json` can name it; every name but that one is written once; `timestamp.json` is
replaced in one step, and that is the moment of publication. One writer at a time: the home's lock.
"""

import os
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

from registry.directory.layout import METADATA, TIMESTAMP_FILE
from runtime.files import sync_folder, write_durably
from security.errors import Code, SimpulError

TIMESTAMP_NAME = f"{METADATA}/{TIMESTAMP_FILE}"


class PublishedFolder:
    """The files below the directory's URL."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def read(self, name: str) -> bytes:
        """The content of a published file.

        Raises:
            SimpulError: DIRECTORY_ABSENT, when it is not there.
        """
        try:
            return (self.path / name).read_bytes()
        except FileNotFoundError as error:
            raise SimpulError(
                Code.DIRECTORY_ABSENT,
                f"{self.path / name} is missing: restore the registry's home from its backup",
            ) from error

    def names(self, below: str) -> Iterator[str]:
        """The names of all files in `metadata`, `targets` or `log`."""
        for path in (self.path / below).rglob("*"):
            if path.is_file() and not path.name.startswith("."):
                yield path.relative_to(self.path).as_posix()

    def add(self, name: str, data: bytes) -> None:
        """Writes a new file; its name is durable with the next `commit`.

        The same bytes again are no error; others are.

        Raises:
            SimpulError: CONFLICT, when the name is taken by other bytes.
            OSError: as it comes; the name is then not there.
        """
        path = self.path / name
        if path.exists():
            if path.read_bytes() != data:
                raise SimpulError(
                    Code.CONFLICT,
                    f"{path} exists with another content: does another program publish here?",
                )
            return
        self._make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
        try:
            _write(temporary, data)
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise

    def commit(self, timestamp: bytes, files: Mapping[str, bytes]) -> None:
        """Publishes: `files` in their order first, and last, in one step, the timestamp.

        Raises:
            OSError: as it comes; what was published before is then still published.
        """
        for name, data in files.items():
            self.add(name, data)
        # Once for all files in a folder: names before the one that leads to them.
        for folder in sorted({(self.path / name).parent for name in files}):
            sync_folder(folder)
        path = self.path / TIMESTAMP_NAME
        self._make_folder(path.parent)
        write_durably(path, timestamp)

    def remove(self, name: str) -> None:
        """Takes a file away that was never published."""
        (self.path / name).unlink(missing_ok=True)

    def retire(self, name: str) -> None:
        """Takes a file away that nothing published names any more."""
        (self.path / name).unlink(missing_ok=True)

    def is_empty(self) -> bool:
        """Whether nothing was ever published here."""
        return not (self.path / TIMESTAMP_NAME).exists()

    def _make_folder(self, folder: Path) -> None:
        missing = [above for above in (folder, *folder.parents) if not above.exists()]
        for above in reversed(missing):
            above.mkdir(mode=0o755, exist_ok=True)
            sync_folder(above.parent)


def _write(path: Path, data: bytes) -> None:
    with path.open("xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
