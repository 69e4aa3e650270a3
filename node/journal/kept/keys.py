"""The node's secret keys as the journal uses them: the newest writes, all of them read.

Source: docs/spec, "Journal: payloads" and "Journal: persons".
"""

from collections.abc import Callable
from dataclasses import dataclass

from security.errors import Code, SimpulError
from security.kept import unwrap_key
from security.persons import PersonKind, person_tag
from security.secret_key import SecretKey


@dataclass(frozen=True, slots=True)
class KeptKeys:
    """The keys of a moment, the newest last. `secret_metadata` is never stored."""

    wrapping: tuple[SecretKey, ...]
    index: tuple[SecretKey, ...]
    secret_metadata: frozenset[str] = frozenset()

    @property
    def newest(self) -> SecretKey:
        """The key that wraps.

        Raises:
            SimpulError: KEY_UNKNOWN, where the node has none.
        """
        return _newest(self.wrapping, "wrap")

    @property
    def newest_index(self) -> SecretKey:
        """The key that hashes persons; raises as `newest` does."""
        return _newest(self.index, "index")

    def unwrap(self, secret_id: bytes, wrapped: bytes) -> bytes:
        """Return an entry's key.

        Raises:
            SimpulError: KEY_UNKNOWN, where the node doesn't have the key that wrapped it;
                JOURNAL_CORRUPT.
        """
        for secret in self.wrapping:
            if secret.id == secret_id:
                return unwrap_key(secret, wrapped)
        raise SimpulError(
            Code.KEY_UNKNOWN,
            f"the key {secret_id.hex()} that wraps this entry's key isn't in the node's keys: "
            "restore keys/wrap*.key from a backup",
        )

    def tags(self, kind: PersonKind, text: str) -> tuple[bytes, ...]:
        """What a person may be in the index under: a tag for each index key."""
        return tuple(person_tag(secret, kind, text) for secret in self.index)


# Gives the keys as they are now: a new one is used from the next transaction on.
Keys = Callable[[], KeptKeys]


def _newest(keys: tuple[SecretKey, ...], name: str) -> SecretKey:
    if len(keys) == 0:
        raise SimpulError(
            Code.KEY_UNKNOWN,
            f"the node has no {name} key: restore keys/{name}*.key from a backup",
        )
    return keys[-1]
