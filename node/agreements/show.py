"""Agreements as an operator sees them: which there are, how each stands, and what it says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from node.agreements.drafts import check_contracts
from node.agreements.force import Force
from node.agreements.model import PartyDesk
from node.store.agreement_lives import Standing, list_standings
from node.store.agreements import StoredAgreement, get_agreement, list_agreements
from security.agreement import AgreementTerms, parse_agreement
from security.agreement_life import Life
from security.errors import Code, SimpulError

MIN_PREFIX: Final = 6
HASH_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Shown:
    """One agreement. `why`: why it permits nothing, where it is agreed and doesn't."""

    stored: StoredAgreement
    terms: AgreementTerms
    standing: Standing
    state: str
    side: str
    waits: bool
    why: str


def shown(desk: PartyDesk, stored: StoredAgreement, force: Force) -> Shown:
    """How an agreement stands."""
    standing = list_standings(desk.store)[stored.hash]
    return _shown(desk, stored, standing, force)


def all_shown(desk: PartyDesk, force: Force) -> list[Shown]:
    """All agreements of this node, the oldest first."""
    standings = list_standings(desk.store)
    return [
        _shown(desk, stored, standings[stored.hash], force)
        for stored in list_agreements(desk.store)
    ]


def find(desk: PartyDesk, text: str) -> StoredAgreement:
    """The agreement with this hash in hex, or the only one whose hash begins so.

    Raises:
        SimpulError: as `only_one`.
    """
    hashes = [each.hash for each in list_agreements(desk.store)]
    return get_agreement(desk.store, only_one(text, hashes, "agreement", "list"))


def only_one(text: str, hashes: Iterable[bytes], what: str, lists: str) -> bytes:
    """The hash that is this one in hex, or the only one that begins so.

    `what` is an agreement or a delegation, and `lists` the command that shows them all.

    Raises:
        SimpulError: REQUEST_MALFORMED; NOT_FOUND; CONFLICT where several begin so.
    """
    if not MIN_PREFIX <= len(text) <= HASH_CHARS or set(text) - set("0123456789abcdef"):
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"{text[:80]!a} is no {what}: give its hash, or at least {MIN_PREFIX} of its first "
            f"letters, as `simpul access {lists}` shows it",
        )
    found = [hash_ for hash_ in hashes if hash_.hex().startswith(text)]
    if len(found) == 1:
        return found[0]
    if not found:
        raise SimpulError(
            Code.NOT_FOUND, f"no {what} begins with {text}: `simpul access {lists}` shows them all"
        )
    raise SimpulError(
        Code.CONFLICT, f"{len(found)} {what}s begin with {text}: give more letters of the hash"
    )


def _shown(desk: PartyDesk, stored: StoredAgreement, standing: Standing, force: Force) -> Shown:
    terms = parse_agreement(stored.agreement)
    provides = terms.provider.member in desk.members
    consumes = terms.consumer.member in desk.members
    state, why = _state(desk, stored, terms, standing, force)
    waits = (state == Life.REQUESTED and provides) or (state == Life.OFFERED and consumes)
    side = "both" if provides and consumes else "provider" if provides else "consumer"
    return Shown(stored, terms, standing, state, side, waits, why)


def _state(
    desk: PartyDesk,
    stored: StoredAgreement,
    terms: AgreementTerms,
    standing: Standing,
    force: Force,
) -> tuple[str, str]:
    now_ms = desk.time_ms()
    if standing.life not in {Life.AGREED, Life.REQUESTED, Life.OFFERED}:
        return standing.life.value, ""
    if now_ms >= terms.valid_until_ms:
        return "expired", ""
    if standing.life is not Life.AGREED:
        return standing.life.value, ""
    if now_ms < terms.valid_from_ms:
        return "not yet valid", ""
    if stored.hash in force.agreements:
        return "active", ""
    if stored.hash in force.undelegated:
        return "undelegated", force.undelegated[stored.hash]
    try:
        check_contracts(terms, desk.directory)
    except SimpulError as error:
        return "unusable", error.message
    return "suspended", "the directory lists another identity key of the partner than is pinned"
