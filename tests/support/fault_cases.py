"""The fault matrix: every fault, and how a run must end if it happens once or every time."""

from __future__ import annotations

import gc
from dataclasses import dataclass, field
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

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Connection, Response

PERSON: Final = "zoe-sentinel.sentinelova@sentinel.example"
"""Part of malformed responses; tests/tap/test_privacy.py checks that no log line has it."""

PHASES: Final[tuple[Phase, ...]] = ("submit", "poll", "first_page", "later_page")


# Fault types that only these tests need


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


RETRY = "complete after a retry"
RETRIED = Expected(RETRY, "failed after 8 attempts", ServiceUnavailableError, 8)
RETRIED_AND_RESUBMITTED = Expected(
    RETRY,
    "failed after 3 exports with 8 attempts each",
    error=ServiceUnavailableError,
    occurrences=24,
    may_repeat_rows=True,
)
DENIED_FOR_A_MOMENT = Expected(RETRY, "failed after 4 attempts", AccessDeniedError, 4)
RESUBMITTED = Expected(
    "complete after a resubmission",
    "failed after 3 exports",
    error=ExportFailedError,
    occurrences=3,
    may_repeat_rows=True,
)
POLLED = Expected(
    "complete after another poll", "failed after the export timeout", ExportTimeoutError, None
)
PERMANENT = Expected("failed at once", "failed at once", ExportFailedError, 1)
SKIPPED = "failed after all rows but the skipped ones"
ROWS_SKIPPED = Expected(SKIPPED, SKIPPED, StreamError, 1)

ByPhase: TypeAlias = "Mapping[Phase, Expected]"


def by_phase(*, submit: Expected, after: Expected) -> ByPhase:
    """Return the expected results of the submission and of the three phases after it."""
    return dict.fromkeys(PHASES, after) | {"submit": submit}


