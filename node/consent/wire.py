"""A question about a consent, as the control socket and an outside register get it."""

from node.consent.model import Question
from security.identifiers import ServiceId, SubsystemId
from simpul.v1 import consent_pb2


def question_message(question: Question) -> consent_pb2.CheckConsentRequest:
    """Print what `read_question` reads."""
    return consent_pb2.CheckConsentRequest(
        reference=question.reference,
        consumer=str(question.consumer),
        provider=str(question.service.subsystem),
        service=question.service.service,
        method=question.method,
        purpose=question.purpose,
        subject=question.subject,
    )


def read_question(message: consent_pb2.CheckConsentRequest) -> Question:
    """Read a question.

    Raises:
        SimpulError: ID_MALFORMED.
    """
    return Question(
        reference=message.reference,
        consumer=SubsystemId.parse(message.consumer),
        service=ServiceId(SubsystemId.parse(message.provider), message.service),
        method=message.method,
        purpose=message.purpose,
        subject=message.subject,
    )
