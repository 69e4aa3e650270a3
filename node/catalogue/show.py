"""One contract, as whoever wants to call or implement it needs it: methods, implementers, usage.

Usage is what this node's own journal has, and nothing else: calls go from node to node, so no node
and no registry knows how much a service is used by others.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from google.protobuf.descriptor_pb2 import FileDescriptorSet, ServiceDescriptorProto

from node.catalogue.cards import card_message
from node.catalogue.places import Implementation, Implementations
from node.journal.usage import Traffic
from security.contract_card import CardView, Comment, RevisionView
from security.contract_comments import with_comments
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from simpul.v1 import catalogue_pb2 as pb

DAYS: Final = 30
MAX_DAYS: Final = 365
MS_PER_DAY: Final = 86_400_000
# Of one contract; past them it's said that there are more.
MAX_CALLS: Final = 100_000

ByService = Mapping[tuple[str, str], Traffic]


class ReadTraffic(Protocol):
    """Counts calls in the journal: as `UsageReader.traffic`. In any thread."""

    def __call__(
        self, services: Collection[str], since_ms: int, most: int, consumers: Collection[str] | None
    ) -> tuple[ByService, bool]:
        """Raises SimpulError where the journal can't be read."""
        ...


@dataclass(frozen=True, slots=True)
class Contract:
    """A revision of a contract, with its comments."""

    card: CardView
    revision: RevisionView
    descriptor_set: bytes
    comments: tuple[Comment, ...]

    @property
    def documented(self) -> bytes:
        """The descriptor set with the comments in it."""
        return with_comments(self.descriptor_set, self.comments)


def find(directory: DirectoryView, name: str, revision: int = 0) -> Contract:
    """A contract by its package or one of its services; revision 0: the newest.

    Raises:
        SimpulError: CONTRACT_UNKNOWN.
    """
    card = directory.cards.by_package.get(name) or directory.cards.of_service(name)
    if card is None:
        raise SimpulError(
            Code.CONTRACT_UNKNOWN,
            f"the directory has no contract {name[:200]!a}: search for words of it (simpul "
            "catalogue search)",
        )
    if card.package != name and not any(name in each.services for each in card.revisions):
        raise SimpulError(
            Code.CONTRACT_UNKNOWN,
            f"{card.package} has no service {name[:200]!a}; it has "
            f"{', '.join(sorted(card.newest.services))}",
        )
    if revision > len(card.revisions):
        raise SimpulError(
            Code.CONTRACT_UNKNOWN,
            f"{card.package} has no revision {revision}: its newest is {card.newest.number}",
        )
    found = card.revisions[revision - 1] if revision else card.newest
    contract = directory.contracts[next(iter(found.services.values()))]
    comments: tuple[Comment, ...] = ()
    if found.documentation is not None:
        comments = directory.cards.documentation[found.documentation].comments
    return Contract(card, found, contract.descriptor_set, comments)


def show(
    directory: DirectoryView,
    known: Implementations,
    request: pb.CatalogueShowRequest,
    consumers: Collection[str] | None,
    traffic: ReadTraffic,
    now_ms: int,
) -> pb.CatalogueShowResponse:
    """Raises SimpulError CONTRACT_UNKNOWN or REQUEST_MALFORMED; where the journal can't be read."""
    if request.days > MAX_DAYS:
        raise SimpulError(
            Code.REQUEST_MALFORMED, f"calls of at most {MAX_DAYS} days are counted; ask for fewer"
        )
    contract = find(directory, request.name, request.revision)
    implementing = known.get(contract.card.package, ())
    since_ms = now_ms - (request.days or DAYS) * MS_PER_DAY
    services = {made.service.service for made in implementing}
    counted, in_part = (
        traffic(services, since_ms, MAX_CALLS, consumers) if services else ({}, False)
    )
    return pb.CatalogueShowResponse(
        card=card_message(contract.card),
        revision=contract.revision.number,
        services=_services(contract),
        implementations=[
            _implementation(directory, made, counted, now_ms) for made in implementing
        ],
        counted_since_ms=since_ms,
        counted_in_part=in_part,
        directory_version=directory.version,
    )


def _implementation(
    directory: DirectoryView, made: Implementation, counted: ByService, now_ms: int
) -> pb.CatalogueImplementation:
    subsystem = made.service.subsystem
    used = counted.get((str(subsystem), made.service.service), Traffic())
    return pb.CatalogueImplementation(
        service_id=str(made.service),
        member_name=directory.member(subsystem.member).legal_name,
        revision=made.revision,
        regions=map(str, directory.regions.codes_of(subsystem.member, now_ms)),
        active=made.active,
        calls=used.asked,
        answered=used.answered,
    )


def _services(contract: Contract) -> Iterator[pb.CatalogueService]:
    comments = {each.element: _said(each) for each in contract.comments}
    for file in FileDescriptorSet.FromString(contract.descriptor_set).file:
        for service in file.service:
            name = f"{file.package}.{service.name}"
            if name in contract.revision.services:
                yield _service(name, service, comments)


def _service(
    name: str, service: ServiceDescriptorProto, comments: Mapping[str, str]
) -> pb.CatalogueService:
    return pb.CatalogueService(
        name=name,
        comment=comments.get(name, ""),
        methods=[
            pb.CatalogueMethod(
                name=method.name,
                comment=comments.get(f"{name}.{method.name}", ""),
                request=method.input_type.removeprefix("."),
                response=method.output_type.removeprefix("."),
                client_streaming=method.client_streaming,
                server_streaming=method.server_streaming,
            )
            for method in service.method
        ],
    )


def _said(comment: Comment) -> str:
    return "\n".join(part for part in (comment.leading, comment.trailing) if part)
