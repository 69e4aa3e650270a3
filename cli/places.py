"""Where a node's journal is, and what opens it, for the commands that read it themselves."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from node.journal.kept.keys import KeptKeys
    from node.journal.place import Place


def journal_of(home: Path) -> "Place":
    """The journal of the node at `home`.

    Raises:
        SimpulError: HOME_MISSING, HOME_FOREIGN, CONFIG_INVALID.
    """
    from node.config import journal_place, load_config
    from node.home import NodeHome

    opened = NodeHome.open(home)
    if not opened.config.exists():
        # What was begun or restored without its configuration may still be looked into.
        return opened.journal
    return journal_place(load_config(opened, os.environ), opened)


def kept_keys_of(home: Path) -> "KeptKeys":
    """The keys by which the journal keeps and finds contents, as far as they are there.

    Raises:
        SimpulError: HOME_MISSING, HOME_FOREIGN, KEY_MALFORMED.
    """
    from node.home import NodeHome
    from node.secret_ring import SecretRing

    return SecretRing(NodeHome.open(home)).kept_keys()
