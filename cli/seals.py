"""Judges a journal's seals by the node's own copy of the directory.

It says whether the key that a header names made the seal, not whether that key was valid then: that
needs the directories of the time, as evidence does.
"""

from pathlib import Path

from node.directory.folder import CURRENT
from node.directory.load import load_view
from node.home import NodeHome
from node.journal.checks import SealCheck
from security.parcel import HeaderFields
from security.seal import parse_seal, verify_seal


def seal_check(home: Path) -> SealCheck | None:
    """The check for `node.journal.verify`; None where the node has no directory yet.

    Raises:
        SimpulError: HOME_MISSING or HOME_FOREIGN; DIRECTORY_ABSENT, when the copy is damaged.
    """
    current = NodeHome.open(home).directory / CURRENT
    if not current.exists():
        return None
    view = load_view(current.resolve())

    def check(header: HeaderFields, seal: bytes, header_hash: bytes) -> None:
        key = view.seal_key_bytes(header.member, header.seal_key_id)
        verify_seal(parse_seal(seal), header_hash, key)

    return check
