"""A member's statement: its identity key, and the keys that seal in its name, each on one node.

    SignedStatement
      statement               MemberStatement bytes, as signed
        version 1, federation, member, number, identity_key,
        seal_keys (key, node, valid_from_ms, valid_until_ms), issued_at_ms, previous
      signature               by the statement's own identity key
      predecessor_signature   by the one before, where the identity key is new

The registry lists a statement and can't make one. What it could do is to list another member's key
under a first statement of its own making: against that stands the pin, which partners keep.

It does not say whether a seal key was revoked or is valid now: `directory` does.

Source: docs/spec, "Statements"; protos/simpul/v1/statement.proto.
"""

from dataclasses import dataclass
from typing import Final

from security import strict
from security.errors import Code, SimpulError
from security.hashing import HASH_BYTES, STATEMENT, STATEMENT_SIGNATURE, digest
from security.identifiers import MemberId, NodeId
from security.keys import KEY_ID_BYTES, PrivateKey, PublicKey
from simpul.v1 import statement_pb2

FORMAT_VERSION: Final = 1
MAX_STATEMENT_BYTES: Final = 256 * 1024
MAX_SEAL_KEYS: Final = 100
# The end of the year 9999.
MAX_TIME_MS: Final = 253_402_300_799_999


@dataclass(frozen=True, slots=True)
class SealKeyView:
    """A key that seals on one node, from `valid_from_ms` until before `valid_until_ms`."""

    key: PublicKey
    node: NodeId
    valid_from_ms: int
    valid_until_ms: int


@dataclass(frozen=True, slots=True)
class MemberStatementView:
    """What a statement says. `previous` is the hash of the one before, None in the first."""

    member: MemberId
    number: int
    identity_key: PublicKey
    seal_keys: tuple[SealKeyView, ...]
    issued_at_ms: int
    previous: bytes | None


@dataclass(frozen=True, slots=True)
class VerifiedStatement:
    """A statement whose signatures were checked, with its hash."""

    view: MemberStatementView
    hash: bytes

    @property
    def member(self) -> MemberId:
        """Whose statement it is."""
        return self.view.member

    @property
    def number(self) -> int:
        """1 for a member's first statement."""
        return self.view.number

    @property
    def identity_key(self) -> PublicKey:
        """The key that signed it."""
        return self.view.identity_key

    @property
    def seal_keys(self) -> tuple[SealKeyView, ...]:
        """The keys that may seal in the member's name."""
        return self.view.seal_keys


def make_statement(
    view: MemberStatementView, identity: PrivateKey, predecessor: PrivateKey | None = None
) -> statement_pb2.SignedStatement:
    """Print a statement and sign it; also with the identity key before, where it is another.

    Raises:
        SimpulError: STATEMENT_INVALID if nobody would take the result for a statement.
    """
    if identity.public != view.identity_key:
        raise _refused(4, "the signing key isn't the statement's identity key")
    data = _print(view)
    parse_statement(data)
    return statement_pb2.SignedStatement(
        statement=data,
        signature=identity.sign(STATEMENT_SIGNATURE, data),
        predecessor_signature=(
            b"" if predecessor is None else predecessor.sign(STATEMENT_SIGNATURE, data)
        ),
    )


def statement_hash(data: bytes) -> bytes:
    """Return the hash by which the next statement names this one: 32 bytes."""
    return digest(STATEMENT, data)


def parse_statement(data: bytes) -> MemberStatementView:
    """Read a statement, checking its form but no signature: steps 1 and 3.

    Raises:
        SimpulError: STATEMENT_INVALID, with the step in its details.
    """
    # 1. Form: strictly parsed, of a known version, with every field.
    try:
        message = strict.parse(statement_pb2.MemberStatement, data, MAX_STATEMENT_BYTES)
    except SimpulError as error:
        raise _refused(1, error.message) from None
    if message.version != FORMAT_VERSION:
        raise _refused(1, f"its version is {message.version}, not {FORMAT_VERSION}")
    try:
        member = MemberId.parse(message.member)
    except SimpulError as error:
        raise _refused(1, error.message) from None
    if message.federation != member.federation:
        raise _refused(1, "its federation isn't its member's")
    if message.number == 0 or (message.number == 1) != (len(message.previous) == 0):
        raise _refused(1, "only statement 1 has none before it")
    if len(message.previous) not in {0, HASH_BYTES}:
        raise _refused(1, f"the hash of the statement before has no {HASH_BYTES} bytes")
    if not 0 < message.issued_at_ms <= MAX_TIME_MS:
        raise _refused(1, "it doesn't say when it was issued")
    # 3. Keys: sound, at least one seal key, none twice, each with a node and dates.
    identity_key, seal_keys = _parse_keys(message, member)
    view = MemberStatementView(
        member=member,
        number=message.number,
        identity_key=identity_key,
        seal_keys=seal_keys,
        issued_at_ms=message.issued_at_ms,
        previous=message.previous or None,
    )
    # One spelling of each statement, and so one hash.
    if _print(view) != data:
        raise _refused(1, "its fields aren't in order")
    return view


