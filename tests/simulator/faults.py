"""Faults on demand: what goes wrong (a kind), and when (a fault).

    simulator.inject(Fault(Status(503), stream="events", phase="submit", times=2))
    simulator.inject(ConnectionReset().on("events", "later_page", after=1))

A kind decides by `applies` which requests it has a meaning for, and by `outcome` what the client
gets. Messages and statuses are those of specification 1.1, POST and GET responses.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, Literal

from .request_context import PAGES, PHASES
from .responses import (
    CANCELLED,
    FAILED,
    JSON,
    RUNNING,
    CompleteResponse,
    DroppedConnection,
    HeldResponse,
    Response,
    TruncatedResponse,
    json_response,
    message_response,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from .request_context import Phase, RequestContext


class FaultType(ABC):
    """What goes wrong with a request."""

    def applies(self, context: RequestContext) -> bool:  # noqa: ARG002 - most kinds take any request
        """Tell whether this kind has a meaning for the request; if not, it is not used up by it."""
        return True

    @abstractmethod
    def respond(self, context: RequestContext) -> Response:
        """Return what the client gets; `context.execute()` is what the service would have said."""

    def on(
        self,
        stream: str | None = None,
        phase: Phase | None = None,
        *,
        times: int | None = 1,
        after: int = 0,
    ) -> Fault:
        """Return a fault of this kind."""
        return Fault(self, stream=stream, phase=phase, times=times, after=after)

    def __repr__(self) -> str:
        """Name the kind, the same in every process: the names of tests have it."""
        return f"{type(self).__name__}()"


@dataclass
class Fault:
    """A kind, and the requests it hits: of a stream and in a phase (None: of any, in any).

    The first `after` matching requests are spared, the next `times` are hit (None: all of them).
    Phases: submit (POST), poll (GET that would answer 201 or 202), first_page (GET without a token
    that would answer 200), later_page (GET with a token). A request that the service refuses by
    itself (401, 400, ...) is in no phase and matches only a fault without one. `fired` counts hits.
    """

    type: FaultType
    stream: str | None = None
    phase: Phase | None = None
    times: int | None = 1
    after: int = 0
    fired: int = field(default=0, init=False)
    _seen: int = field(default=0, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what could never match."""
        if self.phase is not None and self.phase not in PHASES:
            message = f"phase must be one of {', '.join(PHASES)}, not {self.phase!r}"
            raise ValueError(message)
        if (self.times is not None and self.times < 1) or self.after < 0:
            message = "times must be at least 1 (or None), after at least 0"
            raise ValueError(message)

    def matches(self, context: RequestContext) -> bool:
        """Tell whether the request is one of this fault's, hit or spared."""
        return (
            self.stream in {None, context.stream}
            and self.phase in {None, context.phase}
            and self.type.applies(context)
        )

    def due(self) -> bool:
        """Count a matching request; tell whether it is to be hit."""
        self._seen += 1
        return self._seen > self.after and (self.times is None or self.fired < self.times)


