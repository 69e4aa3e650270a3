"""Contracts at a node: submitted to the registry, and read from the directory."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from node.catalogue.places import implementations
from node.catalogue.show import find
from node.operations.desk import Desk
from security.contract import check_sound, parse_descriptor_set
from security.contract_card import (
    CardView,
    Comment,
    ContractTermsView,
    Maturity,
    RevisionView,
    check_package,
    check_term,
    package_of,
    read_terms,
    terms_message,
)
from security.contract_comments import comments_of
from security.directory import DirectoryView
from security.errors import Code, SimpulError
from security.identifiers import MemberId, RegionCode, ServiceId
from security.regions import RegionRules
from simpul.v1 import registry_pb2

# Services that servers offer beside their own.
_COMMON: Final = ("grpc.", "simpul.", "google.")


@dataclass(frozen=True, slots=True)
class Settings:
    """A contract's terms as far as an operator says them; None: as they were."""

    title: str | None = None
    steward: str | None = None
    maturity: str | None = None
    # Codes with commas between.
    regions: str | None = None
    licence: str | None = None
    successor: str | None = None
    rules: Mapping[str, RegionRules] | None = None

    def on(self, before: ContractTermsView) -> ContractTermsView:
        """What the terms become; raises SimpulError CHANGE_INVALID or ID_MALFORMED."""
        terms = before
        for name in ("title", "steward", "licence", "successor"):
            text = getattr(self, name)
            if text is not None:
                check_term(name, text)
                terms = replace(terms, **{name: text})
        if self.maturity is not None:
            terms = replace(terms, maturity=_maturity(self.maturity))
        if self.regions is not None:
            codes = [code.strip() for code in self.regions.split(",") if code.strip()]
            terms = replace(terms, regions=tuple(map(RegionCode.parse, codes)))
        if self.rules:
            terms = replace(terms, rules={**terms.rules, **self.rules})
        return terms


@dataclass(frozen=True, slots=True)
class NewRevision:
    """What an operator publishes. `package` empty: the only one that the set has services of."""

    member: MemberId
    descriptor_set: bytes
    package: str = ""
    settings: Settings = Settings()
    why_not: str = ""
    # None: the newest in this node's directory.
    follows: int | None = None


@dataclass(frozen=True, slots=True)
class Entry:
    """A contract of the directory, and the services that implement it, with their revisions."""

    card: CardView
    users: tuple[tuple[ServiceId, int], ...]


@dataclass(frozen=True, slots=True)
class Shown:
    """One revision of a contract, with its comments put back."""

    entry: Entry
    revision: RevisionView
    descriptor_set: bytes
    comments: tuple[Comment, ...]


async def publish(desk: Desk, new: NewRevision) -> registry_pb2.ChangeResponse:
    """Submit a revision, and the terms with it.

    Raises:
        SimpulError: PROTOSET_INVALID, PROTOSET_LACKS_SERVICE, MEMBER_UNKNOWN, ID_MALFORMED,
            CHANGE_INVALID, REGISTRY_UNREACHABLE, or the registry's no.
    """
    desk.require_member(new.member)
    # What can't be published is said here, without asking the registry.
    check_sound(new.descriptor_set)
    package = new.package or _only_package(new.descriptor_set)
    check_package(package)
    comments_of(new.descriptor_set, package)
    card = desk.directory.cards.by_package.get(package)
    before = ContractTermsView() if card is None else card.terms
    terms = read_terms(terms_message(new.settings.on(before)), package)
    known = 0 if card is None else card.newest.number
    message = registry_pb2.PublishContract(
        package=package,
        member=str(new.member),
        descriptor_set=new.descriptor_set,
        follows=known if new.follows is None else new.follows,
        terms=None if card is not None and terms == before else terms_message(terms),
        why_not=new.why_not,
    )
    response = await desk.changes.publish_contract(message, desk.now_ms())
    await desk.catch_up(response.directory_version)
    return response


async def set_terms(desk: Desk, package: str, settings: Settings) -> registry_pb2.ChangeResponse:
    """Submit other terms; raises SimpulError CONTRACT_UNKNOWN, and as `publish`."""
    card = card_of(desk.directory, package)
    desk.require_member(card.owner)
    message = registry_pb2.SetContract(
        package=package,
        member=str(card.owner),
        card_number=card.number,
        terms=terms_message(settings.on(card.terms)),
    )
    response = await desk.changes.set_contract(message, desk.now_ms())
    await desk.catch_up(response.directory_version)
    return response


def entries(desk: Desk) -> tuple[Entry, ...]:
    """Every contract of the directory, by package."""
    cards = desk.directory.cards.by_package
    users = _users(desk.directory)
    return tuple(Entry(cards[name], users.get(name, ())) for name in sorted(cards))


def show(desk: Desk, name: str, revision: int = 0) -> Shown:
    """One revision of a contract.

    Args:
        desk: The node's.
        name: A package, or one of its services.
        revision: Its number; 0: the newest.

    Raises:
        SimpulError: CONTRACT_UNKNOWN.
    """
    found = find(desk.directory, name, revision)
    users = _users(desk.directory).get(found.card.package, ())
    return Shown(Entry(found.card, users), found.revision, found.documented, found.comments)


async def similar(
    desk: Desk, package: str, descriptor_set: bytes, member: MemberId | None
) -> tuple[str, tuple[registry_pb2.SimilarContract, ...]]:
    """A contract's package, and the contracts that are most like it by the registry's judgement.

    Args:
        desk: The node's.
        package: One that is published; or that of `descriptor_set`, empty if it has no other.
        descriptor_set: What may be published; empty: the newest revision of `package`.
        member: Who would publish it; None: the node's own.

    Raises:
        SimpulError: CONTRACT_UNKNOWN; PROTOSET_*; REGISTRY_UNREACHABLE, or the registry's no.
    """
    if descriptor_set:
        check_sound(descriptor_set)
        package = package or _only_package(descriptor_set)
    else:
        found = show(desk, package)
        package, descriptor_set = found.entry.card.package, found.descriptor_set
    closest = await desk.changes.find_similar(package, descriptor_set, member, desk.now_ms())
    return package, closest


def _users(directory: DirectoryView) -> Mapping[str, tuple[tuple[ServiceId, int], ...]]:
    return {
        package: tuple((made.service, made.revision) for made in found)
        for package, found in implementations(directory).items()
    }


def card_of(directory: DirectoryView, package: str) -> CardView:
    """A contract's card; raises CONTRACT_UNKNOWN."""
    card = directory.cards.by_package.get(package)
    if card is None:
        raise SimpulError(
            Code.CONTRACT_UNKNOWN,
            f"the directory has no contract {package[:200]!a}: see what there is (simpul contract "
            "list)",
        )
    return card


def _only_package(descriptor_set: bytes) -> str:
    services = parse_descriptor_set(descriptor_set).services
    found = sorted({package_of(name) for name in services if not name.startswith(_COMMON)})
    if len(found) == 1:
        return found[0]
    if not found:
        raise SimpulError(
            Code.PROTOSET_LACKS_SERVICE,
            "the protoset defines no service: compile the .proto file that has one",
        )
    raise SimpulError(
        Code.PROTOSET_LACKS_SERVICE,
        f"the protoset has services of {', '.join(found)}: say which with --package, and publish "
        "each on its own",
    )


def _maturity(text: str) -> Maturity:
    try:
        return Maturity[text.upper()]
    except KeyError:
        words = ", ".join(item.word for item in Maturity)
        raise SimpulError(
            Code.CHANGE_INVALID, f"{text[:50]!a} is no maturity: it is one of {words}"
        ) from None
