"""Fault types of a hostile service: endless responses, endless pages, contradictory headers."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import count, repeat
from typing import TYPE_CHECKING, Literal

from typing_extensions import override

from .faults import FaultType
from .queries import Page
from .request_context import PAGES
from .responses import JSON, CompleteResponse, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .request_context import RequestContext
    from .responses import Connection


@dataclass(frozen=True)
class _EndlessResponse:
    """Chunks of bytes until the client closes the connection or the simulator is closing."""

    headers: Mapping[str, str] | None
    chunks: Iterator[bytes]
    seconds: float
    status: int

    def send(self, connection: Connection) -> None:
        """Send the chunks with a pause before each."""
        with suppress(ConnectionError):
            if self.headers is None:
                connection.send(b"HTTP/1.1 200 OK\r\n", b"")
            else:
                connection.send(connection.format_head(self.status, self.headers), b"")
            while connection.pause(self.seconds):
                connection.send(next(self.chunks), b"")
        connection.close()


@dataclass(frozen=True)
class SlowResponse(FaultType):
    """A response that arrives byte by byte and never ends: its head, body or chunks."""

    part: Literal["head", "body", "chunks"]
    seconds: float = 0.02

    @override
    def respond(self, context: RequestContext) -> Response:
        headers, chunk = {
            "head": (None, b"X-Slow: 1\r\n"),
            "body": ({"Content-Type": JSON, "Content-Length": "1000000"}, b" "),
            "chunks": ({"Content-Type": JSON, "Transfer-Encoding": "chunked"}, b"1\r\n \r\n"),
        }[self.part]
        return _EndlessResponse(headers, repeat(chunk), self.seconds, context.planned_status)


@dataclass(frozen=True)
class EndlessBody(FaultType):
    """A body without end, sent as fast as the client reads it."""

    code: int = HTTPStatus.OK
    gzip: bool = False

    @override
    def respond(self, context: RequestContext) -> Response:
        headers = {"Content-Type": JSON, "Connection": "close"}
        chunk = b" " * 2**16
        if not self.gzip:
            return _EndlessResponse(headers, repeat(chunk), 0, self.code)
        gzip = zlib.compressobj(wbits=31)
        chunks = (gzip.compress(chunk) + gzip.flush(zlib.Z_SYNC_FLUSH) for _ in count())
        return _EndlessResponse({**headers, "Content-Encoding": "gzip"}, chunks, 0, self.code)


@dataclass(frozen=True)
class WrongContentLength(FaultType):
    """The regular response with another Content-Length, optionally in chunks, which count."""

    length: str
    is_chunked: bool = False

    @override
    def respond(self, context: RequestContext) -> Response:
        complete = context.execute()
        if not self.is_chunked:
            return replace(complete, length=self.length)
        body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(complete.body), complete.body)
        headers = {**complete.headers, "Transfer-Encoding": "chunked"}
        return CompleteResponse(complete.status, body, headers, self.length)


@dataclass(frozen=True)
class EndlessPages(FaultType):
    """Pages without rows that always have a new token."""

    phases = PAGES

    @override
    def respond(self, context: RequestContext) -> Response:
        query = context.existing_query
        query.is_finished = True
        return Page((), query.issue_token(0)).response()


@dataclass
class RepeatQueryId(FaultType):
    """The same queryId for every POST."""

    phases = frozenset({"submit"})
    query_id: str | None = field(default=None, init=False)

    @override
    def respond(self, context: RequestContext) -> Response:
        if self.query_id is None:
            response = context.execute()
            self.query_id = None if context.query is None else context.query.id
            return response
        return json_response(HTTPStatus.OK, {"queryId": self.query_id})
