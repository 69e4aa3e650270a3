r"""A pack: many published files of a directory in one, so that a new node fetches one file.

It is transport and nothing else: each file in it is verified as if it had come alone. So nothing
here is signed, and a pack that is damaged, or hostile, costs one download.

    "simpul pack 1\n"
    one zlib stream (RFC 1950), and nothing after it, of
        for each file: length of its name (2 bytes), name, length (4 bytes), content
        2 bytes of 0

Numbers are big-endian. Names are those below the directory's URL, each once.

Rules: what is read is bounded before it is kept, also what a small stream grows to; a pack that is
cut, or longer than it says, is none.

Source: docs/spec, "Directory: packs".
"""

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from security.errors import Code, SimpulError

MAGIC: Final = b"simpul pack 1\n"
MAX_FILES: Final = 250_000
MAX_PACK_BYTES: Final = 1024 * 1024 * 1024
# Contracts and metadata are text for the most part: the quick level takes two thirds of the time
# of the usual one, and its packs are a tenth larger.
_LEVEL: Final = 3
_CHUNK_BYTES: Final = 64 * 1024
_NAME_BYTES: Final = 2
_LENGTH_BYTES: Final = 4
_MAX_NAME_BYTES: Final = 512
_PART: Final = r"[A-Za-z0-9_~][A-Za-z0-9._-]*"
_NAME: Final = re.compile(rf"(metadata/{_PART}|targets(/{_PART}){{1,3}}|log(/{_PART}){{1,8}})")
# Replaced all the time: one from a pack would be an old one.
_NEVER: Final = "metadata/timestamp.json"


def make_pack(files: Iterable[tuple[str, bytes]]) -> Iterator[bytes]:
    """The chunks of a pack of these files, in their order."""
    stream = zlib.compressobj(_LEVEL)
    yield MAGIC
    for name, content in files:
        encoded = name.encode("ascii")
        yield stream.compress(
            len(encoded).to_bytes(_NAME_BYTES, "big")
            + encoded
            + len(content).to_bytes(_LENGTH_BYTES, "big")
        )
        yield stream.compress(content)
    yield stream.compress(bytes(_NAME_BYTES))
    yield stream.flush()


def read_pack(chunks: Iterable[bytes], cap: Callable[[str], int]) -> Iterator[tuple[str, bytes]]:
    """The files of a pack, as they come.

    What was given is good only once the iteration has ended: until then the pack may be cut.

    Args:
        chunks: Of the pack.
        cap: The most bytes that the file of this name may have.

    Raises:
        SimpulError: DIRECTORY_UNTRUSTED.
    """
    reader = _Reader(iter(chunks))
    seen: set[str] = set()
    while (length := reader.number(_NAME_BYTES)) != 0:
        if length > _MAX_NAME_BYTES:
            raise _refused("a name in it is too long")
        name = reader.take(length).decode("ascii", "replace")
        if _NAME.fullmatch(name) is None or ".." in name or name == _NEVER:
            raise _refused("a name in it is none of a directory's")
        if name in seen or len(seen) == MAX_FILES:
            raise _refused("a file is in it twice, or it has too many")
        seen.add(name)
        size = reader.number(_LENGTH_BYTES)
        if size > cap(name):
            raise _refused(f"{name} is larger than its kind may be")
        yield name, reader.take(size)
    reader.finish()


class _Reader:
    """Takes bytes out of the stream, and no more than may be."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._stream = zlib.decompressobj()
        self._plain = bytearray()
        self._room = MAX_PACK_BYTES
        self._packed = bytearray()
        while len(self._packed) < len(MAGIC):
            self._packed += self._chunk()
        if not self._packed.startswith(MAGIC):
            raise _refused("it doesn't begin as one")
        del self._packed[: len(MAGIC)]

    def number(self, length: int) -> int:
        return int.from_bytes(self.take(length), "big")

    def take(self, length: int) -> bytes:
        while len(self._plain) < length:
            if self._stream.eof:
                raise _refused("it is cut")
            self._grow()
        taken = bytes(self._plain[:length])
        del self._plain[:length]
        return taken

    def finish(self) -> None:
        """Nothing may follow, and the stream's own sum must be there."""
        while not self._stream.eof:
            if self._plain:
                break
            self._grow()
        if self._plain or self._packed or self._stream.unused_data or next(self._chunks, b""):
            raise _refused("something follows its end")

    def _grow(self) -> None:
        if not self._packed:
            self._packed += self._chunk()
        try:
            grown = self._stream.decompress(bytes(self._packed), _CHUNK_BYTES)
        except zlib.error as error:
            raise _refused("its stream is damaged") from error
        self._packed = bytearray(self._stream.unconsumed_tail)
        self._room -= len(grown)
        if self._room < 0:
            raise _refused(f"it holds more than {MAX_PACK_BYTES} bytes")
        self._plain += grown

    def _chunk(self) -> bytes:
        chunk = next(self._chunks, b"")
        if not chunk:
            raise _refused("it is cut")
        return chunk


def _refused(what: str) -> SimpulError:
    return SimpulError(
        Code.DIRECTORY_UNTRUSTED,
        f"the directory's pack can't be used: {what}; its files are fetched one by one",
    )
