"""What a fake was asked, and how it refuses."""

from dataclasses import dataclass, field
from typing import Any

import grpc

from runtime.grpc_errors import message_of, status_of, trailers_of
from security.errors import SimpulError

Context = grpc.ServicerContext


def refuse(context: Context, error: SimpulError, *more: tuple[str, str | bytes]) -> None:
    """Ends the call as the real programs do. Always raises."""
    context.set_trailing_metadata((*trailers_of(error), *more))
    context.abort(status_of(error), message_of(error))


@dataclass
class Heard:
    """What a fake was asked, and which methods it refuses."""

    requests: list[Any] = field(default_factory=list)
    refusals: dict[str, SimpulError] = field(default_factory=dict)

    def take(self, method: str, request: object, context: Context) -> None:
        self.requests.append(request)
        if method in self.refusals:
            refuse(context, self.refusals[method])

    def last(self) -> Any:
        return self.requests[-1]