class FaultList:
    """The injected faults. Each counts every request that matches it; the first due one hits."""

    def __init__(self) -> None:
        """Start without faults."""
        self._faults: list[Fault] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        """Add a fault behind those that are there."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Forget all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, context: RequestContext) -> Fault | None:
        """Return the fault that hits the request, counted as fired."""
        with self._lock:
            due = [fault for fault in self._faults if fault.matches(context) and fault.due()]
            if not due:
                return None
            due[0].fired += 1
            return due[0]


# -- answers that the service did not mean -------------------------------------------------------


@dataclass(frozen=True)
class Status(FaultType):
    """Any status code, with {"message": ...} (default: the code's own phrase) and more headers.

    `headers` may hold, for instance, Retry-After. `value` takes the place of the message's object.
    """

    code: int
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    value: object = None

    def respond(self, context: RequestContext) -> Response:
        """Answer the status; the service does nothing."""
        del context
        if self.value is not None:
            return json_response(self.code, self.value, self.headers)
        known = self.code in {status.value for status in HTTPStatus}
        phrase = HTTPStatus(self.code).phrase if known else "Unknown"
        return message_response(self.code, self.message or phrase, self.headers)


@dataclass(frozen=True)
class JsonBody(FaultType):
    """200 with a given JSON value, for instance [], {"Results": null} or {"message": "Error"}."""

    value: object

    def respond(self, context: RequestContext) -> Response:
        """Answer the value; the service does nothing."""
        del context
        return json_response(HTTPStatus.OK, self.value)


@dataclass(frozen=True)
class RandomBytes(FaultType):
    """200 with `length` random bytes that are called JSON."""

    length: int = 512
    seed: int = 0

    def respond(self, context: RequestContext) -> Response:
        """Answer the bytes; the service does nothing."""
        del context
        # The first byte rules out that the rest happens to be JSON.
        body = b"\xff" + Random(self.seed).randbytes(self.length)  # noqa: S311 - not for secrets
        return CompleteResponse(HTTPStatus.OK, body[: self.length], {"Content-Type": JSON})


@dataclass(frozen=True)
class HtmlPage(FaultType):
    """A page of HTML, as a proxy's error or login page (200 by default)."""

    code: int = HTTPStatus.OK
    page: str = "<!doctype html><html><title>Sign in</title><body>Please sign in.</body></html>"

    def respond(self, context: RequestContext) -> Response:
        """Answer the page; the service does nothing."""
        del context
        return CompleteResponse(
            self.code, self.page.encode(), {"Content-Type": "text/html; charset=utf-8"}
        )


@dataclass(frozen=True)
class Redirect(FaultType):
    """302 or 307 to a URL."""

    location: str
    code: int = HTTPStatus.FOUND

    def respond(self, context: RequestContext) -> Response:
        """Answer the redirect; the service does nothing."""
        del context
        return CompleteResponse(self.code, b"", {"Location": self.location})


@dataclass(frozen=True)
class MessageOnly(FaultType):
    """200 with only a message while the query runs, in place of 202."""

    message: str | None = None

    def applies(self, context: RequestContext) -> bool:
        """Apply to what would be answered 202."""
        return context.planned == HTTPStatus.ACCEPTED

    def respond(self, context: RequestContext) -> Response:
        """Answer 200 with the message of the 202, or another one; the poll counts."""
        answer = context.execute()
        if self.message is not None:
            return message_response(HTTPStatus.OK, self.message)
        return CompleteResponse(HTTPStatus.OK, answer.body) if answer is RUNNING else answer


@dataclass(frozen=True)
class StillRunning(FaultType):
    """202 in place of a first page until a condition holds, however long that takes."""

    until: Callable[[], bool]

    def applies(self, context: RequestContext) -> bool:
        """Apply to first pages while the condition does not hold."""
        return context.phase == "first_page" and not self.until()

    def respond(self, context: RequestContext) -> Response:
        """Answer 202; the query stays unfinished."""
        del context
        return RUNNING


# -- connections that break ----------------------------------------------------------------------


@dataclass(frozen=True)
class ConnectionReset(FaultType):
    """A TCP RST before any byte of the answer."""

    def respond(self, context: RequestContext) -> Response:
        """Drop the connection; the service does nothing."""
        del context
        return DroppedConnection()


@dataclass(frozen=True)
class TruncatedBody(FaultType):
    """The real answer's headers and a share of its body, then the end of the connection.

    `mode` is how the body's end is announced: by Content-Length or by chunks.
    """

    share: float = 0.5
    mode: Literal["length", "chunked"] = "length"

    def respond(self, context: RequestContext) -> Response:
        """Cut the service's answer; what the service did, a submit for instance, is done."""
        answer = context.execute()
        return TruncatedResponse(
            answer, int(len(answer.body) * self.share), chunked=self.mode == "chunked"
        )


@dataclass(frozen=True)
class Hang(FaultType):
    """Silence until `simulator.release()`, then the answer that was due when the request came."""

    def respond(self, context: RequestContext) -> Response:
        """Hold the answer back; a submit, for instance, happens only on release."""
        return HeldResponse(context.execute)


# -- odd pages -----------------------------------------------------------------------------------


class _PageKind(FaultType):
    """A kind that has a meaning for pages only."""

    def applies(self, context: RequestContext) -> bool:
        """Apply to pages."""
        return context.phase in PAGES


@dataclass(frozen=True)
class EmptyPage(_PageKind):
    """200 {"Results": [], "NextToken": ...}; the page that was due comes under that token."""

    def respond(self, context: RequestContext) -> Response:
        """Put an empty page before the one that was asked for."""
        context.existing_query.insert_empty_page(context.token)
        return context.page().response()


@dataclass(frozen=True)
class RepeatToken(FaultType):
    """A later page whose NextToken is the token just used, or the first one of the query."""

    which: Literal["used", "first"] = "used"

    def applies(self, context: RequestContext) -> bool:
        """Apply to pages after the first: before, there is no token to repeat."""
        return context.phase == "later_page"

    def respond(self, context: RequestContext) -> Response:
        """Answer the right rows with a token that leads back."""
        query = context.existing_query
        token = context.token if self.which == "used" else query.first_token
        return replace(context.page(), next_token=token).response()


@dataclass(frozen=True)
class TokenKey(_PageKind):
    """A page whose token stands under another key."""

    key: str = "nextToken"

    def applies(self, context: RequestContext) -> bool:
        """Apply to pages with another one after them."""
        return super().applies(context) and context.peek().next_token is not None

    def respond(self, context: RequestContext) -> Response:
        """Answer the page under the other spelling."""
        return context.page().response(key=self.key)


class _LastTokenKind(_PageKind):
    """A last page with a token key all the same."""

    token: object

    def applies(self, context: RequestContext) -> bool:
        """Apply to last pages."""
        return super().applies(context) and context.peek().next_token is None

    def respond(self, context: RequestContext) -> Response:
        """Answer the page with the key."""
        return context.page().response(last=(self.token,))


class NullToken(_LastTokenKind):
    """A last page with "NextToken": null."""

    token = None


class EmptyToken(_LastTokenKind):
    """A last page with "NextToken": ""."""

    token = ""


# -- queries that end badly ----------------------------------------------------------------------


class _EndQuery(FaultType):
    """Ends the query that the request starts or asks for; on a submit, its first GET shows it."""

    answer: CompleteResponse

    def applies(self, context: RequestContext) -> bool:
        """Apply to requests that the service does not refuse by itself."""
        return context.phase in PHASES

    def respond(self, context: RequestContext) -> Response:
        """End the query, from now on."""
        if context.phase == "submit":
            submitted = context.execute()
            if context.query is not None:
                context.query.fail(self.answer)
            return submitted
        context.existing_query.fail(self.answer)
        context.existing_query.observed = True
        return self.answer


class FailQuery(_EndQuery):
    """The query fails: 500 "Query execution failed" from then on."""

    answer = FAILED


class CancelQuery(_EndQuery):
    """The query is cancelled: 410 "Query execution was cancelled" from then on."""

    answer = CANCELLED
