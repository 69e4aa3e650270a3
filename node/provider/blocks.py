"""Header blocks of one connection: requests printed, answers understood, each kind once.

Most blocks of a service's answers are equal to one that came before, and so is the beginning of
each request of a method: both are kept, within bounds.
"""

from __future__ import annotations

from typing import Final

from node.calls import OutboundRequest
from node.gateway.framing import print_metadata, print_timeout
from node.provider.answer import Block, read_block, too_large_block
from node.provider.frames import (
    BlockParser,
    TooLargeError,
    print_fields,
    print_no_table,
    print_request,
)

_KEPT: Final = 1024
_KEPT_BYTES: Final = 256


class RequestBlocks:
    """Prints the header blocks of requests."""

    def __init__(self, scheme: str, authority: str) -> None:
        self._scheme, self._authority = scheme, authority
        self._paths: dict[str, bytes] = {}
        self._table_named = False

    def name_table(self) -> None:
        """The service named a size of its table: the next block says that none of it is used."""
        self._table_named = True

    def print(self, request: OutboundRequest) -> bytes:
        """One call's block."""
        prefix = self._paths.get(request.path)
        if prefix is None:
            if len(self._paths) >= _KEPT:
                self._paths.clear()
            prefix = print_request(self._scheme, self._authority, request.path)
            self._paths[request.path] = prefix
        fields = print_metadata(request.metadata)
        if request.timeout_ms is not None:
            fields.append((b"grpc-timeout", print_timeout(request.timeout_ms).encode()))
        block = prefix + print_fields(fields)
        if self._table_named:
            self._table_named = False
            return print_no_table() + block
        return block


class AnswerBlocks:
    """Understands the header blocks of answers."""

    def __init__(self, max_metadata_bytes: int) -> None:
        self._max_metadata_bytes = max_metadata_bytes
        # What is over this is not even read.
        self._parser = BlockParser(2 * max_metadata_bytes)
        self._known: dict[bytes, Block] = {}

    def read(self, block: bytes) -> Block:
        """What a block says.

        Raises:
            Http2Error: It is none.
        """
        known = self._known.get(block) if self._parser.alone else None
        if known is not None:
            return known
        try:
            fields = self._parser.parse(block)
        except TooLargeError:
            return too_large_block(self._max_metadata_bytes)
        read = read_block(fields, self._max_metadata_bytes)
        if self._parser.alone and len(block) <= _KEPT_BYTES:
            if len(self._known) >= _KEPT:
                self._known.clear()
            self._known[block] = read
        return read
