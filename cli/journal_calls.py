"""`simpul journal list` and `show`: the calls that this node made, answered or refused.

Every filter is an index's, so a list of ten million calls is as quick as one of ten. Where more
than a page is wanted, `--all` streams every match as JSON lines, in constant memory.
"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import journal_archive
from cli.kept import Issue, Subject, User, contents_json, person_tags, print_contents
from cli.options import AsJson, NodeHomeDir, examples
from cli.output import (
    print_hint,
    print_json,
    print_json_line,
    print_pairs,
    print_table,
    refusal,
    when,
)
from cli.places import journal_of
from cli.times import parse_time
from security.errors import Code

if TYPE_CHECKING:
    from node.journal.checkpoints import KeptCheckpoint
    from node.journal.model import CallDetail, CallEntry, CallFilter, CallRow
    from node.journal.reader import JournalReader

MAX_ROWS = 10_000
# Of `--all`, read in one transaction.
STREAM_ROWS = 1_000
_CALL_ID = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")
STATUS_NAMES = (
    "OK",
    "CANCELLED",
    "UNKNOWN",
    "INVALID_ARGUMENT",
    "DEADLINE_EXCEEDED",
    "NOT_FOUND",
    "ALREADY_EXISTS",
    "PERMISSION_DENIED",
    "RESOURCE_EXHAUSTED",
    "FAILED_PRECONDITION",
    "ABORTED",
    "OUT_OF_RANGE",
    "UNIMPLEMENTED",
    "INTERNAL",
    "UNAVAILABLE",
    "DATA_LOSS",
    "UNAUTHENTICATED",
)
# What the two nodes told each other of a call after its link broke.
_SETTLED = {
    "not_started": "the other node never had it: it was not served, and may be made again",
    "arrived": "the other node has it: it may have been served, and its answer was lost",
    "heard": "the other node has the answer",
    "unheard": "the answer never reached the other node",
}


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command(
        "list",
        epilog=examples(
            "simpul journal list --home N --since 2h",
            "simpul journal list --home N --outcome refused --limit 20",
            "simpul journal list --home N --since 2026-11-01 --until 2026-12-01 --status NOT_FOUND",
            "simpul journal list --home N --peer ID/~jakarta-1 --page 2 --json",
            "simpul journal list --home N --gather 0198f3c2a5b47d3e8f10c2d4e6a8b0c1",
            "simpul journal list --home N --subject 3171234567890123",
            "simpul journal list --home N --since 30d --all > calls.jsonl",
        ),
    )(list_calls)
    app.command(
        "show",
        epilog=examples(
            "simpul journal show 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N",
            "simpul journal show 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --payloads --json --home N",
        ),
    )(show)


def list_calls(
    home: NodeHomeDir,
    since: Annotated[
        str | None,
        typer.Option(metavar="TIME", help="Begun then or later: 2026-11-24, or 2h ago as 2h."),
    ] = None,
    until: Annotated[str | None, typer.Option(metavar="TIME", help="Begun before then.")] = None,
    consumer: Annotated[str | None, typer.Option(metavar="SUBSYSTEM", help="Who called.")] = None,
    provider: Annotated[
        str | None, typer.Option(metavar="SUBSYSTEM", help="Who was called.")
    ] = None,
    service: Annotated[
        str | None, typer.Option(metavar="NAME", help="pkg.v1.Name of the service.")
    ] = None,
    method: Annotated[str | None, typer.Option(metavar="NAME", help="The method.")] = None,
    agreement: Annotated[
        str | None, typer.Option(metavar="HASH", help="The agreement's hash, in hex.")
    ] = None,
    purpose: Annotated[
        str | None, typer.Option(metavar="NAME", help="The purpose, as in the agreement.")
    ] = None,
    on_behalf_of: Annotated[
        str | None,
        typer.Option("--on-behalf-of", metavar="MEMBER", help="In whose name was called."),
    ] = None,
    status: Annotated[
        str | None, typer.Option(metavar="STATUS", help="gRPC's, by name or number: NOT_FOUND, 5.")
    ] = None,
    code: Annotated[
        str | None, typer.Option(metavar="CODE", help="The code it was refused or lost with.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="How it stands: open, closed, refused or lost.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="This node's part: consumer or provider.")
    ] = None,
    peer: Annotated[str | None, typer.Option(metavar="NODE", help="The other node.")] = None,
    call: Annotated[
        str | None, typer.Option(metavar="CALL_ID", help="The trailer simpul-call-id.")
    ] = None,
    gather: Annotated[
        str | None, typer.Option(metavar="GATHER_ID", help="The trailer simpul-gather-id.")
    ] = None,
    subject: Subject = None,
    user: User = None,
    issue: Issue = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="At most so many.")] = 100,
    page: Annotated[int, typer.Option(min=1, help="Of --limit rows each, the newest first.")] = 1,
    every: Annotated[
        bool, typer.Option("--all", help="Every match, as JSON lines; however many there are.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """List calls, the newest first."""
    from node.journal.model import CallFilter, Outcome, Role
    from node.journal.reader import JournalReader
    from runtime.clock import now_ms

    if page * limit > MAX_ROWS:
        raise typer.BadParameter(
            f"page {page} of {limit} is past the {MAX_ROWS}th row: narrow it by --until, or use "
            "--all",
            param_hint="--page",
        )
    at_ms = now_ms()
    wanted = CallFilter(
        call_id=None if call is None else parse_call_id(call),
        gather_id=None if gather is None else parse_call_id(gather),
        role=None if role is None else Role(_one_of("--role", role, [*Role])),
        outcome=None if outcome is None else Outcome(_one_of("--outcome", outcome, [*Outcome])),
        peer=peer,
        consumer=consumer,
        provider=provider,
        service=service,
        method=method,
        agreement=None if agreement is None else _agreement(agreement),
        purpose=purpose,
        on_behalf_of=on_behalf_of,
        status=None if status is None else _status_number(status),
        code=None if code is None else _code(code),
        since_ms=None if since is None else parse_time(since, at_ms),
        until_ms=None if until is None else parse_time(until, at_ms),
        persons=person_tags(home, subject, user, issue),
        limit=page * limit,
    )
    with JournalReader(journal_of(home)) as reader:
        if every:
            for row in _stream(reader, wanted):
                print_json_line(_call(row))
            return
        rows = reader.list_calls(wanted)[(page - 1) * limit :]
    if as_json:
        print_json({"calls": [_call(row) for row in rows]})
        return
    _print_rows(rows)
    if len(rows) == limit:
        print_hint(f"Page {page}, of {limit}: more with --page {page + 1}, --limit or --all")
    older = journal_archive.where_older(home)
    if older is not None:
        print_hint(f"Not listed: {older}")


def show(
    call_id: Annotated[
        str, typer.Argument(metavar="CALL_ID", help="32 hex digits: the trailer simpul-call-id.")
    ],
    home: NodeHomeDir,
    archive: Annotated[
        bool, typer.Option("--archive", help="Look in the archives too, where it isn't here.")
    ] = False,
    payloads: Annotated[
        bool,
        typer.Option(
            "--payloads", help="Also what is kept of messages and metadata, by the agreement."
        ),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show one call: its entries, the parcels that carried them, and what bounds their age."""
    from node.journal.reader import JournalReader

    wanted = parse_call_id(call_id)
    with JournalReader(journal_of(home)) as reader:
        found = reader.show_call(wanted)
    if not found and archive:
        found = journal_archive.show_call(home, wanted)
    if not found:
        hint = journal_archive.where_older(home) or "try the other side's"
        raise refusal(Code.NOT_FOUND, f"the journal in {home} knows no call {wanted.hex()}: {hint}")
    shown = [(item, _covering(home, item)) for item in found]
    contents = [contents_json(home, item) if payloads else [] for item in found]
    if as_json:
        calls = [_detail(*item) for item in shown]
        if payloads:
            calls = [{**call, "contents": kept} for call, kept in zip(calls, contents, strict=True)]
        print_json({"call_id": wanted.hex(), "calls": calls})
        return
    for item, kept in zip(shown, contents, strict=True):
        _print_detail(*item)
        if payloads:
            print_contents(kept)


