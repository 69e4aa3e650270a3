"""`simpul journal erase`, `erasures` and `rotate-key`: what is kept of calls, destroyed.

Erasing goes through the running node, which tells the other side; what was erased, and what others
told that they erased, is read from the journal itself, whether or not the node runs.
"""

import getpass
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.kept import Issue, Subject, User, person_tags
from cli.options import AsJson, NodeHomeDir, examples
from cli.output import (
    CommandError,
    Failure,
    print_done,
    print_hint,
    print_json,
    print_next,
    print_table,
    progress_bar,
    refusal,
    to_dict,
    when,
)
from cli.places import journal_of
from security.errors import ERRORS, Code

if TYPE_CHECKING:
    from node.journal.kept.model import Erasure, Notice
    from node.journal.model import CallRow
    from simpul.node.v1.admin_pb2 import (
        EraseCallsRequest,
        EraseCallsResponse,
        ErasedCall,
        RewrapJournalRequest,
        RewrapJournalResponse,
    )
    from simpul.node.v1.admin_pb2_grpc import NodeAdminAsyncStub

# Erased by one question to the node, so that the bar moves.
BATCH = 20
PAGE_ROWS = 1_000
MAX_ROWS = 10_000
# Law 27/2022: three times 24 hours.
ANSWER_WITHIN_MS = 3 * 24 * 3_600_000
HOUR_MS = 3_600_000
REASONS = (
    "purpose-ended",
    "consent-withdrawn",
    "subject-request",
    "unlawful",
    "retention-ended",
    "court-order",
    "other",
)


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command(
        "erase",
        epilog=examples(
            "simpul journal erase 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N",
            "simpul journal erase --subject 3171234567890123 --dry-run --home N",
            "simpul journal erase --subject 3171234567890123 --reason consent-withdrawn --home N",
        ),
    )(erase)
    app.command(
        "erasures",
        epilog=examples(
            "simpul journal erasures --home N",
            "simpul journal erasures --open --json --home N",
            "simpul journal erasures --decline 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N",
        ),
    )(erasures)
    app.command("rotate-key", epilog=examples("simpul journal rotate-key --home N"))(rotate_key)


