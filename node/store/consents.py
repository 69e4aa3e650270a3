"""Consents, as they are stored. What they permit is for `node.consent`.

Rules: a reference is stored once; a withdrawal is written where there is none yet, and never taken
back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from sqlalchemy import ColumnElement
from sqlmodel import col, select, update

from node.consent.model import Consent, State
from node.store.engine import Store
from node.store.models import ConsentRow
from security.errors import Code, SimpulError
from security.identifiers import ServiceId, SubsystemId


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which consents are looked for; None where it isn't asked."""

    now_ms: int
    reference: str | None = None
    # Of one person, under each index key that the node has.
    subject_tags: Collection[bytes] | None = None
    consumer: str | None = None
    purpose: str | None = None
    state: State | None = None


def keep_consent(store: Store, consent: Consent) -> None:
    """Store a consent.

    Raises:
        SimpulError: ALREADY_EXISTS, for its reference.
    """
    with store.transaction() as session:
        if session.get(ConsentRow, consent.reference) is not None:
            raise SimpulError(Code.ALREADY_EXISTS, f"there is a consent {consent.reference}")
        session.add(
            ConsentRow(
                reference=consent.reference,
                subject_tag=consent.subject_tag,
                consumer=str(consent.consumer),
                service_id=str(consent.service),
                purpose=consent.purpose,
                recorded_at_ms=consent.recorded_at_ms,
                valid_until_ms=consent.valid_until_ms,
                withdrawn_at_ms=consent.withdrawn_at_ms,
            )
        )


def find_consent(store: Store, reference: str) -> Consent | None:
    """The consent of this reference."""
    with store.transaction() as session:
        row = session.get(ConsentRow, reference)
        return None if row is None else _consent(row)


def mark_withdrawn(store: Store, reference: str, now_ms: int) -> bool:
    """Withdraw a consent; returns whether it wasn't before. Durable when this returns.

    Raises:
        SimpulError: NOT_FOUND.
    """
    with store.transaction() as session:
        changed = session.exec(
            update(ConsentRow)
            .where(
                col(ConsentRow.reference) == reference, col(ConsentRow.withdrawn_at_ms).is_(None)
            )
            .values(withdrawn_at_ms=now_ms)
        )
        if changed.rowcount == 1:
            return True
        if session.get(ConsentRow, reference) is None:
            raise SimpulError(
                Code.NOT_FOUND,
                f"there is no consent {reference[:128]!a}: `simpul consent list` shows those there "
                "are",
            )
        return False


def list_consents(store: Store, wanted: Wanted, limit: int) -> tuple[Consent, ...]:
    """The newest that match, at most `limit`."""
    statement = select(ConsentRow).where(*_conditions(wanted))
    order = (col(ConsentRow.recorded_at_ms).desc(), col(ConsentRow.reference))
    with store.transaction() as session:
        rows = session.exec(statement.order_by(*order).limit(limit))
        return tuple(_consent(row) for row in rows)


def _conditions(wanted: Wanted) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    for column, value in (
        (col(ConsentRow.reference), wanted.reference),
        (col(ConsentRow.consumer), wanted.consumer),
        (col(ConsentRow.purpose), wanted.purpose),
    ):
        if value is not None:
            found.append(column == value)
    if wanted.subject_tags is not None:
        found.append(col(ConsentRow.subject_tag).in_(list(wanted.subject_tags)))
    withdrawn = col(ConsentRow.withdrawn_at_ms).is_not(None)
    over = col(ConsentRow.valid_until_ms) <= wanted.now_ms
    match wanted.state:
        case State.WITHDRAWN:
            found.append(withdrawn)
        case State.EXPIRED:
            found += [~withdrawn, over]
        case State.GIVEN:
            found += [~withdrawn, ~over]
        case None:
            pass
    return found


def _consent(row: ConsentRow) -> Consent:
    return Consent(
        reference=row.reference,
        subject_tag=row.subject_tag,
        consumer=SubsystemId.parse(row.consumer),
        service=ServiceId.parse(row.service_id),
        purpose=row.purpose,
        recorded_at_ms=row.recorded_at_ms,
        valid_until_ms=row.valid_until_ms,
        withdrawn_at_ms=row.withdrawn_at_ms,
    )
