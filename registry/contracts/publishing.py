"""How contracts come into the store: with a service, or as a revision of their own.

Whoever lists a service of a contract that nobody published yet publishes it with that: revision 1,
a draft, owned by its member. A contract that is there is not made anew: a service goes by the
newest revision of the same shape; the owner's service may bring the next, and another member's must
match one, by what a caller can tell.

Each function works within the transaction that it is handed.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from sqlmodel import Session

from registry.contracts.model import Card, Revision
from registry.contracts.rules import check_breaks_nothing, services_in
from registry.directory.records import contract_file
from registry.model import Contract, Touched
from registry.store import cards, contracts
from security.contract import check_sound
from security.contract_card import Comment, ContractTermsView, Maturity, package_of
from security.contract_comments import comments_of, without_comments
from security.contract_match import MAX_MATCHED, Difference, differences, differs
from security.contract_shape import service_shape
from security.errors import Code, SimpulError
from security.identifiers import MemberId, ServiceId

# A file of the directory for each service, each with the whole set.
MAX_KEPT_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Implemented:
    """By which revision a service goes: the SHA-256 of the contract's target file."""

    file_sha256: bytes
    revision: int
    touched: Touched


def implement(
    session: Session, service: ServiceId, descriptor_set: bytes, now_ms: int, *, listed: bool
) -> Implemented:
    """Finds the revision that a service goes by, or publishes it.

    Args:
        session: The transaction.
        service: Whose contract `descriptor_set` is; it was checked.
        descriptor_set: What the service shows.
        now_ms: The time.
        listed: The service is listed already.

    Raises:
        SimpulError: CONTRACT_RETIRED; CONTRACT_DIFFERS, when the contract is another member's and
            the service matches no revision; CONTRACT_BREAKING.
    """
    package, member = package_of(service.service), service.subsystem.member
    card = cards.find(session, package)
    if card is None:
        new = Card(package, 1, member, ContractTermsView())
        cards.add(session, new)
        return _as_implemented(session, service, _first(session, new, descriptor_set, now_ms))
    revisions = cards.revisions(session, package)
    found = _of_shape(session, revisions, service.service, descriptor_set)
    if found is None and card.owner != member:
        found = _matched(session, card, service, descriptor_set)
    if found is not None:
        if card.terms.maturity is Maturity.RETIRED and not listed:
            raise _retired(card)
        return _as_implemented(session, service, (found, Touched()))
    whole = _merged(session, revisions[-1], descriptor_set)
    comments = comments_of(descriptor_set, package) or revisions[-1].comments
    check_breaks_nothing(package, descriptor_set_of(session, revisions[-1]), whole)
    made = add_revision(session, card, member, (without_comments(whole), comments), now_ms)
    return _as_implemented(session, service, made)


def add_revision(
    session: Session,
    card: Card,
    publisher: MemberId,
    content: tuple[bytes, tuple[Comment, ...]],
    now_ms: int,
) -> tuple[Revision, Touched]:
    """Lists the next revision of a contract: its descriptor set without comments, and these."""
    descriptor_set, comments = content
    check_sound(descriptor_set)
    number = len(cards.revisions(session, card.package)) + 1
    revision = Revision(
        card.package, number, publisher, now_ms, sha256(descriptor_set).digest(), comments
    )
    touched = _keep_contracts(session, revision, descriptor_set)
    cards.add_revision(session, revision)
    if number > 1:
        cards.touch(session, card)
    return revision, touched


def descriptor_set_of(session: Session, revision: Revision) -> bytes:
    """A revision's descriptor set."""
    found = contracts.of_set(session, revision.package, revision.descriptor_sha256)
    if not found:
        raise SimpulError(Code.INTERNAL, f"revision {revision.number} is not in the store")
    return found[0].descriptor_set


def _first(
    session: Session, card: Card, descriptor_set: bytes, now_ms: int
) -> tuple[Revision, Touched]:
    comments = comments_of(descriptor_set, card.package)
    content = (without_comments(descriptor_set), comments)
    return add_revision(session, card, card.owner, content, now_ms)


def _keep_contracts(session: Session, revision: Revision, descriptor_set: bytes) -> Touched:
    """One file for each service of the package."""
    names = services_in(descriptor_set, revision.package)
    if len(names) * len(descriptor_set) > MAX_KEPT_BYTES:
        raise SimpulError(
            Code.PROTOSET_INVALID,
            f"the protoset has {len(descriptor_set)} bytes, and is kept for each of {len(names)} "
            f"services of {revision.package}, {MAX_KEPT_BYTES} in all: split the package",
        )
    keys = set()
    for name in names:
        contract = Contract(name, revision.descriptor_sha256, descriptor_set, revision.publisher)
        _, file = contract_file(contract)
        contracts.ensure(session, contract, sha256(file).digest(), revision.published_at_ms)
        keys.add((name, revision.descriptor_sha256))
    return Touched(contracts=frozenset(keys), cards=frozenset({revision.package}))


def _of_shape(
    session: Session, revisions: Sequence[Revision], service: str, descriptor_set: bytes
) -> Revision | None:
    """The newest revision in which a service is the same as in `descriptor_set`."""
    wanted = service_shape(descriptor_set, service)
    for revision in reversed(revisions):
        kept = contracts.find(session, (service, revision.descriptor_sha256))
        if kept is not None and service_shape(kept.descriptor_set, service) == wanted:
            return revision
    return None


def _matched(session: Session, card: Card, service: ServiceId, descriptor_set: bytes) -> Revision:
    """The newest revision that a service matches; raises CONTRACT_DIFFERS, with the closest one."""
    package = card.package
    closest: tuple[Revision, tuple[Difference, ...]] | None = None
    for revision in reversed(cards.revisions(session, package)[-MAX_MATCHED:]):
        kept = contracts.find(session, (service.service, revision.descriptor_sha256))
        if kept is None:
            continue
        found = differences(kept.descriptor_set, descriptor_set, service.service)
        if not found:
            return revision
        if closest is None or len(found) < len(closest[1]):
            closest = revision, found
    if closest is None:
        raise SimpulError(
            Code.CONTRACT_DIFFERS,
            f"{package} has no service {service.service}: look at what it has (simpul contract "
            f"show {package}), or publish yours under a package of your own",
        )
    revision, found = closest
    raise differs(
        f"{service} is no revision of {package}, and comes closest to {revision.number}",
        found,
        "Implement a revision as it is (simpul contract adopt), ask the contract's owner "
        f"{card.owner} for a new one, or publish yours as a package of your own",
    )


def _merged(session: Session, last: Revision, descriptor_set: bytes) -> bytes:
    """What a service shows, with the last revision's files that it doesn't show."""
    new = FileDescriptorSet.FromString(descriptor_set)
    names = {file.name for file in new.file}
    before = FileDescriptorSet.FromString(descriptor_set_of(session, last))
    new.file.extend(file for file in before.file if file.name not in names)
    return new.SerializeToString(deterministic=True)


def _as_implemented(
    session: Session, service: ServiceId, made: tuple[Revision, Touched]
) -> Implemented:
    revision, touched = made
    files = dict(contracts.files_of_set(session, revision.package, revision.descriptor_sha256))
    return Implemented(files[service.service], revision.number, touched)


def _retired(card: Card) -> SimpulError:
    instead = f"take {card.terms.successor}" if card.terms.successor else "ask its owner"
    return SimpulError(
        Code.CONTRACT_RETIRED,
        f"{card.package} is retired, and nobody begins to implement it: {instead}",
        package=card.package,
    )
