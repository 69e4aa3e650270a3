"""A small HTTP server on threads, for what has few and simple paths: bounded, timed, quiet.

Rules: connections are counted, and one more than the limit is closed; a connection that says
nothing is dropped; a slow client holds up neither the others nor the program's end; nothing of the
client's is looked up or logged.
"""

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Final

import structlog

from runtime.ports import TcpAddress, ensure_free

# Of one read or write on a connection, and so of an idle one too.
TIMEOUT_S: Final = 10.0
_POLL_S: Final = 0.1

_log = structlog.stdlib.get_logger(__name__)

Handler = Callable[..., BaseHTTPRequestHandler]


class HttpServer:
    """A running server, on threads of its own."""

    def __init__(
        self, listen: TcpAddress, handler: Handler, *, setting: str, max_connections: int
    ) -> None:
        """Binds and starts.

        Args:
            listen: Port 0 takes a free one.
            handler: Makes what answers one connection.
            setting: The configuration's key of `listen`, for the error's text and the log.
            max_connections: At once.

        Raises:
            SimpulError: PORT_IN_USE or CONFIG_INVALID, as `runtime.ports.ensure_free` says.
        """
        ensure_free(listen, setting)
        self._server = _Server(listen, handler, setting, max_connections)
        self.address = TcpAddress(listen.host, int(self._server.server_address[1]))
        self._thread = threading.Thread(
            target=partial(self._server.serve_forever, poll_interval=_POLL_S),
            name=f"http {setting}",
            daemon=True,
        )
        self._thread.start()

    def close(self) -> None:
        """Stops answering, cuts the connections that are open, and frees the port."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut()
        self._thread.join()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # A handler that waits for a slow client must not hold up the program's end.
    block_on_close = False
    request_queue_size = 128

    def __init__(
        self,
        listen: TcpAddress,
        handler: Any,  # noqa: ANN401  (socketserver's)
        setting: str,
        max_connections: int,
    ) -> None:
        if ":" in listen.host:
            self.address_family = socket.AF_INET6
        self._setting = setting
        self._limit = max_connections
        self._room = threading.BoundedSemaphore(max_connections)
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        super().__init__((listen.host, listen.port), handler)

    def server_bind(self) -> None:
        """Binds without the look-up of the host's own name, which may wait for a server."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()

    def process_request(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """Hands a connection to a thread, or closes it where there is no room."""
        if not self._room.acquire(blocking=False):
            _log.warning("connection refused", at=self._setting, limit=self._limit)
            self.shutdown_request(request)
            return
        # Headers and body are two writes. Held back, the second waits for the client's delayed
        # acknowledgement of the first: 40 ms for each file of a directory.
        with suppress(OSError):
            request.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:  # noqa: ANN401
        """One connection's life."""
        with self._lock:
            self._open.add(request)
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._lock:
                self._open.discard(request)
            self._room.release()

    def cut(self) -> None:
        """Ends the connections that are kept alive: nobody is there to answer them any more."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ANN401, ARG002
        """A client that is gone is no event; anything else is logged, and the server goes on."""
        _log.debug("connection ended", at=self._setting, exc_info=True)
