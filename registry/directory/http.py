"""Serves the published folder over HTTP: the embedded default, for small federations.

It is a static file server for one folder and nothing else. Any web server, mirror or CDN over the
same folder serves nodes as well, and one that faces the internet should: what is served is signed,
and this server adds no trust to it.

Rules: GET and HEAD only; a path is either exactly one that the publisher can have written, or it is
not found: no decoding, no dot files, no links out of the folder, no listing; connections are
counted and timed, and one more than the limit is closed. Names with a version or a hash never
change, so they may be cached for ever; `timestamp.json` and `pack/newest` may not be cached at all.
"""

import re
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

from registry.directory.folder import TIMESTAMP_NAME
from registry.directory.packs import NEWEST_NAME
from runtime.http_server import TIMEOUT_S, HttpServer
from runtime.ports import TcpAddress

MAX_CONNECTIONS: Final = 256
MAX_PATH_CHARS: Final = 512
CHUNK_BYTES: Final = 64 * 1024

_PART: Final = r"[A-Za-z0-9_~][A-Za-z0-9._-]*"
_NAME: Final = re.compile(
    rf"/(metadata/{_PART}|targets(?:/{_PART}){{1,3}}|log(?:/{_PART}){{1,8}}|pack/{_PART})"
)

_FOR_EVER: Final = "public, max-age=31536000, immutable"
_NEVER: Final = "no-cache"
_REPLACED: Final = frozenset({TIMESTAMP_NAME, NEWEST_NAME})


class DirectoryServer:
    """A running server, on threads of its own."""

    def __init__(self, folder: Path, listen: TcpAddress, *, setting: str) -> None:
        """Binds and starts.

        Args:
            folder: What is served: holds `metadata/`, `targets/`, `log/` and `pack/`.
            listen: Port 0 takes a free one.
            setting: The configuration's key of `listen`, for the error's text.

        Raises:
            SimpulError: PORT_IN_USE or CONFIG_INVALID, as `runtime.ports.ensure_free` says.
        """
        self._server = HttpServer(
            listen,
            partial(_Handler, folder.resolve()),
            setting=setting,
            max_connections=MAX_CONNECTIONS,
        )
        self.address = self._server.address

    def close(self) -> None:
        """Stops answering and frees the port."""
        self._server.close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "simpul-registry"
    sys_version = ""
    timeout = TIMEOUT_S

    def __init__(self, folder: Path, *arguments: Any) -> None:  # noqa: ANN401  (socketserver's)
        self._folder = folder
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """A file, or 404."""
        self._answer(with_body=True)

    def do_HEAD(self) -> None:
        """What GET would say of the file."""
        self._answer(with_body=False)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Nothing: 700 nodes ask every minute."""

    def _answer(self, *, with_body: bool) -> None:
        name = published_name(self.path)
        path = None if name is None else self._folder / name
        # A link inside the folder could lead anywhere.
        if path is None or path.is_symlink() or not path.is_file():
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        with path.open("rb") as file:
            length = file.seek(0, 2)
            file.seek(0)
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", "application/octet-stream")
            self.send_header("Content-Length", str(length))
            self.send_header("Cache-Control", _NEVER if name in _REPLACED else _FOR_EVER)
            self.end_headers()
            while with_body and (chunk := file.read(CHUNK_BYTES)):
                self.wfile.write(chunk)


def published_name(path: str) -> str | None:
    """The published name that a request's path asks for; None for a path that can't be one."""
    if len(path) > MAX_PATH_CHARS or ".." in path:
        return None
    match = _NAME.fullmatch(path)
    return None if match is None else match[1]
