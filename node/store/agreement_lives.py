"""Where each agreement stands, by which steps it came there, and what the other side must be told.

Rules: a step that the standard's table doesn't have is refused, in the transaction that would take
it, so that of two operators who decide at once one is told no; a step and what it changes are
stored together or not at all; what was revoked stays so.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from sqlmodel import Session, col, select, update

from node.store.agreements import Pin, StoredAgreement, put_agreement
from node.store.engine import Store
from node.store.models import AgreementLifeRow, AgreementRow, AgreementStepRow, RevocationRow
from security.agreement_life import Life, Party, Step, next_life
from security.errors import Code, SimpulError
from simpul.v1 import agreement_pb2


@dataclass(frozen=True, slots=True)
class Taken:
    """A step that a party takes. `own`: of a member hosted here, so the other side is to be told.

    `counters` is the hash of the request that a proposal counters; `reason` is what the other side
    is told with the step.
    """

    step: Step
    party: Party
    at_ms: int
    own: bool
    reason: str = ""
    counters: bytes | None = None


@dataclass(frozen=True, slots=True)
class StoredStep:
    """A step as it was stored. `told_at_ms`: when the other side had it; None: not yet."""

    number: int
    agreement: bytes
    step: Step
    party: Party
    at_ms: int
    reason: str
    own: bool
    told_at_ms: int | None


@dataclass(frozen=True, slots=True)
class Standing:
    """Where an agreement stands. `note` is what came with the proposal."""

    life: Life
    counters: bytes | None
    note: str


def take_step(
    store: Store,
    agreement: StoredAgreement,
    taken: Taken,
    pins: Iterable[Pin] = (),
    revocation: agreement_pb2.SignedRevocation | None = None,
    also: Callable[[Session], None] | None = None,
) -> Life:
    """Take a step: the agreement's signatures, its partners' pins and its standing, all or nothing.

    `also` is done in the same transaction.

    Returns:
        Where it stands now.

    Raises:
        SimpulError: CONFLICT, when the step may not come now; IDENTITY_CHANGED.
    """
    with store.transaction() as session:
        row = session.get(AgreementLifeRow, agreement.hash)
        life = next_life(None if row is None else Life(row.life), taken.step, taken.party)
        put_agreement(session, agreement, pins)
        if row is None:
            note = taken.reason
            row = AgreementLifeRow(
                hash=agreement.hash, life=life, counters=taken.counters, note=note
            )
        row.life = life
        session.add(row)
        session.add(
            AgreementStepRow(
                hash=agreement.hash,
                step=taken.step,
                party=taken.party,
                at_ms=taken.at_ms,
                reason=taken.reason,
                own=taken.own,
            )
        )
        if revocation is not None:
            _put_revocation(session, agreement.hash, revocation, taken)
        if also is not None:
            also(session)
        return life


def keep_agreed(store: Store, agreement: StoredAgreement, pins: Iterable[Pin]) -> Life:
    """Keep what both sides signed, however it came here; what was revoked stays so.

    Raises:
        SimpulError: IDENTITY_CHANGED.
    """
    with store.transaction() as session:
        put_agreement(session, agreement, pins)
        row = session.get(AgreementLifeRow, agreement.hash)
        if row is None:
            row = AgreementLifeRow(hash=agreement.hash, life=Life.AGREED, note="")
        elif row.life != Life.REVOKED:
            row.life = Life.AGREED
        session.add(row)
        return Life(row.life)


def get_standing(store: Store, agreement: bytes) -> Standing:
    """Where one agreement stands; raises NOT_FOUND."""
    with store.transaction() as session:
        row = session.get(AgreementLifeRow, agreement)
        if row is None:
            raise SimpulError(
                Code.NOT_FOUND,
                f"no agreement {agreement.hex()}: `simpul access list` shows those there are",
            )
        return _standing(row)


def list_standings(store: Store) -> dict[bytes, Standing]:
    """Where every agreement stands, by its hash."""
    with store.transaction() as session:
        return {row.hash: _standing(row) for row in session.exec(select(AgreementLifeRow))}


def list_agreed(store: Store) -> tuple[StoredAgreement, ...]:
    """The agreements that both sides signed and neither revoked, the oldest first."""
    with store.transaction() as session:
        rows = session.exec(
            select(AgreementRow)
            .join(AgreementLifeRow, col(AgreementLifeRow.hash) == col(AgreementRow.hash))
            .where(col(AgreementLifeRow.life) == Life.AGREED)
            .order_by(col(AgreementRow.added_at_ms), col(AgreementRow.hash))
        )
        return tuple(StoredAgreement(**row.model_dump()) for row in rows)


def list_steps(store: Store, agreement: bytes) -> tuple[StoredStep, ...]:
    """The steps of one agreement, in their order."""
    with store.transaction() as session:
        rows = session.exec(
            select(AgreementStepRow)
            .where(col(AgreementStepRow.hash) == agreement)
            .order_by(col(AgreementStepRow.number))
        )
        return tuple(_step(row) for row in rows)


def list_untold(store: Store) -> tuple[StoredStep, ...]:
    """This node's own steps that the other side has not acknowledged, in their order."""
    with store.transaction() as session:
        rows = session.exec(
            select(AgreementStepRow)
            .where(col(AgreementStepRow.own), col(AgreementStepRow.told_at_ms).is_(None))
            .order_by(col(AgreementStepRow.number))
        )
        return tuple(_step(row) for row in rows)


def mark_told(store: Store, number: int, at_ms: int) -> None:
    """The other side has acknowledged a step."""
    with store.transaction() as session:
        session.exec(
            update(AgreementStepRow)
            .where(col(AgreementStepRow.number) == number)
            .values(told_at_ms=at_ms)
        )


def list_revocations(store: Store) -> dict[bytes, agreement_pb2.SignedRevocation]:
    """One signed revocation of each agreement that has any, by the agreement's hash."""
    with store.transaction() as session:
        rows = session.exec(select(RevocationRow).order_by(col(RevocationRow.member).desc()))
        return {
            row.hash: agreement_pb2.SignedRevocation(
                revocation=row.revocation, key_id=row.key_id, signature=row.signature
            )
            for row in rows
        }


def _put_revocation(
    session: Session, agreement: bytes, signed: agreement_pb2.SignedRevocation, taken: Taken
) -> None:
    row = session.get(AgreementRow, agreement)
    if row is None:
        raise SimpulError(Code.INTERNAL, "a revocation of an agreement that was not stored")
    session.merge(
        RevocationRow(
            hash=agreement,
            member=row.provider if taken.party is Party.PROVIDER else row.consumer,
            revocation=signed.revocation,
            key_id=signed.key_id,
            signature=signed.signature,
        )
    )


def _standing(row: AgreementLifeRow) -> Standing:
    return Standing(Life(row.life), row.counters, row.note)


def _step(row: AgreementStepRow) -> StoredStep:
    return StoredStep(
        number=row.number or 0,
        agreement=row.hash,
        step=Step(row.step),
        party=Party(row.party),
        at_ms=row.at_ms,
        reason=row.reason,
        own=row.own,
        told_at_ms=row.told_at_ms,
    )