def _stream(reader: "JournalReader", wanted: "CallFilter") -> Iterator["CallRow"]:
    """Every match, in pages that each are a short transaction."""
    page = replace(wanted, limit=STREAM_ROWS)
    while True:
        rows = reader.list_calls(page)
        yield from rows
        if len(rows) < STREAM_ROWS:
            return
        page = replace(page, below=rows[-1].key)


def _covering(home: Path, item: "CallDetail") -> list["KeptCheckpoint"]:
    """For each slot with entries of the call, the first cosigned checkpoint over all of them."""
    from node.journal.sql_checkpoints import SqlCheckpointStore

    last = {entry.slot: entry.idx for entry in item.entries}
    if len(last) == 0:
        return []
    store = SqlCheckpointStore.read(journal_of(home))
    kept = (store.first_covering(slot, idx) for slot, idx in last.items())
    return [each for each in kept if each is not None]


def _one_of(option: str, text: str, known: list[str]) -> str:
    if text in known:
        return text
    raise typer.BadParameter(f"{text!r} is none of {', '.join(known)}", param_hint=option)


def parse_call_id(text: str) -> bytes:
    """A call id as it is shown; raises SimpulError ID_MALFORMED."""
    wanted = text.strip().lower().replace("-", "")
    if _CALL_ID.fullmatch(wanted) is None:
        raise refusal(Code.ID_MALFORMED, f"{text!r} is no call id: it has 32 hex digits")
    return bytes.fromhex(wanted)