TRANSIENT = by_phase(submit=RETRIED, after=RETRIED_AND_RESUBMITTED)
DENIED = by_phase(submit=DENIED_FOR_A_MOMENT, after=DENIED_FOR_A_MOMENT)
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
        reason: Pattern of the reason in the error.
        expected: Expected result by phase; a phase without one does not have the fault.
        hangs: Whether the simulator holds the request.
        leaks_socket: Whether urllib3 leaves the socket of such a response to the garbage collector.
    """

    name: str
    fault_type: FaultType
    reason: str
    expected: ByPhase = field(default_factory=lambda: TRANSIENT)
    hangs: bool = False
    leaks_socket: bool = False


CUT = "ChunkedEncodingError"
INVALID_JSON = "the body is not valid JSON"
UNKNOWN = "the response has an unknown format"
CHUNKED = "HTTP/1.1 200 OK\nTransfer-Encoding: chunked"
GZIP = "HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 8"
TWO_LENGTHS = "HTTP/1.1 200 OK\nContent-Length: 2, 5"
INVALID_HEADER = f"HTTP/1.1 500 Oh\n{PERSON}\nContent-Length: 2"

CONNECTION_FAULTS = (
    FaultCase("connection reset", ConnectionReset(), "ConnectionError"),
    FaultCase("body shorter than its length", TruncatedBody(), CUT),
    FaultCase("chunked body cut", TruncatedBody(mode="chunked"), CUT),
    FaultCase("last byte missing", TruncatedBody(1.0), CUT),
    FaultCase("last chunk missing", TruncatedBody(1.0, "chunked"), CUT),
    FaultCase("no response", Hang(), "ReadTimeout", hangs=True),
    FaultCase("not HTTP", malformed(PERSON), "ConnectionError"),
    FaultCase(
        "invalid gzip", malformed(GZIP, b"sentinel"), "ContentDecodingError", leaks_socket=True
    ),
    FaultCase("invalid chunks", malformed(CHUNKED, f"{PERSON}\r\n".encode()), CUT),
    FaultCase("two lengths", malformed(TWO_LENGTHS, b"{}"), "InvalidHeader", leaks_socket=True),
    FaultCase("invalid header", malformed(INVALID_HEADER, b"{}"), "HTTP 500"),
)
STATUS_FAULTS = (
    FaultCase("429", Status(429), "the service is busy"),
    FaultCase("408", Status(408), "the service is busy"),
    FaultCase("500", Status(500, "Error retrieving query result"), "internal error .* .HTTP 500, "),
    FaultCase("503", Status(503), "HTTP 503"),
    FaultCase("400", Status(400), "HTTP 400", QUERY_GONE),
    FaultCase("404", Status(404), "HTTP 404", QUERY_GONE),
    FaultCase("401", Status(401), "denied access .HTTP 401", DENIED),
    FaultCase("403", Status(403), "denied access .HTTP 403", DENIED),
    FaultCase("201", Status(201), f"still queued after 30 minutes|{UNKNOWN}", NOT_READY),
    FaultCase("202", Status(202), f"still running after 30 minutes|{UNKNOWN}", NOT_READY),
    FaultCase("302", Redirect(f"https://elsewhere.example/{PERSON}"), "redirect.*HTTP 302", FATAL),
    FaultCase("302 to a host in Latin-1", Redirect("https://\xe9.example"), "redirect.*302", FATAL),
    FaultCase("308 to an invalid URL", Redirect(f"http://[{PERSON}", 308), "redirect.*308", FATAL),
)
BODY_FAULTS = (
    FaultCase("random bytes", RandomBytes(), INVALID_JSON),
    FaultCase("empty body", RawBody(b""), INVALID_JSON),
    FaultCase("HTML with 200", HtmlPage(), INVALID_JSON),
    FaultCase("HTML with 502", HtmlPage(502), "HTTP 502"),
    FaultCase("invalid JSON in a row", RawBody(b'{"Results": [{"id": "\\x"}]}'), INVALID_JSON),
    FaultCase("too deep a value", RawBody(b'{"a": ' + b"[" * 200_000), INVALID_JSON),
    FaultCase("too deep an array", RawBody(b"[" * 200_000), UNKNOWN, FATAL),
    FaultCase("too long a number", RawBody(b'{"a": ' + b"9" * 5000 + b"}"), UNKNOWN, FATAL),
    FaultCase("array", JsonBody([]), UNKNOWN, FATAL),
    FaultCase("null as Results", JsonBody({"Results": None}), UNKNOWN, FATAL),
    FaultCase("number as NextToken", JsonBody({"Results": [], "NextToken": 7}), UNKNOWN, FATAL),
    FaultCase(
        "numbers as rows",
        JsonBody({"Results": [7]}),
        f"1 row of .* without a usable id skipped|{UNKNOWN}",
        by_phase(submit=PERMANENT, after=ROWS_SKIPPED),
    ),
    FaultCase("last token again", RepeatToken(), "the same page token twice", WRONG_TOKEN),
    FaultCase("first token again", RepeatToken("first"), "same page token twice", WRONG_TOKEN),
)
MESSAGE_FAULTS = (
    FaultCase("failed query", FailQuery(), "the query failed .HTTP 500, ", EXPORT_FAILS),
    FaultCase("cancelled query", CancelQuery(), "the query was cancelled .HTTP 410", EXPORT_FAILS),
    FaultCase(
        "error message with 200",
        JsonBody({"message": "Error running query"}),
        'the query failed .HTTP 200, "Error running query"',
        EXPORT_FAILS,
    ),
    FaultCase(
        "message with 200 that the query is running",
        JsonBody({"message": "Query is running"}),
        f"still running after 30 minutes|{UNKNOWN}",
        NOT_READY,
    ),
    FaultCase("unknown message with 200", JsonBody({"message": "Hello"}), UNKNOWN, FATAL),
)
FAULT_CASES = (*CONNECTION_FAULTS, *STATUS_FAULTS, *BODY_FAULTS, *MESSAGE_FAULTS)


def close_leaked_sockets(error: BaseException | None) -> None:
    """Collect what an error refers to while the test ignores warnings about open sockets."""
    if error is not None:
        error.__traceback__ = error.__cause__ = error.__context__ = None
    gc.collect()
