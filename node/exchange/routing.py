"""From what an app asked to where it goes and why it may: steps 1 and 2 of a call.

The directory turns the address into a provider's nodes, policy finds the agreement that permits the
call. Whatever is wrong is refused here, and nothing has travelled. Pure but for the snapshot it
reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from node.calls import CallRequest
from node.exchange.fields import FieldRules, Fields
from node.exchange.metadata import Address, read_address
from node.model import NodeIdentity, Snapshot
from node.policy.rules import find_agreement
from security.agreement import RateTerm
from security.contract import MethodKind
from security.directory import NodeView
from security.errors import Code, SimpulError
from security.identifiers import RegionCode, SubsystemId

_PATH: Final = re.compile(r"/(?P<service>[^/]+)/(?P<method>[^/]+)")


@dataclass(frozen=True, slots=True)
class Route:
    """A call that may be made."""

    consumer: SubsystemId
    provider: SubsystemId
    service: str
    method: str
    kind: MethodKind
    # None only for the services that nodes offer each other.
    agreement: bytes | None
    purpose: str | None
    # What may leave of the request.
    fields: Fields
    # How often such a call may be made.
    rate: RateTerm | None
    # The provider's nodes, in the order in which they are tried; never empty.
    nodes: tuple[NodeView, ...]
    address: Address

    @property
    def unary(self) -> bool:
        """One message each way: the shared link carries it."""
        return not (self.kind.client_streaming or self.kind.server_streaming)


def find_route(
    request: CallRequest,
    identity: NodeIdentity,
    snapshot: Snapshot,
    rules: FieldRules,
    now_ms: int,
) -> Route:
    """Decide a call.

    Raises:
        SimpulError: With the code of the first thing that is wrong, in the order of the code below.
    """
    address = read_address(request.metadata)
    app = snapshot.apps.authenticate(
        token=request.token,
        certificate_sha256=request.certificate_sha256,
        local=request.local,
        now_ms=now_ms,
    )
    consumer = app.choose(address.sender)
    if consumer.member not in identity.members:
        raise SimpulError(
            Code.APP_SUBSYSTEM_DENIED,
            f"{consumer} belongs to no member that this node hosts; give the app one that does",
        )
    directory = snapshot.directory
    directory.check_age(now_ms)
    directory.require_active(consumer.member)
    directory.check_subsystem(consumer)
    service_name, method = split_path(request.path)
    provider = _provider(address, service_name, snapshot, now_ms)
    directory.require_active(provider.member)
    directory.check_subsystem(provider)
    service = directory.service(provider, service_name)
    kind = service.contract.methods.get(method)
    if kind is None:
        raise SimpulError(
            Code.METHOD_UNKNOWN,
            f"{service_name} has no method {method}; it has {', '.join(service.contract.methods)}",
        )
    agreement, purpose = find_agreement(
        snapshot.agreements,
        consumer=consumer,
        provider=provider,
        service=service_name,
        method=method,
        purpose=address.purpose,
        now_ms=now_ms,
    )
    terms = snapshot.agreements.by_hash[agreement]
    return Route(
        consumer=consumer,
        provider=provider,
        service=service_name,
        method=method,
        kind=kind,
        agreement=agreement,
        purpose=purpose,
        fields=rules.of(agreement, terms, (service_name, method), service.contract.descriptor_set),
        rate=terms.rate,
        nodes=provider_nodes(provider, snapshot, now_ms),
        address=address,
    )


def provider_nodes(provider: SubsystemId, snapshot: Snapshot, now_ms: int) -> tuple[NodeView, ...]:
    """The nodes that act for the provider's member.

    Raises:
        SimpulError: It has none (NODE_UNKNOWN).
    """
    nodes = snapshot.directory.nodes_of(provider.member, now_ms)
    if not nodes:
        raise SimpulError(
            Code.NODE_UNKNOWN, f"{provider.member} has no active node; ask its operators to run one"
        )
    return nodes


def split_path(path: str) -> tuple[str, str]:
    """Service and method of a gRPC path.

    Raises:
        SimpulError: The path is not of gRPC's form (METHOD_UNKNOWN, as gRPC answers).
    """
    match = _PATH.fullmatch(path)
    if match is None:
        raise SimpulError(
            Code.METHOD_UNKNOWN, "the path is not of the form /package.Service/Method"
        )
    return match["service"], match["method"]


def _provider(address: Address, service: str, snapshot: Snapshot, now_ms: int) -> SubsystemId:
    if address.to is not None and address.region is not None:
        raise SimpulError(
            Code.METADATA_MALFORMED, "simpul-to and simpul-region exclude each other; send one"
        )
    if address.to is not None:
        provider = SubsystemId.parse(address.to)
        snapshot.directory.subsystem(provider)
        return provider
    if address.region is not None:
        found = snapshot.directory.providers(service, RegionCode.parse(address.region), now_ms)
        if not found:
            raise SimpulError(
                Code.REGION_UNKNOWN,
                f"nobody offers {service} for region {address.region}; see `simpul service list`",
            )
        return found[0]
    raise SimpulError(
        Code.ADDRESS_MISSING,
        "no simpul-to in the call's metadata; add the provider's subsystem, "
        "as in simpul-to: ID/DAERAH/53.15/pariwisata",
    )
