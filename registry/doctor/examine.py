"""All checks, in the order in which one fault explains the next.

They look from outside, and change nothing but a small file that times the disk: the database is
neither made nor brought to another schema here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Final

from registry import config
from registry.doctor import own, reached
from registry.doctor.own import Place
from registry.home import RegistryHome
from runtime.doctor.findings import Finding, raised, safely, well
from runtime.doctor.machine import Advice, check_disk, check_files
from security.errors import Code, SimpulError

FULL: Final = Advice(
    "make room: without it nothing can be published, and nodes stop at the dead age",
    Code.DATABASE_FAILED,
)
BROKEN: Final = Advice("mend the disk, or mount it for writing", Code.DATABASE_FAILED)


def examine(
    home: RegistryHome,
    environment: Mapping[str, str],
    now_ms: int,
    ask: Callable[[], Finding],
) -> Iterator[Finding]:
    """Look at a registry.

    Args:
        home: Its home.
        environment: Of this process: what overrides `registry.toml`, and a passphrase.
        now_ms: The time.
        ask: Asks the registry itself how it is.

    Yields:
        What each check found, as soon as it is found.
    """
    try:
        settings = config.load(home.settings_file, environment)
    except SimpulError as error:
        yield raised("configuration", error)
        return
    yield well("configuration", f"{home.settings_file} is in order")
    yield from safely("files", partial(check_files, home.path, *own.secrets(home)))
    yield from safely("disk", partial(check_disk, home.path, FULL, BROKEN))
    place = Place(home, settings, environment, now_ms)
    # A node is told where the registry is by addresses that only a running one knows.
    yield ask()
    checks: tuple[tuple[str, Callable[[Place], Iterator[Finding]]], ...] = (
        ("database", own.check_database),
        ("directory", own.check_directory),
        ("authority", own.check_authority),
        ("certificate", own.check_certificate),
        ("witness", own.check_witness),
        ("gRPC", reached.check_grpc),
        ("directory's files", reached.check_files),
        ("nodes", reached.check_nodes),
    )
    for what, check in checks:
        yield from safely(what, partial(check, place))
