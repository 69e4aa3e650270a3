"""The card and the comments of the regency's contract: what tests change one thing of."""

from collections.abc import Callable

from security.hashing import sha256
from simpul.v1 import directory_pb2
from tests.conformance import fixed
from tests.support import directories

PACKAGE = "wisata.v1"

Change = Callable[[directory_pb2.ContractCard], object]
ChangeDocs = Callable[[directory_pb2.ContractDocumentation], object]


def docs(change: ChangeDocs = lambda _: None) -> bytes:
    """The file `docs-1`."""
    made = directory_pb2.ContractDocumentation(
        version=1,
        federation=fixed.FEDERATION,
        package=PACKAGE,
        revision=1,
        comments=[
            directory_pb2.ElementComment(element="wisata.v1", leading="Islands."),
            directory_pb2.ElementComment(element="wisata.v1.Wisata", trailing="All of them."),
        ],
    )
    change(made)
    return made.SerializeToString(deterministic=True)


def card(change: Change = lambda _: None) -> bytes:
    """The card: a draft with one revision."""
    made = directory_pb2.ContractCard(
        version=1,
        federation=fixed.FEDERATION,
        package=PACKAGE,
        number=1,
        owner=str(fixed.REGENCY),
        terms=directory_pb2.ContractTerms(maturity=directory_pb2.CONTRACT_MATURITY_DRAFT),
        revisions=[
            directory_pb2.CardRevision(
                number=1,
                publisher=str(fixed.REGENCY),
                published_at_ms=fixed.NOW_MS,
                services=[
                    directory_pb2.CardService(
                        service=fixed.SERVICE, contract=sha256(directories.contract_file()[1])
                    )
                ],
                documentation=sha256(docs()),
            )
        ],
    )
    change(made)
    return made.SerializeToString(deterministic=True)
