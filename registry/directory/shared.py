"""The published folder where several registries share a database: the database's copy is the truth.

Each registry has a folder of its own and serves it. A publication goes into the database first, by
compare-and-swap, so that exactly one registry publishes each number; then into the folder of who
published it. The others take it from the database into theirs. A registry that dies in between
finds what its folder lacks at its next start.

A database that is behind a folder is refused: its nodes would see the directory go back.
"""

import json
from collections.abc import Mapping

from registry.directory.folder import TIMESTAMP_NAME, PublishedFolder
from registry.directory.layout import Role, metadata_name
from registry.store import shelf
from registry.store.database import Store
from registry.store.shelf import Head
from security.errors import Code, SimpulError

_FIRST_ROOT = metadata_name(Role.ROOT, 1)


class SharedFolder(PublishedFolder):
    """See `PublishedFolder`."""

    def __init__(self, folder: PublishedFolder, store: Store) -> None:
        super().__init__(folder.path)
        self._store = store
        self._number = _number(self.read(TIMESTAMP_NAME))

    def join(self) -> None:
        """At a start: puts the folder into a database that has none yet, or follows what it has.

        Raises:
            SimpulError: HOME_FOREIGN, when the database is another federation's; DATABASE_CORRUPT,
                when it is behind this folder.
        """
        with self._store.transaction() as session:
            in_force = shelf.number(session)
            root = shelf.find(session, _FIRST_ROOT)
            if in_force == 0:
                names = sorted(
                    name for below in ("metadata", "targets", "log") for name in self.names(below)
                )
                files = {name: self.read(name) for name in names if name != TIMESTAMP_NAME}
                shelf.put(session, 0, Head(self._number, self.read(TIMESTAMP_NAME)), files)
                return
        if root != self.read(_FIRST_ROOT):
            raise SimpulError(
                Code.HOME_FOREIGN,
                f"database.url is the database of another registry than {self.path.parent}: mend "
                "database.url, or restore both from one backup",
            )
        if in_force < self._number:
            raise SimpulError(
                Code.DATABASE_CORRUPT,
                f"the database is behind what this registry has published ({in_force} of "
                f"{self._number}): it was put back without the registry; restore the registry "
                "from its backup (simpul registry restore FILE --home HOME)",
            )
        self.pull()

    def pull(self) -> Mapping[str, bytes]:
        """Takes over what other registries published since; the timestamp is the last, if any."""
        with self._store.transaction() as session:
            if shelf.number(session) <= self._number:
                return {}
            head = shelf.head(session)
            files = shelf.files_after(session, self._number)
        if head is None:
            return {}
        super().commit(head.timestamp, files)
        self._number = head.number
        return {**files, TIMESTAMP_NAME: head.timestamp}

    def commit(self, timestamp: bytes, files: Mapping[str, bytes]) -> None:
        """Publishes, in the database and then here.

        Raises:
            SimpulError: CONFLICT, when another registry published meanwhile: pull, and try again.
        """
        new = Head(_number(timestamp), timestamp)
        with self._store.transaction() as session:
            shelf.put(session, self._number, new, files)
        super().commit(timestamp, files)
        self._number = new.number

    def retire(self, name: str) -> None:
        """Takes a file away for all registries."""
        with self._store.transaction() as session:
            shelf.drop(session, name)
        super().retire(name)


def _number(timestamp: bytes) -> int:
    return int(json.loads(timestamp)["signed"]["version"])
