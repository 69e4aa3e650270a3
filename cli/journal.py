"""`simpul journal`: what this node sent and received, straight from its journal.

It reads `journal.db` itself, so that it works while the node runs and when it doesn't; nothing is
changed. Payloads and personal metadata are not there to be shown: the journal keeps none.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from cli import checkpoints
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    CommandError,
    Failure,
    listed,
    print_done,
    print_hint,
    print_json,
    print_pairs,
    print_table,
    progress_bar,
    refusal,
    when,
)
from cli.places import journal_of
from security.errors import ERRORS, Code

if TYPE_CHECKING:
    from node.journal.model import CallDetail, CallEntry, CallRow, JournalReport

app = group("Read and verify the node's record of every parcel.")
checkpoints.add_to(app)

MAX_ROWS = 10_000
_CALL_ID = re.compile(r"[0-9a-f]{32}")
_HASH = re.compile(r"[0-9a-f]{64}")
_STATUS_NAMES = (
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


@app.command(
    "list",
    epilog=examples(
        "simpul journal list --home N",
        "simpul journal list --home N --outcome refused --limit 20",
        "simpul journal list --home N --peer ID/~jakarta-1 --json",
    ),
)
def list_calls(
    home: NodeHomeDir,
    role: Annotated[
        str | None, typer.Option(help="This node's part: consumer or provider.")
    ] = None,
    outcome: Annotated[
        str | None, typer.Option(help="How it stands: open, closed, refused or lost.")
    ] = None,
    peer: Annotated[str | None, typer.Option(metavar="NODE", help="The other node.")] = None,
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
    code: Annotated[
        str | None, typer.Option(metavar="CODE", help="The code it was refused or lost with.")
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List calls, the newest first."""
    from node.journal.model import CallFilter, Outcome, Role
    from node.journal.reader import JournalReader

    wanted = CallFilter(
        role=None if role is None else Role(_one_of("--role", role, [*Role])),
        outcome=None if outcome is None else Outcome(_one_of("--outcome", outcome, [*Outcome])),
        peer=peer,
        consumer=consumer,
        provider=provider,
        service=service,
        method=method,
        agreement=None if agreement is None else _agreement(agreement),
        code=code,
        limit=limit,
    )
    with JournalReader(journal_of(home)) as reader:
        rows = reader.list_calls(wanted)
    if as_json:
        print_json({"calls": [_call(row) for row in rows]})
        return
    print_table(
        ("OPENED", "CALL_ID", "ROLE", "METHOD", "PEER", "OUTCOME"),
        (
            (
                when(row.opened_at_ms),
                row.call_id.hex(),
                row.role.value,
                f"{row.service}/{row.method}",
                row.peer or "-",
                _outcome(row),
            )
            for row in rows
        ),
        empty="No such calls",
    )
    if len(rows) == limit:
        print_hint(f"The newest {limit}; more with --limit")


@app.command(
    "show", epilog=examples("simpul journal show 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N")
)
def show(
    call_id: Annotated[
        str, typer.Argument(metavar="CALL_ID", help="32 hex digits: the trailer simpul-call-id.")
    ],
    home: NodeHomeDir,
    as_json: AsJson = False,
) -> None:
    """Show one call: its entries, and the parcels that carried them."""
    from node.journal.reader import JournalReader

    wanted = call_id.strip().lower().replace("-", "")
    if _CALL_ID.fullmatch(wanted) is None:
        raise refusal(Code.ID_MALFORMED, f"{call_id!r} is no call id: it has 32 hex digits")
    with JournalReader(journal_of(home)) as reader:
        found = reader.show_call(bytes.fromhex(wanted))
    if not found:
        raise refusal(
            Code.NOT_FOUND, f"the journal in {home} knows no call {wanted}: try the other side's"
        )
    if as_json:
        print_json({"call_id": wanted, "calls": [_detail(item) for item in found]})
        return
    for item in found:
        _print_detail(item)