def _agreement(text: str) -> bytes:
    if _HASH.fullmatch(text.lower()) is None:
        raise refusal(Code.ID_MALFORMED, f"{text!r} is no agreement's hash: it has 64 hex digits")
    return bytes.fromhex(text)


def _status_number(text: str) -> int:
    if text.upper() in STATUS_NAMES:
        return STATUS_NAMES.index(text.upper())
    if text.isdecimal() and int(text) < len(STATUS_NAMES):
        return int(text)
    raise typer.BadParameter(
        f"{text!r} is no gRPC status: it is one of {', '.join(STATUS_NAMES)}, or its number",
        param_hint="--status",
    )


def _code(text: str) -> str:
    """A code that there is: a misspelt one would only ever find nothing."""
    if text in Code.__members__:
        return text
    raise typer.BadParameter(
        f"{text!r} is no code of Simpul's: they stand in docs/reference/errors.md",
        param_hint="--code",
    )


def _outcome(row: "CallRow") -> str:
    # Where it's known by now what nobody could say when the link broke.
    later = "" if row.settled is None else f" ({row.settled.value.replace('_', ' ')})"
    how = row.code or ("" if row.status is None else status_name(row.status))
    return f"{row.outcome.value} {how}".rstrip() + later


def status_name(number: int) -> str:
    """`OK`, `NOT_FOUND`; the number itself where gRPC has no such status."""
    return STATUS_NAMES[number] if 0 <= number < len(STATUS_NAMES) else str(number)


def _hex(value: bytes | None) -> str | None:
    return None if value is None else value.hex()


def _call(row: "CallRow") -> dict[str, object]:
    return {
        "call_id": row.call_id.hex(),
        "role": row.role.value,
        "outcome": row.outcome.value,
        "peer": row.peer,
        "link_id": _hex(row.link_id),
        "consumer": row.consumer,
        "provider": row.provider,
        "service": row.service,
        "method": row.method,
        "agreement": _hex(row.agreement),
        "purpose": row.purpose,
        "on_behalf_of": row.on_behalf_of,
        "grpc_status": None if row.status is None else status_name(row.status),
        "code": row.code or None,
        "gather_id": _hex(row.gather_id),
        "region": row.region,
        "opened_at_ms": row.opened_at_ms,
        "closed_at_ms": row.closed_at_ms,
        "request_bytes": row.request_bytes,
        "response_bytes": row.response_bytes,
        "settled": None if row.settled is None else row.settled.value,
    }


