"""A new node's first fetch: one pack in place of thousands of files.

Transport only. A pack's files are given to the run that verifies all of them, each as if it had
come alone; what the pack lacks is asked for singly. Where there is no pack, or it is damaged, or
what is in it doesn't verify, everything is fetched file by file: a bad pack costs one download.

Source: docs/spec, "Directory: packs".
"""

import json
import os
import re
from collections.abc import Iterator
from typing import IO, Final

import structlog
from tuf.api.exceptions import DownloadError, DownloadHTTPError

from node.directory.fetch import NOT_FOUND, Fetcher, cap
from node.directory.model import Generation
from node.directory.replica import Replica
from security.errors import Code, SimpulError
from security.pack import MAX_PACK_BYTES, read_pack

PACK: Final = "pack"
NEWEST_NAME: Final = f"{PACK}/newest"
MAX_NEWEST_BYTES: Final = 1024
_HASH: Final = re.compile(r"[0-9a-f]{64}")

_log = structlog.stdlib.get_logger(__name__)


class PackFetcher(Fetcher):
    """Gives the files of a pack, and asks another fetcher for those that aren't in it."""

    def __init__(self, pack: Iterator[tuple[str, bytes]], place: IO[bytes], rest: Fetcher) -> None:
        """Reads the whole pack into `place`, a file that the caller removes.

        Raises:
            SimpulError: DIRECTORY_UNTRUSTED, when it is none.
        """
        self.where = rest.where
        self._rest = rest
        self._place = place
        self._found: dict[str, tuple[int, int]] = {}
        at = 0
        for name, content in pack:
            place.write(content)
            self._found[name] = (at, len(content))
            at += len(content)
        place.flush()

    def open(self, name: str) -> Iterator[bytes]:
        """From the pack where it is there."""
        found = self._found.get(name)
        if found is None:
            return self._rest.open(name)
        at, length = found
        return iter((os.pread(self._place.fileno(), length, at),))


def sync_replica(replica: Replica, fetcher: Fetcher, now_ms: int) -> Generation:
    """`Replica.sync`, by a pack where the replica has nothing yet and there is one.

    Raises:
        SimpulError, OSError: as `Replica.sync`.
    """
    if replica.is_empty():
        with replica.scratch_file() as place:
            packed = _find(fetcher, place)
            if packed is not None:
                try:
                    return replica.sync(packed, now_ms)
                except SimpulError as error:
                    _log.warning("pack not taken", code=error.code, reason=error.message)
    return replica.sync(fetcher, now_ms)


def _find(fetcher: Fetcher, place: IO[bytes]) -> Fetcher | None:
    try:
        name = _newest(b"".join(_at_most(fetcher.read(NEWEST_NAME), MAX_NEWEST_BYTES)))
        chunks = _at_most(fetcher.read(f"{PACK}/{name}"), MAX_PACK_BYTES)
        return PackFetcher(read_pack(chunks, cap), place, fetcher)
    except DownloadHTTPError as error:
        if error.status_code != NOT_FOUND:
            _log.warning("no pack", status=error.status_code)
    except (DownloadError, SimpulError) as error:
        _log.warning("no pack", reason=str(error))
    return None


def _newest(data: bytes) -> str:
    """The pack's name, which is a hash; raises SimpulError DIRECTORY_UNTRUSTED."""
    try:
        name = json.loads(data)["pack"]
        if not isinstance(name, str) or _HASH.fullmatch(name) is None:
            raise ValueError(NEWEST_NAME)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise _refused(f"{NEWEST_NAME} names none") from error
    return name


def _at_most(chunks: Iterator[bytes], limit: int) -> Iterator[bytes]:
    left = limit
    for chunk in chunks:
        left -= len(chunk)
        if left < 0:
            raise _refused(f"it has more than {limit} bytes")
        yield chunk


def _refused(what: str) -> SimpulError:
    return SimpulError(
        Code.DIRECTORY_UNTRUSTED,
        f"the directory's pack can't be used: {what}; its files are fetched one by one",
    )
