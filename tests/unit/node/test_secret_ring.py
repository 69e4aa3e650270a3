"""The node's secret keys: the newest writes, all read, and the old ones end."""

import os
from pathlib import Path

import pytest

from node.home import NodeHome
from node.secret_ring import INDEX, WRAP, SecretRing
from security.errors import Code, SimpulError
from security.secret_key import SecretKey


@pytest.fixture
def home(tmp_path: Path) -> NodeHome:
    return NodeHome.create(tmp_path / "n")


def draw() -> SecretKey:
    return SecretKey(os.urandom(32))


def test_the_first_keys_are_made_once(home: NodeHome) -> None:
    SecretRing(home).ensure(draw)
    keys = SecretRing(home).kept_keys({"x-mine"})
    assert (len(keys.wrapping), len(keys.index)) == (1, 1)
    assert keys.secret_metadata == {"x-mine"}
    SecretRing(home).ensure(draw)
    assert SecretRing(home).kept_keys({"x-mine"}) == keys
    assert {file.stat().st_mode & 0o777 for file in home.keys.iterdir()} == {0o600}


def test_the_newest_is_last_and_seen_at_once(home: NodeHome) -> None:
    ring, made = SecretRing(home), [draw() for _ in range(11)]
    assert ring.kept_keys().wrapping == ()
    for secret in made:
        SecretRing(home).add(WRAP, secret)
    assert ring.kept_keys().wrapping == tuple(made)
    assert ring.kept_keys().newest == made[-1]
    assert ring.kept_keys().index == ()


def test_older_wrapping_keys_are_destroyed_and_no_other(home: NodeHome) -> None:
    ring, other = SecretRing(home), SecretRing(home)
    ring.ensure(draw)
    (index,) = ring.kept_keys().index
    old, new = ring.kept_keys().newest, draw()
    ring.add(WRAP, new)
    ring.add(INDEX, draw())
    assert len(other.kept_keys().wrapping) == 2
    linked = home.keys / "linked"
    linked.hardlink_to(home.keys / "wrap.key")
    assert ring.destroy_wrapping(new) == 1
    assert ring.kept_keys().wrapping == other.kept_keys().wrapping == (new,)
    assert ring.kept_keys().index[0] == index
    # Overwritten, and not only unlinked.
    assert old.data.hex().encode() not in linked.read_bytes()


def test_a_file_that_holds_no_key_is_named_as_such(home: NodeHome) -> None:
    (home.keys / "wrap.key").write_bytes(b"not a key")
    with pytest.raises(SimpulError) as caught:
        SecretRing(home).kept_keys()
    assert caught.value.code is Code.KEY_MALFORMED
