"""`simpul journal archive`: takes old parcels out of a journal, and judges what was taken out.

It works on the journal itself, whether or not the node runs. Making archives is safe to repeat and
to break off: it goes on where it stopped. `verify` needs no journal and no network.
"""

from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.files import read_small
from cli.options import AsJson, NodeHomeDir, examples
from cli.output import (
    CommandError,
    Failure,
    print_done,
    print_hint,
    print_json,
    print_pairs,
    print_table,
    progress_bar,
    refusal,
    when,
)
from security.errors import ERRORS, Code, SimpulError

if TYPE_CHECKING:
    from node.journal.archive.store import Archived
    from node.journal.model import CallDetail
    from node.journal.upkeep import Settings
    from security.archive_check import ArchiveReport, Expected, Trust

DEFAULT_AFTER = "7 days"

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.callback(
    invoke_without_command=True,
    epilog=examples(
        "simpul journal archive --home N",
        "simpul journal archive --home N --before 2026-01-01 --to /srv/archives",
        "simpul journal archive --home N --to s3://bucket/journal --drop",
    ),
)
def archive(
    context: typer.Context,
    home: Annotated[
        Path | None,
        typer.Option("--home", envvar="SIMPUL_HOME", metavar="DIR", help="The node's home folder."),
    ] = None,
    before: Annotated[
        str | None,
        typer.Option(
            metavar="DATE",
            help="Parcels recorded before it, in UTC; by default those older than "
            "journal.archive_after.",
        ),
    ] = None,
    to: Annotated[
        str | None,
        typer.Option(
            metavar="PLACE", help="A folder or s3://BUCKET/PREFIX; by default journal.archive."
        ),
    ] = None,
    drop: Annotated[
        bool,
        typer.Option("--drop", help="Drop from the journal what is archived and a day old."),
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Archive what is due: written, read back and verified before the journal remembers it.

    Credentials for S3 come from the environment or AWS's credentials file.
    """
    if context.invoked_subcommand is not None:
        return
    if home is None:
        raise typer.BadParameter("say whose journal", param_hint="--home")
    _archive(home, before, to, drop=drop, as_json=as_json)


def _archive(home: Path, before: str | None, to: str | None, *, drop: bool, as_json: bool) -> None:
    import os

    from node.journal.archive.dropping import Dropper
    from node.journal.archive.run import archive_due
    from node.journal.archive.store import ArchiveStore
    from node.journal.retention import Done, Retention, Rules
    from node.journal.upkeep import make_run
    from runtime.clock import now_ms

    settings = _settings(home, to)
    if settings.archive == "":
        raise refusal(Code.CONFIG_INVALID, "say where: give --to, or set journal.archive")
    before_ms = now_ms() - (settings.rules.archive_after_ms or 0)
    if before is not None:
        before_ms = _at_ms(before)
    done = Done()
    with closing(ArchiveStore.open(settings.place)) as store:
        made = make_run(settings, store, os.environ, now_ms, lambda: False)
        if made is not None:
            with progress_bar("parcels archived", quiet=as_json) as tell:
                done.archived += archive_due(made, before_ms, tell)
        if drop:
            rules = Rules(retention_ms=max(0, now_ms() - before_ms))
            with (
                closing(Dropper(settings.place)) as dropper,
                progress_bar("parcels dropped", quiet=as_json) as tell,
            ):
                Retention(rules, store, dropper, made, _rest).drop(now_ms(), done, tell)
    if as_json:
        print_json({"archives": list(map(_row, done.archived)), "dropped": done.dropped})
        return
    for item in done.archived:
        print_done(f"slot {item.slot}: {item.end - item.first} parcels in {item.place}/{item.name}")
    if len(done.archived) == 0:
        print_hint("Nothing more is due, or no cosigned checkpoint covers it yet.")
    if drop:
        print_done(f"{done.dropped} parcels dropped from the journal")


@app.command("list", epilog=examples("simpul journal archive list --home N"))
def list_archives(home: NodeHomeDir, as_json: AsJson = False) -> None:
    """List the archives that the journal remembers, and how much of each slot is in them."""
    from cli.places import journal_of
    from node.journal.archive.store import ArchiveStore

    with closing(ArchiveStore.open(journal_of(home))) as store:
        archived, slots = store.archived(), store.slots()
    if as_json:
        print_json(
            {
                "archives": list(map(_row, archived)),
                "slots": [
                    {
                        "slot": item.slot,
                        "size": item.size,
                        "archived": item.archived,
                        "dropped": item.dropped,
                    }
                    for item in slots
                ],
            }
        )
        return
    print_table(
        ("SLOT", "FIRST", "PARCELS", "RECORDED", "TO", "BYTES", "ARCHIVE"),
        (
            (
                str(item.slot),
                str(item.first),
                str(item.end - item.first),
                when(item.first_at_ms),
                when(item.last_at_ms),
                str(item.size_bytes),
                f"{item.place}/{item.name}",
            )
            for item in archived
        ),
        empty="No archives yet",
    )
    for item in slots:
        print_hint(
            f"slot {item.slot}: of {item.size} parcels {item.archived} are archived and "
            f"{item.dropped} dropped"
        )


@app.command(
    "verify",
    epilog=examples(
        "simpul journal archive verify /srv/archives",
        "simpul journal archive verify /srv/archives --root root.json",
        "simpul journal archive verify 000000000000-000000004096.simpul.zst --home N",
    ),
)
def verify(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|DIR...", help="Archives, or folders of them.")
    ],
    home: Annotated[
        Path | None,
        typer.Option(
            "--home",
            metavar="DIR",
            help="A node: its copy of the directory says whose keys and witnesses count.",
        ),
    ] = None,
    root: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The federation's root metadata: the directories in the archives, which must lead "
            "from it, say whose keys and witnesses count.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Verify archives, each by itself and those of one log as a chain; exit with 1 if one fails.

    Offline, from the files alone. With --root the signatures and cosignatures of checkpoints are
    judged too; with --home these and the seals.
    """
    if root is not None and home is not None:
        raise typer.BadParameter("give --root or --home", param_hint="--root")
    known = None if root is None else read_small(root)
    files = list(_files(paths))
    if len(files) == 0:
        raise refusal(Code.NOT_FOUND, "no archives there: give files, or a folder that holds some")
    ends: dict[str, Expected] = {}
    rows = [_verified(file, ends, (home, known), quiet=as_json) for file in files]
    failed = [row for row in rows if not row["ok"]]
    result: dict[str, object] = {"ok": len(failed) == 0, "archives": rows}
    if not as_json:
        _print_rows(rows)
    if len(failed) > 0:
        first = failed[0]
        raise CommandError(
            Failure(
                Code.ARCHIVE_INVALID.value,
                f"{len(failed)} of {len(rows)} archives fail, the first being {first['file']}: "
                f"{first['problem']}",
                ERRORS[Code.ARCHIVE_INVALID].action,
                beside=result,
            )
        )
    if as_json:
        print_json(result)
        return
    print_done(f"{len(rows)} archives hold, and each follows on the one before it")
    if root is not None:
        print_hint("The checkpoints are those of the federation's root; seals were not judged.")
    elif home is None:
        print_hint("Signatures were not judged: give --root, or --home for a node's directory.")


def where_older(home: Path) -> str | None:
    """Where the calls are that were dropped from a journal; None where none were."""
    from cli.places import journal_of
    from node.journal.archive.store import ArchiveStore

    with closing(ArchiveStore.open(journal_of(home))) as store:
        dropped = {item.slot: item.dropped for item in store.slots()}
        archived = [item for item in store.archived() if item.first < dropped[item.slot]]
    if sum(dropped.values()) == 0:
        return None
    if len(archived) == 0:
        return "older parcels were dropped, and not archived"
    upto = when(max(item.last_at_ms for item in archived))
    places = ", ".join(sorted({item.place for item in archived}))
    return f"parcels up to {upto} were dropped, and are in {places}: simpul journal show --archive"


def show_call(home: Path, call_id: bytes) -> "list[CallDetail]":
    """A call as the archives have it; nothing where they don't.

    Raises:
        SimpulError: ARCHIVE_FAILED, ARCHIVE_INVALID, NOT_FOUND: an archive can't be read.
    """
    import os

    from cli.places import journal_of
    from node.journal.archive.erasing import find_archived
    from node.journal.archive.places import parse_archive_place
    from node.journal.archive.reader import detail_of

    found = find_archived(
        journal_of(home), lambda where: parse_archive_place(where, os.environ), call_id
    )
    return [] if len(found) == 0 else [detail_of(found, call_id)]


def _verified(
    file: Path, ends: "dict[str, Expected]", by: tuple[Path | None, bytes | None], *, quiet: bool
) -> dict[str, object]:
    """One archive, judged by a home or a root; `ends` has what must come next, by log."""
    from node.journal.archive.files import read_file, unpacked
    from security.archive import Head, read_archive
    from security.archive_check import check_archive

    try:
        head = next(iter(read_archive(unpacked(read_file(file)))))
        if not isinstance(head, Head):
            raise refusal(Code.ARCHIVE_INVALID, "it has no head")
        trust = _trust(*by, head.origin)
        with progress_bar(file.name, quiet=quiet) as tell:
            report = check_archive(unpacked(read_file(file)), trust, ends.get(head.origin), tell)
    except SimpulError as error:
        return {
            "file": str(file),
            "ok": False,
            "code": error.code.value,
            "step": error.details.get("step"),
            "problem": error.message,
        }
    except OSError as error:
        raise refusal(
            Code.ARCHIVE_FAILED, f"{file} can't be read: {(error.strerror or '').lower()}"
        ) from error
    ends[head.origin] = report.next
    return _report(file, report)


def _trust(home: Path | None, root: bytes | None, origin: str) -> "Trust | None":
    """By whose keys an archive of this log is judged.

    Raises:
        SimpulError: NODE_UNKNOWN, where the directory lists no such log.
    """
    from security.archive_check import Trust

    if root is not None:
        return Trust(root=root)
    if home is None:
        return None
    from cli.seals import seal_check
    from node.directory.folder import CURRENT
    from node.directory.load import load_view
    from node.home import NodeHome

    view = load_view((NodeHome.open(home).directory / CURRENT).resolve())
    keys = tuple(
        node.node_key
        for node in view.nodes.values()
        if any(slot.origin == origin for slot in node.slots)
    )
    if len(keys) == 0:
        raise refusal(Code.NODE_UNKNOWN, f"the directory in {home} lists no log {origin}")
    oversight = view.policy.oversight
    return Trust(
        keys=keys,
        witnesses=tuple(witness.key for witness in oversight.witnesses),
        quorum=oversight.quorum,
        verify_seal=seal_check(home),
    )


def _files(paths: list[Path]) -> Iterator[Path]:
    """The archives, a folder's in the order of their names: that of their leaves."""
    from node.journal.archive.files import SUFFIX

    for path in paths:
        if path.is_dir():
            yield from sorted(
                found for found in path.rglob(f"*{SUFFIX}") if not found.name.startswith(".")
            )
        else:
            yield path


def _settings(home: Path, to: str | None) -> "Settings":
    """What the configuration says, where there is one."""
    import os
    from dataclasses import replace

    from node.config import load_config
    from node.home import NodeHome
    from node.journal.period import parse_period
    from node.journal.retention import Rules
    from node.journal.upkeep import STAGING, Settings, upkeep_settings

    opened = NodeHome.open(home)
    if opened.config.exists():
        settings = upkeep_settings(opened, load_config(opened, os.environ))
    else:
        rules = Rules(archive_after_ms=parse_period(DEFAULT_AFTER))
        settings = Settings(opened.journal, "", opened.path / STAGING, rules, 0, opened)
    return settings if to is None else replace(settings, archive=to)


def _at_ms(text: str) -> int:
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is no date: write 2026-01-31, or 2026-01-31T12:00:00Z",
            param_hint="--before",
        ) from None
    return int((at if at.tzinfo is not None else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _rest(seconds: float) -> bool:
    import time

    time.sleep(seconds)
    return False


def _row(item: "Archived") -> dict[str, object]:
    return {
        "slot": item.slot,
        "first": item.first,
        "end": item.end,
        "digest": item.digest.hex(),
        "place": item.place,
        "name": item.name,
        "size_bytes": item.size_bytes,
        "first_at_ms": item.first_at_ms,
        "last_at_ms": item.last_at_ms,
        "archived_at_ms": item.archived_at_ms,
    }


def _report(file: Path, report: "ArchiveReport") -> dict[str, object]:
    return {
        "file": str(file),
        "ok": True,
        "origin": report.head.origin,
        "slot": report.head.slot,
        "first": report.head.first,
        "end": report.head.end,
        "previous": None if report.head.previous is None else report.head.previous.hex(),
        "digest": report.digest.hex(),
        "root": report.tree.root().hex(),
        "parcels": report.parcels,
        "entries": report.entries,
        "checkpoints": report.checkpoints,
        "first_at_ms": report.first_at_ms,
        "last_at_ms": report.last_at_ms,
        "quorum_at_ms": report.quorum_at_ms,
        "signatures_judged": report.signatures_judged,
        "cosignatures_judged": report.cosignatures_judged,
        "seals_judged": report.seals_judged,
    }


def _print_rows(rows: list[dict[str, object]]) -> None:
    if len(rows) == 1 and rows[0]["ok"]:
        print_pairs((name, _shown(name, value)) for name, value in rows[0].items())
        return
    print_table(
        ("ARCHIVE", "LEAVES", "TO", "COSIGNED", "RESULT"),
        (
            (
                str(row["file"]),
                str(row.get("first", "-")),
                str(row.get("end", "-")),
                _shown("quorum_at_ms", row.get("quorum_at_ms")),
                "holds" if row["ok"] else str(row["problem"]),
            )
            for row in rows
        ),
        empty="",
    )


def _shown(name: str, value: object) -> str:
    if name.endswith("_at_ms"):
        return when(value if isinstance(value, int) else None)
    return "-" if value is None else str(value)
