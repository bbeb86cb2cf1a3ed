"""A forward proxy on a local port, and endpoints that are not proxies."""

from __future__ import annotations

import selectors
import socket
from base64 import b64encode
from collections import deque
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from socketserver import BaseRequestHandler, ThreadingTCPServer
from threading import Thread
from typing import TYPE_CHECKING, Self
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterator

HOST = "127.0.0.1"
_HOP_BY_HOP = {"connection", "proxy-connection", "proxy-authorization"}


class _Server(ThreadingTCPServer):
    """A server that ends all of its threads on exit; its handlers end when `stop` is readable."""

    request_queue_size = 128

    def __init__(self, handler: type[BaseRequestHandler]) -> None:
        super().__init__((HOST, 0), handler)
        self.site = f"{HOST}:{self.server_address[1]}"
        self.stop, self._stopper = socket.socketpair()
        self._thread = Thread(target=self.serve_forever, args=(0.01,), daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopper.close()
        self.shutdown()
        self._thread.join()
        self.server_close()
        self.stop.close()


@dataclass(frozen=True)
class ProxiedRequest:
    """A request to the proxy; `target` is `host:port` of a CONNECT, else a URL."""

    method: str
    target: str
    status: int


class ForwardProxy(_Server):
    """A proxy that forwards CONNECT (https) and absolute URLs (http).

        with ForwardProxy(credentials="user:password") as proxy:
            monkeypatch.setenv("HTTPS_PROXY", proxy.url)

    Args:
        credentials: What every request must send; others get 407.
        refusal: Status of every response, instead of forwarding; may change at any time.
        refusals: The same for the next requests, before `refusal` counts again.

    Attributes:
        url: Its URL, with the credentials.
        requests: The requests so far; the status of a forwarded one is 200.
    """

    def __init__(self, *, credentials: str = "", refusal: HTTPStatus | None = None) -> None:
        self.requests: list[ProxiedRequest] = []
        self.refusal = refusal
        self.refusals: deque[HTTPStatus | None] = deque()
        self._authorization = f"Basic {b64encode(credentials.encode()).decode()}"
        super().__init__(_ProxyHandler)
        self.url = f"http://{credentials}@{self.site}" if credentials else f"http://{self.site}"

    def refusal_of(self, authorization: str | None) -> HTTPStatus | None:
        """Return the status with which a request is refused, or None."""
        if "@" in self.url and authorization != self._authorization:
            return HTTPStatus.PROXY_AUTHENTICATION_REQUIRED
        return self.refusals.popleft() if self.refusals else self.refusal


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
                kept = [f"{name}: {value}" for name, value in self.headers.items()
                        if name.lower() not in _HOP_BY_HOP]  # fmt: skip
                line = f"{self.command} {url._replace(scheme='', netloc='').geturl()} HTTP/1.1"
                head = "\r\n".join([line, *kept, "Connection: close", "", ""])
                upstream.sendall(head.encode("latin-1") + body)
            self._relay(upstream)

    do_CONNECT = do_GET = do_POST = _forward  # noqa: N815 - names of the base class

    def _relay(self, upstream: socket.socket) -> None:
        client, stop = self.connection, self.server.stop
        with selectors.DefaultSelector() as selector:
            for source, sink in ((client, upstream), (upstream, client), (stop, None)):
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
    """Start an endpoint that answers every connection with some bytes; yield its URL."""

    class Handler(BaseRequestHandler):
        def handle(self) -> None:
            with suppress(OSError):
                self.request.recv(2**16)
                self.request.sendall(answer)

    with _Server(Handler) as server:
        yield f"http://{server.site}"


@contextmanager
def closed_port() -> Iterator[str]:
    """Reserve a port that refuses connections; yield its URL."""
    with socket.socket() as reserved:
        reserved.bind((HOST, 0))
        yield f"http://{HOST}:{reserved.getsockname()[1]}"
