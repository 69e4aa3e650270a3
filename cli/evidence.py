"""`simpul evidence`: one file that proves one call to anyone, offline, from root.json alone.

`export` reads the node's home, while the node runs or when it's stopped. `verify`, `show` and
`join` need no node: they read files, and neither a network nor a database.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.evidence_output import print_report, report_json
from cli.options import AsJson, NodeHomeDir, examples, group
from cli.output import (
    CommandError,
    Failure,
    print_done,
    print_hint,
    print_json,
    progress_bar,
    refusal,
)
from cli.places import journal_of, kept_keys_of
from security.errors import ERRORS, Code, SimpulError

if TYPE_CHECKING:
    from node.evidence.archived import ArchivedParcels, Progress
    from security.evidence_format import Evidence
    from security.evidence_report import Report

app = group("Prove one call to anyone, offline: export, verify, show and join evidence files.")

CALL_ID_BYTES = 16

Output = Annotated[
    Path, typer.Option("-o", "--output", metavar="FILE", help="Where to write the file.")
]
Force = Annotated[bool, typer.Option("--force", help="Replace FILE if it's there.")]
EvidenceFile = Annotated[Path, typer.Argument(metavar="FILE", help="An evidence file.")]


@app.command(
    "export",
    epilog=examples(
        "simpul evidence export 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N -o call.evidence",
        "simpul evidence export 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N -o c.evidence "
        "--without-payload",
        "simpul evidence export 0198f3c2a5b47d3e8f10c2d4e6a8b0c1 --home N -o call.evidence "
        "--archive s3://bucket/journal",
    ),
)
def export(
    call_id: Annotated[
        str, typer.Argument(metavar="CALL_ID", help="32 hex digits: the trailer simpul-call-id.")
    ],
    home: NodeHomeDir,
    output: Output,
    without_payload: Annotated[
        bool,
        typer.Option(
            "--without-payload",
            help="Leave out messages, metadata and the salts that could prove them.",
        ),
    ] = False,
    archive: Annotated[
        list[str] | None,
        typer.Option(
            "--archive",
            metavar="PLACE",
            help="Look in archives too, for what the journal dropped: a folder or "
            "s3://BUCKET/PREFIX. May be given again.",
        ),
    ] = None,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Write the evidence of a call, as this node can prove it. Works while the node runs.

    A call whose parcels were dropped from the journal is in its archives: say where these are.
    """
    from node.evidence.contents import kept_contents
    from node.evidence.export import export_evidence
    from node.home import NodeHome
    from security.evidence_format import print_evidence

    wanted = _call_id(call_id)
    _check_free(output, force=force)
    opened, place = NodeHome.open(home), journal_of(home)
    kept = None if without_payload else kept_contents(place, kept_keys_of(home), wanted)
    try:
        with progress_bar("archives, then parcels", quiet=as_json) as tell:
            done = export_evidence(
                opened,
                place,
                wanted,
                contents=not without_payload,
                kept=kept,
                archives=_archives(home, archive, tell),
                progress=tell,
            )
    except SimpulError as error:
        if error.code is Code.NOT_FOUND and not archive:
            raise _elsewhere(error, home, wanted) from error
        raise
    data = print_evidence(done.evidence)
    _write(output, data, force=force)
    if as_json:
        print_json({**_written(output, data, done.evidence), "notes": list(done.notes)})
        return
    print_done(f"{output}: {len(done.evidence.parcels)} parcels, {len(data)} bytes")
    for note in done.notes:
        print_hint(note)


