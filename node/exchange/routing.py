"""From what an app asked to where it goes and why it may: steps 1 and 2 of a call.

The directory turns the address into a provider's nodes, policy finds the agreement that permits the
call. Whatever is wrong is refused here, and nothing has travelled. Pure but for the snapshot it
reads.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from node.calls import CallRequest
from node.exchange.fields import FieldRules, Fields
from node.exchange.metadata import Address, read_address
from node.model import NodeIdentity, Snapshot
from node.policy.consents import check_consent
from node.policy.purposes import check_purpose
from node.policy.rules import find_agreement
from security.agreement import RateTerm
from security.contract import MethodKind
from security.directory import NodeView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode, SubsystemId
from security.regions import Served, in_order

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
    # The region that answers, where the call was made by region.
    region: RegionCode | None = None
    # In whose name is called, where it isn't the consumer's own.
    on_behalf_of: MemberId | None = None
    # The reference of a consent, exactly where the purpose rests on one.
    consent: str | None = None

    @property
    def unary(self) -> bool:
        """One message each way: the shared link carries it."""
        return not (self.kind.client_streaming or self.kind.server_streaming)


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls what, once the app has proved who it is."""

    consumer: SubsystemId
    service: str
    method: str
    address: Address
    # As the app says; whether it may is the agreement's affair.
    on_behalf_of: MemberId | None = None


def find_routes(
    request: CallRequest,
    identity: NodeIdentity,
    snapshot: Snapshot,
    rules: FieldRules,
    now_ms: int,
    turn: int = 0,
    *,
    address: Address | None = None,
) -> tuple[Route, ...]:
    """Decide a call: where it may go, the best first; never empty.

    Several, where the contract lets one provider of a region stand in for another. `turn` counts
    the node's calls, for contracts that have providers asked in turn. `address` is the request's,
    where it was read already.

    Raises:
        SimpulError: With the code of the first thing that is wrong, in the order of the code below.
    """
    caller = find_caller(request, identity, snapshot, now_ms, address)
    served = _served(caller, snapshot, now_ms)
    if served is None:
        provider = _named_provider(caller.address, snapshot)
        return (route_to(caller, provider, snapshot, rules, now_ms),)
    return routes_in(caller, served, snapshot, rules, now_ms, turn)


def find_caller(
    request: CallRequest,
    identity: NodeIdentity,
    snapshot: Snapshot,
    now_ms: int,
    address: Address | None = None,
) -> Caller:
    """Who calls, and what: the part of the decision that is the same whomever it goes to.

    `address` is the request's, where it was read already.

    Raises:
        SimpulError: With the code of the first thing that is wrong.
    """
    if address is None:
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
    on_behalf_of = None
    if address.on_behalf_of is not None:
        on_behalf_of = directory.require_active(MemberId.parse(address.on_behalf_of)).id
    return Caller(consumer, *split_path(request.path), address, on_behalf_of)


def routes_in(
    caller: Caller,
    served: Served,
    snapshot: Snapshot,
    rules: FieldRules,
    now_ms: int,
    turn: int,
) -> tuple[Route, ...]:
    """The ways to a region's providers, as its contract has them chosen; never empty.

    Those that may not be called are passed over, while there is another.

    Raises:
        SimpulError: REGION_AMBIGUOUS; why the first may not be called, where none may.
    """
    providers = in_order(
        snapshot.directory.regions, served, service=caller.service,
        consumer=caller.consumer.member, turn=turn, now_ms=now_ms,
    )  # fmt: skip
    found: list[Route] = []
    refusal: SimpulError | None = None
    for provider in providers:
        try:
            route = route_to(caller, provider, snapshot, rules, now_ms)
        except SimpulError as error:
            refusal = refusal or error
            continue
        # One by another revision, in which the method is of another kind, can't stand in.
        if not found or route.kind == found[0].kind:
            found.append(replace(route, region=served.region))
    if not found and refusal is not None:
        raise refusal
    return tuple(found)


def route_to(
    caller: Caller, provider: SubsystemId, snapshot: Snapshot, rules: FieldRules, now_ms: int
) -> Route:
    """The way to one provider.

    Raises:
        SimpulError: With the code of the first thing that is wrong.
    """
    directory = snapshot.directory
    directory.require_active(provider.member)
    directory.check_subsystem(provider)
    service = directory.service(provider, caller.service)
    kind = service.contract.methods.get(caller.method)
    if kind is None:
        raise SimpulError(
            Code.METHOD_UNKNOWN,
            f"{caller.service} has no method {caller.method}; "
            f"it has {', '.join(service.contract.methods)}",
        )
    agreement, purpose = find_agreement(
        snapshot.agreements,
        consumer=caller.consumer,
        provider=provider,
        service=caller.service,
        method=caller.method,
        purpose=caller.address.purpose,
        on_behalf_of=caller.on_behalf_of,
        now_ms=now_ms,
    )
    terms = snapshot.agreements.by_hash[agreement]
    check_purpose(directory, terms, purpose)
    consent = check_consent(terms, purpose, caller.address.consent)
    called = (caller.service, caller.method)
    return Route(
        consumer=caller.consumer,
        provider=provider,
        service=caller.service,
        method=caller.method,
        kind=kind,
        agreement=agreement,
        purpose=purpose,
        fields=rules.of(agreement, terms, called, service.contract.descriptor_set),
        rate=terms.rate,
        nodes=provider_nodes(provider, snapshot, now_ms),
        address=caller.address,
        on_behalf_of=caller.on_behalf_of,
        consent=consent,
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


def _served(caller: Caller, snapshot: Snapshot, now_ms: int) -> Served | None:
    """The region that the call is for; None where it names its provider itself."""
    address = caller.address
    if address.to is not None and address.region is not None:
        raise SimpulError(
            Code.METADATA_MALFORMED, "simpul-to and simpul-region exclude each other; send one"
        )
    if address.region is None:
        return None
    region = RegionCode.parse(address.region)
    return snapshot.directory.regions.one(caller.service, region, now_ms)


def _named_provider(address: Address, snapshot: Snapshot) -> SubsystemId:
    if address.to is None:
        raise SimpulError(
            Code.ADDRESS_MISSING,
            "no simpul-to in the call's metadata; add the provider's subsystem, "
            "as in simpul-to: ID/DAERAH/53.15/pariwisata, or a region: simpul-region: 53.15",
        )
    provider = SubsystemId.parse(address.to)
    snapshot.directory.subsystem(provider)
    return provider
