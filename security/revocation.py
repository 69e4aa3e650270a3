"""The revocation of an agreement: by either party alone, at any time, and for good.

It is signed by the party's identity key, or by one of the seal keys of its statement: the identity
key lies on one node of a member, and a revocation must not wait for it. Whoever steals a seal key
can end agreements with it, and begin none.

A delegation is ended by the same document, with its own hash in the agreement's place and under a
domain of its own, by the delegator alone.

Source: docs/spec, "Agreements: revocation".
"""

from dataclasses import dataclass
from typing import Final

from security import strict
from security.agreement import agreement_hash, parse_agreement
from security.agreement_terms import MAX_AHEAD_MS, AgreementTerms, Party
from security.delegation import delegation_hash, parse_delegation
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.hashing import AGREEMENT_REVOCATION, DELEGATION_REVOCATION, HASH_BYTES
from security.identifiers import MemberId
from security.keys import PrivateKey, PublicKey
from security.parties import NO_PINS, Pinned
from security.statement import MAX_TIME_MS
from simpul.v1 import agreement_pb2

FORMAT_VERSION: Final = 1
MAX_REVOCATION_BYTES: Final = 8 * 1024
MAX_REASON_CHARS: Final = 1000


@dataclass(frozen=True, slots=True)
class Revocation:
    """`member` ends the agreement, or the delegation, of this hash (32 bytes)."""

    agreement: bytes
    member: MemberId
    at_ms: int
    reason: str


def print_revocation(revocation: Revocation) -> bytes:
    """The bytes to sign; `parse_revocation` gives the same value back."""
    return agreement_pb2.Revocation(
        version=FORMAT_VERSION,
        federation=revocation.member.federation,
        agreement=revocation.agreement,
        member=str(revocation.member),
        at_ms=revocation.at_ms,
        reason=revocation.reason,
    ).SerializeToString(deterministic=True)


def parse_revocation(data: bytes) -> Revocation:
    """Read a revocation, strictly.

    Raises:
        SimpulError: AGREEMENT_INVALID.
    """
    message = strict.parse(
        agreement_pb2.Revocation, data, MAX_REVOCATION_BYTES, code=Code.AGREEMENT_INVALID
    )
    if message.version != FORMAT_VERSION:
        raise _invalid(f"its version is {message.version}, not {FORMAT_VERSION}")
    if len(message.agreement) != HASH_BYTES:
        raise _invalid("it names no agreement")
    if not 0 < message.at_ms <= MAX_TIME_MS:
        raise _invalid("it doesn't say when")
    if len(message.reason) > MAX_REASON_CHARS:
        raise _invalid(f"its reason has over {MAX_REASON_CHARS} letters")
    try:
        member = MemberId.parse(message.member)
    except SimpulError as error:
        raise _invalid(error.message) from None
    if member.federation != message.federation:
        raise _invalid("its federation isn't its member's")
    revocation = Revocation(message.agreement, member, message.at_ms, message.reason)
    if print_revocation(revocation) != data:
        raise _invalid("its fields aren't in order")
    return revocation


def sign_revocation(revocation: Revocation, key: PrivateKey) -> agreement_pb2.SignedRevocation:
    """Sign by an identity key or a seal key of the member's."""
    data = print_revocation(revocation)
    return agreement_pb2.SignedRevocation(
        revocation=data, key_id=key.public.key_id, signature=key.sign(AGREEMENT_REVOCATION, data)
    )


def sign_delegation_revocation(
    revocation: Revocation, key: PrivateKey
) -> agreement_pb2.SignedRevocation:
    """Sign the end of a delegation, by an identity key or a seal key of the delegator's."""
    data = print_revocation(revocation)
    return agreement_pb2.SignedRevocation(
        revocation=data,
        key_id=key.public.key_id,
        signature=key.sign(DELEGATION_REVOCATION, data),
    )


