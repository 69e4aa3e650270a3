"""What the journal kept of a call's messages and private blocks, opened with the node's keys.

A private block that was kept without its credentials isn't the one that was sealed, so it proves
nothing, and isn't shown.
"""

from node.evidence.export import Contents, KeptContents
from node.journal.kept.keys import KeptKeys
from node.journal.kept.model import KeptPart, State
from node.journal.kept.reader import KeptReader
from node.journal.place import Place

_NOTHING = KeptContents()


def kept_contents(place: Place, keys: KeptKeys, call_id: bytes) -> Contents:
    """Look up what is kept of a call, in the journal at `place`.

    Raises:
        SimpulError: JOURNAL_CORRUPT, where something doesn't open or doesn't match.
    """
    with KeptReader(place, keys) as reader:
        found = {
            (item.slot, item.idx, item.entry_no): KeptContents(
                _whole(item.payload), _whole(item.private)
            )
            for item in reader.of_call(call_id)
        }
    return lambda slot, idx, entry_no: found.get((slot, idx, entry_no), _NOTHING)


def _whole(part: KeptPart | None) -> bytes | None:
    return part.data if part is not None and part.state is State.KEPT else None