def erase(
    home: NodeHomeDir,
    call_id: Annotated[
        str | None,
        typer.Argument(metavar="[CALL_ID]", help="32 hex digits: the trailer simpul-call-id."),
    ] = None,
    subject: Subject = None,
    user: User = None,
    issue: Issue = None,
    reason: Annotated[
        str, typer.Option(metavar="REASON", help=f"Why: {', '.join(REASONS)}.")
    ] = "subject-request",
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only list what would be erased.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Erase all calls of a person without asking.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Erase what is kept of a call, or of every call that concerns a person. For good.

    Payloads, metadata, and the salts that could prove them are destroyed; that the call took place
    stays provable. The other side's node is told. The node must be running.
    """
    if reason not in REASONS:
        raise typer.BadParameter(f"{reason!r} is none of {', '.join(REASONS)}", param_hint="reason")
    calls = _wanted(home, call_id, person_tags(home, subject, user, issue))
    if dry_run:
        _print_wanted(calls, as_json=as_json)
        return
    if call_id is None and not yes:
        if as_json:
            raise typer.BadParameter("with --json say --yes or --dry-run", param_hint="--yes")
        _print_wanted(calls, as_json=False)
        if len(calls) > 0 and not typer.confirm(f"Erase {len(calls)} calls for good?"):
            print_hint("Nothing was erased")
            return
    done, scrubbed = _erase(home, calls, reason, quiet=as_json)
    failed = [item for item in done if item.error_code]
    row = {"calls": [_erased(item) for item in done], "scrubbed": scrubbed}
    if len(failed) > 0:
        first = failed[0]
        rest = f" ({len(failed)} of {len(done)} calls)" if len(done) > 1 else ""
        action = ERRORS[Code(first.error_code)].action
        raise CommandError(
            Failure(first.error_code, first.error_message + rest, action, beside=row)
        )
    if as_json:
        print_json(row)
        return
    _print_erased(done, scrubbed=scrubbed)


def erasures(
    home: NodeHomeDir,
    only_open: Annotated[
        bool, typer.Option("--open", help="Only notices that nobody has acted on.")
    ] = False,
    decline: Annotated[
        str | None,
        typer.Option(
            metavar="CALL_ID", help="Set aside the notices of this call: it stays here. Recorded."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List what was erased here, and what others told that they erased.

    A notice asks for nothing by itself: erase the call here too, or decline. The law gives three
    days to answer.
    """
    from node.journal.kept.sql_store import read_erasures, read_notices
    from node.journal.readonly import ReadOnly
    from runtime.clock import now_ms

    if decline is not None:
        _decline(home, decline, as_json=as_json)
        return
    journal = ReadOnly(journal_of(home))
    try:
        with journal.snapshot() as connection:
            own = [] if only_open else read_erasures(connection, limit)
            heard = read_notices(connection, limit, only_open=only_open)
    finally:
        journal.close()
    at_ms = now_ms()
    if as_json:
        print_json(
            {
                "erasures": [_erasure(item) for item in own],
                "notices": [_notice(item, at_ms) for item in heard],
            }
        )
        return
    if not only_open:
        print_table(
            ("ERASED", "CALL_ID", "BY", "REASON", "ENTRIES", "TOLD"),
            (
                (
                    when(item.at_ms),
                    item.call_id.hex(),
                    item.by,
                    item.reason,
                    str(item.entries),
                    _told(item),
                )
                for item in own
            ),
            empty="Nothing was erased here",
        )
    print_table(
        ("HEARD", "CALL_ID", "FROM", "ERASED THERE", "REASON", "HERE"),
        (
            (
                when(item.heard_at_ms),
                item.call_id.hex(),
                item.member,
                when(item.erased_at_ms),
                item.reason,
                _here(item, at_ms),
            )
            for item in heard
        ),
        empty="No notices of erasures elsewhere",
    )
    waiting = [item for item in heard if item.settled_at_ms is None]
    if len(waiting) > 0:
        print_next(
            f"simpul journal erase {waiting[-1].call_id.hex()} --home {home}",
            f"simpul journal erasures --decline {waiting[-1].call_id.hex()} --home {home}",
        )


def rotate_key(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """Replace the key that wraps what is kept, and destroy the old one.

    Afterwards no backup of the journal opens anything of what was kept before, so what was erased
    since is gone from backups too. May be stopped and started again.
    """
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    done, new_key = 0, True
    with progress_bar("keys", quiet=as_json) as tell:
        while True:
            request = admin_pb2.RewrapJournalRequest(new_key=new_key)
            answer = ask_node(home, partial(_rewrap, request))
            new_key = False
            done += answer.done
            tell(done, done + answer.left)
            if answer.done == 0 and answer.left == 0:
                break
    if as_json:
        row = {"key_id": answer.key_id.hex(), "rewrapped": done, "destroyed": answer.destroyed}
        print_json(row)
        return
    print_done(
        f"{done} entries' keys are wrapped by {answer.key_id.hex()}; older keys destroyed: "
        f"{answer.destroyed}"
    )
    print_hint("Back the new key up now: HOME/keys/wrap-*.key. Destroy the backups of the old one.")


async def _rewrap(
    request: "RewrapJournalRequest", stub: "NodeAdminAsyncStub"
) -> "RewrapJournalResponse":
    return await stub.RewrapJournal(request)


async def _erase_calls(
    request: "EraseCallsRequest", stub: "NodeAdminAsyncStub"
) -> "EraseCallsResponse":
    return await stub.EraseCalls(request)


def _wanted(
    home: Path, call_id: str | None, persons: tuple[tuple[bytes, ...], ...]
) -> list["CallRow"] | list[bytes]:
    from cli.journal_calls import parse_call_id

    if call_id is not None:
        if len(persons) > 0:
            raise typer.BadParameter("give a call or a person, not both", param_hint="CALL_ID")
        return [parse_call_id(call_id)]
    if len(persons) == 0:
        raise typer.BadParameter(
            "name a call, or a person by --subject, --user or --issue", param_hint="CALL_ID"
        )
    return list(_concerning(home, persons))


def _concerning(home: Path, persons: tuple[tuple[bytes, ...], ...]) -> Iterator["CallRow"]:
    from node.journal.model import CallFilter
    from node.journal.reader import JournalReader

    page = CallFilter(persons=persons, limit=PAGE_ROWS)
    with JournalReader(journal_of(home)) as reader:
        while True:
            rows = reader.list_calls(page)
            yield from rows
            if len(rows) < PAGE_ROWS:
                return
            page = replace(page, below=rows[-1].key)


def _erase(
    home: Path, calls: "list[CallRow] | list[bytes]", reason: str, *, quiet: bool
) -> tuple[list["ErasedCall"], bool]:
    from cli.admin import ask_node
    from simpul.node.v1 import admin_pb2

    # Both ends of a call may be here, and one id more than once.
    ids = list(dict.fromkeys(item if isinstance(item, bytes) else item.call_id for item in calls))
    done: list[ErasedCall] = []
    scrubbed = True
    with progress_bar("calls", quiet=quiet) as tell:
        for start in range(0, len(ids), BATCH):
            request = admin_pb2.EraseCallsRequest(
                call_ids=ids[start : start + BATCH], by=getpass.getuser()[:64], reason=reason
            )
            answer = ask_node(home, partial(_erase_calls, request))
            done += answer.calls
            scrubbed = answer.scrubbed
            tell(len(done), len(ids))
    return done, scrubbed


def _decline(home: Path, text: str, *, as_json: bool) -> None:
    from cli.admin import ask_node
    from cli.journal_calls import parse_call_id
    from simpul.node.v1 import admin_pb2

    call_id = parse_call_id(text)
    request = admin_pb2.DeclineErasureRequest(call_id=call_id)
    answer = ask_node(home, lambda stub: stub.DeclineErasure(request))
    if answer.notices == 0:
        raise refusal(Code.NOT_FOUND, f"there is no open notice of call {call_id.hex()}")
    if as_json:
        print_json({"call_id": call_id.hex(), "notices": answer.notices})
        return
    print_done(f"{answer.notices} notices of call {call_id.hex()} set aside; it stays here")


def _print_wanted(calls: "list[CallRow] | list[bytes]", *, as_json: bool) -> None:
    ids = [item if isinstance(item, bytes) else item.call_id for item in calls]
    if as_json:
        print_json({"would_erase": [call_id.hex() for call_id in ids]})
        return
    print_table(
        ("OPENED", "CALL_ID", "ROLE", "METHOD", "WITH"),
        (
            ("-", item.hex(), "-", "-", "-")
            if isinstance(item, bytes)
            else (
                when(item.opened_at_ms),
                item.call_id.hex(),
                item.role.value,
                f"{item.service}/{item.method}",
                item.provider if item.role.value == "consumer" else item.consumer,
            )
            for item in calls
        ),
        empty="No call concerns that person",
    )


def _print_erased(done: list["ErasedCall"], *, scrubbed: bool) -> None:
    for item in done:
        if item.again:
            print_done(f"{item.call_id.hex()} had been erased, {when(item.erased_at_ms)}")
        else:
            told = f"; {', '.join(item.tells)} is told" if item.tells else ""
            print_done(f"{item.call_id.hex()} erased, {item.entries} entries{told}")
    if not scrubbed:
        print_hint("Its bytes leave the journal's files as soon as no reader is in the way.")


def _erased(item: "ErasedCall") -> dict[str, object]:
    row = to_dict(item)
    for name in ("error_code", "error_message"):
        row[name] = row[name] or None
    return row


def _erasure(item: "Erasure") -> dict[str, object]:
    return {
        "call_id": item.call_id.hex(),
        "erased_at_ms": item.at_ms,
        "by": item.by,
        "reason": item.reason,
        "entries": item.entries,
        "told": [
            {
                "node": telling.peer,
                "told_at_ms": telling.told_at_ms,
                "tries": telling.tries,
                "code": telling.code or None,
                "next_at_ms": None if telling.told_at_ms else telling.next_at_ms,
            }
            for telling in item.tellings
        ],
    }


def _notice(item: "Notice", at_ms: int) -> dict[str, object]:
    is_open = item.settled_at_ms is None
    return {
        "call_id": item.call_id.hex(),
        "member": item.member,
        "erased_at_ms": item.erased_at_ms,
        "reason": item.reason,
        "heard_at_ms": item.heard_at_ms,
        "state": item.settled.value or "open",
        "settled_at_ms": item.settled_at_ms,
        "answer_by_ms": item.heard_at_ms + ANSWER_WITHIN_MS if is_open else None,
        "overdue": is_open and at_ms > item.heard_at_ms + ANSWER_WITHIN_MS,
    }


def _told(item: "Erasure") -> str:
    return ", ".join(_telling(each.peer, each.told_at_ms, each.code) for each in item.tellings)


def _telling(peer: str, told_at_ms: int | None, code: str) -> str:
    if told_at_ms is not None:
        return f"{peer} {when(told_at_ms)}" + (f" ({code})" if code else "")
    return f"{peer} not yet" + (f" ({code})" if code else "")


def _here(item: "Notice", at_ms: int) -> str:
    if item.settled_at_ms is not None:
        return f"{item.settled.value} {when(item.settled_at_ms)}"
    age = _hours(at_ms - item.heard_at_ms)
    left_ms = item.heard_at_ms + ANSWER_WITHIN_MS - at_ms
    if left_ms < 0:
        return f"open for {age}: OVERDUE by {_hours(-left_ms)}"
    return f"open for {age}: {_hours(left_ms)} left"


def _hours(span_ms: int) -> str:
    days, hours = divmod(max(0, span_ms) // HOUR_MS, 24)
    return f"{days} d {hours} h" if days else f"{hours} h"
