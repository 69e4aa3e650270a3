"""An archive as a file: compressed with zstd, written and read in constant memory.

One zstd frame with its checksum. The archive's digest is of what is compressed, so a copy may be
compressed anew, or not at all: what doesn't begin as zstd's is read as it is.
"""

import os
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Final, Self

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

from runtime.files import PRIVATE_MODE
from security.archive import malformed

SUFFIX: Final = ".simpul.zst"
LEVEL: Final = 9
PIECE_BYTES: Final = 256 * 1024
# Enough for what level 9 makes, and a bound for what others may send: 8 MiB.
WINDOW_LOG_MAX: Final = 23

_MAGIC: Final = b"\x28\xb5\x2f\xfd"


class ArchiveFile:
    """A new file that is being written; a context manager. `finish` makes it durable."""

    def __init__(self, path: Path) -> None:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, PRIVATE_MODE)
        self._file = open(handle, "wb")  # noqa: SIM115, PTH123  (a handle has no Path; see close)
        self._zstd = zstd.ZstdCompressor(
            options={
                zstd.CompressionParameter.compression_level: LEVEL,
                zstd.CompressionParameter.checksum_flag: 1,
            }
        )
        self.size_bytes = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        _type: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Adds to it."""
        self._write(self._zstd.compress(data))

    def finish(self) -> None:
        """Ends it, durably."""
        self._write(self._zstd.flush(zstd.ZstdCompressor.FLUSH_FRAME))
        self._file.flush()
        os.fsync(self._file.fileno())

    def _write(self, data: bytes) -> None:
        self._file.write(data)
        self.size_bytes += len(data)


def unpacked(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """Yields what an archive's file holds, in pieces of at most `PIECE_BYTES` or as they came.

    Raises:
        SimpulError: ARCHIVE_INVALID, where the compression is damaged, cut off or followed by more.
    """
    source = iter(pieces)
    first = next(source, b"")
    while len(first) < len(_MAGIC):
        piece = next(source, None)
        if piece is None:
            break
        first += piece
    if not first.startswith(_MAGIC):
        yield first
        yield from source
        return
    reader = zstd.ZstdDecompressor(
        options={zstd.DecompressionParameter.window_log_max: WINDOW_LOG_MAX}
    )
    try:
        yield from _decompressed(reader, first)
        for piece in source:
            yield from _decompressed(reader, piece)
    except zstd.ZstdError as error:
        raise malformed("its compression is damaged") from error
    if not reader.eof:
        raise malformed("its compression is cut off")
    if reader.unused_data:
        raise malformed("bytes follow its compression")


def read_file(path: Path) -> Iterator[bytes]:
    """Yields a file's bytes as they lie there; raises OSError."""
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES):
            yield piece


def _decompressed(reader: zstd.ZstdDecompressor, piece: bytes) -> Iterator[bytes]:
    if reader.eof:
        raise malformed("bytes follow its compression")
    yield reader.decompress(piece, PIECE_BYTES)
    while not reader.needs_input and not reader.eof:
        yield reader.decompress(b"", PIECE_BYTES)
