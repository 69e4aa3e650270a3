"""Publishing services: what a member offers, and where its calls go."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from node.operations.conforming import compare_target
from node.operations.desk import Desk
from node.provider.dial import fault_of_target
from node.provider.reflection import reflect
from node.provider.target import parse_target
from node.provider.tls import service_tls
from node.store.routes import Route, list_routes, set_route
from security.contract import MethodKind, check_contract, parse_descriptor_set
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import ServiceId, SubsystemId, check_service_name

# Services that a gRPC server offers beside its own: the node answers these itself.
_COMMON: Final = ("grpc.reflection.", "grpc.health.", "simpul.")


@dataclass(frozen=True, slots=True)
class Published:
    """A service of this node, where its calls go, and its methods."""

    id: ServiceId
    target: str
    methods: dict[str, MethodKind]


@dataclass(frozen=True, slots=True)
class NewlyPublished:
    """What was published, the directory's version with it, and why its target can't be called."""

    services: tuple[ServiceId, ...]
    version: int
    fault: str | None
    # Why what the target says of itself wasn't compared with the contract; empty: it was.
    not_compared: str
    # Of its contract, for each service; 0 where the directory doesn't tell yet.
    revisions: tuple[int, ...]


async def publish(
    desk: Desk, subsystem: SubsystemId, target: str, descriptor_set: bytes, names: Sequence[str]
) -> NewlyPublished:
    """Publish services of a subsystem, whether or not their target answers yet.

    Args:
        desk: The supervisor's.
        subsystem: Whose; new ones are listed with their first service.
        target: Of the gRPC server: see `node.provider.target`.
        descriptor_set: A FileDescriptorSet; empty asks the target by server reflection.
        names: Full names; empty is every service in the descriptor set.

    Raises:
        SimpulError: PROTOSET_INVALID, PROTOSET_LACKS_SERVICE, MEMBER_UNKNOWN, CONFIG_INVALID (the
            target), SERVICE_UNREACHABLE (reflection), CONTRACT_DIFFERS (the target shows another
            contract), REGISTRY_UNREACHABLE, the registry's no, or APPROVAL_PENDING, when its
            operator must decide.
    """
    desk.require_hosted(subsystem)
    place = parse_target(target)
    tls = service_tls(desk.home, desk.config.services)
    fault = await fault_of_target(place, tls)
    not_compared = fault or ""
    if descriptor_set:
        chosen = _chosen(descriptor_set, names)
        if fault is None:
            not_compared = await compare_target(target, descriptor_set, chosen, tls)
    elif fault is not None:
        # Nobody else says what methods there are.
        raise SimpulError(Code.SERVICE_UNREACHABLE, f"{target} can't be asked: {fault}")
    else:
        descriptor_set = await reflect(target, names, tls)
        chosen = _chosen(descriptor_set, names)
    version = 0
    ids = tuple(ServiceId(subsystem, name) for name in chosen)
    waits: SimpulError | None = None
    for service in ids:
        try:
            version = await desk.changes.publish_service(service, descriptor_set, desk.now_ms())
        except SimpulError as error:
            if error.code is not Code.APPROVAL_PENDING:
                raise
            # It has its route when it is approved.
            waits = error
        await asyncio.to_thread(set_route, desk.store, Route(service, target), desk.now_ms())
    await desk.catch_up(version)
    if waits is not None:
        raise waits
    revisions = tuple(_revision(desk.directory, service) for service in ids)
    return NewlyPublished(ids, version, fault, not_compared, revisions)


def published(desk: Desk) -> tuple[Published, ...]:
    """The services that this node routes, with the methods that the directory lists."""
    found = []
    for route in list_routes(desk.store):
        try:
            listed = desk.directory.service(route.service.subsystem, route.service.service)
            methods = dict(listed.contract.methods)
        except SimpulError:
            # Routed here, but the registry lists it no more: shown without methods.
            methods = {}
        found.append(Published(route.service, route.target, methods))
    return tuple(found)


def contract(desk: Desk, named: str) -> bytes:
    """The FileDescriptorSet of a service in the directory.

    Args:
        desk: The node's.
        named: A service's id; or its name alone: then the revision that most go by.

    Raises:
        SimpulError: ID_MALFORMED, MEMBER_UNKNOWN, SUBSYSTEM_UNKNOWN or SERVICE_UNKNOWN.
    """
    if "/" in named:
        service = ServiceId.parse(named)
        found = desk.directory.service(service.subsystem, service.service)
        return found.contract.descriptor_set
    check_service_name(named)
    used = Counter(
        service.contract.hash
        for member in desk.directory.members.values()
        for service in member.services.values()
        if service.id.service == named
    )
    if not used:
        raise SimpulError(
            Code.SERVICE_UNKNOWN,
            f"nobody offers {named}; check the name, as in simpul service list",
        )
    return desk.directory.contracts[used.most_common(1)[0][0]].descriptor_set


def _revision(directory: DirectoryView, service: ServiceId) -> int:
    """By which revision of its contract a service goes, as the directory has it."""
    card = directory.cards.of_service(service.service)
    try:
        listed = directory.service(service.subsystem, service.service)
    except SimpulError:
        return 0
    found = None if card is None else card.of_contract(listed.contract.hash)
    return 0 if found is None else found.number


def _chosen(descriptor_set: bytes, names: Sequence[str]) -> tuple[str, ...]:
    """What is to be published, checked."""
    chosen = tuple(names) or _own_services(descriptor_set)
    for name in chosen:
        check_contract(descriptor_set, name)
    return chosen


def _own_services(descriptor_set: bytes) -> tuple[str, ...]:
    services = parse_descriptor_set(descriptor_set).services
    own = tuple(sorted(name for name in services if not name.startswith(_COMMON)))
    if not own:
        raise SimpulError(
            Code.PROTOSET_LACKS_SERVICE,
            "the protoset defines no service; compile the .proto file that has one",
        )
    return own
