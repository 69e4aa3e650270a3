"""The contract of erasing, and of what is remembered and told of it.

**Erases.** `erase` destroys, of every call of that id in this journal: the wrapped keys, the
ciphertext, the salts of payloads and private blocks, and the persons that it was found by. It
touches no other call, no leaf of the tree and no row of the index of calls.

**Together.** What is destroyed, the record of it, what is to be told and the notices that it
settles are one transaction, durable when the method returns.

**Gone.** `scrub` sees to it that what was destroyed before is no longer in the database's files: on
SQLite nothing of it is left in the file or its log; on PostgreSQL the rows are freed, and the
server may keep their bytes in its files and its own log for a while. Whoever must be sure there
replaces the wrapping key, and keeps the old one nowhere.

**For good.** Erasures are added, never changed or taken away.

**Errors.** `SimpulError` only: those of node.journal.store, NOT_FOUND and CONFLICT.

Any thread may use it, and more than one at a time. It asks no clock.

Source: docs/spec, "Journal: erasure".
"""

from abc import ABC, abstractmethod
from collections.abc import Collection

from node.journal.kept.keys import KeptKeys
from node.journal.kept.model import Erased, Erasure, ErasureOrder, Notice, Settled, Telling


class KeptStore(ABC):
    """See the module's text: it is the contract."""

    @abstractmethod
    def erase(self, order: ErasureOrder, *, now_ms: int) -> Erased:
        """Erases a call. Erasing it again does no harm and records nothing.

        Raises:
            SimpulError: NOT_FOUND, where the journal has no such call; CONFLICT, while it is under
                way; and what the module says.
        """

    @abstractmethod
    def scrub(self) -> bool:
        """Takes the bytes of what was erased out of the database's files, as far as that goes.

        Returns:
            Whether it could be done now. Where not, a reader was in the way: try again.
        """

    @abstractmethod
    def erasures(self, *, limit: int) -> list[Erasure]:
        """The newest erasures, each with what was told of it."""

    @abstractmethod
    def due(self, now_ms: int, *, limit: int) -> list[Telling]:
        """What is to be told now, the oldest first."""

    @abstractmethod
    def told(self, telling: int, *, now_ms: int, code: str = "") -> None:
        """Notes that the other side has answered; with `NOTHING_KEPT`, that it keeps nothing."""

    @abstractmethod
    def postpone(self, telling: int, code: str, next_at_ms: int) -> None:
        """Notes that it failed, why, and when to try again."""

    @abstractmethod
    def hear(self, notice: Notice, others: Collection[str] = ()) -> Notice:
        """Records a notice, once for each call and member; returns it as it stands.

        `others` are subsystems that were the other party to the call, by archives' word.

        A notice of a call that was erased here before is settled at once.

        Raises:
            SimpulError: NOT_FOUND, where that member is no party to such a call.
        """

    @abstractmethod
    def notices(self, *, only_open: bool, limit: int) -> list[Notice]:
        """The notices, those that were heard last first."""

    @abstractmethod
    def settle(self, call_id: bytes, how: Settled, *, now_ms: int) -> int:
        """Settles the open notices of a call; returns how many there were."""

    @abstractmethod
    def wrapped_otherwise(self, keys: KeptKeys) -> int:
        """How many entries' keys are wrapped by another key than the newest."""

    @abstractmethod
    def rewrap(self, keys: KeptKeys, *, limit: int) -> int:
        """Wraps up to `limit` of them by the newest key; returns how many it did.

        When it returns 0, no transaction that knew only an older key can add more.

        Raises:
            SimpulError: KEY_UNKNOWN, where the key that wraps one is gone; JOURNAL_CORRUPT.
        """