def verify_statement(
    signed: statement_pb2.SignedStatement,
    *,
    federation: str,
    member: MemberId,
    previous: VerifiedStatement | None,
    pinned_identity_key_id: bytes | None,
) -> VerifiedStatement:
    """Check a statement.

    `previous` is the newest statement of this member that the caller verified before; None: it
    knows none, and a signature by an earlier key can't be judged. `pinned_identity_key_id` is what
    the caller keeps from an agreement; None: it has pinned none.

    1. Form: strictly parsed, version 1, every field.
    2. Federation and member are those that the caller means.
    3. Keys: sound, at least one seal key, none twice, each with a node and dates.
    4. Signature by its own identity key.
    5. Number: not below the previous one's; the same number is the same bytes; the next one names
       the hash of the one before.
    6. Predecessor: a new identity key has the old one's signature; an old one has none beside its
       own.
    7. Pin: the identity key is the pinned one, or step 6 leads from the pinned one to it.

    Raises:
        SimpulError: STATEMENT_INVALID, or IDENTITY_CHANGED at step 7; the step in its details.
    """
    view = parse_statement(signed.statement)
    # 2. Federation and member.
    if federation != view.member.federation or view.member != member:
        raise _refused(2, f"it is {view.member}'s, not {member}'s in {federation}")
    # 4. Signature by its own identity key.
    _verify_signature(4, view.identity_key, signed.statement, signed.signature)
    verified = VerifiedStatement(view, statement_hash(signed.statement))
    if previous is not None:
        # 5. Number.
        _check_number(verified, previous)
        # 6. Predecessor.
        _check_predecessor(signed, verified, previous)
    # 7. Pin.
    _check_pin(verified, previous, pinned_identity_key_id)
    return verified


def _check_number(verified: VerifiedStatement, previous: VerifiedStatement) -> None:
    if verified.number < previous.number:
        raise _refused(5, f"its number is {verified.number}, and {previous.number} was seen")
    if verified.number == previous.number and verified.hash != previous.hash:
        raise _refused(5, f"there is another statement of number {verified.number}")
    follows = verified.number == previous.number + 1
    if follows and verified.view.previous != previous.hash:
        raise _refused(5, "it names another statement as the one before it")


def _check_predecessor(
    signed: statement_pb2.SignedStatement,
    verified: VerifiedStatement,
    previous: VerifiedStatement,
) -> None:
    if verified.number == previous.number:
        # The same bytes were judged before; the signature beside them is an older key's.
        return
    if verified.identity_key != previous.identity_key:
        _verify_signature(6, previous.identity_key, signed.statement, signed.predecessor_signature)
    elif verified.number == previous.number + 1 and signed.predecessor_signature:
        raise _refused(6, "it has a predecessor's signature, but the same identity key")


def _check_pin(
    verified: VerifiedStatement, previous: VerifiedStatement | None, pinned: bytes | None
) -> None:
    if pinned is None or verified.identity_key.key_id == pinned:
        return
    if len(pinned) != KEY_ID_BYTES:
        raise _refused(7, f"the pin has no {KEY_ID_BYTES} bytes")
    if previous is not None and previous.identity_key.key_id == pinned:
        # Step 6 has found the pinned key's signature on the new one.
        return
    raise SimpulError(
        Code.IDENTITY_CHANGED,
        f"the identity key of {verified.member} is {verified.identity_key.key_id.hex()[:16]}, and "
        f"{pinned.hex()[:16]} is pinned; compare the fingerprint with that member by another way",
        step="7",
    )


def _parse_keys(
    message: statement_pb2.MemberStatement, member: MemberId
) -> tuple[PublicKey, tuple[SealKeyView, ...]]:
    if not 0 < len(message.seal_keys) <= MAX_SEAL_KEYS:
        raise _refused(3, f"it has {len(message.seal_keys)} seal keys, not 1 to {MAX_SEAL_KEYS}")
    try:
        identity_key = PublicKey.from_proto(message.identity_key)
        seal_keys = tuple(
            SealKeyView(
                PublicKey.from_proto(item.key),
                NodeId.parse(item.node),
                item.valid_from_ms,
                item.valid_until_ms,
            )
            for item in message.seal_keys
        )
    except SimpulError as error:
        raise _refused(3, error.message) from None
    key_ids = {identity_key.key_id, *(item.key.key_id for item in seal_keys)}
    if len(key_ids) != 1 + len(seal_keys):
        raise _refused(3, "it uses one key twice")
    for item in seal_keys:
        if item.node.federation != member.federation:
            raise _refused(3, "a seal key's node is of another federation")
        if not 0 < item.valid_from_ms < item.valid_until_ms <= MAX_TIME_MS:
            raise _refused(3, "a seal key's dates aren't in order")
    return identity_key, seal_keys


def _print(view: MemberStatementView) -> bytes:
    return statement_pb2.MemberStatement(
        version=FORMAT_VERSION,
        federation=view.member.federation,
        member=str(view.member),
        number=view.number,
        identity_key=view.identity_key.to_proto(),
        seal_keys=[
            statement_pb2.SealKey(
                key=item.key.to_proto(),
                node=str(item.node),
                valid_from_ms=item.valid_from_ms,
                valid_until_ms=item.valid_until_ms,
            )
            for item in view.seal_keys
        ],
        issued_at_ms=view.issued_at_ms,
        previous=b"" if view.previous is None else view.previous,
    ).SerializeToString(deterministic=True)


def _verify_signature(step: int, key: PublicKey, data: bytes, signature: bytes) -> None:
    try:
        key.verify(STATEMENT_SIGNATURE, data, signature)
    except SimpulError as error:
        raise _refused(step, error.message) from None


def _refused(step: int, what: str) -> SimpulError:
    return SimpulError(
        Code.STATEMENT_INVALID,
        f"a member's statement is refused at step {step}: {what}; make a new one that follows the "
        "last",
        step=str(step),
    )
