"""Reads target files out of the store: those that a change touched, or all of them."""

from collections.abc import Mapping

import structlog
from sqlmodel import Session

from registry.contracts.model import RevisionFiles
from registry.directory.contract_records import card_files
from registry.directory.group_records import group_file
from registry.directory.records import contract_file, member_file
from registry.life import PUBLISHED
from registry.model import Touched
from registry.store import cards, contracts, groups, listings, members
from registry.store.database import Store
from security.directory_records import PolicyView
from security.errors import Code, SimpulError

_log = structlog.stdlib.get_logger(__name__)


def read(session: Session, policy: PolicyView, touched: Touched) -> Mapping[str, bytes]:
    """The files of `touched` as they are now, by target path. Applicants have none.

    Raises:
        SimpulError: CHANGE_INVALID, when a node would refuse one.
    """
    found = (listings.get(session, member) for member in sorted(touched.members, key=str))
    files = dict(member_file(item, policy) for item in found if item.member.state in PUBLISHED)
    for key in sorted(touched.contracts):
        contract = contracts.find(session, key)
        if contract is None:
            raise SimpulError(Code.INTERNAL, f"a contract of {key[0]} is not in the store")
        path, data = contract_file(contract)
        files[path] = data
    for package in sorted(touched.cards):
        files |= card_files(cards.get(session, package), revision_files(session, package))
    for name in sorted(touched.groups):
        path, data = group_file(groups.get(session, name), policy.federation)
        files[path] = data
    return files


def read_committed(store: Store, policy: PolicyView, touched: Touched) -> Mapping[str, bytes]:
    """`read` in a transaction of its own, without what a node would refuse.

    Nothing such is ever committed; but a policy may change after a commit, and then one file that
    stays as it was is better than a directory that is not renewed.
    """
    single = (
        *(Touched(members=frozenset({member})) for member in touched.members),
        *(Touched(contracts=frozenset({key})) for key in touched.contracts),
        *(Touched(cards=frozenset({package})) for package in touched.cards),
        *(Touched(groups=frozenset({name})) for name in touched.groups),
    )
    files: dict[str, bytes] = {}
    with store.transaction() as session:
        for item in single:
            try:
                files |= read(session, policy, item)
            except SimpulError as error:
                _log.error("file not published", code=error.code, reason=error.message)
    return files


def everything(store: Store) -> Touched:
    """Every file that there is: what is compared with what is published, at a start."""
    with store.transaction() as session:
        return Touched(
            frozenset(member.id for member in members.every(session)),
            frozenset(contracts.every_key(session)),
            frozenset(cards.packages(session)),
            frozenset(groups.names(session)),
        )


def revision_files(session: Session, package: str) -> tuple[RevisionFiles, ...]:
    """A contract's revisions with their services' files, from 1 on."""
    return tuple(
        RevisionFiles(
            revision, contracts.files_of_set(session, package, revision.descriptor_sha256)
        )
        for revision in cards.revisions(session, package)
    )
