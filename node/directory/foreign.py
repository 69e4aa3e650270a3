"""Keys that the directory lists in a member's name and that this node didn't make.

The registry can list a node and its key under a member on its own; a statement needs the member's
identity key. Whoever runs the member's node is the one who knows whether a key is his: this is how
he hears of it. A member with several nodes hears of the others' keys too: only its people can tell.

Pure but for `ForeignKeys`, which remembers what was told. It refuses nothing.

Source: docs/spec, "Directory: public log".
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum

import structlog

from security.directory import DirectoryView, MemberView
from security.identifiers import MemberId

_log = structlog.stdlib.get_logger(__name__)


class KeyKind(StrEnum):
    """What a key is listed for."""

    IDENTITY = "identity"
    SEAL = "seal"
    NODE = "node"


@dataclass(frozen=True, slots=True, order=True)
class ForeignKey:
    """A key in a member's name that isn't in this node's home."""

    member: str
    kind: KeyKind
    key_id: bytes
    # Where it is for one; empty for an identity key.
    node: str = ""


def foreign_keys(
    view: DirectoryView, members: Iterable[MemberId], own: frozenset[bytes]
) -> tuple[ForeignKey, ...]:
    """The keys of these members, by `view`, whose ids aren't among `own`."""
    listed = (view.members[member] for member in members if member in view.members)
    found = {key for member in listed for key in _keys(member) if key.key_id not in own}
    return tuple(sorted(found))


class ForeignKeys:
    """Tells of each such key once: at the start, and when it appears."""

    def __init__(self, members: Iterable[MemberId], own: Callable[[], frozenset[bytes]]) -> None:
        self._members = tuple(members)
        self._own = own
        self._told: frozenset[ForeignKey] = frozenset()
        self._is_first = True
        self.listed: tuple[ForeignKey, ...] = ()

    def look(self, view: DirectoryView) -> tuple[ForeignKey, ...]:
        """Those that weren't there before; logged."""
        self.listed = foreign_keys(view, self._members, self._own())
        fresh = tuple(key for key in self.listed if key not in self._told)
        # What was there before the start may have been looked at long ago.
        say = _log.warning if self._is_first else _log.error
        for key in fresh:
            say(
                "the directory lists a key in our name that this node didn't make: if none of "
                "your people did, tell the registry's operator now",
                member=key.member,
                kind=key.kind,
                key=key.key_id.hex()[:16],
                node=key.node,
                version=view.version,
            )
        self._told = frozenset(self.listed)
        self._is_first = False
        return fresh


def _keys(member: MemberView) -> Iterator[ForeignKey]:
    name = str(member.id)
    if member.statement is not None:
        yield ForeignKey(name, KeyKind.IDENTITY, member.statement.identity_key.key_id)
    for key_id, item in member.seal_keys.items():
        yield ForeignKey(name, KeyKind.SEAL, key_id, str(item.node))
    for node in member.nodes:
        yield ForeignKey(name, KeyKind.NODE, node.node_key.key_id, str(node.id))
