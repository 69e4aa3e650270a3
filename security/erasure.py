"""What a node tells another of an erasure: which call, when, and why in one word of a list.

It says nothing of a person. Whether the one who tells is party to the call is for the journal to
say.

Source: docs/spec, "Journal: erasure"; simpul/v1/erasure.proto.
"""

import re
from dataclasses import dataclass
from typing import Final

from security import strict
from security.errors import Code, SimpulError
from security.statement import MAX_TIME_MS
from simpul.v1 import erasure_pb2

SERVICE: Final = "simpul.v1.Erasures"
NOTIFY: Final = "Notify"
METHOD: Final = (SERVICE, NOTIFY)
MAX_NOTICE_BYTES: Final = 256
MAX_ANSWER_BYTES: Final = 64
CALL_ID_BYTES: Final = 16

# A later version may know more reasons than this one.
_REASON: Final = re.compile(r"[a-z]([a-z-]{0,30}[a-z])?")


@dataclass(frozen=True, slots=True)
class ErasureNotice:
    """A call that was erased at the node that says so."""

    call_id: bytes
    erased_at_ms: int
    reason: str


def make_notice(notice: ErasureNotice) -> bytes:
    """Print a notice."""
    return erasure_pb2.NotifyRequest(
        call_id=notice.call_id, erased_at_ms=notice.erased_at_ms, reason=notice.reason
    ).SerializeToString(deterministic=True)


def make_answer(*, nothing_kept: bool) -> bytes:
    """Print the answer to a notice."""
    return erasure_pb2.NotifyResponse(nothing_kept=nothing_kept).SerializeToString()


def parse_answer(data: bytes) -> bool:
    """Parse the answer to a notice: whether nothing is kept there; raises REQUEST_MALFORMED."""
    answer = strict.parse(
        erasure_pb2.NotifyResponse, data, MAX_ANSWER_BYTES, code=Code.REQUEST_MALFORMED
    )
    return answer.nothing_kept


def parse_notice(data: bytes) -> ErasureNotice:
    """Parse a notice, strictly.

    Raises:
        SimpulError: REQUEST_MALFORMED.
    """
    message = strict.parse(
        erasure_pb2.NotifyRequest, data, MAX_NOTICE_BYTES, code=Code.REQUEST_MALFORMED
    )
    if (
        len(message.call_id) != CALL_ID_BYTES
        or not 0 < message.erased_at_ms <= MAX_TIME_MS
        or _REASON.fullmatch(message.reason) is None
    ):
        raise SimpulError(
            Code.REQUEST_MALFORMED,
            "a notice of an erasure names a call (16 bytes), a time, and a reason in one word",
        )
    return ErasureNotice(message.call_id, message.erased_at_ms, message.reason)
