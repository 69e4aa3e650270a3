"""The nodes' own services by which agreements and delegations are made: their methods, and limits.

Apart from what answers it, because a worker knows the methods and answers none of them.
"""

from typing import Final

SERVICE: Final = "simpul.v1.Agreements"
OFFER: Final = "Offer"
DECIDE: Final = "Decide"
REVOKE: Final = "Revoke"
HELD: Final = "Held"
METHODS: Final = (OFFER, DECIDE, REVOKE, HELD)
DELEGATIONS: Final = "simpul.v1.Delegations"
GIVE: Final = "Give"
END: Final = "End"
DELEGATION_METHODS: Final = (GIVE, END)
# An agreement with its signatures and what goes with it.
MAX_REQUEST_BYTES: Final = 512 * 1024
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
