"""Every contract as new ones are compared with it: its owner, who implements it, how it is read.

A country has thousands of contracts, and their descriptor sets are tens of megabytes: they are read
one by one, and only those that the comparer hasn't read before. Works within the transaction that
it is handed; what it gives is of no use after it.
"""

from collections import defaultdict
from functools import partial

from sqlmodel import Session

from registry.contracts.model import KnownContract, ListedContract
from registry.contracts.publishing import descriptor_set_of
from registry.store import cards, contracts, services
from registry.store.cards import Summary
from security.contract_card import package_of
from security.identifiers import MemberId


def listed_contracts(session: Session) -> tuple[ListedContract, ...]:
    """Every contract's newest revision, with who implements any of its revisions."""
    of_file = {file: package_of(service) for service, file in contracts.every_file(session)}
    users: dict[str, set[MemberId]] = defaultdict(set)
    for file, member in services.implementers(session):
        if file in of_file:
            users[of_file[file]].add(member)
    return tuple(
        ListedContract(
            found.package,
            found.revision,
            found.owner,
            tuple(sorted(users.get(found.package, ()), key=str)),
            # The card's number rises with whatever is published of it, comments too.
            found.descriptor_sha256 + found.number.to_bytes(8, "big"),
            partial(_read, session, found),
        )
        for found in cards.summaries(session)
    )


def _read(session: Session, found: Summary) -> KnownContract:
    newest = cards.revision(session, found.package, found.revision)
    return KnownContract(
        found.package,
        found.revision,
        found.owner,
        descriptor_set_of(session, newest),
        newest.comments,
    )
