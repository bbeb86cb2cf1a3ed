"""The fault matrix: every fault, and how a run must end if it happens once or every time."""

from __future__ import annotations

import gc
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Final, TypeAlias

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
    StreamError,
)
from tests.simulator import (
    CancelQuery,
    ConnectionReset,
    FailQuery,
    FaultType,
    Hang,
    HtmlPage,
    JsonBody,
    Phase,
    RandomBytes,
    RawBody,
    Redirect,
    RepeatToken,
    Status,
    TruncatedBody,
)
from tests.simulator.responses import CompleteResponse, message_response

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Connection, Response

PERSON: Final = "zoe-sentinel.sentinelova@sentinel.example"
"""Part of malformed responses; tests/tap/test_privacy.py checks that no log line has it."""

SECONDS_TO_DATE: Final = 30
PHASES: Final[tuple[Phase, ...]] = ("submit", "poll", "first_page", "later_page")


# Fault types that only these tests need


@dataclass(frozen=True)
class BusyUntil(FaultType):
    """429 with a Retry-After that is a date."""

    seconds: int

    def respond(self, context: RequestContext) -> Response:
        """Respond without executing the request."""
        del context
        at = datetime.now(UTC) + timedelta(seconds=self.seconds)
        header = {"Retry-After": format_datetime(at, usegmt=True)}
        return message_response(429, "Too many requests", header)


@dataclass(frozen=True)
class RawResponse:
    """Bytes, then the end of the connection."""

    data: bytes
    status: None = None

    def send(self, connection: Connection) -> None:
        """Send the bytes."""
        connection.send(self.data, b"")
        connection.close()


@dataclass(frozen=True)
class RawHttp(FaultType):
    """Bytes instead of an HTTP response."""

    data: bytes

    def respond(self, context: RequestContext) -> Response:
        """Respond without executing the request."""
        del context
        return RawResponse(self.data)


def malformed(head: str, body: bytes = b"") -> RawHttp:
    """Return a fault type with an invalid HTTP response."""
    lines = [*head.split("\n"), "Connection: close", "", ""]
    return RawHttp("\r\n".join(lines).encode() + body)


