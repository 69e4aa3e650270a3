"""The content of target files, built from what the registry knows.

Bytes are a function of the values alone: the same listing gives the same file, so that after a
crash the store can be compared with what is published. What is built is read back as a node reads
it, and refused here if a node would refuse it: one bad record makes every node refuse the whole.
"""

from typing import Final

from registry.directory.layout import contract_path, member_path
from registry.life import PUBLISHED, Standing
from registry.model import Contract, Listing, Node, NodeState, Region
from security.directory_records import PolicyView, parse_contract, parse_member
from security.errors import Code, SimpulError
from simpul.v1 import directory_pb2, statement_pb2

FORMAT_VERSION: Final = 1

_MEMBER_STATES: Final = {
    Standing.ACTIVE: directory_pb2.MEMBER_STATE_ACTIVE,
    Standing.SUSPENDED: directory_pb2.MEMBER_STATE_SUSPENDED,
    Standing.REMOVED: directory_pb2.MEMBER_STATE_REMOVED,
}
_NODE_STATES: Final = {
    NodeState.ACTIVE: directory_pb2.NODE_STATE_ACTIVE,
    NodeState.REVOKED: directory_pb2.NODE_STATE_REVOKED,
    NodeState.REMOVED: directory_pb2.NODE_STATE_REMOVED,
}
_SUBSYSTEM_STATES: Final = {
    Standing.ACTIVE: directory_pb2.SUBSYSTEM_STATE_ACTIVE,
    Standing.SUSPENDED: directory_pb2.SUBSYSTEM_STATE_SUSPENDED,
    Standing.REMOVED: directory_pb2.SUBSYSTEM_STATE_REMOVED,
}


def member_file(listing: Listing, policy: PolicyView) -> tuple[str, bytes]:
    """The path and content of a member's target file; the member is one that is published.

    Raises:
        SimpulError: CHANGE_INVALID, when a node would refuse it.
    """
    member = listing.member
    record = directory_pb2.MemberRecord(
        version=FORMAT_VERSION,
        federation=member.id.federation,
        member=str(member.id),
        number=member.number,
        state=_MEMBER_STATES[member.state],
        legal_name=member.legal_name,
        regions=[_region(region) for region in member.regions],
        subsystems=[
            directory_pb2.Subsystem(
                id=str(item.id), name=item.name, state=_SUBSYSTEM_STATES[item.state]
            )
            for item in listing.subsystems
            if item.state in PUBLISHED
        ],
        services=[
            directory_pb2.Service(id=str(item.id), contract=item.contract)
            for item in listing.services
        ],
        nodes=[_node(node) for node in listing.nodes],
        successions=map(statement_pb2.SignedStatement.FromString, listing.successions),
        seal_key_requests=map(
            statement_pb2.SignedSealKeyRequest.FromString, listing.seal_key_requests
        ),
        activities=map(directory_pb2.Activity.FromString, listing.activities),
        revoked_keys=[
            directory_pb2.RevokedKey(
                key_id=key.key_id,
                revoked_at_ms=key.revoked_at_ms,
                suspected_since_ms=key.suspected_since_ms,
            )
            for key in listing.revoked_keys
        ],
    )
    if member.statement is not None:
        record.statement.CopyFrom(statement_pb2.SignedStatement.FromString(member.statement))
    path, data = member_path(str(member.id)), record.SerializeToString(deterministic=True)
    try:
        parse_member(policy, path, data)
    except SimpulError as error:
        raise unacceptable(str(member.id), error) from error
    return path, data


def contract_file(contract: Contract) -> tuple[str, bytes]:
    """The path and content of a contract revision's target file.

    Raises:
        SimpulError: CHANGE_INVALID, when a node would refuse it.
    """
    federation = contract.publisher.federation
    revision = directory_pb2.ContractRevision(
        version=FORMAT_VERSION,
        federation=federation,
        service=contract.service,
        descriptor_set=contract.descriptor_set,
        publisher=str(contract.publisher),
    )
    path = contract_path(contract.service, contract.descriptor_sha256)
    data = revision.SerializeToString(deterministic=True)
    try:
        parse_contract(federation, path, data)
    except SimpulError as error:
        raise unacceptable(contract.service, error) from error
    return path, data


def slot_origin(node: Node, slot: int) -> str:
    """The C2SP checkpoint origin of a slot's tree: `labuan-bajo-1.id.simpul.internal/journal/0`."""
    return f"{node.id.dns_name}/journal/{slot}"


def _region(region: Region) -> directory_pb2.Region:
    return directory_pb2.Region(
        code=str(region.code),
        valid_from_ms=region.valid_from_ms,
        valid_until_ms=region.valid_until_ms,
        predecessors=map(str, region.predecessors),
        successors=map(str, region.successors),
    )


def _node(node: Node) -> directory_pb2.Node:
    return directory_pb2.Node(
        id=str(node.id),
        node_key=node.key.to_proto(),
        link_address=node.link_address,
        slots=[
            directory_pb2.JournalSlot(number=slot, origin=slot_origin(node, slot))
            for slot in range(node.slots)
        ],
        state=_NODE_STATES[node.state],
    )


def unacceptable(what: str, error: SimpulError) -> SimpulError:
    """The refusal of a file that nodes would refuse."""
    return SimpulError(
        Code.CHANGE_INVALID,
        f"nodes would refuse the directory's file of {what}: {error.message}",
    )
