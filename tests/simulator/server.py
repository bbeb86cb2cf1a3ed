"""The sockets: a threaded HTTP/1.1 server that keeps account of its threads and connections."""

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
from threading import Event, Lock, Thread, current_thread
from typing import TYPE_CHECKING, Any

from .service import Request

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    from .responses import Response

# SO_LINGER on, with 0 seconds: closing sends RST in place of FIN.
_NO_LINGER = struct.pack("ii", 1, 0)
# How long `close` may have to wait for the accepting thread.
_POLL_SECONDS = 0.01


class Gate:
    """Where requests wait: the held ones until the next release, others for a given time.

    When the gate is closed, for good, all of them go on.
    """

    def __init__(self) -> None:
        """Start open for waiting."""
        self._event = Event()
        self._closed = Event()
        self._waiting: list[object] = []
        self._lock = Lock()

    @property
    def waiting(self) -> list[object]:
        """The client addresses of the requests that are held now."""
        with self._lock:
            return list(self._waiting)

    def wait(self, client: object) -> bool:
        """Hold a client's request; return False if the gate was closed rather than released."""
        with self._lock:
            event = self._event
            self._waiting.append(client)
        event.wait()
        with self._lock:
            self._waiting.remove(client)
            return not self._closed.is_set()

    def pause(self, seconds: float) -> bool:
        """Wait so long, whatever is released; return False, at once, if the gate is closed."""
        return not self._closed.wait(seconds)

    def release(self, *, close: bool = False) -> None:
        """Let go of those that wait now; later ones wait anew unless the gate is closed."""
        with self._lock:
            if close:
                self._closed.set()
            self._event.set()
            if not self._closed.is_set():
                self._event = Event()


class Server(ThreadingHTTPServer):
    """Serves `handle` on host and port (0: a free one); `close` leaves no thread or socket behind.

    `now` returns the time for the Date header (aware UTC), which is `date` if that is set.
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
    ) -> None:
        """Bind and start to serve in a thread."""
        self.handle = handle
        self.now = now
        self.gate = Gate()
        self.date: str | None = None
        self.errors: list[BaseException] = []
        self._connections: dict[Thread, socket.socket] = {}
        self._connections_lock = Lock()
        super().__init__((host, port), _Handler)
        self._loop = Thread(
            target=self.serve_forever, args=(_POLL_SECONDS,), name="simulator", daemon=True
        )
        self._loop.start()

    @property
    def port(self) -> int:
        """The port that is listened on."""
        return int(self.server_address[1])

    def close(self) -> None:
        """Stop listening, break off what is being answered, and wait for every thread to end."""
        self.gate.release(close=True)
        self.shutdown()
        self._loop.join()
        self.server_close()
        with self._connections_lock:
            connections = dict(self._connections)
        for connection in connections.values():
            # This is what wakes a thread that waits for a kept-alive client's next request.
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        for thread in connections:
            thread.join()

    def server_bind(self) -> None:
        """Bind without looking up the host's name, which may take seconds."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = str(self.server_address[0]), self.port

    def process_request(self, request: Any, client_address: Any) -> None:
        """Serve a connection in a thread that `close` can find."""
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
        """Keep an error of the simulator for its user; a client that went away is none."""
        del request, client_address
        error = sys.exception()
        if error is not None and not isinstance(error, ConnectionError):
            self.errors.append(error)


class _Handler(BaseHTTPRequestHandler):
    """Reads requests from one connection and puts their outcomes on the wire."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: Server

    def _serve(self) -> None:
        if "Transfer-Encoding" in self.headers:
            # A body of unknown length would be read as the next request.
            self.close_connection = True
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.handle(Request(self.command, self.path, self.headers)).send(self)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _serve  # noqa: N815

    def format_head(self, status: int, headers: Mapping[str, str]) -> bytes:
        """Return the status line and the headers."""
        date = self.server.date
        if date is None:
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
        """Send both in one go."""
        self.wfile.write(head if self.command == "HEAD" else head + body)

    def close(self) -> None:
        """Close after this request."""
        self.close_connection = True

    def reset(self) -> None:
        """Send a TCP RST."""
        self.close_connection = True
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        # Detached, because the server would say goodbye (FIN) before it closes.
        socket.close(self.connection.detach())

    def hold(self) -> bool:
        """Wait for the simulator's release."""
        return self.server.gate.wait(self.client_address)

    def pause(self, seconds: float) -> bool:
        """Wait so long."""
        return self.server.gate.pause(seconds)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Print nothing."""
