"""`simpul registry backup`, `restore`, `replica`: a registry's home and database as a whole."""

import os
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer

from cli.options import AsJson, RegistryHomeDir, examples
from cli.output import (
    print_done,
    print_hint,
    print_json,
    print_next,
    print_pairs,
    progress_bar,
    refusal,
    when,
)
from security.errors import Code


def add_to(app: typer.Typer) -> None:
    """Adds the commands to `simpul registry`."""
    app.command(
        "backup",
        epilog=examples(
            "simpul registry backup -o registry.backup --home R --passphrase-file P",
            "simpul registry backup -o registry.backup --home R --without-keys",
        ),
    )(backup)
    app.command(
        "restore",
        epilog=examples(
            "simpul registry restore registry.backup --home R --passphrase-file P",
            "simpul registry restore registry.backup --home R --keys OLD",
            "simpul registry restore registry.backup --check",
        ),
    )(restore)
    app.command("replica", epilog=examples("simpul registry replica R2 --home R"))(replica)


VARIABLE: Final = "SIMPUL_BACKUP_PASSPHRASE"

PassphraseFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE",
        help=f"What seals the keys: the file's first line. None: the variable {VARIABLE}.",
    ),
]


def backup(
    out: Annotated[Path, typer.Option("-o", "--out", metavar="FILE", help="A new file.")],
    home: RegistryHomeDir,
    passphrase_file: PassphraseFile = None,
    without_keys: Annotated[
        bool, typer.Option("--without-keys", help="Leave the keys out: they are kept elsewhere.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Write everything of this registry to one file, while it runs, and check the file.

    Keep the passphrase elsewhere than the file: with both, one is the registry.
    """
    from registry import backup as backups
    from registry.home import RegistryHome
    from runtime import clock

    passphrase = None if without_keys else _passphrase(passphrase_file)
    if passphrase is None and not without_keys:
        raise refusal(
            Code.CONFIG_INVALID,
            "the backup holds the registry's keys: give a passphrase with --passphrase-file or "
            f"{VARIABLE}, or say --without-keys",
        )
    with progress_bar("backing up") as progress:
        made = backups.write(
            RegistryHome.open(home),
            out,
            passphrase=passphrase,
            now_ms=clock.now_ms(),
            progress=progress,
        )
    if as_json:
        print_json({"file": str(out), **asdict(made)})
        return
    print_done(f"{out}: directory version {made.version}, {made.files} files, read back and whole")


def restore(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="The backup.")],
    home: Annotated[
        Path | None,
        typer.Option("--home", envvar="SIMPUL_HOME", metavar="DIR", help="A new home folder."),
    ] = None,
    passphrase_file: PassphraseFile = None,
    keys: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="A registry's home whose keys are taken instead."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Only check the file, and restore nothing.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Make a registry's home of a backup. No node sees any version go back.

    Stop every process of the old registry first: two that go on from one backup sign two histories.
    """
    from registry import backup as backups
    from registry import restore as restores
    from runtime import clock

    passphrase = _passphrase(passphrase_file)
    with progress_bar("reading") as progress:
        if check:
            found = backups.read(file, None, passphrase=passphrase, progress=progress)
        elif home is None:
            raise refusal(Code.CONFIG_INVALID, "say where with --home DIR, or only --check")
        else:
            done = restores.restore(
                file,
                home,
                passphrase=passphrase,
                keys=keys,
                now_ms=clock.now_ms(),
                progress=progress,
            )
            found = done.backup
    row = {**asdict(found), "restored_version": None if check else done.version}
    if as_json:
        print_json(row)
        return
    print_done(f"{file} is whole: {found.federation}, made {when(found.made_at_ms)}")
    if check:
        return
    print_done(f"{home}: the next directory is after version {done.version}")
    print_hint(
        f"Decide again what was decided since {when(found.made_at_ms)}, revocations first. Tokens "
        "that were not used are void. The witness needs a new key, unless its folder was kept."
    )
    print_next(f"simpul registry serve --home {home}")


def _passphrase(file: Path | None) -> str | None:
    if file is None:
        return os.environ.get(VARIABLE)
    try:
        lines = file.read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise refusal(Code.CONFIG_INVALID, f"{file} can't be read") from error
    if not lines or lines[0] == "":
        raise refusal(Code.CONFIG_INVALID, f"{file} is empty: its first line is the passphrase")
    return lines[0]


def replica(
    path: Annotated[Path, typer.Argument(metavar="DIR", help="The replica's home; a new folder.")],
    home: RegistryHomeDir,
    as_json: AsJson = False,
) -> None:
    """Make a second home of this registry, for another process on the same PostgreSQL.

    It has the same keys: carry it to its machine as you would carry them. Either may stop at any
    time. Nodes go to the other where they are told both addresses (grpc.public and
    directory.public_url, with commas between).
    """
    from registry import config
    from registry import replica as replicas
    from registry.home import RegistryHome

    made = replicas.create(RegistryHome.open(home), path, os.environ)
    settings = config.load(made.settings_file, os.environ)
    row = {
        "home": str(made.path),
        "grpc": str(settings.grpc.listen),
        "directory": str(settings.directory.listen),
    }
    if as_json:
        print_json(row)
        return
    print_pairs(row.items())
    print_done("made: it holds the registry's keys, so keep the folder to yourself")
    print_next(f"simpul registry serve --home {path}")
