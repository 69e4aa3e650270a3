"""Who it is that asks as an operator, and whether he may: alone, or with a second person.

The machine's administrator is whoever may open the Unix socket; anybody else is known by the
SHA-256 of his certificate, looked up for each call, so that a removal holds from the next one on.

Two persons: a dangerous act is kept, and done when somebody else who may do it himself approves.
That is so from when there are two who could: before, there is nobody to ask.
"""

from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass
from hashlib import sha256
from typing import Any, Final

import grpc
from google.protobuf.message import Message

from registry.authorization import Listener, Role, authorize
from registry.directory import proposals
from registry.store import operators, pending
from registry.store.database import Store
from registry.store.pending import PendingAct
from security import certificate
from security.errors import Code, SimpulError

Context = grpc.aio.ServicerContext[Any, Any]

# Whoever may open the Unix socket in the registry's home, which is 0600 in a folder of 0700. No
# operator's name holds a space.
LOCAL: Final = "local administrator"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks; without a role it is nobody that is known."""

    name: str
    role: Role | None


ADMINISTRATOR: Final = Caller(LOCAL, Role.ADMINISTRATOR)
Identify = Callable[[Context], Awaitable[Caller]]

# Each call runs in a task of its own.
CALLER: Final[ContextVar[Caller]] = ContextVar("caller")


def actor_of(context: Context) -> str:
    """The operator behind a call."""
    del context
    return CALLER.get().name


async def identify_local(_context: Context) -> Caller:
    """Who opened the Unix socket."""
    return ADMINISTRATOR


def certificate_of(context: Context) -> bytes | None:
    """The SHA-256 of the certificate by which TLS let a caller in."""
    shown = tuple(context.auth_context().get("x509_pem_cert", ()))
    if len(shown) != 1:
        return None
    found = certificate.from_pem(shown[0])
    return sha256(found[0]).digest() if len(found) == 1 else None


def find_caller(store: Store, digest: bytes | None) -> Caller:
    """The operator of a certificate."""
    if digest is None:
        return Caller("no certificate", None)
    with store.transaction() as session:
        found = operators.find_by_certificate(session, digest.hex())
    if found is None:
        return Caller(f"unknown certificate {digest.hex()[:16]}", None)
    return Caller(found.name, found.role)


def check_role(method: str, caller: Caller) -> None:
    """Refuses who may not call a method; raises SimpulError OPERATOR_REFUSED or METHOD_UNKNOWN."""
    row = authorize(method, Listener.ADMIN)
    if caller.role is None:
        raise SimpulError(
            Code.OPERATOR_REFUSED,
            f"{caller.name}: no operator is enrolled with it; ask a security officer",
        )
    if caller.role not in row.roles:
        raise SimpulError(
            Code.OPERATOR_REFUSED,
            f"{caller.name} is {caller.role} and may not call {method.rpartition('/')[2]}: ask "
            f"one of: {', '.join(sorted(row.roles))}",
        )


def dangerous_kind(method: str, request: Message) -> str | None:
    """What kind of dangerous act a request is, by its name in registry.toml, or None.

    Raises:
        SimpulError: CHANGE_INVALID, for a proposal that is none.
    """
    match method.rpartition("/")[2]:
        case "SetMemberState" if getattr(request, "state", "") == "removed":
            return "remove_member"
        case "RevokeNode" | "RevokeKey":
            return "revoke_node"
        case "AddOperator" | "SetOperatorRole" | "RemoveOperator":
            return "change_operators"
        case "ChangeGroup" if getattr(request, "step", "") in {"include", "retire"}:
            return "change_groups"
        case "ChangeTrust":
            proposal = proposals.parse(getattr(request, "proposal", b""))
            return "change_policy" if proposal.next_root is None else "rotate_root"
        case _:
            return None


def propose(
    store: Store, method: str, request: Message, subject: str, caller: Caller, now_ms: int
) -> None:
    """Keeps a dangerous act for a second person, where there is one.

    Raises:
        SimpulError: APPROVAL_PENDING, when it is kept: it isn't done now.
    """
    roles = authorize(method, Listener.ADMIN).roles
    with store.transaction() as session:
        others = [item for item in operators.every(session) if item.role in roles]
        if not others:
            return
        act = PendingAct(
            0, method, subject, request.SerializeToString(deterministic=True), caller.name, now_ms
        )
        number = pending.add(session, act)
    raise SimpulError(
        Code.APPROVAL_PENDING,
        f"it waits as number {number} for a second person: simpul registry pending approve "
        f"{number}",
        number=str(number),
    )


def check_second(store: Store, act: PendingAct, caller: Caller) -> None:
    """Refuses an approval by who may not give it, or of what a removed operator asked for.

    Raises:
        SimpulError: OPERATOR_REFUSED, when the caller proposed it himself, or may not do it
            himself, or when the proposer may no longer.
    """
    if act.proposed_by == caller.name:
        raise SimpulError(
            Code.OPERATOR_REFUSED,
            f"{caller.name} proposed act {act.id}: somebody else must approve it",
        )
    check_role(act.method, caller)
    if act.proposed_by == LOCAL:
        return
    with store.transaction() as session:
        found = [item for item in operators.every(session) if item.name == act.proposed_by]
    proposer = Caller(act.proposed_by, found[0].role if found else None)
    check_role(act.method, proposer)
