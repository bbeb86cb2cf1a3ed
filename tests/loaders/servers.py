"""Servers on loopback that loaders write to."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import time
import urllib.request
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Any, Final, Self, TypeAlias
from urllib.parse import parse_qs, unquote_plus, urlsplit

from tests.loaders.environments import SkippedError, install
from tests.support.pipeline import bare_environment
from tests.support.postgres import Postgres, postgres, postgres_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

HOST: Final = "127.0.0.1"
_START_SECONDS: Final = 60

Values: TypeAlias = "dict[str, Any]"
"""What a loader's settings can refer to, and what a reader needs."""


class Servers:
    """Servers that are started at first use and stopped together."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._stack = ExitStack()
        self._started: dict[str, Any] = {}

    def __enter__(self) -> Self:
        """Return the servers, of which none has been started."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop all servers."""
        self._stack.close()

    def _start(self, name: str, start: Callable[[], AbstractContextManager[Any]]) -> Any:
        if name not in self._started:
            self._started[name] = self._stack.enter_context(start())
        return self._started[name]

    @contextmanager
    def room(self, server: str, name: str) -> Iterator[Values]:
        """Yield an empty database or bucket; the database is dropped afterwards.

        Args:
            server: One of the servers, or empty.
            name: Name of the bucket: letters and digits.
        """
        match server:
            case "":
                yield {}
            case "postgres":
                url = self._start(server, postgres_server)
                with postgres(url) as database:
                    yield _postgres_values(database)
            case "s3":
                url = self._start(server, lambda: _moto(self._folder))
                request(f"{url}/{name}", method="PUT")
                yield {"s3_url": url, "bucket": name}
            case "stitch":
                store = self._start(server, _stitch)
                store.batches.clear()
                yield {"stitch_url": store.url, "store": store}
            case "clickhouse":
                url = self._start(server, lambda: _clickhouse(self._folder))
                request(url, f"CREATE DATABASE {name}".encode())
                yield {"clickhouse_url": url, "clickhouse_port": urlsplit(url).port, "room": name}
            case _:
                message = f"needs {server}, which is not set up here"
                raise SkippedError(message)


_S3_KEY: Final = "Credential=loopback/20250601/us-east-1/s3/aws4_request"
_S3_HEADERS: Final = {
    # The stand-in for S3 refuses requests without a signature, and checks none.
    "Authorization": f"AWS4-HMAC-SHA256 {_S3_KEY}, SignedHeaders=host, Signature=none"
}


def request(url: str, body: bytes | None = None, method: str | None = None) -> bytes:
    """Send a request to a server on loopback and return the body of its answer."""
    assert url.startswith(f"http://{HOST}:")
    sent = urllib.request.Request(url, body, _S3_HEADERS, method=method)  # noqa: S310 - loopback
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(sent, timeout=120) as response:
        content: bytes = response.read()
    return content


def _postgres_values(database: Postgres) -> Values:
    found = re.fullmatch(
        r"postgresql://(?P<user>[^:@/]*)(:(?P<password>[^@/]*))?@(?P<host>[^:/?]*)(:\d+)?"
        r"/(?P<database>[^?]*)(\?(?P<query>.*))?",
        database.url,
    )
    assert found is not None, "the server's URL has no user"
    query = parse_qs(found["query"] or "")
    return {
        "postgres": database,
        "sqlalchemy_url": database.sqlalchemy_url,
        "pg_host": query.get("host", [found["host"]])[0],
        "pg_port": query.get("port", ["5432"])[0],
        "pg_user": unquote_plus(found["user"]),
        "pg_password": unquote_plus(found["password"] or "") or "none",
        "pg_database": found["database"],
    }


def free_port() -> int:
    """Return a port that no program listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
    return port


@contextmanager
def process(command: list[str | Path], folder: Path, url: str) -> Iterator[str]:
    """Start a server and yield its URL as soon as it answers."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "server.log").open("wb") as log:
        started = subprocess.Popen(
            command, cwd=folder, env=bare_environment(folder), stdout=log, stderr=log
        )
    try:
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                request(url)
            except OSError:
                if started.poll() is not None or time.monotonic() > deadline:
                    message = f"{command[0]} does not start"
                    raise SkippedError(message) from None
                time.sleep(0.1)
            else:
                break
        yield url
    finally:
        started.terminate()
        started.wait()


def _moto(folder: Path) -> AbstractContextManager[str]:
    """Start a stand-in for S3."""
    port = free_port()
    program = install("3.11", ["moto[server]==5.1.0"]) / "moto_server"
    return process([program, "-H", HOST, "-p", str(port)], folder / "moto", f"http://{HOST}:{port}")


_CHDB: Final = """
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from urllib.parse import parse_qsl, urlsplit
from chdb.session import Session

session = Session(sys.argv[2])

class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def do_GET(self):
        query = dict(parse_qsl(urlsplit(self.path).query))
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        sql = query.get("query", "") + " " + body.decode()
        form = query.get("default_format", "TabSeparated")
        try:
            session.query("USE " + query.get("database", "default"))
            status, answer = 200, session.query(sql.strip() or "SELECT 1", form).bytes()
        except Exception as error:
            status, answer = 500, str(error).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    do_POST = do_GET

HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


def _clickhouse(folder: Path) -> AbstractContextManager[str]:
    """Start ClickHouse as a library behind a small HTTP server."""
    port = free_port()
    python = install("3.11", ["chdb==4.4.0"]) / "python"
    command: list[str | Path] = [python, "-c", _CHDB, str(port), folder / "chdb" / "data"]
    return process(command, folder / "chdb", f"http://{HOST}:{port}/")


class StitchStore:
    """What the stand-in for Stitch's API has received.

    Attributes:
        url: Address of the API.
        batches: Bodies of the requests, in the order of their arrival.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.batches: list[bytes] = []


@contextmanager
def _stitch() -> Iterator[StitchStore]:
    """Start a stand-in for Stitch's API, which accepts every batch."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_: object) -> None:
            """Log nothing."""

        def do_POST(self) -> None:
            """Store a batch."""
            store.batches.append(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps({"status": "OK"}).encode()
            self.send_response(201)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with ThreadingHTTPServer((HOST, 0), Handler) as server:
        store = StitchStore(f"http://{HOST}:{server.server_port}/")
        Thread(target=server.serve_forever, daemon=True).start()
        yield store
        server.shutdown()
