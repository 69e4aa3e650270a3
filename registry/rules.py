"""Who may join, and who may change what: pure decisions over values that were read.

Enrolment. Each step is a function here or the one that is named; a refusal carries its number in
the detail `step`, and nothing is stored before the last has passed.
 1. size, before parsing                     9. the member is listed and active
 2. form, strictly (`requests`)             10. neither node name nor node key is listed
 3. federation                              11. link address and slots
 4. the token is known                      12. the statement verifies, and is the member's next
 5. ... and unused, or used by this request 13. it lists a seal key for this node
 6. ... and not expired                     14. the certificate request (`authority`)
 7. ... and for this member and node        15. nodes accept the record (`directory.records`)
 8. the node key signed the request

Where the member has a statement, the node may ask to be listed instead of bringing the next one:
step 12 then is that the request verifies (`security.seal_request`), and 13 is passed over.

Change.
 1. size, before parsing                     6. made within five minutes of now
 2. form, strictly (`requests`)              7. its number is higher than any before
 3. federation                               8. its object is listed, active, well-formed
 4. the node is listed and active            9. the member's statement lists this node
 5. the node key signed the request         10. what the kind asks for: contract, statement, request
                                            11. nodes accept the record (`directory.records`)

A change whose kind is not automatic here goes through all steps, and then waits for an operator;
it goes through 4 and 8 to 11 again when he approves it.
"""

import hmac
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from registry.life import Standing
from registry.model import Member, Node, NodeState, Subsystem, Token
from registry.requests import Enrolment, ReplaceNodeKey
from security import seal_request
from security.directory_records import MAX_SLOTS, check_link_address
from security.errors import Code, SimpulError
from security.hashing import (
    CHANGE_SIGNATURE,
    ENROLMENT_SIGNATURE,
    NODE_KEY_SIGNATURE,
    QUERY_SIGNATURE,
    SIMILAR_QUERY_SIGNATURE,
)
from security.identifiers import MemberId, NodeId
from security.keys import PublicKey
from security.seal_request import SealKeyRequestView
from security.statement import VerifiedStatement, verify_statement
from simpul.v1 import statement_pb2

MAX_CHANGE_AGE_MS: Final = 5 * 60 * 1000


@contextmanager
def step(number: int) -> Iterator[None]:
    """Puts the number of a step into whatever refusal leaves the block."""
    try:
        yield
    except SimpulError as error:
        details = {**error.details, "step": str(number)}
        raise SimpulError(error.code, error.message, **details) from error


def check_size(data: bytes, max_bytes: int) -> None:
    """A request may have so many bytes; raises SimpulError MESSAGE_TOO_LARGE."""
    if len(data) > max_bytes:
        raise SimpulError(
            Code.MESSAGE_TOO_LARGE,
            f"the request has {len(data)} bytes and may have {max_bytes}: send less",
        )


def check_federation(named: str, ours: str, code: Code) -> None:
    """A request is for this federation, or raises `code`."""
    if named != ours:
        raise SimpulError(
            code, f"this is the registry of {ours}, not of {named[:16]!a}: ask the right one"
        )


def check_token_known(token: Token | None, secret_hash: bytes) -> Token:
    """The token that was found by the hash of the request's secret; raises TOKEN_UNKNOWN.

    The look-up in the database goes by the hash, and so tells a guesser nothing about a secret; the
    comparison here takes one time, whatever differs.
    """
    if token is None or not hmac.compare_digest(token.secret_hash, secret_hash):
        raise SimpulError(
            Code.TOKEN_UNKNOWN,
            "the enrolment token is not one of this registry: check that it was copied whole",
        )
    return token


def check_token_unused(token: Token, request_sha256: bytes) -> None:
    """Raises TOKEN_USED for a token that was used, unless by this very request.

    Then the answer was lost on its way, and the node that holds the key asks once more.
    """
    if token.used_at_ms is not None and token.used_by != request_sha256:
        raise SimpulError(
            Code.TOKEN_USED,
            "the enrolment token was used already: ask the registry's operator for a new one",
        )


