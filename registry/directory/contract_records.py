"""The target files of a contract: its card, and the comments of each revision.

Like `records`: bytes are a function of the values alone, and what is built is read back as a node
reads it.
"""

from collections.abc import Iterator, Mapping, Sequence
from hashlib import sha256

from registry.contracts.model import Card, Revision, RevisionFiles
from registry.directory.records import FORMAT_VERSION, unacceptable
from security.contract_card import (
    card_path,
    documentation_path,
    parse_card,
    parse_documentation,
    terms_message,
)
from security.errors import SimpulError
from simpul.v1 import directory_pb2


def card_files(card: Card, revisions: Sequence[RevisionFiles]) -> dict[str, bytes]:
    """A contract's files by path: the card, and the documentation of revisions with comments.

    Raises:
        SimpulError: CHANGE_INVALID, when a node would refuse one.
    """
    federation = card.owner.federation
    files = dict(_documentations(federation, revisions))
    message = card_message(card, revisions, files)
    path, data = card_path(card.package), message.SerializeToString(deterministic=True)
    try:
        parse_card(federation, path, data)
    except SimpulError as error:
        raise unacceptable(card.package, error) from error
    return {**files, path: data}


def card_message(
    card: Card, revisions: Sequence[RevisionFiles], files: Mapping[str, bytes]
) -> directory_pb2.ContractCard:
    """A card, which names those of `files` that are its revisions' documentation."""
    return directory_pb2.ContractCard(
        version=FORMAT_VERSION,
        federation=card.owner.federation,
        package=card.package,
        number=card.number,
        owner=str(card.owner),
        terms=terms_message(card.terms),
        revisions=[_revision(item, files) for item in revisions],
    )


def documentation_file(federation: str, revision: Revision) -> tuple[str, bytes]:
    """The path and content of a revision's documentation.

    Raises:
        SimpulError: CHANGE_INVALID, when a node would refuse it.
    """
    message = directory_pb2.ContractDocumentation(
        version=FORMAT_VERSION,
        federation=federation,
        package=revision.package,
        revision=revision.number,
        comments=[
            directory_pb2.ElementComment(
                element=item.element, leading=item.leading, trailing=item.trailing
            )
            for item in revision.comments
        ],
    )
    path = documentation_path(revision.package, revision.number)
    data = message.SerializeToString(deterministic=True)
    try:
        parse_documentation(federation, path, data)
    except SimpulError as error:
        raise unacceptable(f"{revision.package}'s comments", error) from error
    return path, data


def _documentations(
    federation: str, revisions: Sequence[RevisionFiles]
) -> Iterator[tuple[str, bytes]]:
    for item in revisions:
        if item.revision.comments:
            yield documentation_file(federation, item.revision)


def _revision(item: RevisionFiles, files: Mapping[str, bytes]) -> directory_pb2.CardRevision:
    revision = item.revision
    docs = files.get(documentation_path(revision.package, revision.number))
    return directory_pb2.CardRevision(
        number=revision.number,
        publisher=str(revision.publisher),
        published_at_ms=revision.published_at_ms,
        services=[
            directory_pb2.CardService(service=service, contract=file)
            for service, file in item.services
        ],
        documentation=b"" if docs is None else sha256(docs).digest(),
    )