@app.command(
    "verify",
    epilog=examples(
        "simpul evidence verify call.evidence --root root.json",
        "simpul evidence verify call.evidence --root root.json --json",
    ),
)
def verify(
    file: EvidenceFile,
    root: Annotated[
        Path,
        typer.Option(
            metavar="FILE", help="The federation's root metadata, as you got it and trust it."
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check a file step by step, and exit with 1 if a step fails. Needs no network and no node."""
    from security.evidence import verify as verify_evidence

    report = verify_evidence(_read(file), _read(root))
    if not as_json:
        print_report(report)
    _require_sound(file, report)
    if as_json:
        print_json(report_json(report))
        return
    print_done(f"{file}: no step fails")


@app.command("show", epilog=examples("simpul evidence show call.evidence"))
def show(file: EvidenceFile, as_json: AsJson = False) -> None:
    """Show what a file holds. Nothing of it is verified, but that the file is whole."""
    from cli.evidence_output import print_contents
    from security.evidence_format import parse_evidence

    print_contents(parse_evidence(_read(file)), as_json=as_json)


@app.command(
    "join",
    epilog=examples("simpul evidence join ours.evidence theirs.evidence -o both.evidence"),
)
def join(
    first: Annotated[Path, typer.Argument(metavar="A", help="One side's file.")],
    second: Annotated[Path, typer.Argument(metavar="B", help="The other side's.")],
    output: Output,
    force: Force = False,
    as_json: AsJson = False,
) -> None:
    """Join both sides' files of one call into one that proves what either does."""
    from security.evidence_format import parse_evidence, print_evidence
    from security.evidence_join import join_evidence

    _check_free(output, force=force)
    joined = join_evidence(parse_evidence(_read(first)), parse_evidence(_read(second)))
    data = print_evidence(joined)
    _write(output, data, force=force)
    if as_json:
        print_json(_written(output, data, joined))
        return
    print_done(f"{output}: {len(joined.parcels)} parcels, {len(data)} bytes")


def _archives(
    home: Path, places: list[str] | None, progress: "Progress"
) -> "ArchivedParcels | None":
    """What the journal at `home` archived, as it lies in these places."""
    if not places:
        return None
    import os
    from contextlib import closing

    from node.evidence.archived import ArchivedParcels
    from node.journal.archive.places import parse_archive_place
    from node.journal.archive.store import ArchiveStore

    opened = [parse_archive_place(place, os.environ) for place in places]
    with closing(ArchiveStore.open(journal_of(home))) as store:
        return ArchivedParcels(store.archived(), opened, progress)


def _elsewhere(error: SimpulError, home: Path, call_id: bytes) -> SimpulError:
    """Says which archives may have a call that the journal hasn't."""
    from contextlib import closing

    from node.journal.archive.reader import candidates
    from node.journal.archive.store import ArchiveStore

    with closing(ArchiveStore.open(journal_of(home))) as store:
        dropped = {item.slot: item.dropped for item in store.slots()}
        places = sorted(
            {
                item.place
                for item in candidates(store.archived(), call_id)
                if item.first < dropped[item.slot]
            }
        )
    if len(places) == 0:
        return error
    return SimpulError(
        Code.NOT_FOUND,
        f"{error.message}; what was dropped of its time is archived: give "
        + " ".join(f"--archive {place}" for place in places),
    )


def _call_id(text: str) -> bytes:
    wanted = text.strip().lower().replace("-", "")
    try:
        found = bytes.fromhex(wanted)
    except ValueError:
        found = b""
    if len(found) != CALL_ID_BYTES:
        raise refusal(Code.ID_MALFORMED, f"{text!r} is no call id: it has 32 hex digits")
    return found


def _check_free(path: Path, *, force: bool) -> None:
    """Before the work, and again when the file is made."""
    if path.exists() and not force:
        raise refusal(
            Code.ALREADY_EXISTS, f"{path} is there: give another file, or --force to replace it"
        )


def _write(path: Path, data: bytes, *, force: bool) -> None:
    from runtime.files import create_private, write_private

    try:
        if force:
            write_private(path, data)
        else:
            create_private(path, data)
    except FileExistsError:
        _check_free(path, force=False)
        raise
    except OSError as error:
        raise refusal(
            Code.REQUEST_MALFORMED, f"{path} can't be written: {error.strerror}"
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise refusal(Code.NOT_FOUND, f"{path} can't be read: {error.strerror}") from error


def _written(path: Path, data: bytes, evidence: "Evidence") -> dict[str, object]:
    return {
        "file": str(path),
        "bytes": len(data),
        "call_id": evidence.call_id.hex(),
        "parcels": len(evidence.parcels),
        "directories": len(evidence.directories),
        "checkpoints": len(evidence.checkpoints),
        "agreement": evidence.agreement is not None,
        "offer": evidence.offer_call_id is not None,
        "decision": evidence.decide_call_id is not None,
    }


def _require_sound(file: Path, report: "Report") -> None:
    step = report.failed
    if step is None:
        return
    message = f"{file}: step {step.number}, {step.name}, fails: {'; '.join(step.findings)}"
    action = ERRORS[Code.EVIDENCE_INVALID].action
    extra = {"step": step.number, "name": step.name}
    raise CommandError(
        Failure(
            Code.EVIDENCE_INVALID.value,
            " ".join(message.split()),
            action,
            extra=extra,
            beside=report_json(report),
        )
    )
