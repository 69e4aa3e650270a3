"""Which versions of the directory the journal names: read once, remembered, only added to."""

from pathlib import Path

from node.evidence.tidy import Named, gather
from security.hashing import sha256
from tests.unit.node.journal.builder import Link, close_entry, open_entry
from tests.unit.node.journal.support import write

NOTHING = Named(frozenset(), {})


def test_what_parcels_name_is_gathered_and_only_the_new_is_read(tmp_path: Path) -> None:
    place = tmp_path / "journal.db"
    link = Link()
    first, second, third = (sha256(bytes([number])) for number in range(3))
    write(
        place,
        [
            link.sent(open_entry(1), directory_hash=first),
            link.received(close_entry(1), directory_hash=second),
        ],
    )
    named = gather(place, NOTHING)
    assert named == Named(frozenset({first, second}), {0: 2})
    write(place, [link.sent(open_entry(2), directory_hash=third)])
    # As if the first two had never been read: only what came after is looked at.
    assert gather(place, Named(frozenset(), {0: 2})) == Named(frozenset({third}), {0: 3})
    assert gather(place, named).hashes == {first, second, third}


def test_slots_are_read_each_by_itself(tmp_path: Path) -> None:
    place = tmp_path / "journal.db"
    write(place, [Link("a").sent(open_entry(1))])
    write(place, [Link("b").sent(open_entry(2)), Link("c").sent(open_entry(3))], slot=1)
    assert gather(place, NOTHING).read == {0: 1, 1: 2}
