"""Checks of what lies in the home: database, directory, keys, certificates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from registry import audit, passphrases
from registry.config import RegistryConfig, authority_store
from registry.directory import signers
from registry.directory.layout import LIVES, Role, key_role
from registry.directory.publisher import Publisher
from registry.home import RegistryHome
from registry.store.database import HEAD, Store
from runtime.doctor.findings import Finding, fault, raised, warning, well
from runtime.doctor.machine import duration
from security.certificate import expires_at_ms
from security.directory_records import parse_policy
from security.errors import Code, SimpulError

MS_PER_DAY: Final = 86_400_000
# A new one takes a changed policy, and so several people's time.
AUTHORITY_SOON_DAYS: Final = 365
SERVER_SOON_DAYS: Final = 60
# Made anew every minute (directory.heartbeat_s); this many may be missed.
BEATS: Final = 3
# Clocks are set back a little by NTP at times.
BEHIND_MS: Final = 1_000

_PUBLISH: Final = "start the registry; its log says why nothing is published"
_SIGN: Final = "sign it anew: docs/how-to/offline-keys.md"


@dataclass(frozen=True, slots=True)
class Place:
    """The registry that is looked at."""

    home: RegistryHome
    settings: RegistryConfig
    environment: Mapping[str, str]
    now_ms: int


def secrets(home: RegistryHome) -> tuple[Path, ...]:
    """What nobody else may read."""
    keys = (home.keys, home.path / "ca", home.path / "tls", home.witness_key_file.parent)
    return (*keys, *(file for folder in keys for file in folder.glob("*.pem")))


def check_database(place: Place) -> Iterator[Finding]:
    """That the database answers, is whole, and is of this version; and the audit trail in it."""
    url = place.home.database_url(place.settings)
    file = place.home.path / "registry.db"
    if not place.settings.database.url and not file.exists():
        yield fault(
            "database",
            f"{file} is missing",
            "put it back, or make a home of a backup: simpul registry restore",
            Code.DATABASE_CORRUPT,
        )
        return
    store = Store.look(url)
    try:
        version = store.version()
        if version != HEAD:
            yield warning(
                "database",
                f"its schema is {version or 'none'}, and this program's is {HEAD}",
                "back it up: the next start of this program's registry brings it to its schema",
            )
            return
        store.check()
        kind = "PostgreSQL" if store.is_shared else str(file)
        yield well("database", f"{kind} answers and is whole, schema {version}")
        yield well("audit trail", f"{audit.verify(store).size} entries, none changed")
    finally:
        store.close()


def check_directory(place: Place) -> Iterator[Finding]:
    """That what is published is whole and young, by keys that are here, for long enough."""
    publisher = Publisher.open(place.home.directory, signers.load(place.home.keys))
    policy = parse_policy(publisher.policy_file)
    current = publisher.current
    age_ms = place.now_ms - current.issued_at_ms
    said = f"version {current.version}, signed {duration(age_ms)} ago"
    if age_ms < -BEHIND_MS:
        yield fault(
            "clock",
            f"it is {duration(-age_ms)} behind what this registry has signed already",
            "set the clock, and keep it by NTP: nodes take nothing older than what they have",
            Code.DIRECTORY_ROLLBACK,
        )
    elif age_ms > policy.dead_after_ms:
        yield fault("directory", f"{said}: nodes refuse every call", _PUBLISH, Code.DIRECTORY_DEAD)
    elif age_ms > max(policy.stale_after_ms, BEATS * 1000 * place.settings.directory.heartbeat_s):
        left = duration(policy.dead_after_ms - age_ms)
        yield warning("directory", f"{said}: nodes refuse every call in {left}", _PUBLISH)
    else:
        yield well("directory", said)
    yield from _check_lives(publisher.expiries(), place.now_ms)


def check_authority(place: Place) -> Iterator[Finding]:
    """That the authority's key opens, and its certificate has time left."""
    find = partial(passphrases.find, place.settings.authority.passphrase_file, place.environment)
    tokens = authority_store(place.settings, place.environment)
    authority = place.home.authority(find, tokens)
    authority.check_signs()
    yield from _check_end(
        "authority",
        authority.certificate_der,
        place.now_ms,
        AUTHORITY_SOON_DAYS,
        "have the policy list a second authority first: docs/how-to/offline-keys.md",
    )


def check_certificate(place: Place) -> Iterator[Finding]:
    """That the certificate that nodes have pinned has time left."""
    yield from _check_end(
        "certificate",
        place.home.server_identity().certificate_der,
        place.now_ms,
        SERVER_SOON_DAYS,
        "nodes know it by its SHA-256: make a new one together with their operators",
    )


def check_witness(place: Place) -> Iterator[Finding]:
    """That the key is here that cosigns the nodes' checkpoints."""
    try:
        place.home.witness_key()
    except SimpulError as error:
        yield raised("witness", error)
    else:
        yield well("witness", "its key is here")


def _check_lives(expiries: Mapping[str, int], now_ms: int) -> Iterator[Finding]:
    """Bins and snapshot are renewed by themselves; root and targets may need people."""
    found = []
    for role in (Role.ROOT, Role.TARGETS, Role.MEMBERS, Role.CONTRACTS):
        at_ms = expiries[role]
        left = duration(at_ms - now_ms)
        if at_ms <= now_ms:
            found.append(fault(f"role {role}", "expired", _SIGN, Code.DIRECTORY_UNTRUSTED))
        elif LIVES[key_role(role)].is_due(at_ms, now_ms):
            found.append(warning(f"role {role}", f"expires in {left}", _SIGN))
    yield from found
    if not found:
        first = min(expiries.values())
        yield well("roles", f"the first of {len(expiries)} expires in {duration(first - now_ms)}")


def _check_end(
    what: str, certificate_der: bytes, now_ms: int, soon_days: int, mend: str
) -> Iterator[Finding]:
    days = (expires_at_ms(certificate_der) - now_ms) // MS_PER_DAY
    if days < 0:
        yield fault(what, f"it ended {-days} days ago", mend, Code.CERTIFICATE_MISMATCH)
    elif days < soon_days:
        yield warning(what, f"{days} days left", mend)
    else:
        yield well(what, f"{days} days left")
