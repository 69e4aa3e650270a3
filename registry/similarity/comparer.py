"""The comparison as the workflow of contracts uses it: the closest, with what they share.

What was read of a contract is kept by its content, so that each is read once in a process's life;
the answer depends on nothing but the arguments.
"""

from collections.abc import Sequence
from threading import Lock
from typing import Final

from registry.contracts.model import KnownContract, Likeness, ListedContract
from registry.similarity.compare import THRESHOLD
from registry.similarity.features import Features, features
from registry.similarity.index import Found, SimilarityIndex

# So many of the closest are shown, from this likeness on.
MAX_SHOWN: Final = 5
LEAST_SHOWN: Final = 0.2
# Of each kind of name.
MAX_PAIRS: Final = 12


class SimilarityComparer:
    """Finds the contracts most like a new one; implements `registry.contracts.model.Comparer`."""

    def __init__(self, close_at: float = THRESHOLD) -> None:
        self._close_at = close_at
        self._index = SimilarityIndex()
        # By package: the content that the index holds.
        self._held: dict[str, bytes] = {}
        # A registry's other threads may ask, too.
        self._lock = Lock()

    def closest(self, new: KnownContract, known: Sequence[ListedContract]) -> tuple[Likeness, ...]:
        """Those worth showing, the closest first."""
        by_package = {item.package: item for item in known}
        with self._lock:
            self._hold(by_package)
            found = self._index.closest(_features(new), MAX_SHOWN)
        return tuple(
            self._told(item, by_package[item.package])
            for item in found
            if item.likeness.value >= LEAST_SHOWN
        )

    def _hold(self, known: dict[str, ListedContract]) -> None:
        for package in self._held.keys() - known.keys():
            self._index.remove(package)
            del self._held[package]
        for package, item in known.items():
            if self._held.get(package) != item.content:
                self._index.put(_features(item.read()))
                self._held[package] = item.content

    def _told(self, found: Found, other: ListedContract) -> Likeness:
        return Likeness(
            package=other.package,
            revision=other.revision,
            owner=other.owner,
            score=round(found.likeness.value, 3),
            close=found.likeness.value >= self._close_at,
            shared=shared(found),
            users=other.users,
        )


def shared(found: Found) -> tuple[str, ...]:
    """What two contracts share, in words: the new one's name first, where they differ."""
    likeness = found.likeness
    kinds = (
        ("method", likeness.methods), ("message", likeness.messages), ("field", likeness.fields)
    )  # fmt: skip
    said = []
    for kind, pairs in kinds:
        if pairs:
            listed = [one if one == two else f"{one} = {two}" for one, two in pairs[:MAX_PAIRS]]
            more = [f"and {len(pairs) - MAX_PAIRS} more"] if len(pairs) > MAX_PAIRS else []
            plural = "" if len(pairs) == 1 else "s"
            said.append(f"{len(pairs)} {kind}{plural}: {', '.join(listed + more)}")
    return tuple(said)


def _features(contract: KnownContract) -> Features:
    comments = {item.element: item.leading for item in contract.comments}
    return features(contract.descriptor_set, contract.package, comments)
