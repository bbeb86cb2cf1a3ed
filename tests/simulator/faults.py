"""Faults on demand: what goes wrong (a fault type) and when (a fault).

    simulator.inject(Status(503).on("events", "submit", times=2))
    simulator.inject(ConnectionReset().on("events", "later_page", after=1))

Statuses and messages are those of specification 1.1, responses of POST and GET.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from http.client import responses
from random import Random
from threading import Lock
from typing import TYPE_CHECKING, ClassVar, Literal

from typing_extensions import override

from .request_context import PAGES, PHASES
from .responses import (
    CANCELLED,
    FAILED,
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
    """What goes wrong with a request.

    Attributes:
        phases: Phases of the requests that the type fits (None: any).
    """

    phases: ClassVar[frozenset[Phase] | None] = None

    def applies(self, context: RequestContext) -> bool:
        """Return whether the type fits the request; if not, the request does not count."""
        return self.phases is None or context.phase in self.phases

    @abstractmethod
    def respond(self, context: RequestContext) -> Response:
        """Return the response; `context.execute()` returns the regular one."""

    def on(
        self,
        stream: str | None = None,
        phase: Phase | None = None,
        *,
        times: int | None = 1,
        after: int = 0,
    ) -> Fault:
        """Return a fault of this type; see `Fault` for the arguments."""
        return Fault(self, stream, phase, times, after)

    def __repr__(self) -> str:
        """Return the type's name, which is part of test names."""
        return f"{type(self).__name__}()"


@dataclass
class Fault:
    """A fault type and the requests that it hits.

    A request that the service refuses (401, 400, ...) is in no phase and matches only a fault
    without one.

    Attributes:
        stream: Stream of the requests (None: any).
        phase: submit (POST), poll (GET answered with 201 or 202), first_page (GET without a token
            answered with 200) or later_page (GET with a token); None: any.
        times: How many matching requests are hit (None: all).
        after: How many matching requests are spared first.
        fired: How many requests were hit.
    """

    type: FaultType
    stream: str | None = None
    phase: Phase | None = None
    times: int | None = 1
    after: int = 0
    fired: int = field(default=0, init=False)
    _matched: int = field(default=0, init=False, repr=False)

    def is_due(self, context: RequestContext) -> bool:
        """Count a request if it matches, and return whether it is to be hit."""
        is_match = self.stream in {None, context.stream} and self.phase in {None, context.phase}
        if not (is_match and self.type.applies(context)):
            return False
        self._matched += 1
        if self._matched <= self.after:
            return False
        return self.times is None or self.fired < self.times


