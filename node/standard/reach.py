"""What an app may call: the services that agreements open to its subsystems, with their contracts.

Health and reflection tell an app of nothing else. Pure but for the snapshot that it reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from google.protobuf.descriptor_pb2 import FileDescriptorProto, FileDescriptorSet

from node.calls import CallRequest
from node.exchange.metadata import read_address
from node.model import Snapshot
from security.directory import NodeView
from security.errors import Code, SimpulError
from security.identifiers import ServiceId, SubsystemId


@dataclass(frozen=True, slots=True)
class Reachable:
    """One service that an app may call, where, and by which contract."""

    id: ServiceId
    nodes: tuple[NodeView, ...]
    descriptor_set: bytes


def reachable(request: CallRequest, snapshot: Snapshot, now_ms: int) -> tuple[Reachable, ...]:
    """The services that the caller may call now; of one provider, where `simpul-to` names it.

    Raises:
        SimpulError: The app does not prove who it is (APP_CREDENTIAL_MISSING,
            APP_CREDENTIAL_WRONG), or names no subsystem (ID_MALFORMED).
    """
    address = read_address(request.metadata)
    app = snapshot.apps.authenticate(
        token=request.token,
        certificate_sha256=request.certificate_sha256,
        local=request.local,
        now_ms=now_ms,
    )
    consumers = app.subsystems if address.sender is None else (app.choose(address.sender),)
    wanted = None if address.to is None else SubsystemId.parse(address.to)
    found: dict[ServiceId, Reachable] = {}
    for terms in snapshot.agreements.by_hash.values():
        in_force = terms.valid_from_ms <= now_ms < terms.valid_until_ms
        if not in_force or wanted not in {None, terms.provider_subsystem}:
            continue
        if any(consumer in terms.consumer_subsystems for consumer in consumers):
            for item in terms.services:
                service = ServiceId(terms.provider_subsystem, item.service)
                listed = _listed(service, snapshot, now_ms)
                if listed is not None:
                    found[service] = listed
    return tuple(found.values())


def of_service(name: str, services: tuple[Reachable, ...]) -> tuple[Reachable, ...]:
    """Those of one full name.

    Raises:
        SimpulError: There is none (SERVICE_UNKNOWN).
    """
    chosen = tuple(service for service in services if service.id.service == name)
    if not chosen:
        raise SimpulError(
            Code.SERVICE_UNKNOWN, f"you may call no service {name[:100]!a}; ask its provider"
        )
    return chosen


@lru_cache(maxsize=256)
def files_of(descriptor_set: bytes) -> tuple[FileDescriptorProto, ...]:
    """A contract's files, each after those that it imports."""
    return tuple(FileDescriptorSet.FromString(descriptor_set).file)


def _listed(service: ServiceId, snapshot: Snapshot, now_ms: int) -> Reachable | None:
    """An agreement may outlive what it is about."""
    try:
        listed = snapshot.directory.service(service.subsystem, service.service)
        nodes = snapshot.directory.nodes_of(service.subsystem.member, now_ms)
    except SimpulError:
        return None
    return Reachable(service, nodes, listed.contract.descriptor_set)
