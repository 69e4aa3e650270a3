"""Submissions and cards as they travel."""

from typing import Final

from registry.contracts.model import Event, Submission, SubmissionState
from registry.store.submissions import similar_message
from simpul.v1 import registry_pb2

_STATES: Final = {
    SubmissionState.SUBMITTED: registry_pb2.SUBMISSION_STATE_SUBMITTED,
    SubmissionState.IN_DISCUSSION: registry_pb2.SUBMISSION_STATE_IN_DISCUSSION,
    SubmissionState.APPROVED: registry_pb2.SUBMISSION_STATE_APPROVED,
    SubmissionState.DECLINED: registry_pb2.SUBMISSION_STATE_DECLINED,
    SubmissionState.WITHDRAWN: registry_pb2.SUBMISSION_STATE_WITHDRAWN,
    SubmissionState.PUBLISHED: registry_pb2.SUBMISSION_STATE_PUBLISHED,
}


def submission_message(found: Submission) -> registry_pb2.Submission:
    """A submission with its thread; the change itself stays."""
    return registry_pb2.Submission(
        id=found.id,
        package=found.package,
        member=str(found.member),
        node=str(found.node),
        change_number=found.change_number,
        kind=found.kind,
        revision=found.revision,
        state=_STATES[found.state],
        submitted_at_ms=found.submitted_at_ms,
        events=map(_event, found.events),
        similar=map(similar_message, found.likenesses),
        advice=found.advice,
        why_not=found.why_not,
        waits_because=found.waits_because,
    )


def _event(event: Event) -> registry_pb2.SubmissionEvent:
    return registry_pb2.SubmissionEvent(
        at_ms=event.at_ms,
        author=event.author,
        by_registry=event.by_registry,
        state=_STATES[event.state],
        text=event.text,
    )
