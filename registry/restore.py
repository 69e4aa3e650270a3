"""Makes a registry's home of a backup, so that no node sees anything go back.

Between the backup and the loss the registry may have published more, which nobody here knows of.
So every version that it signs, and every member's record, is raised by the milliseconds since the
backup was made, and by a second more: a publication takes longer than a millisecond, so no node can
have seen a version as high. What is lost all the same is what was decided since; the operator is
told to decide it again, revocations first.

Tokens that were not used are void, because they may have been used since. The audit trail goes on
from the backup, with an entry that says so; whoever kept its size and root sees the gap.
"""

import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from registry import audit, backup, config
from registry.audit import Entry, Stage
from registry.backup import SECRET, Progress, Summary
from registry.directory import signers
from registry.directory.publisher import Publisher
from registry.home import RegistryHome
from registry.operators import LOCAL
from registry.store import audit as trail
from registry.store import members, tokens
from registry.store.database import Store
from runtime.files import make_private_folder, sync_folder
from security.errors import Code, SimpulError

MARGIN_MS: Final = 1_000
# What belongs to processes that shared the old database, and is made anew from the folder.
NOT_COPIED: Final = frozenset({"shelf_files", "shelf_head", "under_way"})


@dataclass(frozen=True, slots=True)
class Restored:
    """What came of it: the home, what the backup was, and the directory's version now."""

    home: RegistryHome
    backup: Summary
    version: int


def restore(
    file: Path,
    path: Path,
    *,
    passphrase: str | None,
    keys: Path | None = None,
    now_ms: int,
    progress: Progress = lambda _done, _total: None,
) -> Restored:
    """Makes a home at `path`; its registry does not run yet.

    Args:
        file: The backup.
        path: There must be nothing.
        passphrase: What the backup's keys are sealed with.
        keys: A home, or a copy of one, whose keys are taken, for a backup without keys.
        now_ms: The time.
        progress: Told how many files are done.

    Raises:
        SimpulError: HOME_EXISTS; BACKUP_INVALID; CONFIG_INVALID, when there are no keys, or others
            than the directory lists, the database is not empty, or the clock is behind the backup;
            as `Publisher.open` says. Nothing is then at `path`.
    """
    path = path.absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SimpulError(
            Code.HOME_EXISTS,
            f"{path} is there already: restore beside it, and keep it until all is well",
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    made = path.with_name(f".{path.name}.{secrets.token_hex(8)}.tmp")
    make_private_folder(made)
    try:
        summary = backup.read(file, made, passphrase=passphrase, progress=progress)
        _take_keys(file, made, summary, passphrase, keys)
        version = _advance(RegistryHome(made), summary, now_ms)
        make_private_folder(made / "run")
        if path.exists():
            path.rmdir()
        made.rename(path)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    sync_folder(path.parent)
    return Restored(RegistryHome(path), summary, version)


def _take_keys(
    file: Path, made: Path, summary: Summary, passphrase: str | None, keys: Path | None
) -> None:
    if keys is not None:
        for name in SECRET:
            shutil.rmtree(made / name, ignore_errors=True)
            shutil.copytree(keys / name, made / name)
    elif not summary.has_keys:
        raise SimpulError(
            Code.CONFIG_INVALID, f"{file} holds no keys: say where they are with --keys DIR"
        )
    elif passphrase is None:
        raise SimpulError(
            Code.CONFIG_INVALID, f"the keys in {file} are sealed: give its passphrase, or --keys"
        )
    for name in SECRET:
        (made / name).chmod(0o700)
        for each in (made / name).rglob("*"):
            each.chmod(0o700 if each.is_dir() else 0o600)


def _advance(home: RegistryHome, summary: Summary, now_ms: int) -> int:
    passed_ms = now_ms - summary.made_at_ms
    if passed_ms < 0:
        raise SimpulError(
            Code.CONFIG_INVALID,
            "the backup was made later than this machine's clock says: set the clock right first",
        )
    by = passed_ms + MARGIN_MS
    publisher = Publisher.open(home.directory, signers.load(home.keys))
    # Read, so that one that is missing is said now.
    _ = home.server_identity()
    store = Store.open(f"sqlite:///{home.path / 'registry.db'}")
    try:
        store.check()
        with store.transaction() as session:
            members.leap(session, by)
            tokens.void(session, now_ms)
        audit.append(store, Entry(now_ms, LOCAL, "Restore", "", summary.sha256, Stage.ENDED, "OK"))
        _to_configured(home, store)
    finally:
        store.close()
    return publisher.leap(by, now_ms).version


def _to_configured(home: RegistryHome, store: Store) -> None:
    """Where the settings name another database: puts all rows there, and leaves no file."""
    settings = config.load(home.settings_file, os.environ)
    if settings.database.url == "":
        return
    target = Store.open(settings.database.url)
    try:
        with target.transaction() as session:
            is_empty = members.every(session) == [] and trail.head(session).size == 0
        if not is_empty:
            raise SimpulError(
                Code.CONFIG_INVALID,
                "the database that database.url names is not empty: make a new one, and set "
                "SIMPUL_REGISTRY__DATABASE__URL and registry.toml to it",
                key="database.url",
            )
        backup.copy_rows(store, target, without=NOT_COPIED)
    finally:
        target.close()
