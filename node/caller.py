"""Who asks over the admin socket: what histories keep of an operator's decision."""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Caller:
    """An operator, by the name that is kept."""

    name: str


# Whoever may open the admin socket, which is 0600 in a folder of mode 0700.
ADMINISTRATOR: Final = Caller("local administrator")

# Each call runs in a task of its own.
CALLER: Final[ContextVar[Caller]] = ContextVar("caller", default=ADMINISTRATOR)
