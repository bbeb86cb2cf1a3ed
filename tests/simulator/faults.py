"""Faults on demand: what goes wrong (a fault type) and when (a fault).

    simulator.inject(Fault(Status(503), stream="events", phase="submit", times=2))
    simulator.inject(ConnectionReset().on("events", "later_page", after=1))

Statuses and messages are those of specification 1.1, responses of POST and GET.
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

    def applies(self, context: RequestContext) -> bool:  # noqa: ARG002 - most types fit any request
        """Return whether the type fits the request; if not, the request does not count."""
        return True

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
        """Return a fault of this type."""
        return Fault(self, stream=stream, phase=phase, times=times, after=after)

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

    def __post_init__(self) -> None:
        """Reject a fault that could never hit a request."""
        if self.phase is not None and self.phase not in PHASES:
            message = f"phase must be one of {', '.join(PHASES)}, not {self.phase!r}"
            raise ValueError(message)
        if (self.times is not None and self.times < 1) or self.after < 0:
            message = "times must be at least 1 (or None), after at least 0"
            raise ValueError(message)

    def matches(self, context: RequestContext) -> bool:
        """Return whether the fault counts this request."""
        return (
            self.stream in {None, context.stream}
            and self.phase in {None, context.phase}
            and self.type.applies(context)
        )

    def count(self) -> bool:
        """Count a matching request and return whether it is to be hit."""
        self._matched += 1
        return self._matched > self.after and (self.times is None or self.fired < self.times)


class FaultList:
    """Injected faults. Each counts every request that matches it; the first one due is used."""

    def __init__(self) -> None:
        """Start without faults."""
        self._faults: list[Fault] = []
        self._lock = Lock()

    def add(self, fault: Fault) -> None:
        """Append a fault."""
        with self._lock:
            self._faults.append(fault)

    def clear(self) -> None:
        """Remove all faults."""
        with self._lock:
            self._faults.clear()

    def take(self, context: RequestContext) -> Fault | None:
        """Return the fault that hits the request, counted as fired."""
        with self._lock:
            due = [fault for fault in self._faults if fault.matches(context) and fault.count()]
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
        value: JSON value that replaces the whole body.
    """

    code: int
    message: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    value: object = None

    def respond(self, context: RequestContext) -> Response:
        """Respond without executing the request."""
        del context
        if self.value is not None:
            return json_response(self.code, self.value, self.headers)
        is_known = self.code in {status.value for status in HTTPStatus}
        phrase = HTTPStatus(self.code).phrase if is_known else "Unknown"
        return message_response(self.code, self.message or phrase, self.headers)


@dataclass(frozen=True)
class JsonBody(FaultType):
    """200 with any JSON value, such as [], {"Results": null} or {"message": "Error"}."""

    value: object

    def respond(self, context: RequestContext) -> Response:
        """Respond without executing the request."""
        del context
        return json_response(HTTPStatus.OK, self.value)


@dataclass(frozen=True)
class RawBody(FaultType):
    """200 with any body, declared as JSON."""

    body: bytes

    def respond(self, context: RequestContext) -> Response:
        """Respond without executing the request."""
        del context
        return CompleteResponse(HTTPStatus.OK, self.body)


@dataclass(frozen=True)
class RandomBytes(FaultType):
    """200 with `length` random bytes, declared as JSON."""

    length: int = 512
    seed: int = 0

    def respond(self, context: RequestContext) -> Response:
        """Respond without executing the request."""
        del context
        # The first byte is not valid in UTF-8: the body cannot be JSON by accident.
        body = b"\xff" + Random(self.seed).randbytes(self.length)  # noqa: S311 - not for secrets
        return CompleteResponse(HTTPStatus.OK, body[: self.length])


@dataclass(frozen=True)
class HtmlPage(FaultType):
    """An HTML page, as from a proxy or a login form (200 by default)."""

    code: int = HTTPStatus.OK
    page: str = "<!doctype html><html><title>Sign in</title><body>Please sign in.</body></html>"

    def respond(self, context: RequestContext) -> Response:
        """Respond without executing the request."""
        del context
        return CompleteResponse(
            self.code, self.page.encode(), {"Content-Type": "text/html; charset=utf-8"}
        )


@dataclass(frozen=True)
class Redirect(FaultType):
    """A redirect to a URL."""

    location: str
    code: int = HTTPStatus.FOUND

    def respond(self, context: RequestContext) -> Response:
        """Respond without executing the request."""
        del context
        return CompleteResponse(self.code, b"", {"Location": self.location})


