"""`simpul journal`: what this node sent and received, straight from its journal.

It reads `journal.db` itself, so that it works while the node runs and when it doesn't; nothing is
changed. Calls are listed and shown by `cli.journal_calls`; `cli.journal_erase` alone changes what
is kept, and asks the running node to.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cli import checkpoints, journal_archive, journal_calls, journal_erase, reconcile
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
)
from cli.places import journal_of
from security.errors import ERRORS, Code

if TYPE_CHECKING:
    from node.journal.model import JournalReport

app = group("Read and verify the node's record of every parcel.")
journal_calls.add_to(app)
checkpoints.add_to(app)
app.add_typer(journal_archive.app, name="archive")
journal_erase.add_to(app)
reconcile.add_to(app)


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


def _report(report: "JournalReport") -> dict[str, object]:
    return {
        "ok": report.ok,
        "parcels": report.parcels,
        "dropped": report.dropped,
        "entries": report.entries,
        "calls": report.calls,
        "erased_entries": report.erased,
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
            ("parcels", f"{report.parcels} ({report.dropped} more were dropped)"),
            ("entries", f"{report.entries} ({report.erased} erased)"),
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
