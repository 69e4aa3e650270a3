"""A witness over HTTP: two paths, and nothing else.

    POST /add-checkpoint                 C2SP tlog-witness
    GET  /<origin hash>/checkpoint       what was cosigned last

Any web server may stand before it: what comes and goes is signed, and may be seen by everybody.

Source: c2sp.org/tlog-witness.
"""

import re
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any, Final

import structlog

from runtime.http_server import TIMEOUT_S, HttpServer
from runtime.ports import TcpAddress
from runtime.witness.desk import TEXT_TYPE, Answer, Witness
from security.errors import SimpulError
from security.witness import MAX_REQUEST_BYTES

MAX_CONNECTIONS: Final = 1024

_ADD: Final = "/add-checkpoint"
_LATEST: Final = re.compile(r"/([0-9a-f]{64})/checkpoint")
_LENGTH: Final = re.compile(r"[0-9]{1,9}")

_log = structlog.stdlib.get_logger(__name__)


def serve_witness(witness: Witness, listen: TcpAddress, *, setting: str) -> HttpServer:
    """Answers for a witness on `listen` until it's closed.

    Raises:
        SimpulError: PORT_IN_USE or CONFIG_INVALID.
    """
    return HttpServer(
        listen, partial(_Handler, witness), setting=setting, max_connections=MAX_CONNECTIONS
    )


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "simpul-witness"
    sys_version = ""
    timeout = TIMEOUT_S

    def __init__(self, witness: Witness, *arguments: Any) -> None:  # noqa: ANN401  (socketserver's)
        self._witness = witness
        super().__init__(*arguments)

    def do_POST(self) -> None:
        """`add-checkpoint`."""
        length = self.headers.get("Content-Length", "")
        if _LENGTH.fullmatch(length) is None or int(length) > MAX_REQUEST_BYTES:
            # What follows isn't read, so the connection is of no more use.
            self.close_connection = True
            self._send(_plain(HTTPStatus.BAD_REQUEST, "the request has no length, or is too long"))
            return
        body = self.rfile.read(int(length))
        if self.path != _ADD:
            self._send(_plain(HTTPStatus.NOT_FOUND, "there is no such path"))
            return
        self._send(self._asked(partial(self._witness.add_checkpoint, body)))

    def do_GET(self) -> None:
        """The latest checkpoint of a log."""
        match = _LATEST.fullmatch(self.path)
        if match is None:
            self._send(_plain(HTTPStatus.NOT_FOUND, "there is no such path"))
            return
        self._send(self._asked(partial(self._witness.checkpoint, match[1])))

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        """Nothing: every node asks every few seconds."""

    def _asked(self, ask: "partial[Answer]") -> Answer:
        try:
            return ask()
        except SimpulError as error:
            _log.error("witness failed", code=error.code, why=error.message)
        except Exception:  # noqa: BLE001 - logged, and answered with a fixed text
            _log.exception("witness failed")
        return _plain(HTTPStatus.INTERNAL_SERVER_ERROR, "the witness failed; nothing was cosigned")

    def _send(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.send_header("Cache-Control", "no-cache")
        self.end_headers()
        self.wfile.write(answer.body)


def _plain(status: HTTPStatus, text: str) -> Answer:
    return Answer(status, TEXT_TYPE, f"{text}\n".encode())
