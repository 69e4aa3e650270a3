"""Consents in a JSON file, which people edit: what is in it, and what was withdrawn since.

    [{"reference": "psj-2026-000123", "subject": "6471…",
      "consumer": "ID/KEMENTERIAN/KOMDIGI/superapp", "provider": "ID/DAERAH/64.71/pariwisata",
      "service": "wisata.v1.Wisata", "purpose": "layanan-wisata",
      "until": "2027-01-01T00:00:00+07:00", "withdrawn": false}]

A real register is a database; what it has to decide is the same. Pure but for reading the file.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Use:
    """What is asked: may this citizen's data be used so?"""

    reference: str
    subject: str
    consumer: str
    provider: str
    service: str
    purpose: str


@dataclass(frozen=True, slots=True)
class Consent:
    """One line of the file."""

    use: Use
    until_ms: int
    withdrawn: bool


class Verdict(Enum):
    """What the register says of a use."""

    GIVEN = "given"
    REFUSED = "refused"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


Consents = Mapping[str, Consent]


def read_consents(file: Path) -> Consents:
    """Read the file, by reference; raises OSError, ValueError, KeyError where it is none."""
    found = {}
    for item in json.loads(file.read_text(encoding="utf-8")):
        withdrawn = bool(item.pop("withdrawn", False))
        until = datetime.fromisoformat(item.pop("until"))
        use = Use(**item)
        found[use.reference] = Consent(use, int(until.timestamp() * 1000), withdrawn)
    return found


def judge(consents: Consents, use: Use, now_ms: int) -> tuple[Verdict, int]:
    """Say whether a use is consented to, and until when. One that is another's is unknown."""
    consent = consents.get(use.reference)
    if consent is None or consent.use != use or not use.subject:
        return Verdict.REFUSED, 0
    if consent.withdrawn:
        return Verdict.WITHDRAWN, 0
    if now_ms >= consent.until_ms:
        return Verdict.EXPIRED, 0
    return Verdict.GIVEN, consent.until_ms


def withdrawn_since(before: Consents, now: Consents) -> list[str]:
    """List what no longer stands: withdrawn, or taken out of the file."""
    return sorted(
        reference
        for reference, consent in before.items()
        if not consent.withdrawn and (reference not in now or now[reference].withdrawn)
    )
