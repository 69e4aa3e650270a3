"""What deciding about agreements needs of a node, and an agreement's shapes in its store."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from node.caller import CALLER, check_acts_for
from node.store.agreements import Pin, StoredAgreement
from node.store.engine import Store
from security.agreement import AgreementTerms, agreement_hash, parse_agreement
from security.agreement_life import Party
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, NodeId, SubsystemId
from security.keys import PrivateKey
from simpul.v1 import agreement_pb2


class PartyDesk(Protocol):
    """A node's desk, as far as agreements need it (`node.operations.desk.Desk`)."""

    @property
    def node(self) -> NodeId:
        """This node."""
        ...

    @property
    def store(self) -> Store:
        """Where agreements and pins are."""
        ...

    @property
    def directory(self) -> DirectoryView:
        """The directory as it is known here; raises DIRECTORY_ABSENT."""
        ...

    @property
    def members(self) -> Sequence[MemberId]:
        """The members that this node hosts."""
        ...

    @property
    def agrees_by_itself(self) -> bool:
        """Whether what a provider offers is signed without asking an operator."""
        ...

    @property
    def signs_elsewhere(self) -> bool:
        """Whether proposals wait here though the identity keys of the members lie on no node."""
        ...

    def time_ms(self) -> int:
        """The time, in milliseconds since the epoch."""
        ...

    def require_hosted(self, subsystem: SubsystemId) -> SubsystemId:
        """Raise MEMBER_UNKNOWN for a subsystem of a member that is not hosted here."""
        ...

    def identity_key(self, member: MemberId) -> PrivateKey:
        """The key that signs for a member; raises IDENTITY_ABSENT when it is on another node."""
        ...

    def seal_key(self, member: MemberId) -> PrivateKey:
        """The key that seals for a member on this node."""
        ...

    async def renew_directory(self) -> None:
        """Fetch the directory now, if the registry answers: a peer may go by a newer one."""
        ...

    async def push(self) -> None:
        """Have every worker go by what is stored now."""
        ...

    async def ask(
        self, node: NodeId, method: str, data: bytes, *, sender: SubsystemId, receiver: SubsystemId
    ) -> bytes:
        """Ask a node's `Agreements`, in the name of `sender`; returns its answer.

        Raises:
            SimpulError: It can't be reached, or what it refused with.
        """
        ...

    async def ask_service(
        self,
        node: NodeId,
        method: tuple[str, str],
        data: bytes,
        *,
        sender: SubsystemId,
        receiver: SubsystemId,
    ) -> bytes:
        """The same of another service of the nodes' own: its name and method."""
        ...


def stored(signed: agreement_pb2.SignedAgreement, now_ms: int) -> StoredAgreement:
    """An agreement as it is stored."""
    terms = parse_agreement(signed.agreement)
    return StoredAgreement(
        hash=agreement_hash(signed.agreement),
        agreement=signed.agreement,
        provider_signature=signed.provider_signature,
        consumer_signature=signed.consumer_signature,
        provider=str(terms.provider.member),
        consumer=str(terms.consumer.member),
        added_at_ms=now_ms,
        delegation=signed.delegation,
        delegator_signature=signed.delegator_signature,
    )


def signed(agreement: StoredAgreement) -> agreement_pb2.SignedAgreement:
    """A stored agreement as it travels."""
    return agreement_pb2.SignedAgreement(
        agreement=agreement.agreement,
        provider_signature=agreement.provider_signature,
        consumer_signature=agreement.consumer_signature,
        delegation=agreement.delegation,
        delegator_signature=agreement.delegator_signature,
    )


def pins(desk: PartyDesk, terms: AgreementTerms) -> list[Pin]:
    """The partners' identity keys that this node's members pin with an agreement."""
    owners = (terms.provider.member, terms.consumer.member)
    known = owners if terms.delegator is None else (*owners, terms.delegator.member)
    return [
        Pin(owner, member, desk.directory.identity_key(member))
        for owner in owners
        for member in known
        if owner in desk.members and owner != member
    ]


def member_of(terms: AgreementTerms, party: Party) -> MemberId:
    """The member that is this party."""
    return terms.provider.member if party is Party.PROVIDER else terms.consumer.member


def subsystem_of(terms: AgreementTerms, party: Party) -> SubsystemId:
    """In whose name this party speaks of the agreement."""
    if party is Party.PROVIDER:
        return terms.provider_subsystem
    return terms.consumer_subsystems[0]


def other(party: Party) -> Party:
    """The one across."""
    return Party.CONSUMER if party is Party.PROVIDER else Party.PROVIDER


def own_party(desk: PartyDesk, terms: AgreementTerms, wanted: Sequence[Party]) -> Party:
    """Which of the wanted parties is a member of this node for whom the caller may act.

    Raises:
        SimpulError: MEMBER_UNKNOWN, where no member of this node is; OPERATOR_REFUSED.
    """
    hosted = [party for party in wanted if member_of(terms, party) in desk.members]
    for party in hosted:
        if CALLER.get().acts_for(member_of(terms, party)):
            return party
    if hosted:
        check_acts_for(member_of(terms, hosted[0]))
    raise SimpulError(
        Code.MEMBER_UNKNOWN,
        f"no member of this node is the agreement's {' or '.join(wanted)}: do it at a node of "
        f"{', '.join(str(member_of(terms, party)) for party in wanted)}",
    )


def revoking_key(desk: PartyDesk, member: MemberId) -> PrivateKey:
    """The identity key where it is here; otherwise the seal key, so that nothing waits for it."""
    try:
        return desk.identity_key(member)
    except SimpulError as error:
        if error.code is not Code.IDENTITY_ABSENT:
            raise
        return desk.seal_key(member)
