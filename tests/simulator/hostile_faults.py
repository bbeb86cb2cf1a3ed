"""Faults of a service that is broken in ways no API should be: responses and pages without end."""

from __future__ import annotations

import zlib
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from itertools import count
from typing import TYPE_CHECKING, Literal

from .faults import FaultType
from .request_context import PAGES
from .responses import JSON, CompleteResponse, Response, json_response

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .request_context import RequestContext
    from .responses import Connection


@dataclass(frozen=True)
class RawBody(FaultType):
    """200 with any body that is called JSON."""

    body: bytes

    def respond(self, context: RequestContext) -> Response:
        """Answer the body; the service does nothing."""
        del context
        return CompleteResponse(HTTPStatus.OK, self.body)


@dataclass(frozen=True)
class _Stream:
    """Octets that come until the client closes the connection or the simulator is closed."""

    head: Mapping[str, str] | None
    octets: Iterator[bytes]
    seconds: float
    status: int

    def send(self, wire: Connection) -> None:
        """Send them, with a pause before each part."""
        with suppress(ConnectionError):
            start = (
                b"HTTP/1.1 200 OK\r\n"
                if self.head is None
                else wire.format_head(self.status, self.head)
            )
            wire.send(start, b"")
            while wire.pause(self.seconds):
                wire.send(next(self.octets), b"")
        wire.close()


def _repeat(octets: bytes) -> Iterator[bytes]:
    while True:
        yield octets


@dataclass(frozen=True)
class SlowResponse(FaultType):
    """A response that comes slowly, octet by octet, and never ends: its head, body or chunks."""

    part: Literal["head", "body", "chunks"]
    seconds: float = 0.02

    def respond(self, context: RequestContext) -> Response:
        """Begin a response with the planned status; the service does nothing."""
        head: dict[str, str] | None = {"Content-Type": JSON}
        octets = b" "
        if self.part == "head":
            head, octets = None, b"X-Drip: 1\r\n"
        elif self.part == "body":
            head = {"Content-Type": JSON, "Content-Length": "1000000"}
        else:
            head = {"Content-Type": JSON, "Transfer-Encoding": "chunked"}
            octets = b"1\r\n \r\n"
        return _Stream(head, _repeat(octets), self.seconds, context.planned)


@dataclass(frozen=True)
class EndlessBody(FaultType):
    """A body without end, sent as fast as the client takes it."""

    code: int = HTTPStatus.OK
    gzip: bool = False

    def respond(self, context: RequestContext) -> Response:
        """Begin the body; the service does nothing."""
        del context
        head = {"Content-Type": JSON, "Connection": "close"}
        part = b" " * 2**16
        if not self.gzip:
            return _Stream(head, _repeat(part), 0, self.code)
        compressor = zlib.compressobj(wbits=31)
        octets = (compressor.compress(part) + compressor.flush(zlib.Z_SYNC_FLUSH) for _ in count())
        return _Stream({**head, "Content-Encoding": "gzip"}, octets, 0, self.code)


@dataclass(frozen=True)
class _Misannounced:
    answer: CompleteResponse
    length: str
    is_chunked: bool

    @property
    def status(self) -> int:
        return self.answer.status

    def send(self, wire: Connection) -> None:
        body = self.answer.body
        headers = {**self.answer.headers, "Content-Length": self.length}
        if self.is_chunked:
            headers["Transfer-Encoding"] = "chunked"
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        wire.send(wire.format_head(self.answer.status, headers), body)
        wire.close()


@dataclass(frozen=True)
class WrongContentLength(FaultType):
    """The real answer with another Content-Length, perhaps beside chunks, which count."""

    length: str
    is_chunked: bool = False

    def respond(self, context: RequestContext) -> Response:
        """Answer; what the service did is done."""
        return _Misannounced(context.execute(), self.length, self.is_chunked)


@dataclass(frozen=True)
class EndlessPages(FaultType):
    """Pages with a token that is always new: without rows, or with those of the first page."""

    rows: Literal["none", "same"]

    def applies(self, context: RequestContext) -> bool:
        """Apply to pages."""
        return context.phase in PAGES

    def respond(self, context: RequestContext) -> Response:
        """Answer the page; its token leads to the start."""
        query = context.existing_query
        token = query.issue_token(0)
        page = replace(query.page(None, context.size), next_token=token)
        query.observed = True
        return (replace(page, rows=()) if self.rows == "none" else page).response()


@dataclass
class RepeatQueryId(FaultType):
    """Each POST is answered with the queryId that the first one got."""

    query_id: str | None = field(default=None, init=False)

    def applies(self, context: RequestContext) -> bool:
        """Apply to submits."""
        return context.phase == "submit"

    def respond(self, context: RequestContext) -> Response:
        """Answer; the service starts one query only."""
        if self.query_id is None:
            answer = context.execute()
            self.query_id = None if context.query is None else context.query.id
            return answer
        return json_response(HTTPStatus.OK, {"queryId": self.query_id})


@dataclass(frozen=True)
class ExtraKeys(FaultType):
    """The page that was due, with more keys beside its own."""

    more: Mapping[str, object]

    def applies(self, context: RequestContext) -> bool:
        """Apply to pages."""
        return context.phase in PAGES

    def respond(self, context: RequestContext) -> Response:
        """Answer the page; a key of `more` comes first."""
        rest = context.page().response().body
        more = json_response(HTTPStatus.OK, dict(self.more)).body
        return CompleteResponse(HTTPStatus.OK, more[:-1] + b"," + rest[1:])
