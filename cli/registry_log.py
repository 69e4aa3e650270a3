"""`simpul registry log`: every change of the directory, for anyone to see and to prove."""

from pathlib import Path
from typing import Annotated

import typer

from cli.files import read_small, write_new
from cli.options import AsJson, RegistryHomeDir, examples, group
from cli.output import (
    print_done,
    print_hint,
    print_json,
    print_pairs,
    print_table,
    to_dict,
    when,
)

app = group("Show the public log of the directory's changes, and prove that one is in it.")

Proof = Annotated[Path, typer.Argument(metavar="FILE", help="What `log prove` wrote.")]


@app.command(
    "list",
    epilog=examples(
        "simpul registry log list --home R",
        "simpul registry log list --member ID/DAERAH/53.15 --home R",
    ),
)
def log_list(
    home: RegistryHomeDir,
    member: Annotated[
        str, typer.Option(metavar="MEMBER", help="Only changes of this member's record.")
    ] = "",
    start: Annotated[
        int | None, typer.Option("--from", min=0, help="The first number; none: the newest.")
    ] = None,
    count: Annotated[int, typer.Option(min=1, max=1000, help="How many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List the log's leaves: roots, files, versions, the oldest first."""
    from cli.admin import ask_registry
    from registry.directory.layout import member_path
    from simpul.registry.v1 import admin_pb2

    path = member_path(member) if member else ""
    request = admin_pb2.ListLogRequest(start=start, count=count, path=path)
    answer = ask_registry(home, lambda stub: stub.ListLog(request))
    if as_json:
        print_json(to_dict(answer))
        return
    print_table(
        ("NUMBER", "KIND", "VERSION", "ABOUT", "SHA-256", "AT"),
        (
            (
                str(item.number),
                item.kind,
                str(item.version),
                item.path or "-",
                item.sha256.hex(),
                when(item.at_ms),
            )
            for item in answer.leaves
        ),
        empty="Nothing of it is in the log.",
    )
    print_hint(f"{answer.size} leaves, root {answer.root.hex()}: keep them to compare later.")


@app.command("prove", epilog=examples("simpul registry log prove 17 --home R --out proof-17.json"))
def log_prove(
    number: Annotated[int, typer.Argument(metavar="NUMBER", min=0, help="The leaf's number.")],
    home: RegistryHomeDir,
    out: Annotated[Path, typer.Option("--out", metavar="FILE", help="Where the proof goes.")],
) -> None:
    """Write a proof that a leaf is in the log: anyone verifies it who has root.json."""
    from cli.admin import ask_registry
    from simpul.registry.v1 import admin_pb2

    request = admin_pb2.ShowLogProofRequest(number=number)
    answer = ask_registry(home, lambda stub: stub.ShowLogProof(request))
    write_new(out, answer.proof)
    print_done(f"proof of leaf {number} in {out}")


@app.command("verify", epilog=examples("simpul registry log verify proof-17.json --root root.json"))
def log_verify(
    file: Proof,
    root: Annotated[
        Path, typer.Option("--root", metavar="FILE", help="The root that you trust: root.json.")
    ],
    as_json: AsJson = False,
) -> None:
    """Verify a proof, without a network."""
    from registry.directory import log_proof

    found = log_proof.verify(read_small(file), read_small(root))
    row = {
        "number": found.number,
        "kind": str(found.leaf.kind),
        "version": found.leaf.version,
        "path": found.leaf.path,
        "sha256": found.leaf.sha256,
        "size": found.size,
        "root": found.root.hex(),
        "signed_at_ms": found.issued_at_ms,
    }
    if as_json:
        print_json(row)
        return
    print_pairs(
        (name, when(value) if name == "signed_at_ms" and isinstance(value, int) else str(value))
        for name, value in row.items()
    )
    print_done("in the log")
