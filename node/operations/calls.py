"""What the journal tells of calls, for the operators' service. It only reads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TypeVar

from node.config import journal_place
from node.journal.model import CallDetail, CallFilter, CallRow
from node.journal.reader import JournalReader
from node.operations.desk import Desk
from node.secret_ring import SecretRing
from security.errors import Code, SimpulError
from security.persons import PersonKind, normalised

Found = TypeVar("Found")


async def person_tags(desk: Desk, asked: Mapping[PersonKind, str]) -> tuple[tuple[bytes, ...], ...]:
    """What a filter asks for calls that concern these persons; an empty text asks for nobody.

    Raises:
        SimpulError: KEY_UNKNOWN, where the node has no index key; REQUEST_MALFORMED, where a text
            names nobody.
    """
    given = {kind: text for kind, text in asked.items() if text != ""}
    if len(given) == 0:
        return ()
    if any(normalised(text) == "" for text in given.values()):
        raise SimpulError(Code.REQUEST_MALFORMED, "a text of spaces names nobody: leave it out")
    keys = await asyncio.to_thread(SecretRing(desk.home).kept_keys)
    # Without one nothing was ever indexed: that is no answer of "none".
    _ = keys.newest_index
    return tuple(keys.tags(kind, text) for kind, text in given.items())


async def list_calls(desk: Desk, wanted: CallFilter) -> list[CallRow]:
    """The newest calls that match, at most `wanted.limit`.

    Raises:
        SimpulError: The limit is out of bounds (REQUEST_MALFORMED), or the journal can't be read.
    """
    return await _read(desk, lambda reader: reader.list_calls(wanted))


async def show_call(desk: Desk, call_id: bytes) -> list[CallDetail]:
    """The calls of this id, with their entries.

    Raises:
        SimpulError: There is none (NOT_FOUND), or the journal can't be read.
    """
    found = await _read(desk, lambda reader: reader.show_call(call_id))
    if not found:
        raise SimpulError(
            Code.NOT_FOUND, f"the journal knows no call {call_id.hex()}: try the other side's"
        )
    return found


async def _read(desk: Desk, look: Callable[[JournalReader], Found]) -> Found:
    def read() -> Found:
        with JournalReader(journal_place(desk.config, desk.home)) as reader:
            return look(reader)

    return await asyncio.to_thread(read)