def verify_revocation(
    signed: agreement_pb2.SignedRevocation,
    agreement: bytes,
    directory: DirectoryView,
    now_ms: int,
    pinned: Pinned = NO_PINS,
) -> Revocation:
    """Check the revocation of an agreement, whose bytes are given.

    `pinned` holds identity keys that the caller keeps from before, by member and id.

    1. Form.
    2. It is of this agreement.
    3. By one of its parties; not by a delegator, which ends its delegation.
    4. At most 60 s ahead.
    5. The key is the member's: its identity key, listed or pinned, or a seal key of its statement.
       A revoked key counts: to end what a thief could go on using is no harm.
    6. The signature.

    Raises:
        SimpulError: AGREEMENT_INVALID, with the step in its details; MEMBER_UNKNOWN, KEY_UNKNOWN
            at 5.
    """
    revocation = _parse(signed)
    # 2. Of this agreement.
    if revocation.agreement != agreement_hash(agreement):
        raise _refused(2, "it is of another agreement")
    # 3. By a party.
    party = _party(parse_agreement(agreement), revocation.member)
    _verify(signed, AGREEMENT_REVOCATION, revocation, party, directory, now_ms, pinned)
    return revocation


def verify_delegation_revocation(
    signed: agreement_pb2.SignedRevocation,
    delegation: bytes,
    directory: DirectoryView,
    now_ms: int,
    pinned: Pinned = NO_PINS,
) -> Revocation:
    """Check the end of a delegation, whose bytes are given: as `verify_revocation`.

    3. By the delegator: a delegate revokes its agreements.
    """
    revocation = _parse(signed)
    # 2. Of this delegation.
    if revocation.agreement != delegation_hash(delegation):
        raise _refused(2, "it is of another delegation")
    # 3. By the delegator.
    delegator = parse_delegation(delegation).delegator
    if revocation.member != delegator.member:
        raise _refused(3, f"{revocation.member} is not the delegator")
    _verify(signed, DELEGATION_REVOCATION, revocation, delegator, directory, now_ms, pinned)
    return revocation


def _parse(signed: agreement_pb2.SignedRevocation) -> Revocation:
    # 1. Form.
    try:
        return parse_revocation(signed.revocation)
    except SimpulError as error:
        raise SimpulError(error.code, error.message, step="1") from None


def _verify(
    signed: agreement_pb2.SignedRevocation,
    domain: bytes,
    revocation: Revocation,
    party: Party,
    directory: DirectoryView,
    now_ms: int,
    pinned: Pinned,
) -> None:
    # 4. Time.
    if revocation.at_ms > now_ms + MAX_AHEAD_MS:
        raise _refused(4, "it is of the future; set the clocks")
    # 5. The key.
    key = _key(party, signed.key_id, directory, pinned)
    # 6. The signature.
    try:
        key.verify(domain, signed.revocation, signed.signature)
    except SimpulError as error:
        raise _refused(6, error.message) from None


def _party(terms: AgreementTerms, member: MemberId) -> Party:
    for party in (terms.provider, terms.consumer):
        if party.member == member:
            return party
    raise _refused(3, f"{member} is no party of the agreement")


def _key(party: Party, key_id: bytes, directory: DirectoryView, pinned: Pinned) -> PublicKey:
    statement = directory.member(party.member).statement
    if statement is not None and statement.identity_key.key_id == key_id:
        return statement.identity_key
    # Of this party's pinned keys only the one that the agreement names.
    kept = pinned.get((party.member, key_id)) if key_id == party.identity_key_id else None
    if kept is not None and kept.key_id == key_id:
        return kept
    try:
        return directory.seal_key_bytes(party.member, key_id)
    except SimpulError as error:
        raise SimpulError(error.code, error.message, step="5") from None


def _invalid(what: str) -> SimpulError:
    return SimpulError(
        Code.AGREEMENT_INVALID,
        f"a revocation is refused: {what}; make it again with `simpul access revoke`",
    )


def _refused(step: int, what: str) -> SimpulError:
    return SimpulError(
        Code.AGREEMENT_INVALID,
        f"a revocation is refused at step {step}: {what}",
        step=str(step),
    )
