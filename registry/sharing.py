"""Working beside other registries on one database: following what they publish, finishing for them.

Nothing here is needed, or used, where the database is a file of the home.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from registry.directory import content
from registry.directory.publisher import Publication, Publisher
from registry.directory.shared import SharedFolder
from registry.model import Touched
from registry.registrar import Registrar
from registry.store import under_way
from registry.store.database import Store
from security.directory_records import parse_policy

# A request that takes longer than this is taken for one whose registry is gone. If it is not, the
# same is published twice, which changes nothing.
FORGOTTEN_AFTER_MS: Final = 10_000


@dataclass(frozen=True, slots=True)
class Marks:
    """What this registry has begun and not published."""

    store: Store
    clock_ms: Callable[[], int]

    def begin(self) -> str:
        """Leaves a mark; durable when it returns."""
        mark = secrets.token_hex(16)
        with self.store.transaction() as session:
            under_way.begin(session, mark, self.clock_ms())
        return mark

    def end(self, mark: str) -> None:
        """Takes it away: all is published, or nothing was changed."""
        with self.store.transaction() as session:
            under_way.end(session, mark)


@dataclass(frozen=True, slots=True)
class Sharing:
    """One registry among several. Everything in the writer's thread."""

    store: Store
    folder: SharedFolder
    publisher: Publisher
    registrar: Registrar
    clock_ms: Callable[[], int]

    def follow(self) -> Publication | None:
        """Takes over what others published since the last look; None: nothing."""
        files = self.folder.pull()
        if not files:
            return None
        publication = self.publisher.follow(files)
        self.registrar.policy = parse_policy(self.publisher.policy_file)
        return publication

    def forgotten(self) -> tuple[tuple[str, ...], Touched]:
        """The marks of requests that nobody finishes, and what must be compared for them."""
        with self.store.transaction() as session:
            marks = under_way.begun_before(session, self.clock_ms() - FORGOTTEN_AFTER_MS)
        return marks, content.everything(self.store) if marks else Touched()

    def finished(self, marks: tuple[str, ...]) -> None:
        """Takes the marks away: what they stand for is published."""
        with self.store.transaction() as session:
            under_way.end(session, *marks)
