"""RFC 3161 time stamps of a text, made by an authority and checked against its root.

What is stamped is the SHA-256 of the text: a checkpoint's text, without its signatures, so that a
stamp says when that tree existed. The whole answer of the authority is kept, and verifies offline
for as long as its root is believed, because the certificates are judged at the time that it states.

`make_request` draws a nonce, inside the library. Nothing here asks an authority.

Source: RFC 3161, sections 2.2 to 2.4; the library is rfc3161-client.
"""

from dataclasses import dataclass
from typing import Final

from cryptography import x509
from rfc3161_client import (
    HashAlgorithm,
    TimestampRequestBuilder,
    TimeStampResponse,
    VerificationError,
    VerifierBuilder,
    decode_timestamp_response,
)

from security.errors import Code, SimpulError

MAX_RESPONSE_BYTES: Final = 64 * 1024
REQUEST_TYPE: Final = "application/timestamp-query"
RESPONSE_TYPE: Final = "application/timestamp-reply"

_MS_PER_S: Final = 1000


@dataclass(frozen=True, slots=True)
class TimestampRequest:
    """A request (DER) and the nonce that its answer must repeat."""

    data: bytes
    nonce: int


def make_request(text: bytes) -> TimestampRequest:
    """Return a request to stamp `text`, with a fresh nonce."""
    request = TimestampRequestBuilder().data(text).hash_algorithm(HashAlgorithm.SHA256).build()
    if request.nonce is None:
        raise SimpulError(Code.INTERNAL, "a time-stamp request has no nonce; report this")
    return TimestampRequest(request.as_bytes(), request.nonce)


def verify_timestamp(
    response: bytes, text: bytes, certificate: bytes, *, nonce: int | None = None
) -> int:
    """Check an authority's answer.

    Args:
        response: The whole answer, DER.
        text: What was stamped.
        certificate: The root that the stamp's certificates must lead to, DER.
        nonce: The request's, where the answer has just come; None years later.

    Returns:
        The time that it states, in ms since the epoch.

    Raises:
        SimpulError: TIMESTAMP_INVALID.
    """
    if len(response) > MAX_RESPONSE_BYTES:
        raise _invalid("it's too long")
    try:
        answer = decode_timestamp_response(response)
        builder = VerifierBuilder(roots=[x509.load_der_x509_certificate(certificate)])
        if nonce is not None:
            builder = builder.nonce(nonce)
        builder.build().verify_message(answer, text)
        return _time_ms(answer)
    except VerificationError as error:
        raise _invalid("it isn't that of this authority over these bytes") from error
    except (ValueError, OverflowError) as error:
        raise _invalid("it isn't spelt as one, or grants nothing") from error


def _time_ms(answer: TimeStampResponse) -> int:
    info = answer.tst_info
    if info.gen_time.tzinfo is None:
        raise ValueError("a time without a zone")
    return int(info.gen_time.timestamp() * _MS_PER_S)


def _invalid(what: str) -> SimpulError:
    return SimpulError(
        Code.TIMESTAMP_INVALID, f"a time stamp doesn't hold: {what}; ask for another one"
    )
