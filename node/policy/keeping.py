"""Whether an agreement has this node keep a call's content. Pure.

The agreement that an open names says it: none, the consumer's node, the provider's, or both. An
open that isn't between its parties is kept by nobody: it will be refused.

Source: docs/spec, "Journal: payloads"; trust, "Agreements".
"""

from typing import Final

from node.policy.rules import AgreementBook
from security.agreement import PayloadKeeper
from security.call_state import Side
from security.kinds import Open

_KEEPERS: Final = {
    Side.CONSUMER: frozenset({PayloadKeeper.CONSUMER, PayloadKeeper.BOTH}),
    Side.PROVIDER: frozenset({PayloadKeeper.PROVIDER, PayloadKeeper.BOTH}),
}


def is_kept(book: AgreementBook, opened: Open, here: Side) -> bool:
    """Whether the node at this side of a call keeps its payloads and private blocks."""
    terms = None if opened.agreement is None else book.by_hash.get(opened.agreement)
    return (
        terms is not None
        and terms.payload_keeper in _KEEPERS[here]
        and opened.consumer in terms.consumer_subsystems
        and opened.service.subsystem == terms.provider_subsystem
    )
