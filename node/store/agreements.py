"""Agreements and the identity keys pinned with them.

It stores what was verified before; it verifies nothing but the pin. Rules: an agreement never
changes, its missing signature may be added; a pin changes only from the key that the caller names,
so that two writers can't both succeed; a partner with another key than the pinned one is
IDENTITY_CHANGED.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from sqlmodel import Session, col, select, update

from node.store.engine import Store
from node.store.models import AgreementRow, PinnedIdentityRow
from security.errors import Code, SimpulError


@dataclass(frozen=True, slots=True)
class StoredAgreement:
    """An agreement as it was signed. An absent signature is empty: offered, not active."""

    hash: bytes
    agreement: bytes
    provider_signature: bytes
    consumer_signature: bytes
    provider: str
    consumer: str
    added_at_ms: int

    @property
    def is_signed_by_both(self) -> bool:
        """Whether it can permit anything."""
        return bool(self.provider_signature) and bool(self.consumer_signature)


@dataclass(frozen=True, slots=True)
class Pin:
    """`owner`, a member hosted here, knows `member` by this identity key."""

    owner: str
    member: str
    identity_key_id: bytes


def save_agreement(store: Store, agreement: StoredAgreement, pins: Iterable[Pin]) -> None:
    """Stores an agreement and pins its partners' identity keys, both or neither.

    A stored agreement keeps the signatures that it has; those that it lacks are added.

    Raises:
        SimpulError: IDENTITY_CHANGED, when a partner is pinned by another key already.
    """
    with store.transaction() as session:
        for pin in pins:
            _pin(session, pin, agreement.added_at_ms)
        row = session.get(AgreementRow, agreement.hash)
        if row is None:
            session.add(
                AgreementRow(
                    hash=agreement.hash,
                    agreement=agreement.agreement,
                    provider_signature=agreement.provider_signature,
                    consumer_signature=agreement.consumer_signature,
                    provider=agreement.provider,
                    consumer=agreement.consumer,
                    added_at_ms=agreement.added_at_ms,
                )
            )
            return
        row.provider_signature = row.provider_signature or agreement.provider_signature
        row.consumer_signature = row.consumer_signature or agreement.consumer_signature
        session.add(row)


def get_agreement(store: Store, agreement_hash: bytes) -> StoredAgreement:
    """One agreement.

    Raises:
        SimpulError: NOT_FOUND.
    """
    with store.transaction() as session:
        row = session.get(AgreementRow, agreement_hash)
        if row is None:
            raise SimpulError(
                Code.NOT_FOUND,
                f"no agreement {agreement_hash.hex()}: `simpul access list` shows those there are",
            )
        return _stored(row)


def list_agreements(store: Store) -> tuple[StoredAgreement, ...]:
    """All agreements, the oldest first."""
    with store.transaction() as session:
        order = (col(AgreementRow.added_at_ms), col(AgreementRow.hash))
        return tuple(_stored(row) for row in session.exec(select(AgreementRow).order_by(*order)))


def list_pins(store: Store) -> tuple[Pin, ...]:
    """All pinned identity keys."""
    with store.transaction() as session:
        order = (col(PinnedIdentityRow.owner), col(PinnedIdentityRow.member))
        rows = session.exec(select(PinnedIdentityRow).order_by(*order))
        return tuple(Pin(row.owner, row.member, row.identity_key_id) for row in rows)


def pinned_key_id(store: Store, owner: str, member: str) -> bytes | None:
    """The id of the key by which `owner` knows `member`; None before the first agreement."""
    with store.transaction() as session:
        row = session.get(PinnedIdentityRow, (owner, member))
        return None if row is None else row.identity_key_id


def check_pin(store: Store, pin: Pin) -> None:
    """Passes where the partner is not pinned yet, or by this key.

    Raises:
        SimpulError: IDENTITY_CHANGED, when it is pinned by another one: agreements with it are
        suspended.
    """
    with store.transaction() as session:
        _check(session.get(PinnedIdentityRow, (pin.owner, pin.member)), pin)


def replace_pin(store: Store, old: Pin, new_key_id: bytes, now_ms: int) -> None:
    """Follows a succession that was verified: the old key signed the statement with the new one.

    Also what an operator does after comparing the fingerprint out of band.

    Raises:
        SimpulError: CONFLICT, when `old` is not what is pinned now.
    """
    with store.transaction() as session:
        result = session.exec(
            update(PinnedIdentityRow)
            .where(
                col(PinnedIdentityRow.owner) == old.owner,
                col(PinnedIdentityRow.member) == old.member,
                col(PinnedIdentityRow.identity_key_id) == old.identity_key_id,
            )
            .values(identity_key_id=new_key_id, pinned_at_ms=now_ms)
        )
        if result.rowcount != 1:
            raise SimpulError(
                Code.CONFLICT,
                f"{old.member} is no longer pinned by the key that this would replace: look again",
                member=old.member,
            )


def _pin(session: Session, pin: Pin, now_ms: int) -> None:
    row = session.get(PinnedIdentityRow, (pin.owner, pin.member))
    _check(row, pin)
    if row is None:
        session.add(
            PinnedIdentityRow(
                owner=pin.owner,
                member=pin.member,
                identity_key_id=pin.identity_key_id,
                pinned_at_ms=now_ms,
            )
        )


def _check(row: PinnedIdentityRow | None, pin: Pin) -> None:
    if row is not None and row.identity_key_id != pin.identity_key_id:
        raise SimpulError(
            Code.IDENTITY_CHANGED,
            f"{pin.member} shows another identity key than the one pinned with its agreements, "
            "and its old key did not sign the change: compare the fingerprint with its operator "
            "by voice before pinning the new key",
            member=pin.member,
            pinned=row.identity_key_id.hex(),
            shown=pin.identity_key_id.hex(),
        )


def _stored(row: AgreementRow) -> StoredAgreement:
    return StoredAgreement(
        hash=row.hash,
        agreement=row.agreement,
        provider_signature=row.provider_signature,
        consumer_signature=row.consumer_signature,
        provider=row.provider,
        consumer=row.consumer,
        added_at_ms=row.added_at_ms,
    )