@dataclass(frozen=True)
class HalfResponse:
    """The first half of a response without a length; with a length and a silence, if it hangs."""

    response: CompleteResponse
    hangs: bool = False

    @property
    def status(self) -> int:
        """The HTTP status that the client sees."""
        return self.response.status

    def send(self, connection: Connection) -> None:
        """Send the first half of the body."""
        body = self.response.body
        length = {"Content-Length": str(len(body))} if self.hangs else {}
        headers = {**self.response.headers, **length}
        connection.send(connection.format_head(self.response.status, headers), b"")
        connection.send(body[: len(body) // 2], b"")
        if self.hangs:
            connection.hold()
        connection.close()


@dataclass(frozen=True)
class HalfBody(FaultType):
    """The first half of the regular response; the request is executed."""

    hangs: bool = False

    def respond(self, context: RequestContext) -> Response:
        """Cut the regular response."""
        return HalfResponse(context.execute(), self.hangs)


# Expected results


@dataclass(frozen=True)
class Expected:
    """How a stream ends if its requests of one phase have a fault.

    A result begins with "complete" (all rows, the new bookmark) or with "failed" (an error in one
    line, the old bookmark).

    Attributes:
        once: The result if the fault happens once.
        always: The result if it happens every time.
        error: The class of the error.
        occurrences: How often the fault happens until the stream fails; `None` for more than ten.
        may_repeat_rows: Whether rows may come twice, because the export is submitted again.
    """

    once: str
    always: str
    error: type[CampusGroupsError]
    occurrences: int | None
    may_repeat_rows: bool = False


RETRIED = Expected(
    "complete after a retry",
    "failed after 8 attempts",
    error=ServiceUnavailableError,
    occurrences=8,
)
RETRIED_AND_RESUBMITTED = Expected(
    "complete after a retry",
    "failed after 3 exports with 8 attempts each",
    error=ServiceUnavailableError,
    occurrences=24,
    may_repeat_rows=True,
)
DENIED_FOR_A_MOMENT = Expected(
    "complete after a retry",
    "failed after 4 attempts",
    error=AccessDeniedError,
    occurrences=4,
)
RESUBMITTED = Expected(
    "complete after a resubmission in halves",
    "failed after 3 exports",
    error=ExportFailedError,
    occurrences=3,
    may_repeat_rows=True,
)
POLLED = Expected(
    "complete after another poll",
    "failed after the export timeout",
    error=ExportTimeoutError,
    occurrences=None,
)
PERMANENT = Expected(
    "failed at once",
    "failed at once",
    error=ExportFailedError,
    occurrences=1,
)
ROWS_SKIPPED = Expected(
    "failed after all rows but the skipped ones",
    "failed after all rows but the skipped ones",
    error=StreamError,
    occurrences=1,
)
NO_FAULT = Expected(
    "complete: the response still says what is needed",
    "complete: the response still says what is needed",
    error=CampusGroupsError,
    occurrences=None,
)

ByPhase: TypeAlias = "Mapping[Phase, Expected]"


def by_phase(*, submit: Expected, after: Expected) -> ByPhase:
    """Return the expected results of the submission and of the three phases after it."""
    return dict.fromkeys(PHASES, after) | {"submit": submit}


TRANSIENT = by_phase(submit=RETRIED, after=RETRIED_AND_RESUBMITTED)
EXPORT_FAILS = by_phase(submit=RESUBMITTED, after=RESUBMITTED)
QUERY_GONE = by_phase(submit=PERMANENT, after=RESUBMITTED)
NOT_READY = by_phase(submit=PERMANENT, after=POLLED)
FATAL = by_phase(submit=PERMANENT, after=PERMANENT)
WRONG_TOKEN: ByPhase = {"later_page": PERMANENT}


@dataclass(frozen=True)
class FaultCase:
    """A fault and the expected results.

    Attributes:
        name: In words.
        fault_type: What goes wrong.
        expected: Expected result by phase; a phase without one does not have the fault.
        reason: Pattern of the reason in the error.
        retry_after: Delay before each retry that the service asks for, in seconds.
        hangs: Whether the simulator holds the request.
        leaks_socket: Whether urllib3 leaves the socket of such a response to the garbage collector.
    """

    name: str
    fault_type: FaultType
    expected: ByPhase
    reason: str
    retry_after: float | None = None
    hangs: bool = False
    leaks_socket: bool = False


INVALID_JSON = "the body is not valid JSON"
UNKNOWN_FORMAT = "the response has an unknown format"

CONNECTION_FAULTS = (
    FaultCase("connection reset", ConnectionReset(), TRANSIENT, "ConnectionError"),
    FaultCase("body shorter than its length", TruncatedBody(), TRANSIENT, "ChunkedEncodingError"),
    FaultCase("chunked body cut", TruncatedBody(mode="chunked"), TRANSIENT, "ChunkedEncodingError"),
    FaultCase("last byte missing", TruncatedBody(1.0), TRANSIENT, "ChunkedEncodingError"),
    FaultCase("last chunk missing", TruncatedBody(1.0, "chunked"), TRANSIENT, "ChunkedEncodingErr"),
    FaultCase(
        "half a body without a length",
        HalfBody(),
        {**TRANSIENT, "poll": NO_FAULT},  # the status is enough
        INVALID_JSON,
    ),
    FaultCase("no response", Hang(), TRANSIENT, "ReadTimeout", hangs=True),
    FaultCase(
        "half a body, then nothing", HalfBody(hangs=True), TRANSIENT, "ConnectionError", hangs=True
    ),
    FaultCase("not HTTP", malformed(PERSON), TRANSIENT, "ConnectionError"),
    FaultCase(
        "invalid gzip",
        malformed("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 8", b"sentinel"),
        TRANSIENT,
        "ContentDecodingError",
        leaks_socket=True,
    ),
    FaultCase(
        "invalid chunks",
        malformed("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", f"{PERSON}\r\n".encode()),
        TRANSIENT,
        "ChunkedEncodingError",
    ),
    FaultCase(
        "two lengths",
        malformed("HTTP/1.1 200 OK\nContent-Length: 2, 5", b"{}"),
        TRANSIENT,
        "InvalidHeader",
        leaks_socket=True,
    ),
    FaultCase(
        "invalid header",
        malformed(f"HTTP/1.1 500 Oh\n{PERSON}\nContent-Length: 2", b"{}"),
        TRANSIENT,
        "HTTP 500",
    ),
)
STATUS_FAULTS = (
    FaultCase("429", Status(429), TRANSIENT, "the service is busy"),
    FaultCase(
        "429 with Retry-After in seconds",
        Status(429, headers={"Retry-After": "7"}),
        TRANSIENT,
        "the service is busy",
        retry_after=7.0,
    ),
    FaultCase(
        "429 with a date as Retry-After",
        BusyUntil(SECONDS_TO_DATE),
        TRANSIENT,
        "the service is busy",
        retry_after=SECONDS_TO_DATE,
    ),
    FaultCase("408", Status(408), TRANSIENT, "the service is busy"),
    FaultCase(
        "500",
        Status(500, "Error retrieving query result"),
        TRANSIENT,
        'internal error of the service .HTTP 500, "Error retrieving query result"',
    ),
    FaultCase("502", Status(502), TRANSIENT, "HTTP 502"),
    FaultCase("503", Status(503), TRANSIENT, "HTTP 503"),
    FaultCase("504", Status(504), TRANSIENT, "HTTP 504"),
    FaultCase("400", Status(400), QUERY_GONE, "HTTP 400"),
    FaultCase("404", Status(404), QUERY_GONE, "HTTP 404"),
    FaultCase(
        "401",
        Status(401),
        by_phase(submit=DENIED_FOR_A_MOMENT, after=DENIED_FOR_A_MOMENT),
        "denied access .HTTP 401",
    ),
    FaultCase(
        "403",
        Status(403),
        by_phase(submit=DENIED_FOR_A_MOMENT, after=DENIED_FOR_A_MOMENT),
        "denied access .HTTP 403",
    ),
    FaultCase("201", Status(201), NOT_READY, f"still queued after 30 minutes|{UNKNOWN_FORMAT}"),
    FaultCase("202", Status(202), NOT_READY, f"still running after 30 minutes|{UNKNOWN_FORMAT}"),
    FaultCase("302", Redirect(f"https://elsewhere.example/{PERSON}"), FATAL, "redirect.*HTTP 302"),
    FaultCase("302 to a host in Latin-1", Redirect("https://\xe9.example"), FATAL, "redirect.*302"),
    FaultCase("308 to an invalid URL", Redirect(f"http://[{PERSON}", 308), FATAL, "redirect.*308"),
)
BODY_FAULTS = (
    FaultCase("random bytes", RandomBytes(), TRANSIENT, INVALID_JSON),
    FaultCase("empty body", RawBody(b""), TRANSIENT, INVALID_JSON),
    FaultCase("HTML with 200", HtmlPage(), TRANSIENT, INVALID_JSON),
    FaultCase("HTML with 502", HtmlPage(502), TRANSIENT, "HTTP 502"),
    FaultCase(
        "invalid JSON in a row", RawBody(b'{"Results": [{"id": "\\x"}]}'), TRANSIENT, INVALID_JSON
    ),
    FaultCase("too deep a value", RawBody(b'{"a": ' + b"[" * 200_000), TRANSIENT, INVALID_JSON),
    FaultCase("too deep an array", RawBody(b"[" * 200_000), FATAL, UNKNOWN_FORMAT),
    FaultCase("too long a number", RawBody(b'{"a": ' + b"9" * 5000 + b"}"), FATAL, UNKNOWN_FORMAT),
    FaultCase("array", JsonBody([]), FATAL, UNKNOWN_FORMAT),
    FaultCase("null as Results", JsonBody({"Results": None}), FATAL, UNKNOWN_FORMAT),
    FaultCase(
        "number as NextToken", JsonBody({"Results": [], "NextToken": 7}), FATAL, UNKNOWN_FORMAT
    ),
    FaultCase(
        "numbers as rows",
        JsonBody({"Results": [7]}),
        by_phase(submit=PERMANENT, after=ROWS_SKIPPED),
        f"1 row of .* without a usable id skipped|{UNKNOWN_FORMAT}",
    ),
    FaultCase("token of the page before", RepeatToken(), WRONG_TOKEN, "the same page token twice"),
    FaultCase(
        "token of the first page", RepeatToken("first"), WRONG_TOKEN, "same page token twice"
    ),
)
MESSAGE_FAULTS = (
    FaultCase(
        "failed query",
        FailQuery(),
        EXPORT_FAILS,
        'the query failed .HTTP 500, "Query execution failed"',
    ),
    FaultCase(
        "cancelled query",
        CancelQuery(),
        EXPORT_FAILS,
        'the query was cancelled .HTTP 410, "Query execution was cancelled"',
    ),
    FaultCase(
        "error message with 200",
        JsonBody({"message": "Error running query"}),
        EXPORT_FAILS,
        'the query failed .HTTP 200, "Error running query"',
    ),
    FaultCase(
        "message with 200 that the query is running",
        JsonBody({"message": "Query is running"}),
        NOT_READY,
        f"still running after 30 minutes|{UNKNOWN_FORMAT}",
    ),
    FaultCase("unknown message with 200", JsonBody({"message": "Hello"}), FATAL, UNKNOWN_FORMAT),
)
FAULT_CASES = (*CONNECTION_FAULTS, *STATUS_FAULTS, *BODY_FAULTS, *MESSAGE_FAULTS)


def close_leaked_sockets(error: BaseException | None) -> None:
    """Collect what an error refers to while the test ignores warnings about open sockets."""
    if error is not None:
        error.__traceback__ = error.__cause__ = error.__context__ = None
    gc.collect()
