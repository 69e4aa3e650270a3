"""Serves this node's copy of the directory to other nodes, over HTTP, if its operator says so.

For when the registry is out of reach: another node has this one's address among its
`registry.directory_url`. What is served is public and signed, and whoever fetches it verifies all
of it: this node can delay it, as any mirror can, and change nothing.

Rules: only names that a publisher can have written are looked up; a version that isn't the one in
use is not found, except of a root; of one request a file is read once.
"""

import json
import re
from functools import partial
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, Final

from tuf.api.exceptions import DownloadHTTPError

from node.directory.fetch import LocalFetcher
from node.directory.folder import ReplicaFolder
from node.directory.model import LOG, METADATA
from node.directory.replay import LeafFolder
from runtime.http_server import TIMEOUT_S, HttpServer
from runtime.ports import TcpAddress

MAX_CONNECTIONS: Final = 64
MAX_PATH_CHARS: Final = 512

_PART: Final = r"[A-Za-z0-9_~][A-Za-z0-9._-]*"
_NAME: Final = re.compile(rf"/(metadata/{_PART}|targets(?:/{_PART}){{1,3}}|log(?:/{_PART}){{1,8}})")
_VERSION: Final = re.compile(rf"{METADATA}/([0-9]+)\.[a-z0-9-]+\.json")


def serve_directory(folder: Path, listen: TcpAddress) -> HttpServer:
    """Serves the copy in `folder` until the server is closed.

    Raises:
        SimpulError: PORT_IN_USE or CONFIG_INVALID.
    """
    handler = partial(_Handler, ReplicaFolder(folder))
    return HttpServer(listen, handler, setting="directory.listen", max_connections=MAX_CONNECTIONS)


def published(folder: ReplicaFolder, path: str) -> bytes | None:
    """What a request's path asks for; None for what isn't here, or can't be anywhere."""
    match = _NAME.fullmatch(path)
    generation = folder.current()
    if match is None or generation is None or len(path) > MAX_PATH_CHARS or ".." in path:
        return None
    name = match[1]
    if name.startswith(f"{LOG}/"):
        return LeafFolder(folder.path).published(name.removeprefix(f"{LOG}/"))
    try:
        data = b"".join(LocalFetcher(generation / METADATA, folder.blobs).open(name))
    except (DownloadHTTPError, OSError):
        return None
    version = _VERSION.fullmatch(name)
    if version is not None and json.loads(data)["signed"]["version"] != int(version[1]):
        return None
    return data


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "simpul-node"
    sys_version = ""
    timeout = TIMEOUT_S

    def __init__(self, folder: ReplicaFolder, *arguments: Any) -> None:  # noqa: ANN401
        self._folder = folder
        super().__init__(*arguments)

    def do_GET(self) -> None:
        """A file, or 404."""
        data = published(self._folder, self.path)
        if data is None:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002, ANN401
        """Nothing: other nodes ask every minute."""
