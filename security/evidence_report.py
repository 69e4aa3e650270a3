"""What verifying an evidence file yields: numbered steps with their results, and the facts.

A step that fails ends the verification: the steps after it are *not judged*. The others say what
they prove and what they don't: a part that isn't in the file is *not present*, a claim that nothing
in the file supports is *not proven*. Neither is a failure: evidence of an unfinished call, or one
without its payload, is evidence of what it shows.

Source: docs/spec, "Evidence: steps".
"""

from dataclasses import dataclass
from enum import StrEnum

from security.errors import Code, SimpulError


class Result(StrEnum):
    """How a step ended."""

    PROVEN = "proven"
    NOT_PROVEN = "not proven"
    NOT_PRESENT = "not present"
    FAILED = "failed"
    NOT_JUDGED = "not judged"


@dataclass(frozen=True, slots=True)
class Outcome:
    """A step's result, what it found, and warnings that don't change the result."""

    result: Result
    findings: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Step:
    """A numbered step of the verification, as it ended."""

    number: int
    name: str
    proves: str
    result: Result
    findings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ParcelFacts:
    """What is known of one parcel. Times are ms since the epoch; None where nothing shows it.

    `claimed_ms` is the sender's word; `not_before_ms` is when the directory that the header names
    was issued; `not_after_ms` is by when a quorum of witnesses had cosigned a checkpoint over it.
    """

    header_hash: bytes
    member: str
    node: str
    to_node: str
    number: int
    seal_key_id: bytes
    identity_key_id: bytes
    # The kinds of the call's entries in it; none in a parcel that only acknowledges.
    entries: tuple[str, ...]
    # Likewise, of the call that proposed the agreement, and of one that accepted it later.
    offers: tuple[str, ...]
    decisions: tuple[str, ...]
    claimed_ms: int
    not_before_ms: int | None
    not_after_ms: int | None
    stamped_ms: int | None
    # Checkpoint origins of the journals that hold it.
    journals: tuple[str, ...]
    received: bool


@dataclass(frozen=True, slots=True)
class CallFacts:
    """What the entries say of the call. `outcome` is closed, refused, cancelled or unfinished."""

    call_id: bytes
    consumer: str
    provider: str
    service: str
    method: str
    agreement: bytes | None
    purpose: str | None
    # The member in whose name was called, where it wasn't the consumer's own.
    on_behalf_of: str | None
    # The reference of a consent, where the purpose rests on one.
    consent: str | None
    outcome: str
    status: int | None
    code: str | None
    requests: int
    responses: int


@dataclass(frozen=True, slots=True)
class Report:
    """All steps in order, the facts as far as the steps came, and warnings."""

    steps: tuple[Step, ...]
    call: CallFacts | None
    parcels: tuple[ParcelFacts, ...]
    warnings: tuple[str, ...]

    @property
    def failed(self) -> Step | None:
        """The step that failed, if one did."""
        return next((step for step in self.steps if step.result is Result.FAILED), None)

    def require_sound(self) -> None:
        """Pass where no step failed.

        Raises:
            SimpulError: EVIDENCE_INVALID, with the step's number and name.
        """
        step = self.failed
        if step is not None:
            raise SimpulError(
                Code.EVIDENCE_INVALID,
                f"step {step.number}, {step.name}, fails: {'; '.join(step.findings)}",
                step=str(step.number),
                name=step.name,
            )


def refused(what: str) -> SimpulError:
    """Return the error of a step that fails; which one, whoever runs the steps adds."""
    return SimpulError(Code.EVIDENCE_INVALID, what)


def proven(*findings: str, warnings: tuple[str, ...] = ()) -> Outcome:
    """Return the outcome of a step that proves what it is for."""
    return Outcome(Result.PROVEN, findings, warnings)


def not_proven(*findings: str, warnings: tuple[str, ...] = ()) -> Outcome:
    """Return the outcome of a step for which the file has too little."""
    return Outcome(Result.NOT_PROVEN, findings, warnings)


def not_present(*findings: str) -> Outcome:
    """Return the outcome of a step whose part isn't in the file."""
    return Outcome(Result.NOT_PRESENT, findings)