def check_token_unexpired(token: Token, now_ms: int) -> None:
    """Raises TOKEN_EXPIRED for a token past its time."""
    if now_ms >= token.expires_at_ms:
        raise SimpulError(
            Code.TOKEN_EXPIRED,
            "the enrolment token has expired: ask the registry's operator for a new one",
        )


def check_token_names(token: Token, member: MemberId, node: NodeId, *, hosts: bool) -> None:
    """A token is for one member, one node and one use; raises REQUEST_MALFORMED for another."""
    if (token.member, token.node) != (member, node):
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"the token is for {token.node} of {token.member}, and the request for "
            f"{node} of {member}: take the names from the token",
        )
    if token.hosts != hosts:
        use = "for a running node that is to host the member (simpul node host)"
        other = "for a new node (simpul node init)"
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            f"the token is {use if token.hosts else other}: use it there, or ask for another",
        )


def verify_enrolment_signature(enrolment: Enrolment, data: bytes, signature: bytes) -> None:
    """The new node holds its key; raises SIGNATURE_INVALID."""
    enrolment.node_key.verify(ENROLMENT_SIGNATURE, data, signature)


def check_active(member: Member) -> None:
    """Raises MEMBER_SUSPENDED for a member that is suspended or removed."""
    if member.state is not Standing.ACTIVE:
        raise SimpulError(
            Code.MEMBER_SUSPENDED,
            f"{member.id} is {member.state}: ask the registry's operator why",
            member=str(member.id),
        )


def check_subsystem_active(subsystem: Subsystem) -> None:
    """Raises SUBSYSTEM_SUSPENDED for one that is not approved, suspended or removed."""
    if subsystem.state is not Standing.ACTIVE:
        raise SimpulError(
            Code.SUBSYSTEM_SUSPENDED,
            f"{subsystem.id} is {subsystem.state}: ask the registry's operator why",
            subsystem=str(subsystem.id),
        )


def check_node_new(by_name: Node | None, by_key: Node | None, enrolment: Enrolment) -> None:
    """A node's name and key are listed once, for ever; raises ALREADY_EXISTS."""
    if by_name is not None:
        raise SimpulError(
            Code.ALREADY_EXISTS, f"{enrolment.node} is listed already: choose another node name"
        )
    if by_key is not None:
        raise SimpulError(
            Code.ALREADY_EXISTS,
            f"the node key is that of {by_key.id}: make a new key for each node",
        )


def check_reachable(link_address: str, slots: int) -> None:
    """Where a node takes links, and its number of journals; raises CHANGE_INVALID."""
    check_link_address(link_address)
    if not 1 <= slots <= MAX_SLOTS:
        raise SimpulError(
            Code.CHANGE_INVALID, f"a node has 1 to {MAX_SLOTS} journal slots, not {slots}"
        )


def verify_next_statement(
    signed: statement_pb2.SignedStatement, member: Member
) -> VerifiedStatement:
    """The member's first statement, or the one right after that in force.

    Raises:
        SimpulError: STATEMENT_INVALID, when it does not verify or does not follow.
    """
    previous = statement_in_force(member)
    verified = verify_statement(
        signed,
        federation=member.id.federation,
        member=member.id,
        previous=previous,
        pinned_identity_key_id=None,
    )
    expected = 1 if previous is None else previous.number + 1
    if verified.number != expected:
        raise SimpulError(
            Code.STATEMENT_INVALID,
            f"the statement of {member.id} has number {verified.number} and the next is "
            f"{expected}: make one that follows the statement in the directory",
            member=str(member.id),
        )
    return verified


def verify_seal_key_request(
    signed: statement_pb2.SignedSealKeyRequest,
    member: Member,
    node: NodeId,
    node_key: PublicKey,
) -> SealKeyRequestView:
    """A request to be listed, of a member that has a statement.

    Raises:
        SimpulError: STATEMENT_INVALID.
    """
    if member.statement is None:
        raise SimpulError(
            Code.STATEMENT_INVALID,
            f"{member.id} has no statement that a next one could follow: ask the registry's "
            "operator for a new token",
            member=str(member.id),
        )
    return seal_request.verify_seal_key_request(
        signed, member=member.id, node=node, node_key=node_key
    )


