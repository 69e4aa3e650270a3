"""Agreements and the identity keys pinned with them.

It stores what was verified before; it verifies nothing but the pin. Rules: an agreement never
changes, its missing signature may be added; a pin changes only from the key that the caller names,
so that two writers can't both succeed; a partner with another key than the pinned one is
IDENTITY_CHANGED.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sqlmodel import Session, col, select, update

from node.store.engine import Store
from node.store.models import AgreementRow, PinnedIdentityRow
from security.errors import Code, SimpulError
from security.identifiers import MemberId
from security.keys import PublicKey
from security.parties import Pinned
from simpul.v1 import keys_pb2


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
    # What it rests on, where the consumer acts for another member.
    delegation: bytes = b""
    delegator_signature: bytes = b""

    @property
    def is_signed_by_both(self) -> bool:
        """Whether it can permit anything."""
        return bool(self.provider_signature) and bool(self.consumer_signature)


@dataclass(frozen=True, slots=True)
class Pin:
    """`owner`, a member hosted here, knows `member` by this identity key."""

    owner: MemberId
    member: MemberId
    key: PublicKey


def save_agreement(store: Store, agreement: StoredAgreement, pins: Iterable[Pin]) -> None:
    """Stores an agreement and pins its partners' identity keys, both or neither.

    A stored agreement keeps the signatures that it has; those that it lacks are added.

    Raises:
        SimpulError: IDENTITY_CHANGED, when a partner is pinned by another key already.
    """
    with store.transaction() as session:
        put_agreement(session, agreement, pins)


def put_agreement(session: Session, agreement: StoredAgreement, pins: Iterable[Pin]) -> None:
    """As `save_agreement`, within a transaction of the caller's."""
    put_pins(session, pins, agreement.added_at_ms)
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
                delegation=agreement.delegation,
                delegator_signature=agreement.delegator_signature,
            )
        )
        session.flush()
        return
    row.provider_signature = row.provider_signature or agreement.provider_signature
    row.consumer_signature = row.consumer_signature or agreement.consumer_signature
    session.add(row)


def put_pins(session: Session, pins: Iterable[Pin], now_ms: int) -> None:
    """Pins partners' identity keys, within a transaction of the caller's.

    Raises:
        SimpulError: IDENTITY_CHANGED, when a partner is pinned by another key already.
    """
    for pin in pins:
        pin_within(session, pin, now_ms)


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
    """All pins in force."""
    with store.transaction() as session:
        order = (col(PinnedIdentityRow.owner), col(PinnedIdentityRow.member))
        in_force = col(PinnedIdentityRow.replaced_at_ms).is_(None)
        rows = session.exec(select(PinnedIdentityRow).where(in_force).order_by(*order))
        return tuple(_stored_pin(row) for row in rows)


def known_keys(store: Store) -> Pinned:
    """Every identity key that is or was pinned: those under which agreements were signed.

    What `security.agreement.verify_agreement` takes as `pinned`.
    """
    with store.transaction() as session:
        pins = [_stored_pin(row) for row in session.exec(select(PinnedIdentityRow))]
    return {(pin.member, pin.key.key_id): pin.key for pin in pins}


def check_pin(store: Store, pin: Pin) -> None:
    """Passes where the partner is not pinned yet, or by this key.

    Raises:
        SimpulError: IDENTITY_CHANGED, when it is pinned by another one: its agreements are
            suspended.
    """
    with store.transaction() as session:
        _check(_in_force(session, pin), pin)


def pinned_key_id(store: Store, owner: MemberId, member: MemberId) -> bytes | None:
    """The id of the identity key by which `owner` knows `member` now; None: by none."""
    with store.transaction() as session:
        return session.exec(
            select(PinnedIdentityRow.identity_key_id).where(
                col(PinnedIdentityRow.owner) == str(owner),
                col(PinnedIdentityRow.member) == str(member),
                col(PinnedIdentityRow.replaced_at_ms).is_(None),
            )
        ).one_or_none()


def pinned_key_ids(store: Store, owner: MemberId) -> Mapping[str, bytes]:
    """The ids of the identity keys by which `owner` knows others now, by these."""
    with store.transaction() as session:
        rows = session.exec(
            select(PinnedIdentityRow.member, PinnedIdentityRow.identity_key_id).where(
                col(PinnedIdentityRow.owner) == str(owner),
                col(PinnedIdentityRow.replaced_at_ms).is_(None),
            )
        )
        return dict(rows.all())


def replace_pin(store: Store, old: Pin, new_key: PublicKey, now_ms: int) -> None:
    """Follows a succession that was verified: the old key signed the statement with the new one.

    Also what an operator does after comparing the fingerprint out of band.

    Raises:
        SimpulError: CONFLICT, when `old` is not what is pinned now.
    """
    with store.transaction() as session:
        result = session.exec(
            update(PinnedIdentityRow)
            .where(
                col(PinnedIdentityRow.owner) == str(old.owner),
                col(PinnedIdentityRow.member) == str(old.member),
                col(PinnedIdentityRow.identity_key_id) == old.key.key_id,
                col(PinnedIdentityRow.replaced_at_ms).is_(None),
            )
            .values(replaced_at_ms=now_ms)
        )
        if result.rowcount != 1:
            raise SimpulError(
                Code.CONFLICT,
                f"{old.member} is no longer pinned by the key that this would replace: look again",
                member=str(old.member),
            )
        session.merge(_row(Pin(old.owner, old.member, new_key), now_ms))


def pin_within(session: Session, pin: Pin, now_ms: int) -> None:
    """Pins a key within a transaction of the caller's; raises SimpulError IDENTITY_CHANGED."""
    row = _in_force(session, pin)
    _check(row, pin)
    if row is None:
        session.add(_row(pin, now_ms))


def _in_force(session: Session, pin: Pin) -> PinnedIdentityRow | None:
    return session.exec(
        select(PinnedIdentityRow).where(
            col(PinnedIdentityRow.owner) == str(pin.owner),
            col(PinnedIdentityRow.member) == str(pin.member),
            col(PinnedIdentityRow.replaced_at_ms).is_(None),
        )
    ).one_or_none()


def _check(row: PinnedIdentityRow | None, pin: Pin) -> None:
    if row is not None and row.identity_key_id != pin.key.key_id:
        raise SimpulError(
            Code.IDENTITY_CHANGED,
            f"{pin.member} shows another identity key than the one pinned with its agreements: "
            "compare the fingerprint with its operator by voice before pinning the new key",
            member=str(pin.member),
            pinned=row.identity_key_id.hex(),
            shown=pin.key.key_id.hex(),
        )


def _row(pin: Pin, now_ms: int) -> PinnedIdentityRow:
    return PinnedIdentityRow(
        owner=str(pin.owner),
        member=str(pin.member),
        identity_key_id=pin.key.key_id,
        identity_key=pin.key.to_proto().SerializeToString(deterministic=True),
        pinned_at_ms=now_ms,
        replaced_at_ms=None,
    )


def _stored_pin(row: PinnedIdentityRow) -> Pin:
    key = PublicKey.from_proto(keys_pb2.PublicKey.FromString(row.identity_key))
    return Pin(MemberId.parse(row.owner), MemberId.parse(row.member), key)


def _stored(row: AgreementRow) -> StoredAgreement:
    return StoredAgreement(**row.model_dump())
