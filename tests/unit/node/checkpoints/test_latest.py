from pathlib import Path

import pytest

from node.checkpoints.latest import LatestStore
from security.checkpoint import Checkpoint, SignedCheckpoint, sign_checkpoint
from security.errors import Code, SimpulError
from tests.conformance import fixed

KEY = fixed.key("a node")


def signed(size: int) -> SignedCheckpoint:
    return sign_checkpoint(Checkpoint("log", size, bytes(32)), KEY)


@pytest.fixture
def store(tmp_path: Path) -> LatestStore:
    return LatestStore(tmp_path / "checkpoints")


def test_it_remembers_the_newest(store: LatestStore, tmp_path: Path) -> None:
    assert store.load(0) is None
    store.swap(0, None, signed(3))
    store.swap(0, signed(3), signed(5))
    assert LatestStore(tmp_path / "checkpoints").load(0) == signed(5)
    assert store.load(1) is None
    file = tmp_path / "checkpoints" / "slot-0"
    assert file.read_bytes() == signed(5).note.to_bytes()
    assert file.stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("old", "new"),
    [(None, 9), (4, 9), (5, 5), (5, 4)],
)
def test_it_swaps_only_what_was_looked_at_and_never_goes_back(
    store: LatestStore, old: int | None, new: int
) -> None:
    store.swap(0, None, signed(5))
    with pytest.raises(SimpulError) as caught:
        store.swap(0, None if old is None else signed(old), signed(new))
    assert caught.value.code is Code.CONFLICT
    assert store.load(0) == signed(5)


def test_a_damaged_file_is_told(store: LatestStore, tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "slot-0").write_bytes(b"nothing")
    (tmp_path / "checkpoints" / "stamps-failing").write_bytes(b"never")
    for look in (lambda: store.load(0), store.stamps_failing_since):
        with pytest.raises(SimpulError) as caught:
            look()
        assert caught.value.code is Code.JOURNAL_FAILED


def test_it_remembers_since_when_stamps_fail(store: LatestStore, tmp_path: Path) -> None:
    assert store.stamps_failing_since() is None
    store.set_stamps_failing(123)
    assert LatestStore(tmp_path / "checkpoints").stamps_failing_since() == 123
    store.set_stamps_failing(None)
    store.set_stamps_failing(None)
    assert store.stamps_failing_since() is None


def test_a_folder_that_cant_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(SimpulError) as caught:
        LatestStore(tmp_path / "file" / "checkpoints")
    assert caught.value.code is Code.JOURNAL_FAILED
