"""The client of RFC 3161's authorities over HTTP: one stamp of one text, verified as it comes.

Source: RFC 3161, section 3.4 (time-stamp protocol via HTTP).
"""

from http import HTTPStatus
from typing import Protocol

from node.checkpoints.http import HttpClient, NoAnswerError
from node.journal.checkpoints import KeptTimestamp
from security.errors import Code, SimpulError
from security.oversight import AuthorityView
from security.timestamp import MAX_RESPONSE_BYTES, REQUEST_TYPE, make_request, verify_timestamp


class Authorities(Protocol):
    """How authorities are asked. Any thread may."""

    def stamp(self, authority: AuthorityView, text: str) -> KeptTimestamp:
        """Returns a stamp that is this authority's, over this text, asked for now.

        Raises:
            SimpulError: TIMESTAMP_UNREACHABLE, TIMESTAMP_INVALID.
        """


class HttpAuthorities:
    """See `Authorities`."""

    def __init__(self, client: HttpClient) -> None:
        self._client = client

    def stamp(self, authority: AuthorityView, text: str) -> KeptTimestamp:
        """See the protocol."""
        data = text.encode()
        request = make_request(data)
        try:
            answer = self._client.ask(
                "POST",
                authority.url,
                body=request.data,
                content_type=REQUEST_TYPE,
                max_bytes=MAX_RESPONSE_BYTES,
            )
        except NoAnswerError as error:
            raise _unreachable(authority, str(error)) from error
        if answer.status != HTTPStatus.OK:
            raise _unreachable(authority, f"HTTP {answer.status}")
        at_ms = verify_timestamp(answer.body, data, authority.certificate, nonce=request.nonce)
        return KeptTimestamp(authority.name, answer.body, at_ms)


def _unreachable(authority: AuthorityView, why: str) -> SimpulError:
    return SimpulError(
        Code.TIMESTAMP_UNREACHABLE,
        f"authority {authority.name} at {authority.url} doesn't answer ({why}): check its address",
    )