def statement_in_force(member: Member) -> VerifiedStatement | None:
    """The statement that the registry lists, or None before the first."""
    if member.statement is None:
        return None
    return verify_statement(
        statement_pb2.SignedStatement.FromString(member.statement),
        federation=member.id.federation,
        member=member.id,
        previous=None,
        pinned_identity_key_id=None,
    )


def check_lists_node(statement: VerifiedStatement | None, node: NodeId, now_ms: int) -> None:
    """A statement names a seal key on the node that is not past its time.

    One that will be valid later counts: a new key is listed before it serves.

    Raises:
        SimpulError: KEY_UNKNOWN.
    """
    keys = () if statement is None else statement.seal_keys
    if not any(key.node == node and now_ms < key.valid_until_ms for key in keys):
        raise SimpulError(
            Code.KEY_UNKNOWN,
            f"the member's statement lists no seal key for {node}: make one that does",
            node=str(node),
        )


def check_node_active(node: Node) -> None:
    """Raises NODE_REVOKED, also for a node that was removed."""
    if node.state is not NodeState.ACTIVE:
        raise SimpulError(
            Code.NODE_REVOKED,
            f"{node.id} is {node.state}: ask the registry's operator why, and enrol a new node",
            node=str(node.id),
        )


def verify_change_signature(node: Node, data: bytes, signature: bytes) -> None:
    """The change is from the node that it names; raises SIGNATURE_INVALID."""
    node.key.verify(CHANGE_SIGNATURE, data, signature)


def verify_query_signature(node: Node, data: bytes, signature: bytes) -> None:
    """The query is from the node that it names; raises SIGNATURE_INVALID."""
    node.key.verify(QUERY_SIGNATURE, data, signature)


def verify_similar_query_signature(node: Node, data: bytes, signature: bytes) -> None:
    """The query is from the node that it names; raises SIGNATURE_INVALID."""
    node.key.verify(SIMILAR_QUERY_SIGNATURE, data, signature)


def check_made_now(made_at_ms: int, now_ms: int) -> None:
    """Raises CHANGE_INVALID for a change of another hour: it was kept back, or a clock is off."""
    if abs(now_ms - made_at_ms) > MAX_CHANGE_AGE_MS:
        raise SimpulError(
            Code.CHANGE_INVALID,
            f"the change was made {(now_ms - made_at_ms) // 1000} s ago by the node's clock: set "
            "the node's clock, and make it anew",
        )


def check_number(node: Node, number: int) -> None:
    """Raises CHANGE_REPLAYED for a number that isn't higher; the store compares once more."""
    if number <= node.change_number:
        raise SimpulError(
            Code.CHANGE_REPLAYED,
            f"change {number} of {node.id} comes after {node.change_number}: make it anew with a "
            "higher number",
            node=str(node.id),
            number=str(node.change_number),
        )


def check_new_key(kind: ReplaceNodeKey, node: Node, by_key: Node | None) -> None:
    """A new node key is nobody's yet, and whoever sends it holds it.

    Raises:
        SimpulError: ALREADY_EXISTS; SIGNATURE_INVALID.
    """
    if by_key is not None:
        raise SimpulError(
            Code.ALREADY_EXISTS, f"the node key is that of {by_key.id}: make a new key"
        )
    kind.node_key.verify(NODE_KEY_SIGNATURE, node.key.key_id, kind.proof)


def check_speaks_for(
    node: Node, member: MemberId, statement: VerifiedStatement | None, now_ms: int
) -> None:
    """A node may replace the statement of whom it seals for, or of the member that runs it.

    Raises:
        SimpulError: KEY_UNKNOWN.
    """
    if node.owner != member:
        check_lists_node(statement, node.id, now_ms)


def check_class(member: MemberId, federation: str, classes: frozenset[str]) -> None:
    """A member is of this federation and of a class that its policy names.

    Raises:
        SimpulError: ID_MALFORMED.
    """
    if member.federation != federation:
        raise SimpulError(
            Code.ID_MALFORMED, f"{member} is not of {federation}: write {federation}/CLASS/CODE"
        )
    if member.member_class not in classes:
        raise SimpulError(
            Code.ID_MALFORMED,
            f"{federation} has no member class {member.member_class}: take one of "
            f"{', '.join(sorted(classes))}",
        )
