"""A contract's card as it is published, from how the directory is read."""

from __future__ import annotations

from security.contract_card import CardView, RevisionView, terms_message
from simpul.v1 import directory_pb2


def card_message(card: CardView) -> directory_pb2.ContractCard:
    """A card as it is published."""
    return directory_pb2.ContractCard(
        version=1,
        federation=card.owner.federation,
        package=card.package,
        number=card.number,
        owner=str(card.owner),
        terms=terms_message(card.terms),
        revisions=map(_revision, card.revisions),
    )


def _revision(revision: RevisionView) -> directory_pb2.CardRevision:
    return directory_pb2.CardRevision(
        number=revision.number,
        publisher=str(revision.publisher),
        published_at_ms=revision.published_at_ms,
        services=[
            directory_pb2.CardService(service=name, contract=contract)
            for name, contract in sorted(revision.services.items())
        ],
        documentation=revision.documentation or b"",
    )
