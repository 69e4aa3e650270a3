"""From a pinned identity key to the one in force: the statements by which it changed, in order.

Each new identity key is signed by the one before it, in the statement that introduces it. The
directory keeps every such statement of a member, so that a partner who was away for years follows
them all, and one who is shown a key that the pinned one never signed refuses it.

Source: docs/spec, "Statements: succession".
"""

from collections.abc import Sequence

from security.errors import Code, SimpulError
from security.hashing import STATEMENT_SIGNATURE
from security.identifiers import MemberId
from security.keys import PublicKey
from security.statement import MemberStatementView, parse_statement
from simpul.v1 import statement_pb2


def follow_successions(
    successions: Sequence[statement_pb2.SignedStatement],
    *,
    member: MemberId,
    pinned: PublicKey,
    current: PublicKey,
) -> PublicKey:
    """Return `current`, where the successions lead from `pinned` to it.

    1. Each is a statement of the member's, with a higher number than the one before.
    2. Those up to the one that introduced `pinned` are passed over.
    3. Each of the others is signed by its own identity key.
    4. ... and by the identity key before it, beginning with `pinned`.
    5. The last introduced `current`.

    Raises:
        SimpulError: IDENTITY_CHANGED, with the step in its details.
    """
    views: list[MemberStatementView] = []
    # 1. Statements in order.
    for signed in successions:
        try:
            view = parse_statement(signed.statement)
        except SimpulError as error:
            raise _refused(1, member, error.message) from None
        if view.member != member or (views and view.number <= views[-1].number):
            raise _refused(1, member, "a succession is another member's, or out of order")
        views.append(view)
    # 2. From the pinned key on.
    introduced = [index for index, view in enumerate(views) if view.identity_key == pinned]
    first = introduced[-1] + 1 if introduced else 0
    key = pinned
    for signed, view in zip(successions[first:], views[first:], strict=True):
        # 3. Its own key.
        _verify(3, member, view.identity_key, signed.statement, signed.signature)
        # 4. The key before.
        _verify(4, member, key, signed.statement, signed.predecessor_signature)
        key = view.identity_key
    # 5. The key in force.
    if key != current:
        raise _refused(5, member, "the successions don't lead to the key in the directory")
    return key


def _verify(
    step: int, member: MemberId, key: PublicKey, statement: bytes, signature: bytes
) -> None:
    try:
        key.verify(STATEMENT_SIGNATURE, statement, signature)
    except SimpulError as error:
        raise _refused(step, member, error.message) from None


def _refused(step: int, member: MemberId, what: str) -> SimpulError:
    return SimpulError(
        Code.IDENTITY_CHANGED,
        f"the new identity key of {member} is refused at step {step}: {what}; compare the "
        "fingerprint with that member by another way",
        step=str(step),
        member=str(member),
    )
