"""What a journal keeps of calls' contents, for the commands that find, show or export it.

It needs the keys in the node's home, and no running node. Messages are shown as their contract says
where the node's copy of the directory has it, and otherwise as bytes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.output import print_table
from cli.places import journal_of, kept_keys_of
from security.errors import SimpulError

if TYPE_CHECKING:
    from node.journal.kept.model import KeptEntry, KeptPart
    from node.journal.model import CallDetail
    from security.kinds import EntryKind

Subject = Annotated[
    str | None,
    typer.Option(
        metavar="PERSON", help="The citizen that the call concerns, as in simpul-subject."
    ),
]
User = Annotated[
    str | None, typer.Option(metavar="PERSON", help="The end user, as in simpul-user.")
]
Issue = Annotated[
    str | None, typer.Option(metavar="NUMBER", help="The case number, as in simpul-issue.")
]


def person_tags(
    home: Path, subject: str | None, user: str | None, issue: str | None
) -> tuple[tuple[bytes, ...], ...]:
    """What a filter asks for whom a call must concern: all that are given.

    Raises:
        SimpulError: KEY_UNKNOWN, where the node has no index key; as `kept_keys_of` does.
    """
    from security.persons import PersonKind, normalised

    given = {PersonKind.SUBJECT: subject, PersonKind.USER: user, PersonKind.ISSUE: issue}
    asked = [(kind, text) for kind, text in given.items() if text is not None]
    if len(asked) == 0:
        return ()
    if any(normalised(text) == "" for _, text in asked):
        raise typer.BadParameter("an empty text names nobody", param_hint="--subject")
    keys = kept_keys_of(home)
    _ = keys.newest_index
    return tuple(keys.tags(kind, text) for kind, text in asked)


def contents_of(home: Path, call_id: bytes) -> dict[tuple[int, int, int], KeptEntry]:
    """What is kept of a call, by slot, leaf and entry.

    Raises:
        SimpulError: As the journal's reader says.
    """
    from node.journal.kept.reader import KeptReader

    with KeptReader(journal_of(home), kept_keys_of(home)) as reader:
        return {(entry.slot, entry.idx, entry.entry_no): entry for entry in reader.of_call(call_id)}


def contents_json(home: Path, item: CallDetail) -> list[dict[str, object]]:
    """The contents of a call's entries, in the order of `item.entries`."""
    from security.entry import parse_entry

    kept, decode = contents_of(home, item.call.call_id), _decoder(home, item)
    found: list[dict[str, object]] = []
    for entry in item.entries:
        content = kept.get((entry.slot, entry.idx, entry.entry_no))
        parsed = parse_entry(entry.entry)
        asked = (item.call.role == "consumer") == (entry.direction == "sent")
        payload = None if content is None else _payload(content.payload, partial(decode, asked))
        private = None if content is None else _private(content.private, parsed.kind.kind)
        found.append(
            {
                "kind": entry.kind,
                "payload": payload,
                "compressed": parsed.compressed,
                "private": private,
            }
        )
    return found


def print_contents(contents: list[dict[str, object]]) -> None:
    """The same for people."""
    print_table(
        ("KIND", "PAYLOAD", "PRIVATE"),
        ((str(item["kind"]), _said(item["payload"]), _said(item["private"])) for item in contents),
        empty="No entries, and so no contents",
    )


def _said(part: object) -> str:
    import json

    if not isinstance(part, dict):
        return "-"
    shown = part.get("message") or part.get("content") or part.get("bytes")
    if shown is None:
        return str(part["state"])
    text = shown if isinstance(shown, str) else json.dumps(shown, ensure_ascii=False)
    return text if part["state"] == "kept" else f"{text} ({part['state']})"


def _payload(part: KeptPart | None, decode: Callable[[bytes], object]) -> dict[str, object] | None:
    if part is None:
        return None
    data = part.data
    return {
        "state": part.state.value,
        "bytes": None if data is None else data.hex(),
        "message": None if data is None else decode(data),
    }


def _private(part: KeptPart | None, kind: EntryKind) -> dict[str, object] | None:
    from security.limits import Limits
    from security.private import parse_private

    if part is None:
        return None
    if part.data is None:
        return {"state": part.state.value, "content": None}
    block = parse_private(part.data, kind, Limits())
    content: dict[str, object] = {
        name: [[key, value.decode("ascii", "backslashreplace")] for key, value in pairs]
        for name, pairs in (("metadata", block.metadata), ("trailers", block.trailers))
        if pairs
    }
    for name in ("status_message", "user", "issue", "subject"):
        if getattr(block, name):
            content[name] = getattr(block, name)
    return {"state": part.state.value, "content": content}


def _decoder(home: Path, item: CallDetail) -> Callable[[bool, bytes], object]:
    """Turns requests (True) and answers into JSON values; None where the contract isn't known."""
    from cli.dynamic import Contract
    from node.directory.folder import CURRENT
    from node.directory.load import load_view
    from node.home import NodeHome
    from security.identifiers import SubsystemId

    try:
        view = load_view((NodeHome.open(home).directory / CURRENT).resolve())
        service = view.service(SubsystemId.parse(item.call.provider), item.call.service)
        contract = Contract(service.contract.descriptor_set, item.call.service)
        method = contract.method(item.call.method)
    except (SimpulError, OSError):
        return lambda _asked, _data: None

    def decode(asked: bool, data: bytes) -> object:
        try:
            return contract.decode(method.request if asked else method.response, data)
        except SimpulError:
            # Compressed, or not of this contract: its bytes are shown.
            return None

    return decode
