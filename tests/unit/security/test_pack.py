"""Packs: read as they were made, and nothing else is one."""

import zlib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from security import pack
from security.errors import Code, SimpulError
from security.pack import MAGIC, make_pack, read_pack

CAP = 100_000
FILES = (
    ("metadata/1.root.json", b"{}"),
    ("targets/members/DAERAH/00ff.12.71", bytes(70_000)),
    ("targets/members/~groups/00ff.dinas", b"group"),
    ("log/tile/entries/x001/234.p/7", b""),
)


def cap(_: str) -> int:
    return CAP


def packed(files: tuple[tuple[str, bytes], ...] = FILES) -> bytes:
    return b"".join(make_pack(files))


def unpacked(data: bytes, step: int = 1000) -> tuple[tuple[str, bytes], ...]:
    chunks = (data[at : at + step] for at in range(0, len(data), step))
    return tuple(read_pack(chunks, cap))


def stream(plain: bytes, after: bytes = b"") -> bytes:
    return MAGIC + zlib.compress(plain) + after


def one(name: bytes, content: bytes = b"") -> bytes:
    return len(name).to_bytes(2, "big") + name + len(content).to_bytes(4, "big") + content


def refusal(data: bytes) -> str:
    with pytest.raises(SimpulError) as refused:
        unpacked(data)
    assert refused.value.code is Code.DIRECTORY_UNTRUSTED
    return refused.value.message


@given(
    contents=st.lists(st.binary(max_size=500), max_size=20),
    step=st.integers(min_value=1, max_value=200),
)
def test_what_is_packed_is_read(contents: list[bytes], step: int) -> None:
    files = tuple((f"targets/contracts/{n}", data) for n, data in enumerate(contents))
    assert unpacked(packed(files), step) == files


def test_files_are_read_in_their_order() -> None:
    assert unpacked(packed()) == FILES


@pytest.mark.parametrize("left", [0, 5, len(MAGIC), len(MAGIC) + 1, 50, -5, -1])
def test_one_that_is_cut_is_refused(left: int) -> None:
    assert "it is cut" in refusal(packed()[:left])


def test_files_of_a_cut_one_come_before_it_is_refused() -> None:
    """So who reads one waits for its end."""
    found: Iterator[tuple[str, bytes]] = read_pack(iter((packed()[:-4],)), cap)
    assert next(found) == FILES[0]
    with pytest.raises(SimpulError):
        list(found)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"simpul pack 2\n" + packed()[len(MAGIC) :], "doesn't begin as one"),
        (MAGIC + b"no stream at all", "damaged"),
        (packed() + b"x", "follows its end"),
        (stream(one(b"metadata/2.root.json") + bytes(2) + b"x"), "follows its end"),
        (stream(one(b"metadata/timestamp.json") + bytes(2)), "none of a directory's"),
        (stream(one(b"targets/../../etc/passwd") + bytes(2)), "none of a directory's"),
        (stream(one(b"pack/newest") + bytes(2)), "none of a directory's"),
        (stream(one(b"/etc/passwd") + bytes(2)), "none of a directory's"),
        (stream(one(b"metadata/\xff") + bytes(2)), "none of a directory's"),
        (stream(one(b"metadata/" + b"a" * 600) + bytes(2)), "too long"),
        (stream(one(b"metadata/1.root.json") * 2 + bytes(2)), "twice"),
        (stream(one(b"metadata/1.root.json", bytes(CAP + 1)) + bytes(2)), "larger than its kind"),
    ],
)
def test_what_is_no_pack_is_refused(data: bytes, what: str) -> None:
    assert what in refusal(data)


def test_a_changed_byte_is_refused() -> None:
    data = bytearray(packed())
    data[-1] ^= 1
    assert "damaged" in refusal(bytes(data))


def test_what_grows_without_end_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MAX_PACK_BYTES", 100_000)
    data = packed(tuple((f"log/{n}", bytes(60_000)) for n in range(3)))
    assert len(data) < 1000
    assert "holds more than" in refusal(data)


def test_too_many_files_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pack, "MAX_FILES", 2)
    assert "too many" in refusal(packed())
