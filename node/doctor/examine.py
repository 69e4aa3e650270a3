"""All checks, in the order in which one fault explains the next."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from node.config import load_config
from node.doctor import others, own
from node.doctor.model import Check, Finding, Health, raised, well
from node.doctor.own import Place
from node.home import NodeHome
from security.errors import SimpulError


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
    yield from _safely("files", partial(own.check_files, home))
    yield from _safely("disk", partial(own.check_disk, home))
    view = None
    try:
        view = own.read_directory(home)
    except SimpulError as error:
        yield raised("directory", error)
    place = Place(home, config, view, now_ms)
    if view is not None or not home.directory.exists():
        yield from _safely("directory", partial(own.check_directory, place))
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
        yield from _safely(what, partial(check, place))
    yield from _safely("services", partial(others.check_services, running.targets))


def _safely(what: str, check: Check) -> Iterator[Finding]:
    """A check that can't be made is a finding too: the others are made all the same."""
    try:
        yield from check()
    except SimpulError as error:
        yield raised(what, error)
    except (OSError, ValueError) as error:
        yield Finding(
            what,
            Health.UNKNOWN,
            f"it can't be looked at: {error}",
            "run simpul as the user that the node runs as",
        )
