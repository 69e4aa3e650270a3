"""Reads a file of members, and has the registry list them.

The registry judges each line; here only what is no table at all is refused.
"""

import asyncio
import csv
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Protocol

from cli.admin import find_registry, registry_admin
from cli.output import refusal, to_dict
from security.errors import Code
from simpul.registry.v1 import admin_pb2

KINDS: Final = ("general", "technical", "security", "data_protection")
REQUIRED: Final = ("member", "legal_name")
COLUMNS: Final = frozenset(
    (
        *REQUIRED,
        "regions",
        "subsystems",
        *(f"{k}_{part}" for k in KINDS for part in ("name", "email", "phone")),
    )
)
MAX_FILE_BYTES: Final = 32 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Done:
    """What came of it; `directory_version` is 0 where nothing was stored."""

    listed: int
    errors: tuple[admin_pb2.ImportError, ...]
    directory_version: int

    def as_json(self) -> dict[str, object]:
        """For `--json`."""
        return {
            "listed": self.listed,
            "errors": [to_dict(error) for error in self.errors],
            "directory_version": self.directory_version or None,
        }


class _Progress(Protocol):
    def __call__(self, done: int, total: int) -> None: ...


def import_file(home: Path, file: Path, *, dry_run: bool, skip_bad: bool, quiet: bool) -> Done:
    """Has the registry of `home` list the members of a CSV file.

    Raises:
        SimpulError: CHANGE_INVALID for a file that is no table of members; NOT_RUNNING.
    """
    request = admin_pb2.ImportMembersRequest(
        rows=read_rows(file), dry_run=dry_run, skip_bad=skip_bad
    )

    async def ask() -> Done:
        async with registry_admin(find_registry(home)) as stub:
            with _bar(quiet=quiet) as progress:
                async for answer in stub.ImportMembers(request):
                    progress(answer.done, answer.total)
                    if answer.finished:
                        return Done(answer.listed, tuple(answer.errors), answer.directory_version)
        raise refusal(Code.INTERNAL, "the registry did not say what came of it: see its log")

    return asyncio.run(ask())


def read_rows(file: Path) -> list[admin_pb2.ImportRow]:
    """The lines of a CSV file.

    Raises:
        SimpulError: CHANGE_INVALID.
    """
    if file.stat().st_size > MAX_FILE_BYTES:
        raise refusal(Code.CHANGE_INVALID, f"{file} is over {MAX_FILE_BYTES} bytes: split it")
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            reader = csv.DictReader(opened, strict=True)
            _check_columns(file, reader.fieldnames or ())
            return [_row(file, reader.line_num, line) for line in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise refusal(Code.CHANGE_INVALID, f"{file} is no CSV in UTF-8: {error}") from error


def _check_columns(file: Path, names: Iterable[str]) -> None:
    found = list(names)
    unknown = sorted(set(found) - COLUMNS)
    missing = [name for name in REQUIRED if name not in found]
    if unknown or missing or len(set(found)) != len(found):
        what = (
            f"no column {missing[0]}" if missing else f"a column {unknown[0]!a}" if unknown else ""
        )
        raise refusal(
            Code.CHANGE_INVALID,
            f"{file} has {what or 'a column twice'}: its first line names the columns"
            f" {', '.join(REQUIRED)} and perhaps regions, subsystems and contacts",
        )


def _row(file: Path, number: int, line: dict[str | None, str | None]) -> admin_pb2.ImportRow:
    if None in line or None in line.values():
        raise refusal(
            Code.CHANGE_INVALID,
            f"{file}, line {number}: it has more or fewer fields than the first",
        )
    said = {name: (text or "").strip() for name, text in line.items() if name is not None}
    contacts = [
        admin_pb2.Contact(
            kind=kind,
            name=said.get(f"{kind}_name", ""),
            email=said.get(f"{kind}_email", ""),
            phone=said.get(f"{kind}_phone", ""),
        )
        for kind in KINDS
        if any(said.get(f"{kind}_{part}") for part in ("name", "email", "phone"))
    ]
    member = admin_pb2.AddMemberRequest(
        member=said["member"],
        legal_name=said["legal_name"],
        # Several with spaces between.
        region_codes=said.get("regions", "").split(),
        contacts=contacts,
    )
    subsystems = said.get("subsystems", "").split()
    return admin_pb2.ImportRow(line=number, member=member, subsystems=subsystems)


@contextmanager
def _bar(*, quiet: bool) -> Iterator[_Progress]:
    """A bar on stderr where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

    console = Console(stderr=True)
    columns = (TextColumn("listing members"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, console=console, disable=quiet or not console.is_terminal) as bar:
        task = bar.add_task("", total=None)

        def progress(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield progress
