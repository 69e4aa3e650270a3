"""One small HTTP exchange with a witness or an authority: capped, timed, no redirects, no proxy.

It trusts nothing and understands nothing: what comes is bytes.
"""

import time
from dataclasses import dataclass
from typing import Final

import urllib3
from urllib3.exceptions import HTTPError

CONNECT_TIMEOUT_S: Final = 2.0
READ_TIMEOUT_S: Final = 4.0
WHOLE_TIMEOUT_S: Final = 6.0
_CHUNK_BYTES: Final = 16 * 1024


class NoAnswerError(Exception):
    """Nobody answered, or not in time, or too much."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """A status, and a body within the cap."""

    status: int
    body: bytes


class HttpClient:
    """Keeps connections open. Any thread may use it."""

    def __init__(self) -> None:
        self._pool = urllib3.PoolManager(maxsize=4, retries=False)

    def ask(
        self,
        method: str,
        url: str,
        *,
        max_bytes: int,
        body: bytes | None = None,
        content_type: str | None = None,
    ) -> HttpAnswer:
        """One request and its answer.

        Raises:
            NoAnswerError: with a reason for the log.
        """
        deadline_s = time.monotonic() + WHOLE_TIMEOUT_S
        headers = {"Accept-Encoding": "identity"}
        if content_type is not None:
            headers["Content-Type"] = content_type
        try:
            response = self._pool.request(
                method,
                url,
                body=body,
                headers=headers,
                redirect=False,
                preload_content=False,
                decode_content=False,
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT_S, read=READ_TIMEOUT_S),
            )
            return HttpAnswer(response.status, _body(response, max_bytes, deadline_s))
        except (HTTPError, OSError) as error:
            # Only the kind: the text may hold what the other side sent.
            raise NoAnswerError(type(error).__name__) from error

    def close(self) -> None:
        """Closes the connections."""
        self._pool.clear()


def _body(response: urllib3.BaseHTTPResponse, max_bytes: int, deadline_s: float) -> bytes:
    data = b""
    whole = False
    try:
        # One read of the socket at a time: a server that drips is seen by the deadline.
        while chunk := response.read1(_CHUNK_BYTES):
            data += chunk
            if len(data) > max_bytes:
                raise NoAnswerError("too long an answer")
            if time.monotonic() > deadline_s:
                raise NoAnswerError("too slow an answer")
        whole = True
        return data
    finally:
        if whole:
            response.release_conn()
        else:
            response.close()