class FaultList:
    """Injected faults. Each counts every request that matches it; the first one due is used."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        with self._lock:
            self._faults.append(fault)

    def all(self) -> list[Fault]:
        """Return a copy of the list."""
        with self._lock:
            return list(self._faults)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, context: RequestContext) -> Fault | None:
        """Return the fault that hits the request, counted as fired."""
        with self._lock:
            due = [fault for fault in self._faults if fault.is_due(context)]
            if not due:
                return None
            due[0].fired += 1
            return due[0]


# Unexpected responses


@dataclass(frozen=True)
class Status(FaultType):
    """A status code with {"message": ...}.

    Attributes:
        message: The message (default: the code's standard phrase).
        headers: Further headers, such as Retry-After.
    """

    code: int
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)

    @override
    def respond(self, context: RequestContext) -> Response:
        phrase = responses.get(self.code, "Unknown")
        return message_response(self.code, self.message or phrase, self.headers)


@dataclass(frozen=True)
class JsonBody(FaultType):
    """200 with any JSON value, such as [], {"Results": null} or {"message": "Error"}."""

    value: object

    @override
    def respond(self, context: RequestContext) -> Response:
        return json_response(HTTPStatus.OK, self.value)


@dataclass(frozen=True)
class RawBody(FaultType):
    """200 with any body, declared as JSON."""

    body: bytes

    @override
    def respond(self, context: RequestContext) -> Response:
        return CompleteResponse(HTTPStatus.OK, self.body)


@dataclass(frozen=True)
class RandomBytes(FaultType):
    """200 with random bytes, declared as JSON."""

    @override
    def respond(self, context: RequestContext) -> Response:
        # The first byte is not valid in UTF-8: the body cannot be JSON by accident.
        body = b"\xff" + Random(0).randbytes(511)  # noqa: S311 - not for secrets
        return CompleteResponse(HTTPStatus.OK, body)


@dataclass(frozen=True)
class HtmlPage(FaultType):
    """An HTML page, as from a proxy or a login form (200 by default)."""

    code: int = HTTPStatus.OK
    page: str = "<!doctype html><html><title>Sign in</title><body>Please sign in.</body></html>"

    @override
    def respond(self, context: RequestContext) -> Response:
        return CompleteResponse(
            self.code, self.page.encode(), {"Content-Type": "text/html; charset=utf-8"}
        )


@dataclass(frozen=True)
class Redirect(FaultType):
    """A redirect to a URL."""

    location: str
    code: int = HTTPStatus.FOUND

    @override
    def respond(self, context: RequestContext) -> Response:
        return CompleteResponse(self.code, b"", {"Location": self.location})


@dataclass(frozen=True)
class StillRunning(FaultType):
    """202 instead of a first page until a condition holds."""

    until: Callable[[], bool]

    @override
    def applies(self, context: RequestContext) -> bool:
        return context.phase == "first_page" and not self.until()

    @override
    def respond(self, context: RequestContext) -> Response:
        return RUNNING


# Broken connections


@dataclass(frozen=True)
class ConnectionReset(FaultType):
    """A TCP RST before the first byte of the response."""

    @override
    def respond(self, context: RequestContext) -> Response:
        return DroppedConnection()


@dataclass(frozen=True)
class TruncatedBody(FaultType):
    """The headers and a share of the body of the regular response, then the connection closes.

    Attributes:
        mode: How the length is declared: by Content-Length or in chunks.
    """

    share: float = 0.5
    mode: Literal["length", "chunked"] = "length"

    @override
    def respond(self, context: RequestContext) -> Response:
        complete = context.execute()
        kept = int(len(complete.body) * self.share)
        return TruncatedResponse(complete, kept, chunked=self.mode == "chunked")


@dataclass(frozen=True)
class Hang(FaultType):
    """No response until `simulator.release()`, then the regular one."""

    @override
    def respond(self, context: RequestContext) -> Response:
        return HeldResponse(context.execute)


# Unusual pages


@dataclass(frozen=True)
class EmptyPage(FaultType):
    """200 {"Results": [], "NextToken": ...}; its token leads to the requested page."""

    phases = PAGES

    @override
    def respond(self, context: RequestContext) -> Response:
        context.existing_query.insert_empty_page(context.token)
        return context.page().response()


@dataclass(frozen=True)
class RepeatToken(FaultType):
    """A later page whose NextToken is the token just used, or the first one of the query."""

    phases = frozenset({"later_page"})
    which: Literal["used", "first"] = "used"

    @override
    def respond(self, context: RequestContext) -> Response:
        token = context.token if self.which == "used" else context.existing_query.first_token
        return replace(context.page(), next_token=token).response()


# Failing queries


class _QueryFailure(FaultType):
    """Ends the query of a request."""

    phases = PHASES
    failure: CompleteResponse

    @override
    def respond(self, context: RequestContext) -> Response:
        if context.phase == "submit":
            submitted = context.execute()
            if context.query is not None:
                context.query.fail(self.failure)
            return submitted
        context.existing_query.fail(self.failure)
        context.existing_query.is_finished = True
        return self.failure


class FailQuery(_QueryFailure):
    """The query fails: 500 "Query execution failed" from then on."""

    failure = FAILED


class CancelQuery(_QueryFailure):
    """The query is cancelled: 410 "Query execution was cancelled" from then on."""

    failure = CANCELLED
