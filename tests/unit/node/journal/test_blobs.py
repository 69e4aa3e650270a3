from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from node.journal.blobs import erase_salts, pack_entries, pack_salts, unpack_entries, unpack_salts
from security.errors import Code, SimpulError

SALT = st.sampled_from([b"", bytes(range(16)), b"\xff" * 16])


@given(st.lists(st.binary(max_size=300), max_size=8))
def test_entries_come_back(entries: list[bytes]) -> None:
    assert unpack_entries(pack_entries(entries)) == tuple(entries)


@given(st.lists(st.tuples(SALT, SALT), max_size=8))
def test_salts_come_back(salts: list[tuple[bytes, bytes]]) -> None:
    assert unpack_salts(pack_salts(salts)) == tuple(salts)


@given(st.binary(max_size=80))
def test_whatever_unpacks_as_entries_packs_to_the_same(blob: bytes) -> None:
    with suppress(SimpulError):
        assert pack_entries(unpack_entries(blob)) == blob


@given(st.binary(max_size=80))
def test_whatever_unpacks_as_salts_packs_to_the_same(blob: bytes) -> None:
    with suppress(SimpulError):
        assert erase_salts(blob, ()) == blob


@pytest.mark.parametrize("blob", [b"\0", b"\0\0\0", b"\0\0\0\1", b"\0\0\0\2a", b"\xff\xff\xff\xff"])
def test_cut_entries_are_refused(blob: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        unpack_entries(blob)
    assert caught.value.code is Code.JOURNAL_CORRUPT


@pytest.mark.parametrize(
    "blob",
    [b"\5", b"\7" + bytes(31) + b"1", b"\x08", b"\1" + bytes(15), b"\3" + bytes(31), b"\0\xff"],
)
def test_bad_salts_are_refused(blob: bytes) -> None:
    with pytest.raises(SimpulError) as caught:
        unpack_salts(blob)
    assert caught.value.code is Code.JOURNAL_CORRUPT


def test_erasing_takes_the_salts_of_these_entries_and_of_no_other() -> None:
    one, two = (b"1" * 16, b"2" * 16), (b"3" * 16, b"")
    erased = erase_salts(pack_salts([one, two, one]), {0, 2})
    assert unpack_salts(erased) == (None, two, None)
    assert one[0] not in erased
    assert erase_salts(erased, {0}) == erased


def test_a_salt_of_another_length_is_not_packed() -> None:
    with pytest.raises(SimpulError) as caught:
        pack_salts([(bytes(15), b"")])
    assert caught.value.code is Code.INTERNAL