@dataclass(frozen=True)
class MessageOnly(FaultType):
    """200 with only a message instead of 202."""

    message: str | None = None

    def applies(self, context: RequestContext) -> bool:
        """Apply to polls of a running query."""
        return context.planned_status == HTTPStatus.ACCEPTED

    def respond(self, context: RequestContext) -> Response:
        """Count the poll; respond with the 202's message or another one."""
        response = context.execute()
        if self.message is not None:
            return message_response(HTTPStatus.OK, self.message)
        return CompleteResponse(HTTPStatus.OK, response.body) if response is RUNNING else response


@dataclass(frozen=True)
class StillRunning(FaultType):
    """202 instead of a first page until a condition holds."""

    until: Callable[[], bool]

    def applies(self, context: RequestContext) -> bool:
        """Apply to first pages until the condition holds."""
        return context.phase == "first_page" and not self.until()

    def respond(self, context: RequestContext) -> Response:
        """Respond with 202; the query stays active."""
        del context
        return RUNNING


# Broken connections


@dataclass(frozen=True)
class ConnectionReset(FaultType):
    """A TCP RST before the first byte of the response."""

    def respond(self, context: RequestContext) -> Response:
        """Drop the connection without executing the request."""
        del context
        return DroppedConnection()


@dataclass(frozen=True)
class TruncatedBody(FaultType):
    """The headers and a share of the body of the regular response, then the connection closes.

    Attributes:
        mode: How the length is declared: by Content-Length or in chunks.
    """

    share: float = 0.5
    mode: Literal["length", "chunked"] = "length"

    def respond(self, context: RequestContext) -> Response:
        """Execute the request and truncate the response."""
        complete = context.execute()
        kept = int(len(complete.body) * self.share)
        return TruncatedResponse(complete, kept, chunked=self.mode == "chunked")


@dataclass(frozen=True)
class Hang(FaultType):
    """No response until `simulator.release()`, then the regular one."""

    def respond(self, context: RequestContext) -> Response:
        """Execute the request only after the release."""
        return HeldResponse(context.execute)


# Unusual pages


class _PageFaultType(FaultType):
    """A fault type for pages."""

    def applies(self, context: RequestContext) -> bool:
        """Apply to pages."""
        return context.phase in PAGES


@dataclass(frozen=True)
class EmptyPage(_PageFaultType):
    """200 {"Results": [], "NextToken": ...}; its token leads to the requested page."""

    def respond(self, context: RequestContext) -> Response:
        """Insert an empty page before the requested one."""
        context.existing_query.insert_empty_page(context.token)
        return context.page().response()


@dataclass(frozen=True)
class RepeatToken(FaultType):
    """A later page whose NextToken is the token just used, or the first one of the query."""

    which: Literal["used", "first"] = "used"

    def applies(self, context: RequestContext) -> bool:
        """Apply to later pages: before the second page there is no token to repeat."""
        return context.phase == "later_page"

    def respond(self, context: RequestContext) -> Response:
        """Respond with the right rows and a repeated token."""
        token = context.token if self.which == "used" else context.existing_query.first_token
        return replace(context.page(), next_token=token).response()


@dataclass(frozen=True)
class TokenKey(_PageFaultType):
    """A page with the token under another key."""

    key: str = "nextToken"

    def applies(self, context: RequestContext) -> bool:
        """Apply to all pages but the last."""
        return super().applies(context) and context.preview_page().next_token is not None

    def respond(self, context: RequestContext) -> Response:
        """Respond with the page."""
        return context.page().response(key=self.key)


class _LastTokenFaultType(_PageFaultType):
    """A last page that has a token key."""

    token: object

    def applies(self, context: RequestContext) -> bool:
        """Apply to last pages."""
        return super().applies(context) and context.preview_page().next_token is None

    def respond(self, context: RequestContext) -> Response:
        """Respond with the page and the key."""
        return context.page().response(last=(self.token,))


class NullToken(_LastTokenFaultType):
    """A last page with "NextToken": null."""

    token = None


class EmptyToken(_LastTokenFaultType):
    """A last page with "NextToken": ""."""

    token = ""


# Failing queries


class _QueryFailure(FaultType):
    """Ends the query of a request."""

    failure: CompleteResponse

    def applies(self, context: RequestContext) -> bool:
        """Apply to requests that the service does not refuse."""
        return context.phase in PHASES

    def respond(self, context: RequestContext) -> Response:
        """End the query; a submit succeeds, and the first GET shows the failure."""
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