@app.command("verify", epilog=examples("simpul journal verify --home N"))
def verify(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Check the whole journal, and exit with 1 if anything is wrong.

    Seals are judged by the keys in the node's copy of the directory.
    """
    from cli.seals import seal_check
    from node.journal.verify import verify as verify_journal

    judge = seal_check(home)
    with progress_bar("parcels", quiet=as_json) as tell:
        report = verify_journal(journal_of(home), verify_seal=judge, progress=tell)
    row = {**_report(report), "seals_judged": judge is not None}
    if not as_json:
        _print_report(report)
        if judge is None:
            print_hint("Seals were not judged: this node has no copy of the directory yet.")
    if not report.ok:
        message = f"{report.problem_count} problems in the journal of {home}"
        action = ERRORS[Code.JOURNAL_CORRUPT].action
        raise CommandError(Failure(Code.JOURNAL_CORRUPT.value, message, action, beside=row))
    if as_json:
        print_json(row)


def _one_of(option: str, text: str, known: list[str]) -> str:
    if text in known:
        return text
    raise typer.BadParameter(f"{text!r} is none of {', '.join(known)}", param_hint=option)


def _agreement(text: str) -> bytes:
    if _HASH.fullmatch(text.lower()) is None:
        raise refusal(Code.ID_MALFORMED, f"{text!r} is no agreement's hash: it has 64 hex digits")
    return bytes.fromhex(text)


def _outcome(row: "CallRow") -> str:
    if row.code:
        return f"{row.outcome.value} {row.code}"
    return row.outcome.value if row.status is None else f"{row.outcome.value} {_status(row.status)}"


def _status(number: int) -> str:
    return _STATUS_NAMES[number] if 0 <= number < len(_STATUS_NAMES) else str(number)


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
        "grpc_status": None if row.status is None else _status(row.status),
        "code": row.code or None,
        "opened_at_ms": row.opened_at_ms,
        "closed_at_ms": row.closed_at_ms,
        "request_bytes": row.request_bytes,
        "response_bytes": row.response_bytes,
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


def _detail(item: "CallDetail") -> dict[str, object]:
    return {**_call(item.call), "entries": [_entry(entry) for entry in item.entries]}


def _print_detail(item: "CallDetail") -> None:
    row = item.call
    print_pairs(
        (
            ("call_id", row.call_id.hex()),
            ("role", row.role.value),
            ("outcome", _outcome(row)),
            ("consumer", row.consumer),
            ("provider", row.provider),
            ("method", f"{row.service}/{row.method}"),
            ("peer", row.peer or "-"),
            ("agreement", _hex(row.agreement) or "-"),
            ("purpose", row.purpose or "-"),
            ("opened", when(row.opened_at_ms)),
            ("closed", when(row.closed_at_ms)),
        )
    )
    print_table(
        ("KIND", "DIRECTION", "MEMBER", "PARCEL", "RECORDED", "BYTES", "HEADER_HASH"),
        (
            (
                entry.kind,
                entry.direction.value,
                entry.member,
                str(entry.number),
                when(entry.recorded_at_ms),
                str(entry.rounded_bytes),
                entry.header_hash.hex(),
            )
            for entry in item.entries
        ),
        empty="No parcel carried it: this node refused it itself",
    )


def _report(report: "JournalReport") -> dict[str, object]:
    return {
        "ok": report.ok,
        "parcels": report.parcels,
        "entries": report.entries,
        "calls": report.calls,
        "unfinished": report.unfinished,
        "unfinished_calls": [call_id.hex() for call_id in report.unfinished_calls],
        "slots": [
            {"slot": slot.number, "size": slot.size, "root": slot.root.hex()}
            for slot in report.slots
        ],
        "problem_count": report.problem_count,
        "problems": [
            {"step": p.step, "name": p.name, "where": p.where, "message": p.message}
            for p in report.problems
        ],
    }


def _print_report(report: "JournalReport") -> None:
    print_pairs(
        (
            ("parcels", str(report.parcels)),
            ("entries", str(report.entries)),
            ("calls", f"{report.calls} ({report.unfinished} unfinished)"),
            ("slots", listed(_slots(report))),
        )
    )
    if report.ok:
        print_done("every check passed")
        return
    print_table(
        ("STEP", "CHECK", "WHERE", "WRONG"),
        ((str(p.step), p.name, p.where, p.message) for p in report.problems),
        empty="",
    )


def _slots(report: "JournalReport") -> Iterable[str]:
    return (f"{slot.number}: {slot.size} parcels" for slot in report.slots)
