"""What of a call's metadata means something to Simpul, and what a service gets to see.

Keys beginning `simpul-` belong to the nodes: an app's are read here and never passed on as they
came; a service's are dropped; the provider's node sets its own, so that a service can trust them
(docs/spec, "Metadata the app sees"). Everything else passes both ways, in order, unread.
"""

from __future__ import annotations

from dataclasses import dataclass

from node.calls import Metadata, Trailers
from runtime.grpc_errors import message_of, trailers_of
from runtime.tracing import TRACEPARENT, Span
from security.errors import ERRORS, Code, SimpulError
from security.identifiers import RegionCode, SubsystemId
from security.private import MAX_PERSON_CHARS

PREFIX = "simpul-"
TO = "simpul-to"
REGION = "simpul-region"
FROM = "simpul-from"
PURPOSE = "simpul-purpose"
ON_BEHALF_OF = "simpul-on-behalf-of"
USER = "simpul-user"
ISSUE = "simpul-issue"
SUBJECT = "simpul-subject"
CONSENT = "simpul-consent"
TOKEN = "simpul-token"  # noqa: S105 - the name of a key, not a secret
CALL_ID = "simpul-call-id"
# Of a call by region: who answered.
PROVIDER = "simpul-provider"
# What an app may say of a gather.
PARTIAL = "simpul-partial"
FIRST = "simpul-gather-first"
PART_MS = "simpul-gather-part-ms"
# What it is told of one; the first is for the services, too.
GATHER_ID = "simpul-gather-id"
PARTS = "simpul-gather-parts"
ANSWERED = "simpul-gather-answered"
MISSING = "simpul-gather-missing"
MESSAGES = "simpul-gather-messages"
AGREEMENT = "simpul-agreement"
ERROR = "simpul-error"

_OF_GATHERS = frozenset({PARTIAL, FIRST, PART_MS})
_OF_CALLERS = frozenset({FROM, ON_BEHALF_OF, PURPOSE, CONSENT, USER, ISSUE, SUBJECT, TOKEN})
_FROM_APPS = frozenset({TO, REGION}) | _OF_CALLERS | _OF_GATHERS
# A list of all regencies; it never travels.
MAX_REGIONS_CHARS = 8192


@dataclass(frozen=True, slots=True)
class Address:
    """What an app says of its call in `simpul-*` keys; None where it does not."""

    to: str | None = None
    region: str | None = None
    sender: str | None = None
    purpose: str | None = None
    consent: str | None = None
    user: str | None = None
    issue: str | None = None
    subject: str | None = None
    partial: str | None = None
    first: str | None = None
    part_ms: str | None = None
    on_behalf_of: str | None = None

    @property
    def is_gather(self) -> bool:
        """It asks for many regions, or says what it takes of them."""
        asked = self.region is not None and any(sign in self.region for sign in ",*")
        return asked or not (self.partial is None and self.first is None and self.part_ms is None)


def read_address(metadata: Metadata) -> Address:
    """Read an app's `simpul-*` keys.

    Raises:
        SimpulError: A key is unknown, repeated or not UTF-8 (METADATA_MALFORMED).
    """
    said: dict[str, str] = {}
    for key, value in metadata:
        if not key.startswith(PREFIX):
            continue
        if key not in _FROM_APPS:
            raise SimpulError(
                Code.METADATA_MALFORMED,
                f"{key} is not a key that an app may send; leave it out (the nodes set their own)",
            )
        if key in said:
            raise SimpulError(Code.METADATA_MALFORMED, f"{key} stands twice; send it once")
        try:
            said[key] = value.decode("utf-8")
        except UnicodeDecodeError:
            raise SimpulError(Code.METADATA_MALFORMED, f"the value of {key} is not UTF-8") from None
        max_chars = MAX_REGIONS_CHARS if key == REGION else MAX_PERSON_CHARS
        if len(said[key]) > max_chars:
            # The peer's node takes no more, and would end the link for everybody on it.
            raise SimpulError(
                Code.METADATA_MALFORMED,
                f"the value of {key} has {len(said[key])} characters, and takes "
                f"{max_chars}; send less",
            )
    return Address(
        to=said.get(TO),
        region=said.get(REGION),
        sender=said.get(FROM),
        purpose=said.get(PURPOSE),
        consent=said.get(CONSENT),
        user=said.get(USER),
        issue=said.get(ISSUE),
        subject=said.get(SUBJECT),
        partial=said.get(PARTIAL),
        first=said.get(FIRST),
        part_ms=said.get(PART_MS),
        on_behalf_of=said.get(ON_BEHALF_OF),
    )


def passed_on(metadata: Metadata) -> Metadata:
    """The metadata without the nodes' own keys."""
    return tuple(item for item in metadata if not item[0].startswith(PREFIX))


def with_span(metadata: Metadata, span: Span) -> Metadata:
    """The metadata with this node's span as the caller's; as it came where nothing is traced."""
    traceparent = span.traceparent
    if traceparent is None:
        return metadata
    others = tuple(item for item in metadata if item[0] != TRACEPARENT)
    return (*others, (TRACEPARENT, traceparent))


def traceparents(metadata: Metadata) -> list[bytes]:
    """The caller's span, as it came: one value, if the caller keeps to the standard."""
    return [value for key, value in metadata if key == TRACEPARENT]


def with_answerer(metadata: Metadata, provider: SubsystemId, region: RegionCode) -> Metadata:
    """Trailing metadata for an app that named no provider: who answered, and for which region."""
    who = ((PROVIDER, str(provider).encode()), (REGION, str(region).encode()))
    return (*metadata, *who)


def with_call_id(metadata: Metadata, call_id: bytes) -> Metadata:
    """Trailing metadata for the app: what the service said, and the call's id.

    A close of the provider's node may hold `simpul-error`, where that node ended a call that the
    service had begun to answer; a service's own was taken out there.
    """
    said = tuple(item for item in metadata if item[0] == ERROR or not item[0].startswith(PREFIX))
    return (*said, (CALL_ID, call_id.hex().encode()))


def error_trailers(error: SimpulError, call_id: bytes) -> Trailers:
    """The end of a call that Simpul ended: status, message, `simpul-error`, details, call id."""
    said = tuple(
        (key, value if isinstance(value, bytes) else value.encode())
        for key, value in trailers_of(error)
    )
    return Trailers(
        ERRORS[error.code].grpc_status,
        message_of(error),
        (*said, (CALL_ID, call_id.hex().encode())),
    )
