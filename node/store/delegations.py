"""Delegations and their ends, as they were signed.

It stores what was verified before. Rules: a delegation never changes; what was ended stays so, and
its end is stored together with it or not at all; the first end that was heard of is kept. What
others give and end without being asked is bounded, for each delegator by itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sqlmodel import Session, col, delete, func, select

from node.store.agreements import Pin, put_pins
from node.store.engine import Store
from node.store.models import AgreementLifeRow, AgreementRow, DelegationEndRow, DelegationRow
from security.agreement_life import Life
from security.delegation import parse_delegation
from security.errors import Code, SimpulError
from simpul.v1 import agreement_pb2

# Of one delegator that is not hosted here; a delegation has a few hundred bytes, at most 64 KiB.
MAX_OF_A_DELEGATOR: Final = 1000
MAX_BYTES_OF_A_DELEGATOR: Final = 4 * 1024 * 1024
_ALL: Final = (
    select(DelegationRow, DelegationEndRow)
    .outerjoin(DelegationEndRow, col(DelegationEndRow.hash) == col(DelegationRow.hash))
    .order_by(col(DelegationRow.added_at_ms), col(DelegationRow.hash))
)


@dataclass(frozen=True, slots=True)
class StoredEnd:
    """A revocation. `own`: made at this node, so others are to be told; `told`: all have been."""

    revocation: agreement_pb2.SignedRevocation
    own: bool = False
    told: bool = False


@dataclass(frozen=True, slots=True)
class StoredDelegation:
    """A delegation. `own`: given at this node, so others are to be told; `told`: all have been."""

    hash: bytes
    signed: agreement_pb2.SignedDelegation
    added_at_ms: int
    own: bool = False
    told: bool = False
    end: StoredEnd | None = None


def keep_delegation(
    store: Store, delegation: StoredDelegation, pins: Iterable[Pin] = (), *, bounded: bool = False
) -> bool:
    """Keep a delegation, with its end where it has one, and pin its parties; all or nothing.

    Args:
        store: Where.
        delegation: What was verified.
        pins: Of its parties.
        bounded: Keep none beyond what one delegator may have here. Those of it that are over are
            dropped first.

    Returns:
        Whether any of it is new here.

    Raises:
        SimpulError: IDENTITY_CHANGED, when a party is pinned by another key already; OVERLOADED.
    """
    new = False
    with store.transaction() as session:
        put_pins(session, pins, delegation.added_at_ms)
        if session.get(DelegationRow, delegation.hash) is None:
            terms = parse_delegation(delegation.signed.delegation)
            delegator = str(terms.delegator.member)
            if bounded:
                _make_room(session, delegator, delegation)
            new = True
            session.add(
                DelegationRow(
                    hash=delegation.hash,
                    delegation=delegation.signed.delegation,
                    signature=delegation.signed.signature,
                    delegator=delegator,
                    valid_until_ms=terms.valid_until_ms,
                    added_at_ms=delegation.added_at_ms,
                    own=delegation.own,
                )
            )
            session.flush()
        end = delegation.end
        if end is not None and session.get(DelegationEndRow, delegation.hash) is None:
            new = True
            session.add(
                DelegationEndRow(
                    hash=delegation.hash,
                    revocation=end.revocation.revocation,
                    key_id=end.revocation.key_id,
                    signature=end.revocation.signature,
                    own=end.own,
                )
            )
    return new


def is_known(store: Store, delegation: bytes) -> bool:
    """Whether a delegation is kept here."""
    with store.transaction() as session:
        return session.get(DelegationRow, delegation) is not None


def lives_resting_on(store: Store, delegation: bytes) -> frozenset[Life]:
    """How the agreements stand here beside which a delegation's bytes came."""
    with store.transaction() as session:
        lives = session.exec(
            select(AgreementLifeRow.life)
            .join(AgreementRow, col(AgreementRow.hash) == col(AgreementLifeRow.hash))
            .where(col(AgreementRow.delegation) == delegation)
        )
        return frozenset(Life(life) for life in lives)


def get_delegation(store: Store, delegation: bytes) -> StoredDelegation:
    """One delegation; raises NOT_FOUND."""
    with store.transaction() as session:
        row = session.get(DelegationRow, delegation)
        if row is None:
            raise SimpulError(
                Code.NOT_FOUND,
                f"no delegation {delegation.hex()}: `simpul access delegations` shows those there "
                "are",
            )
        return _stored(row, session.get(DelegationEndRow, delegation))


def list_delegations(store: Store) -> tuple[StoredDelegation, ...]:
    """All delegations, the oldest first."""
    with store.transaction() as session:
        return tuple(_stored(*row) for row in session.exec(_ALL))


def list_untold(store: Store) -> tuple[StoredDelegation, ...]:
    """Those of this node's own that somebody must still hear of, or of their end."""
    with store.transaction() as session:
        given = col(DelegationRow.own) & col(DelegationRow.told_at_ms).is_(None)
        over = col(DelegationEndRow.own) & col(DelegationEndRow.told_at_ms).is_(None)
        return tuple(_stored(*row) for row in session.exec(_ALL.where(given | over)))


def ended(store: Store) -> frozenset[bytes]:
    """The hashes of those that were ended."""
    with store.transaction() as session:
        return frozenset(session.exec(select(DelegationEndRow.hash)))


def mark_given(store: Store, delegation: bytes, at_ms: int) -> None:
    """All who must know of it have heard of it."""
    with store.transaction() as session:
        _mark(session, session.get(DelegationRow, delegation), at_ms)


def mark_ended(store: Store, delegation: bytes, at_ms: int) -> None:
    """All who must know of its end have heard of it."""
    with store.transaction() as session:
        _mark(session, session.get(DelegationEndRow, delegation), at_ms)


def _make_room(session: Session, delegator: str, delegation: StoredDelegation) -> None:
    of_it = col(DelegationRow.delegator) == delegator
    over = of_it & (col(DelegationRow.valid_until_ms) <= delegation.added_at_ms)
    session.exec(
        delete(DelegationEndRow).where(
            col(DelegationEndRow.hash).in_(select(DelegationRow.hash).where(over))
        )
    )
    session.exec(delete(DelegationRow).where(over))
    size = func.coalesce(func.sum(func.length(DelegationRow.delegation)), 0)
    count, bytes_ = session.exec(select(func.count(), size).where(of_it)).one()
    bytes_ += len(delegation.signed.delegation)
    if count >= MAX_OF_A_DELEGATOR or bytes_ > MAX_BYTES_OF_A_DELEGATOR:
        raise SimpulError(
            Code.OVERLOADED,
            f"this node keeps {MAX_OF_A_DELEGATOR} delegations of {delegator}'s, and "
            f"{MAX_BYTES_OF_A_DELEGATOR} bytes of them: there is room when some are over",
        )


def _mark(session: Session, row: DelegationRow | DelegationEndRow | None, at_ms: int) -> None:
    if row is not None:
        row.told_at_ms = at_ms
        session.add(row)


def _stored(row: DelegationRow, end: DelegationEndRow | None) -> StoredDelegation:
    return StoredDelegation(
        hash=row.hash,
        signed=agreement_pb2.SignedDelegation(delegation=row.delegation, signature=row.signature),
        added_at_ms=row.added_at_ms,
        own=row.own,
        told=row.told_at_ms is not None,
        end=None if end is None else _end(end),
    )


def _end(row: DelegationEndRow) -> StoredEnd:
    return StoredEnd(
        agreement_pb2.SignedRevocation(
            revocation=row.revocation, key_id=row.key_id, signature=row.signature
        ),
        own=row.own,
        told=row.told_at_ms is not None,
    )
