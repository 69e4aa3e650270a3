"""`simpul journal checkpoints` and `simpul journal tiles`: what bounds the journal's age.

Like the rest of `simpul journal` they read the journal itself, whether or not the node runs.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import AsJson, NodeHomeDir, examples
from cli.output import print_done, print_hint, print_json, print_table, when
from cli.places import journal_of

if TYPE_CHECKING:
    from node.journal.checkpoints import KeptCheckpoint

MAX_ROWS = 10_000


def add_to(app: typer.Typer) -> None:
    """Adds the commands to the group."""
    app.command(
        "checkpoints",
        epilog=examples(
            "simpul journal checkpoints --home N",
            "simpul journal checkpoints --home N --slot 0 --covering 1234 --json",
        ),
    )(checkpoints)
    app.command("tiles", epilog=examples("simpul journal tiles --home N -o /srv/tiles"))(tiles)


def checkpoints(
    home: NodeHomeDir,
    slot: Annotated[int | None, typer.Option(min=0, help="Of this slot alone.")] = None,
    covering: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="INDEX",
            help="The first cosigned and the first stamped one that cover this parcel of --slot.",
        ),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, max=MAX_ROWS, help="At most so many.")] = 100,
    as_json: AsJson = False,
) -> None:
    """List the journal's checkpoints, the newest first: who cosigned and who stamped them."""
    from node.journal.sql_checkpoints import SqlCheckpointStore

    if covering is not None and slot is None:
        raise typer.BadParameter("say which --slot the parcel is in", param_hint="--covering")
    store = SqlCheckpointStore.read(journal_of(home))
    if covering is not None and slot is not None:
        found = (store.first_covering(slot, covering), store.first_stamped(slot, covering))
        kept = [item for item in dict.fromkeys(found) if item is not None]
    else:
        kept = list(store.listed(slot, limit=limit))
    rows = [_row(item) for item in kept]
    if as_json:
        print_json({"checkpoints": rows})
        return
    print_table(
        ("SIGNED", "SLOT", "PARCELS", "COSIGNED BY", "QUORUM", "STAMPED BY"),
        (
            (
                when(item.signed_at_ms),
                str(item.slot),
                str(item.size),
                ", ".join(_cosigners(item)) or "-",
                "-" if item.quorum_at_ms is None else when(item.quorum_at_ms),
                ", ".join(stamp.authority for stamp in item.timestamps) or "-",
            )
            for item in kept
        ),
        empty="No checkpoints yet",
    )


def tiles(
    home: NodeHomeDir,
    output: Annotated[
        Path, typer.Option("-o", "--output", metavar="DIR", help="Where; made if missing.")
    ],
    as_json: AsJson = False,
) -> None:
    """Write the journal's trees as C2SP tiles, up to the newest checkpoint of each slot.

    Any web server over DIR/slot-N serves the log. It holds hashes, and nothing of any call.
    """
    from node.journal.export import export_tiles
    from node.journal.sql_checkpoints import SqlCheckpointStore

    done = export_tiles(SqlCheckpointStore.read(journal_of(home)), output)
    if as_json:
        print_json(
            {
                "slots": [
                    {
                        "slot": item.slot,
                        "origin": item.origin,
                        "size": item.size,
                        "folder": str(item.folder),
                        "new_files": item.files,
                    }
                    for item in done
                ]
            }
        )
        return
    for item in done:
        print_done(
            f"slot {item.slot}: {item.size} parcels, {item.files} new files in {item.folder}"
        )
    if len(done) == 0:
        print_hint("No checkpoint yet: a running node signs one within 10 s of its first parcel.")


def _row(item: "KeptCheckpoint") -> dict[str, object]:
    from security.checkpoint import parse_checkpoint

    checkpoint = parse_checkpoint(item.note).checkpoint
    return {
        "slot": item.slot,
        "size": item.size,
        "root": checkpoint.root.hex(),
        "origin": checkpoint.origin,
        "signed_at_ms": item.signed_at_ms,
        "quorum_at_ms": item.quorum_at_ms,
        "cosigned_by": _cosigners(item),
        "timestamps": [
            {"authority": stamp.authority, "stamped_at_ms": stamp.stamped_at_ms}
            for stamp in item.timestamps
        ],
        "note": item.note.decode(),
    }


def _cosigners(item: "KeptCheckpoint") -> list[str]:
    from security.checkpoint import parse_checkpoint

    signed = parse_checkpoint(item.note)
    return [line.name for line in signed.note.signatures if line.name != signed.checkpoint.origin]
