"""A forward proxy on a local port, and endpoints that are not proxies."""

from __future__ import annotations

import selectors
import socket
from base64 import b64encode
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socketserver import BaseRequestHandler, BaseServer, TCPServer, ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"


@dataclass(frozen=True)
class ProxiedRequest:
    """A request to the proxy; `target` is `host:port` of a CONNECT, else a URL."""

    method: str
    target: str
    status: int


class ForwardProxy(ThreadingHTTPServer):
    """A proxy that forwards CONNECT (https) and absolute URLs (http).

        with ForwardProxy(credentials="user:password") as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    Attributes:
        url: Its URL, with the credentials.
        requests: The requests so far; the status of a forwarded one is 200.
    """

    daemon_threads = False  # `server_close` joins the threads

    def __init__(
        self, *, credentials: str | None = None, refusal: HTTPStatus | None = None
    ) -> None:
        """Start the proxy.

        Args:
            credentials: `user:password` that every request must send; others get 407.
            refusal: Status of every response, instead of forwarding.
        """
        self.requests: list[ProxiedRequest] = []
        self._refusal = refusal
        self._authorization = credentials and f"Basic {b64encode(credentials.encode()).decode()}"
        # Closing one end wakes every thread that relays.
        self.stop, self._stopper = socket.socketpair()
        super().__init__((HOST, 0), _ProxyHandler)
        self.url = f"http://{credentials}@{_site(self)}" if credentials else f"http://{_site(self)}"
        self._thread = _serve_in_thread(self)

    def __exit__(self, *_: object) -> None:
        """Close the connections and join the threads."""
        self._stopper.close()
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.stop.close()

    def __enter__(self) -> Self:
        """Return the proxy, which is already serving."""
        return self

    def server_bind(self) -> None:
        """Bind without the reverse DNS lookup of HTTPServer."""
        TCPServer.server_bind(self)
        self.server_name, self.server_port = HOST, int(self.server_address[1])

    def refusal_of(self, authorization: str | None) -> HTTPStatus | None:
        """Return the status with which a request is refused, or None."""
        if self._authorization is not None and authorization != self._authorization:
            return HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        return self._refusal


class _ProxyHandler(BaseHTTPRequestHandler):
    """Forwards one request, then relays bytes until a side closes its connection."""

    server: ForwardProxy
    timeout = 10  # a client that sends nothing must not keep the proxy from closing

    def _forward(self) -> None:
        self.close_connection = True
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path if "://" in self.path else f"//{self.path}")
        status = self.server.refusal_of(self.headers.get("Proxy-Authorization"))
        upstream = None
        if status is None:
            try:
                upstream = socket.create_connection((url.hostname, url.port or 80))
            except OSError:
                status = HTTPStatus.BAD_GATEWAY
        record = ProxiedRequest(self.command, self.path, status or HTTPStatus.OK)
        self.server.requests.append(record)
        if upstream is None:
            self.send_response(record.status)
            self.send_header("Proxy-Authenticate", 'Basic realm="proxy"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        with upstream, suppress(OSError):
            if self.command == "CONNECT":
                self.wfile.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                upstream.sendall(self._head(url._replace(scheme="", netloc="").geturl()) + body)
            self._relay(upstream)

    do_CONNECT = do_GET = do_POST = _forward  # noqa: N815 - names of the base class

    def _head(self, target: str) -> bytes:
        hop_by_hop = {"connection", "proxy-connection", "proxy-authorization"}
        kept = [
            f"{name}: {v}" for name, v in self.headers.items() if name.lower() not in hop_by_hop
        ]
        lines = [f"{self.command} {target} HTTP/1.1", *kept, "Connection: close", "", ""]
        return "\r\n".join(lines).encode("latin-1")

    def _relay(self, upstream: socket.socket) -> None:
        with selectors.DefaultSelector() as selector:
            for source, sink in (
                (self.connection, upstream),
                (upstream, self.connection),
                (self.server.stop, None),
            ):
                selector.register(source, selectors.EVENT_READ, (source, sink))
            while True:
                for key, _ in selector.select():
                    source, sink = key.data
                    data = source.recv(2**16)
                    if not data:
                        return
                    sink.sendall(data)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
        """Disable the default log to stderr."""


@contextmanager
def endpoint(answer: bytes) -> Iterator[str]:
    """Start an endpoint that answers any bytes with the same ones; yield its `http://` URL."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(ConnectionError):
                self.request.recv(2**16)
                self.request.sendall(answer)

    with ThreadingTCPServer((HOST, 0), Handler) as server:
        thread = _serve_in_thread(server)
        try:
            yield f"http://{_site(server)}"
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def closed_port() -> Iterator[str]:
    """Reserve a port that refuses connections; yield its `http://` URL."""
    with socket.socket() as reserved:
        reserved.bind((HOST, 0))
        yield f"http://{HOST}:{reserved.getsockname()[1]}"


def _site(server: TCPServer) -> str:
    return f"{HOST}:{server.server_address[1]}"


def _serve_in_thread(server: BaseServer) -> Thread:
    thread = Thread(target=server.serve_forever, args=(0.01,), name="proxy", daemon=True)
    thread.start()
    return thread
