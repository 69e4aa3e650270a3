"""The nodes' own service by which agreements are made: its methods, and how long a word may be.

Apart from what answers it, because a worker knows the methods and answers none of them.
"""

from typing import Final

SERVICE: Final = "simpul.v1.Agreements"
OFFER: Final = "Offer"
DECIDE: Final = "Decide"
REVOKE: Final = "Revoke"
HELD: Final = "Held"
METHODS: Final = (OFFER, DECIDE, REVOKE, HELD)
# An agreement with its signatures and what goes with it.
MAX_REQUEST_BYTES: Final = 512 * 1024
MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