def _entry(item: "CallEntry") -> dict[str, object]:
    return {
        "kind": item.kind,
        "direction": item.direction.value,
        "member": item.member,
        "slot": item.slot,
        "leaf": item.idx,
        "parcel": item.number,
        "sealed_at_ms": item.sealed_at_ms,
        "recorded_at_ms": item.recorded_at_ms,
        "header_hash": item.header_hash.hex(),
        "leaf_hash": item.leaf_hash.hex(),
        "rounded_bytes": item.rounded_bytes,
        "entry": item.entry.hex(),
    }


def _checkpoint(kept: "KeptCheckpoint") -> dict[str, object]:
    return {
        "slot": kept.slot,
        "size": kept.size,
        "signed_at_ms": kept.signed_at_ms,
        "quorum_at_ms": kept.quorum_at_ms,
        "note": kept.note.decode(),
    }


def _consent(item: "CallDetail") -> str | None:
    """The reference of a consent that the open names; it stands in the entry alone."""
    from security.entry_format import parse_entry
    from security.kinds import Open

    for entry in item.entries:
        if entry.kind == "open":
            kind = parse_entry(entry.entry).kind
            return kind.consent if isinstance(kind, Open) else None
    return None


def _detail(item: "CallDetail", covering: list["KeptCheckpoint"]) -> dict[str, object]:
    return {
        **_call(item.call),
        "consent": _consent(item),
        "entries": [_entry(entry) for entry in item.entries],
        "cosigned_checkpoints": [_checkpoint(kept) for kept in covering],
    }


def _print_rows(rows: list["CallRow"]) -> None:
    print_table(
        ("OPENED", "CALL_ID", "ROLE", "METHOD", "WITH", "PEER", "OUTCOME"),
        (
            (
                when(row.opened_at_ms),
                row.call_id.hex(),
                row.role.value,
                f"{row.service or '?'}/{row.method or '?'}",
                _with(row),
                row.peer or "-",
                _outcome(row),
            )
            for row in rows
        ),
        empty="No such calls",
    )


def _with(row: "CallRow") -> str:
    """The other side, and in whose name was called."""
    across = (row.provider if row.role.value == "consumer" else row.consumer) or "-"
    return f"{across} for {row.on_behalf_of}" if row.on_behalf_of else across


def _print_detail(item: "CallDetail", covering: list["KeptCheckpoint"]) -> None:
    row = item.call
    print_pairs(
        (
            ("call_id", row.call_id.hex()),
            ("role", row.role.value),
            ("outcome", _outcome(row)),
            *(() if row.settled is None else (("settled", _SETTLED[row.settled.value]),)),
            ("consumer", row.consumer or "-"),
            *(() if row.on_behalf_of is None else (("on behalf of", row.on_behalf_of),)),
            ("provider", row.provider or "-"),
            ("method", f"{row.service or '?'}/{row.method or '?'}"),
            ("peer", row.peer or "-"),
            ("agreement", _hex(row.agreement) or "-"),
            ("purpose", row.purpose or "-"),
            ("consent", _consent(item) or "-"),
            ("gather", _hex(row.gather_id) or "-"),
            ("opened", when(row.opened_at_ms)),
            ("closed", when(row.closed_at_ms)),
            ("request bytes", f"{row.request_bytes}, rounded up"),
            ("response bytes", f"{row.response_bytes}, rounded up"),
            *(_bound(kept) for kept in covering),
        )
    )
    print_table(
        (
            "KIND",
            "DIRECTION",
            "MEMBER",
            "SLOT",
            "LEAF",
            "PARCEL",
            "RECORDED",
            "BYTES",
            "HEADER_HASH",
        ),
        (
            (
                entry.kind,
                entry.direction.value,
                entry.member,
                str(entry.slot),
                str(entry.idx),
                str(entry.number),
                when(entry.recorded_at_ms),
                str(entry.rounded_bytes),
                entry.header_hash.hex(),
            )
            for entry in item.entries
        ),
        empty="No parcel carried it: this node refused it itself",
    )
    if item.entries and not covering:
        print_hint("No cosigned checkpoint covers all of it yet.")


def _bound(kept: "KeptCheckpoint") -> tuple[str, str]:
    size, slot = kept.size, kept.slot
    said = f"{when(kept.quorum_at_ms)}, by the cosigned checkpoint of slot {slot} at {size} parcels"
    return "not after", said
