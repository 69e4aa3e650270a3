"""All checks, in the order in which one fault explains the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from node.config import load_config
from node.doctor import others, own
from node.doctor.own import Place
from node.home import NodeHome
from runtime.doctor.findings import Finding, raised, safely, well
from runtime.doctor.machine import Advice, check_disk, check_files
from security.errors import Code, SimpulError

FULL: Final = Advice(
    "make room, or archive (docs/how-to/keep-the-journal-small.md): without room calls are refused",
    Code.JOURNAL_FULL,
)
BROKEN: Final = Advice("mend the disk, or mount it for writing", Code.JOURNAL_FAILED)


@dataclass(frozen=True, slots=True)
class Running:
    """What the node itself said: how it is, and where its services are, by their ids."""

    finding: Finding
    targets: Mapping[str, str]


def examine(
    home: NodeHome,
    environment: Mapping[str, str],
    now_ms: int,
    ask: Callable[[], Running],
) -> Iterator[Finding]:
    """Look at a node.

    Args:
        home: Its home.
        environment: Of this process: what overrides `node.toml`.
        now_ms: The time.
        ask: Asks the node itself how it is.

    Yields:
        What each check found, as soon as it is found.
    """
    try:
        config = load_config(home, environment)
    except SimpulError as error:
        yield raised("configuration", error)
        return
    yield well("configuration", f"{home.config} is in order")
    yield from safely("files", partial(check_files, home.path, home.keys, *home.keys.glob("*")))
    yield from safely("disk", partial(check_disk, home.path, FULL, BROKEN))
    view = None
    try:
        view = own.read_directory(home)
    except SimpulError as error:
        yield raised("directory", error)
    place = Place(home, config, view, now_ms)
    if view is not None or not home.directory.exists():
        yield from safely("directory", partial(own.check_directory, place))
    checks: tuple[tuple[str, Callable[[Place], Iterator[Finding]]], ...] = (
        ("listing", own.check_listing),
        ("keys", own.check_keys),
        ("certificate", own.check_certificate),
        ("journal", own.check_journal),
        ("registry", others.check_registry),
        ("directory's files", others.check_files_and_clock),
        ("nodes", others.check_peers),
        ("witnesses", others.check_witnesses),
    )
    running = ask()
    yield running.finding
    for what, check in checks:
        yield from safely(what, partial(check, place))
    yield from safely("services", partial(others.check_services, running.targets))
