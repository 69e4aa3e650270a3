"""One consent, as this node's own register keeps it; and one question about any."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from security.identifiers import ServiceId, SubsystemId


@dataclass(frozen=True, slots=True)
class Question:
    """A call that is about to be made, or goes on, by a consent. `repr` hides the person."""

    reference: str
    consumer: SubsystemId
    service: ServiceId
    method: str
    purpose: str
    # As the app names the citizen; empty where it doesn't.
    subject: str = field(default="", repr=False)


class State(StrEnum):
    """What has become of a consent."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


@dataclass(frozen=True, slots=True)
class Consent:
    """Who may use data of whom, for what, until when. The citizen is a keyed hash."""

    reference: str
    # `security.persons.person_tag`, under the index key that was the newest then.
    subject_tag: bytes = field(repr=False)
    consumer: SubsystemId
    service: ServiceId
    purpose: str
    recorded_at_ms: int
    # The first moment at which it no longer holds.
    valid_until_ms: int
    withdrawn_at_ms: int | None = None

    def state(self, now_ms: int) -> State:
        """Withdrawn stays withdrawn, whatever the time."""
        if self.withdrawn_at_ms is not None:
            return State.WITHDRAWN
        return State.GIVEN if now_ms < self.valid_until_ms else State.EXPIRED
