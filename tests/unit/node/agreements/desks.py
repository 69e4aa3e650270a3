"""Desks of nodes that ask each other by a function call, on real stores and real signatures."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Final

from node.agreements import delegations, received, wire
from node.agreements.force import in_force
from node.policy.rules import AgreementBook
from node.store.engine import Store
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, SubsystemId
from security.keys import PrivateKey
from security.statement import make_statement
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories
from tests.support.delegations import DELEGATOR, DELEGATOR_NODE, record

NOW_MS: Final = fixed.NOW_MS


@dataclass(slots=True)
class Desk:
    """One node's (`node.agreements.model.PartyDesk`)."""

    node: NodeId
    members: tuple[MemberId, ...]
    store: Store
    # Shared by all desks of a test.
    desks: dict[NodeId, Desk]
    directory: DirectoryView = field(default_factory=directories.directory)
    # What the registry has, where this node has not heard of it yet.
    newest: DirectoryView | None = None
    has_identity: bool = True
    agrees_by_itself: bool = False
    signs_elsewhere: bool = False
    now_ms: int = NOW_MS
    reachable: bool = True
    # Other keys than those of tests/support/directories.
    identity_keys: dict[MemberId, PrivateKey] = field(default_factory=dict)
    # What its workers went by, the newest last.
    history: list[AgreementBook] = field(default_factory=list)

    @property
    def pushed(self) -> AgreementBook:
        """What they go by now."""
        return self.history[-1] if self.history else AgreementBook()

    def time_ms(self) -> int:
        """A fixed time, which the test moves."""
        return self.now_ms

    def require_hosted(self, subsystem: SubsystemId) -> SubsystemId:
        """As the real one."""
        if subsystem.member not in self.members:
            raise SimpulError(Code.MEMBER_UNKNOWN, f"{subsystem.member} is not hosted here")
        return subsystem

    def identity_key(self, member: MemberId) -> PrivateKey:
        """The keys of tests/support/directories."""
        if not self.has_identity:
            raise SimpulError(Code.IDENTITY_ABSENT, "it is on another node")
        return self.identity_keys.get(member) or fixed.key(f"{member} identity")

    def seal_key(self, member: MemberId) -> PrivateKey:
        """The same."""
        return fixed.key(f"{member} seal")

    async def renew_directory(self) -> None:
        """Go by what the registry has, if it has another."""
        self.directory = self.newest or self.directory

    async def push(self) -> None:
        """What a worker would go by now."""
        force = in_force(self)
        agreements = (each.agreement for each in force.agreements.values())
        self.history.append(AgreementBook(agreements, force.undelegated))

    async def ask(
        self, node: NodeId, method: str, data: bytes, *, sender: SubsystemId, receiver: SubsystemId
    ) -> bytes:
        """Another desk's answer; `reachable` says whether this one can be reached."""
        called = (wire.SERVICE, method)
        return await self.ask_service(node, called, data, sender=sender, receiver=receiver)

    async def ask_service(
        self,
        node: NodeId,
        method: tuple[str, str],
        data: bytes,
        *,
        sender: SubsystemId,
        receiver: SubsystemId,
    ) -> bytes:
        """The same of any of the nodes' own services."""
        del receiver
        other = self.desks.get(node)
        if other is None or not other.reachable:
            raise SimpulError(Code.PEER_UNREACHABLE, f"{node} is down")
        if method[0] == wire.DELEGATIONS:
            return await delegations.answer(other, method[1], data, sender.member)
        return await received.answer(other, method[1], data, sender.member)


SECOND_NODE: Final = NodeId.parse("ID/~labuan-bajo-2")


def directory_of_three(*, second_is_active: bool = True) -> DirectoryView:
    """The regency has a second node, with a seal key of its own."""
    return directories.directory(
        regency_of_two(second_is_active=second_is_active), directories.ministry_record()
    )


def regency_of_two(*, second_is_active: bool = True) -> directory_pb2.MemberRecord:
    """Its record, with that node or after its end."""
    made = directories.regency_record()
    identity, seal = fixed.key(f"{fixed.REGENCY} identity"), fixed.key(f"{fixed.REGENCY} seal")
    view = directories.statement_view(fixed.REGENCY, fixed.REGENCY_NODE, identity, seal)
    second = replace(view.seal_keys[0], key=fixed.key("second seal").public, node=SECOND_NODE)
    view = replace(view, seal_keys=(*view.seal_keys, second))
    made.statement.CopyFrom(make_statement(view, identity))
    node = made.nodes.add()
    node.CopyFrom(made.nodes[0])
    node.id, node.link_address = str(SECOND_NODE), "127.0.0.1:7102"
    node.node_key.CopyFrom(fixed.key("second node").public.to_proto())
    node.slots[0].origin = f"simpul/{SECOND_NODE}/0"
    if not second_is_active:
        node.state = directory_pb2.NODE_STATE_REVOKED
    return made


@contextmanager
def three(folder: Path) -> Iterator[tuple[Desk, Desk, Desk]]:
    """A provider's, its second node's, which lacks the identity key, and a consumer's."""
    with desks(folder) as (provider, consumer):
        second = Desk(
            SECOND_NODE, (fixed.REGENCY,), Store.open(folder / "second.db"), provider.desks,
            has_identity=False,
        )  # fmt: skip
        provider.desks[SECOND_NODE] = second
        for desk in (provider, second, consumer):
            desk.directory = directory_of_three()
        yield provider, second, consumer


def directory_with_delegator(
    change: Callable[[directory_pb2.MemberRecord], object] = bool,
) -> DirectoryView:
    """The two members, and a third in whose name the ministry may act; `change` is of that one."""
    return directories.directory(
        directories.regency_record(), directories.ministry_record(), record(change)
    )


@contextmanager
def delegating(folder: Path) -> Iterator[tuple[Desk, Desk, Desk]]:
    """A provider's, its consumer's, and that of a member in whose name the consumer may act."""
    with desks(folder) as (provider, delegate):
        store = Store.open(folder / "delegator.db")
        delegator = Desk(DELEGATOR_NODE, (DELEGATOR,), store, provider.desks)
        provider.desks[DELEGATOR_NODE] = delegator
        for desk in (provider, delegate, delegator):
            desk.directory = directory_with_delegator()
        yield provider, delegate, delegator


@contextmanager
def desks(folder: Path) -> Iterator[tuple[Desk, Desk]]:
    """A provider's and a consumer's."""
    known: dict[NodeId, Desk] = {}
    for node, member in (
        (fixed.REGENCY_NODE, fixed.REGENCY),
        (fixed.MINISTRY_NODE, fixed.MINISTRY),
    ):
        store = Store.open(folder / f"{node.name}.db")
        known[node] = Desk(node, (member,), store, known)
    try:
        yield known[fixed.REGENCY_NODE], known[fixed.MINISTRY_NODE]
    finally:
        for desk in known.values():
            desk.store.close()
