"""The node's own secret keys, several of each kind: the newest is used, all are read.

    keys/wrap.key, wrap-2.key …      wraps the keys of what the journal keeps
    keys/index.key, index-2.key …    hashes the persons that calls are found by

They never leave the node and stand in no directory. A key is used from the moment that its file
lies there; a file is never overwritten, but for its end (`destroy_wrapping`).

Source: docs/spec, "Journal: payloads" and "Journal: persons".
"""

import re
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import Final

from node.home import NodeHome
from node.journal.kept.keys import KeptKeys
from runtime.files import create_private, shred
from security.secret_key import SecretKey

WRAP: Final = "wrap"
INDEX: Final = "index"
_END: Final = ".key"


class SecretRing:
    """The secret keys in a home's folder. For one thread at a time."""

    def __init__(self, home: NodeHome) -> None:
        self._folder = home.keys
        self._read: dict[Path, SecretKey] = {}

    def kept_keys(self, secret_metadata: Collection[str] = ()) -> KeptKeys:
        """The keys as they lie there now. `secret_metadata` is what is never kept besides."""
        return KeptKeys(self._keys(WRAP), self._keys(INDEX), frozenset(secret_metadata))

    def ensure(self, draw: Callable[[], SecretKey]) -> None:
        """Makes the first key of each kind where there is none."""
        for stem in (WRAP, INDEX):
            if len(self._files(stem)) == 0:
                create_private(self._folder / f"{stem}{_END}", draw().to_text())

    def add(self, stem: str, secret: SecretKey) -> None:
        """Stores a key as the newest of its kind: `WRAP` or `INDEX`."""
        files = self._files(stem)
        number = 1 if not files else _number(files[-1]) + 1
        suffix = "" if number == 1 else f"-{number}"
        create_private(self._folder / f"{stem}{suffix}{_END}", secret.to_text())

    def destroy_wrapping(self, keep: SecretKey) -> int:
        """Destroys every wrapping key but this one, as far as a disk forgets; returns how many."""
        old = [file for file in self._files(WRAP) if self._key(file) != keep]
        for file in old:
            shred(file)
            self._read.pop(file, None)
        return len(old)

    def _keys(self, stem: str) -> tuple[SecretKey, ...]:
        found = []
        for file in self._files(stem):
            # One that was destroyed since it was listed wraps nothing any more.
            with suppress(FileNotFoundError):
                found.append(self._key(file))
        return tuple(found)

    def _key(self, file: Path) -> SecretKey:
        # A key's file never changes, so it is read once.
        if file not in self._read:
            self._read[file] = SecretKey.from_text(file.read_bytes())
        return self._read[file]

    def _files(self, stem: str) -> list[Path]:
        pattern = re.compile(re.escape(stem) + r"(?:-([0-9]+))?" + re.escape(_END))
        if not self._folder.is_dir():
            return []
        found = [file for file in self._folder.iterdir() if pattern.fullmatch(file.name)]
        return sorted(found, key=_number)


def _number(file: Path) -> int:
    tail = re.search(r"-([0-9]+)\.key$", file.name)
    return 1 if tail is None else int(tail.group(1))
