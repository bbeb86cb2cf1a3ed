"""A threaded HTTP/1.1 server that can close all of its threads and connections."""

from __future__ import annotations

import socket
import struct
import sys
from contextlib import suppress
from datetime import UTC
from email.utils import format_datetime
from http.client import responses
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import TCPServer
from ssl import SSLError
from threading import Event, Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any

from .service import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime
    from ssl import SSLContext

    from .responses import Response

# SO_LINGER with 0 seconds: closing sends RST instead of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)
_SHUTDOWN_POLL_SECONDS = 0.01


class Gate:
    """A place where requests wait until the next release, or for some time.

    Closing the gate ends all waits, present and future.
    """

    def __init__(self) -> None:
        self._event = Event()
        self._closed = Event()
        self._waiting: list[object] = []
        self._lock = Lock()

    @property
    def waiting(self) -> list[object]:
        """Client addresses of the requests that are being held."""
        with self._lock:
            return list(self._waiting)

    def wait(self, client: object) -> bool:
        """Hold a request until the next release; return False if the gate was closed."""
        with self._lock:
            event = self._event
            self._waiting.append(client)
        event.wait()
        with self._lock:
            self._waiting.remove(client)
            return not self._closed.is_set()

    def pause(self, seconds: float) -> bool:
        """Wait regardless of releases; return False immediately if the gate is closed."""
        return not self._closed.wait(seconds)

    def release(self, *, close: bool = False) -> None:
        """Release the requests that are held now; `close` also ends later waits."""
        with self._lock:
            if close:
                self._closed.set()
            self._event.set()
            if not self._closed.is_set():
                self._event = Event()


class Server(ThreadingHTTPServer):
    """An HTTP server that answers with `handle`.

    Attributes:
        now: Returns the time for the Date header.
        errors: Errors of the simulator itself.
    """

    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        host: str,
        port: int,
        *,
        handle: Callable[[Request], Response],
        now: Callable[[], datetime],
        tls: SSLContext | None = None,
    ) -> None:
        """Bind to host and port (0: a free port) and start serving in a thread, with TLS or not."""
        self.handle = handle
        self.now = now
        self._tls = tls
        self.gate = Gate()
        self.errors: list[BaseException] = []
        self._connections: dict[Thread, socket.socket] = {}
        self._connections_lock = Lock()
        super().__init__((host, port), _Handler)
        self._loop = Thread(
            target=self.serve_forever, args=(_SHUTDOWN_POLL_SECONDS,), name="simulator", daemon=True
        )
        self._loop.start()

    @property
    def port(self) -> int:
        """The port that the server listens on."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Stop listening, reset open connections and join every thread."""
        self.gate.release(close=True)
        self.shutdown()
        self._loop.join()
        self.server_close()
        with self._connections_lock:
            connections = dict(self._connections)
        for connection in connections.values():
            # Wakes threads that wait for the next request on a kept-alive connection.
            with suppress(OSError):
                # Not SSLSocket.shutdown: it takes the TLS state away from the thread that reads.
                socket.socket.shutdown(connection, socket.SHUT_RDWR)
        for thread in connections:
            thread.join()

    def server_bind(self) -> None:
        """Bind without the reverse DNS lookup of HTTPServer, which can take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    def get_request(self) -> tuple[socket.socket, Any]:
        """Accept a connection; the TLS handshake happens in its thread, at the first read."""
        connection, address = super().get_request()
        if self._tls is not None:
            connection = self._tls.wrap_socket(
                connection, server_side=True, do_handshake_on_connect=False
            )
        return connection, address

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread that `close` can join."""
        thread = Thread(
            target=self._serve_connection,
            args=(request, client_address),
            name="simulator-connection",
            daemon=True,
        )
        with self._connections_lock:
            self._connections[thread] = request
        thread.start()

    def _serve_connection(self, request: socket.socket, client_address: object) -> None:
        try:
            self.process_request_thread(request, client_address)
        finally:
            with self._connections_lock:
                self._connections.pop(current_thread(), None)

    def handle_error(self, request: object, client_address: object) -> None:
        """Collect errors of the simulator; a client that disconnects or distrusts it is not one."""
        del request, client_address
        error = sys.exception()
        if error is not None and not isinstance(error, (ConnectionError, SSLError)):
            self.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests from one connection and sends the responses."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        if "Transfer-Encoding" in self.headers:
            # The body is not read: the connection cannot be reused.
            self.close_connection = True
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.handle(Request(self.command, self.path, self.headers)).send(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def format_head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Return the status line and the headers."""
        date = format_datetime(self.server.now().astimezone(UTC), usegmt=True)
        lines = [
            f"HTTP/1.1 {status} {responses.get(status, 'Unknown')}",
            f"Date: {date}",
            *(f"{name}: {value}" for name, value in headers.items()),
        ]
        if self.close_connection:
            lines.append("Connection: close")
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def send(self, head: bytes, body: bytes) -> None:
        """Send head and body in one write."""
        self.wfile.write(head if self.command == "HEAD" else head + body)

    def close(self) -> None:
        """Close the connection after this request."""
        self.close_connection = True

    def reset(self) -> None:
        """Send a TCP RST."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        # Detached: socketserver would shut the connection down with a FIN first.
        socket.close(self.connection.detach())

    def hold(self) -> bool:
        """Wait for the next release."""
        return self.server.gate.wait(self.client_address)

    def pause(self, seconds: float) -> bool:
        """Wait for some seconds."""
        return self.server.gate.pause(seconds)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Disable the default log to stderr."""
