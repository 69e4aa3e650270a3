"""What may go wrong: one exception, with a stable code, for all that others can cause.

Whatever a peer, an app or an operator can bring about is a `SimpulError`: its code is stable and
tells programs what happened; its message is one line that says what is wrong and what to do. Codes
are in `error_codes` and what they mean in `error_table`; both are offered here, so that one import
serves.

A message never holds the text of an inner error: that may be logged here, but goes to no peer.

Source: docs/spec, "Errors".
"""

from collections.abc import Mapping
from types import MappingProxyType

from security.error_codes import Code, ErrorInfo
from security.error_table import ERRORS

__all__ = ["ERRORS", "CallFault", "Code", "ErrorInfo", "LinkFault", "SimpulError"]


class SimpulError(Exception):
    """A refusal or failure with a stable code, a message for people, and details for programs."""

    def __init__(self, code: Code, message: str, **details: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details: Mapping[str, str] = MappingProxyType(details)

    def __str__(self) -> str:
        return f"{self.code}: {self.message}"

    @property
    def info(self) -> ErrorInfo:
        """What the code means, what to do, and the gRPC status that carries it."""
        return ERRORS[self.code]


class LinkFault(SimpulError):  # noqa: N818 - the specification's noun
    """What no honest node sends: it closes the link. `step` numbers the receiver's check."""

    def __init__(self, code: Code, message: str, *, step: int, **details: str) -> None:
        super().__init__(code, message, **details)
        self.step = step


class CallFault(SimpulError):  # noqa: N818 - the specification's noun
    """Refuses the calls concerned, sealed; the link goes on. `step` numbers the check."""

    def __init__(self, code: Code, message: str, *, step: int, **details: str) -> None:
        super().__init__(code, message, **details)
        self.step = step
