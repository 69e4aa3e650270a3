"""The node's own no, as the end of a call: status, message, `simpul-error`, details."""

from __future__ import annotations

from node.calls import Trailers
from runtime.grpc_errors import message_of, trailers_of
from security.errors import ERRORS, SimpulError


def refusal(error: SimpulError) -> Trailers:
    """The trailers for a call that ends here with `error`."""
    metadata = tuple(
        (key, value if isinstance(value, bytes) else value.encode())
        for key, value in trailers_of(error)
    )
    return Trailers(ERRORS[error.code].grpc_status, message_of(error), metadata, error)
