"""Which partners' agreements are suspended. Pure.

A member hosted here knows each partner by a pinned identity key. Where the directory lists another
one, or none, every agreement between the two rests until the succession was followed or an operator
has compared the fingerprint: a registry that was captured can list a false key, and opens nothing
by it.

Source: trust, "Agreements".
"""

from collections.abc import Iterable

from security.directory import DirectoryView
from security.errors import SimpulError
from security.identifiers import MemberId
from security.keys import PublicKey

Parties = frozenset[MemberId]


def suspended(
    pins: Iterable[tuple[MemberId, MemberId, PublicKey]], directory: DirectoryView
) -> frozenset[Parties]:
    """The pairs of members whose agreements rest.

    Args:
        pins: Who knows whom by which identity key.
        directory: What is listed now.
    """
    return frozenset(
        frozenset((owner, member))
        for owner, member, key in pins
        if not _lists(directory, member, key)
    )


def _lists(directory: DirectoryView, member: MemberId, key: PublicKey) -> bool:
    try:
        return directory.identity_key(member) == key
    except SimpulError:
        return False
