"""Every fault in every phase, once and for good: the rows whole, or an error and the old bookmark.

Over real HTTP, in injected time. The table says what must become of each cell; what did is printed
at the end. Below it, what the table has no room for: bisect, refused streams, other paths.
"""

from __future__ import annotations

import gc
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, Any, TypeAlias
from unittest.mock import patch

import pytest

from tap_campusgroups import tap
from tap_campusgroups.config import ApiVersion
from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    ExportTimeoutError,
    RowsMissingError,
    ServiceUnavailableError,
    StreamsFailedError,
)
from tap_campusgroups.streams import STREAMS as STREAM_CLASSES
from tests.simulator import (
    CancelQuery,
    ConnectionReset,
    Dataset,
    FailQuery,
    FaultType,
    Hang,
    HtmlPage,
    JsonBody,
    MessageOnly,
    Phase,
    RandomBytes,
    RawBody,
    Redirect,
    RepeatToken,
    Simulator,
    Status,
    TruncatedBody,
)
from tests.simulator.responses import CompleteResponse, message_response
from tests.support.harness import (
    NEWEST,
    catalog_of,
    settings_for,
    state_of,
    sync,
    time_out_when_held,
)
from tests.support.processes import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.conftest import FakeTime
    from tests.simulator import RecordedRequest
    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Connection, Response
    from tests.support.harness import Output

BEFORE, FAULTY, AFTER = "groups", "members", "tags"
"""Streams of a run, in the order of their sync; the middle one has the fault."""

ROWS = 16
PAGE_SIZE = 3
OLD = "2024-06-01T00:00:00.000000Z"
"""The bookmark before a run."""
NEW = "2025-06-01T12:00:00.250000Z"
"""The bookmark after a run that is whole: `NEWEST` in the one form."""
STATE = state_of(**{BEFORE: OLD, FAULTY: OLD, AFTER: OLD})

PERSON = "zoe-sentinel.sentinelova@sentinel.example"
"""Stands in odd answers; test_privacy.py sees to it that nobody is told."""

A_DATE_S_WAIT = 100
RETRY_WAITS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 60.0]
POLL_WAITS = [1.0, 1.5]
RESUBMISSION_DELAYS = [5.0, 20.0]


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """The service in the tests' time."""
    with Simulator(dataset(), clock=fake_time.monotonic) as simulator:
        yield simulator


@cache
def dataset() -> Dataset:
    """Return some rows a stream, all of them after the bookmark and some in each quarter."""
    made = Dataset(ROWS, newest=NEWEST, span=timedelta(days=365))
    made.freeze()
    return made


def sync_three(simulator: Simulator, state: Mapping[str, Any] = STATE, **more: Any) -> Output:
    """Sync three streams with a tap that has no others: it starts in half of the time."""
    config = settings_for(simulator, **{"page_size": PAGE_SIZE, **more})
    streams = STREAM_CLASSES[ApiVersion.V1_0]
    three = [stream for stream in streams if stream.name in {BEFORE, FAULTY, AFTER}]
    with patch.object(tap, "STREAMS", {ApiVersion.V1_0: three}):
        return sync(config, state=state, catalog=only(BEFORE, FAULTY, AFTER))


@cache
def only(*names: str) -> dict[str, Any]:
    """Return a catalog of some streams, made once."""
    streams = catalog_of(names)["streams"]
    return {"streams": [stream for stream in streams if stream["tap_stream_id"] in names]}


# -- faults that the simulator has not -----------------------------------------------------------


@dataclass(frozen=True)
class BusyUntil(FaultType):
    """429 with a Retry-After that is a date so many seconds from now."""

    seconds: int

    def respond(self, context: RequestContext) -> Response:
        """Answer the status; the service does nothing."""
        del context
        at = datetime.now(UTC) + timedelta(seconds=self.seconds)
        header = {"Retry-After": format_datetime(at, usegmt=True)}
        return message_response(429, "Too many requests", header)


@dataclass(frozen=True)
class Octets:
    """Any octets, and the end of the connection."""

    octets: bytes
    status: None = None

    def send(self, connection: Connection) -> None:
        """Send them."""
        connection.send(self.octets, b"")
        connection.close()


@dataclass(frozen=True)
class NoHttp(FaultType):
    """Octets in place of an HTTP answer."""

    octets: bytes

    def respond(self, context: RequestContext) -> Response:
        """Send the octets; the service does nothing."""
        del context
        return Octets(self.octets)


@dataclass(frozen=True)
class Half:
    """The first half of an answer, whose length nothing tells; then the end, or silence."""

    answer: CompleteResponse
    holds: bool = False

    @property
    def status(self) -> int:
        """The HTTP status that the client sees."""
        return self.answer.status

    def send(self, connection: Connection) -> None:
        """Send it."""
        body = self.answer.body
        length = {"Content-Length": str(len(body))} if self.holds else {}
        connection.send(
            connection.format_head(self.answer.status, {**self.answer.headers, **length}), b""
        )
        connection.send(body[: len(body) // 2], b"")
        if self.holds:
            connection.hold()
        connection.close()


@dataclass(frozen=True)
class Halved(FaultType):
    """The real answer's first half; then the end of the connection, or silence."""

    holds: bool = False

    def respond(self, context: RequestContext) -> Response:
        """Cut the service's answer; what the service did is done."""
        return Half(context.execute(), self.holds)


def http(head: str, body: bytes = b"") -> NoHttp:
    """Make an HTTP answer that is out of order; the connection ends with it."""
    lines = [*head.split("\n"), "Connection: close", "", ""]
    return NoHttp("\r\n".join(lines).encode() + body)


# -- the matrix ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Fate:
    """What becomes of a stream with a fault.

    Attributes:
        once: Its outcome if the fault happens once.
        for_good: Its outcome if the fault happens whenever it can.
        error: What the failure is.
        times: How often the fault then has happened; `None` for more than ten times.
        comes_twice: Whether rows may come twice, because a second export is made.
    """

    once: str
    for_good: str
    error: type[CampusGroupsError]
    times: int | None
    comes_twice: bool = False


TRIED = Fate("whole", "failed", ServiceUnavailableError, 8)
"""A passing fault: eight tries of the request."""
PAGED = Fate("whole", "failed", ServiceUnavailableError, 24, comes_twice=True)
"""The same for a page: after eight tries its export is submitted again, and then once more."""
PROVEN = Fate("whole", "failed", AccessDeniedError, 4)
"""The secret has worked in this run: four tries."""
AGAIN = Fate("whole", "failed", ExportFailedError, 3, comes_twice=True)
"""The export's fault: it is submitted again, in bisect; the first quarter is the third export."""
WAITS = Fate("whole", "failed", ExportTimeoutError, None)
"""No fault at all, but for how long it lasts."""
FATAL = Fate("failed", "failed", ExportFailedError, 1)
"""What no other try will change."""
LEFT_OUT = Fate("failed", "failed", RowsMissingError, 1)
"""What cannot be emitted, though all else can."""
DENIED = Fate("failed", "failed", AccessDeniedError, 1)
"""Likewise, and it is the secret's or the school's."""
GOOD = Fate("whole", "whole", CampusGroupsError, None)
"""The answer says enough as it is."""
NEVER = None
"""There is no such thing."""

Fates: TypeAlias = "tuple[Fate | None, Fate | None, Fate | None, Fate | None]"


@dataclass(frozen=True)
class Row:
    """A fault, and its fate in each phase.

    Attributes:
        name: For the table.
        kind: What goes wrong.
        fates: In the phases submit, poll, first page, later page.
        words: Pattern of what the failure's line says of it.
        wait: Seconds before each other try, if the service asks for them.
        hangs: Whether the simulator holds the request.
        lingers: Whether urllib3 leaves the socket of such an answer to the garbage collector.
    """

    name: str
    kind: FaultType
    fates: Fates
    words: str
    wait: float | None = None
    hangs: bool = False
    lingers: bool = False


PHASES: tuple[Phase, ...] = ("submit", "poll", "first_page", "later_page")
PARTIAL = "ChunkedEncodingError on the way"
LOST = "ConnectionError on the way"
NO_JSON = "the body is not JSON"
UNKNOWN = "the answer has an unknown shape"

MATRIX = (
    #                                 submit poll   first  later page
    Row("reset", ConnectionReset(), (TRIED, PAGED, PAGED, PAGED), LOST),
    Row("cut, by length", TruncatedBody(), (TRIED, PAGED, PAGED, PAGED), PARTIAL),
    Row("cut, chunked", TruncatedBody(mode="chunked"), (TRIED, PAGED, PAGED, PAGED), PARTIAL),
    Row("cut at the last byte", TruncatedBody(1.0), (TRIED, PAGED, PAGED, PAGED), PARTIAL),
    Row("cut at the last chunk", TruncatedBody(1.0, "chunked"), (TRIED, PAGED, PAGED, PAGED),
        PARTIAL),
    Row("cut, of no length", Halved(), (TRIED, GOOD, PAGED, PAGED), NO_JSON),
    Row("hang", Hang(), (TRIED, PAGED, PAGED, PAGED), "ReadTimeout on the way",
        hangs=True),
    Row("hang in the body", Halved(holds=True), (TRIED, PAGED, PAGED, PAGED), LOST,
        hangs=True),
    Row("garbage", RandomBytes(), (TRIED, PAGED, PAGED, PAGED), NO_JSON),
    Row("nothing", RawBody(b""), (TRIED, PAGED, PAGED, PAGED), NO_JSON),
    Row("HTML", HtmlPage(), (TRIED, PAGED, PAGED, PAGED), NO_JSON),
    Row("HTML 502", HtmlPage(502), (TRIED, PAGED, PAGED, PAGED), "HTTP 502"),
    Row("no gzip", http("HTTP/1.1 200 OK\nContent-Encoding: gzip\nContent-Length: 8", b"sentinel"),
        (TRIED, PAGED, PAGED, PAGED), "ContentDecodingError on the way",
        lingers=True),
    Row("no HTTP", http(f"{PERSON}"), (TRIED, PAGED, PAGED, PAGED), LOST),
    Row("no chunks", http("HTTP/1.1 200 OK\nTransfer-Encoding: chunked", f"{PERSON}\r\n".encode()),
        (TRIED, PAGED, PAGED, PAGED), PARTIAL),
    Row("two lengths", http("HTTP/1.1 200 OK\nContent-Length: 2, 5", b"{}"),
        (TRIED, PAGED, PAGED, PAGED), "InvalidHeader on the way", lingers=True),
    Row("no header", http(f"HTTP/1.1 500 Oh\n{PERSON}\nContent-Length: 2", b"{}"),
        (TRIED, PAGED, PAGED, PAGED), "HTTP 500"),
    Row("429", Status(429), (TRIED, PAGED, PAGED, PAGED), "the service is busy"),
    Row("429, 7 seconds", Status(429, headers={"Retry-After": "7"}), (TRIED, PAGED, PAGED, PAGED),
        "the service is busy", wait=7.0),
    Row("429, a date", BusyUntil(A_DATE_S_WAIT), (TRIED, PAGED, PAGED, PAGED),
        "the service is busy", wait=A_DATE_S_WAIT),
    Row("408", Status(408), (TRIED, PAGED, PAGED, PAGED), "the service is busy"),
    Row("500", Status(500, "Error retrieving query result"), (TRIED, PAGED, PAGED, PAGED),
        'internal error .HTTP 500: "Error retrieving query result"'),
    Row("502", Status(502), (TRIED, PAGED, PAGED, PAGED), "HTTP 502"),
    Row("503", Status(503), (TRIED, PAGED, PAGED, PAGED), "HTTP 503"),
    Row("504", Status(504), (TRIED, PAGED, PAGED, PAGED), "HTTP 504"),
    Row("query failed", FailQuery(), (AGAIN, AGAIN, AGAIN, AGAIN),
        'the query failed .HTTP 500: "Query execution failed"'),
    Row("query cancelled", CancelQuery(), (AGAIN, AGAIN, AGAIN, AGAIN),
        'the query was cancelled .HTTP 410: "Query execution was cancelled"'),
    Row("200, Error", JsonBody({"message": "Error running query"}), (AGAIN, AGAIN, AGAIN, AGAIN),
        'the query failed .HTTP 200: "Error running query"'),
    Row("400", Status(400), (FATAL, AGAIN, AGAIN, AGAIN), "HTTP 400"),
    Row("404", Status(404), (FATAL, AGAIN, AGAIN, AGAIN), "HTTP 404"),
    Row("201", Status(201), (FATAL, WAITS, WAITS, WAITS),
        f"still queued after 30 minutes|{UNKNOWN}"),
    Row("202", Status(202), (FATAL, WAITS, WAITS, WAITS),
        f"still running after 30 minutes|{UNKNOWN}"),
    Row("200, running", JsonBody({"message": "Query is running"}), (FATAL, WAITS, WAITS, WAITS),
        f"still running after 30 minutes|{UNKNOWN}"),
    Row("token used twice", RepeatToken(), (NEVER, NEVER, NEVER, FATAL), "a page token twice"),
    Row("first token again", RepeatToken("first"), (NEVER, NEVER, NEVER, FATAL),
        "a page token twice"),
    Row("302", Redirect(f"https://elsewhere.example/{PERSON}"), (FATAL, FATAL, FATAL, FATAL),
        "redirects, which is not followed .HTTP 302"),
    Row("308 to no URL", Redirect(f"http://[{PERSON}", 308), (FATAL, FATAL, FATAL, FATAL),
        "redirects, which is not followed .HTTP 308"),
    Row("302 in latin-1", Redirect(f"https://\xe9.example/{PERSON}"), (FATAL, FATAL, FATAL, FATAL),
        "redirects, which is not followed .HTTP 302"),
    Row("an array", JsonBody([]), (FATAL, FATAL, FATAL, FATAL), UNKNOWN),
    Row("null Results", JsonBody({"Results": None}), (FATAL, FATAL, FATAL, FATAL), UNKNOWN),
    Row("a number as token", JsonBody({"Results": [], "NextToken": 7}),
        (FATAL, FATAL, FATAL, FATAL), UNKNOWN),
    Row("numbers as rows", JsonBody({"Results": [7]}), (FATAL, LEFT_OUT, LEFT_OUT, LEFT_OUT),
        f"1 rows of updatedOn .* have no usable id and were left out|{UNKNOWN}"),
    Row("no JSON in a row", RawBody(b'{"Results": [{"id": "\\x"}]}'), (TRIED, PAGED, PAGED, PAGED),
        NO_JSON),
    Row("another message", JsonBody({"message": "Hello"}), (FATAL, FATAL, FATAL, FATAL), UNKNOWN),
    Row("a very long number", RawBody(b'{"a": ' + b"9" * 5000 + b"}"), (FATAL, FATAL, FATAL, FATAL),
        UNKNOWN),
    Row("very deep arrays", RawBody(b"[" * 200_000), (FATAL, FATAL, FATAL, FATAL), UNKNOWN),
    Row("a very deep value", RawBody(b'{"a": ' + b"[" * 200_000), (TRIED, PAGED, PAGED, PAGED),
        NO_JSON),
    Row("401", Status(401), (PROVEN, PROVEN, PROVEN, PROVEN), "refuses access .HTTP 401"),
    Row("403", Status(403), (DENIED, DENIED, DENIED, DENIED), "refuses access .HTTP 403"),
)  # fmt: skip

CELLS = [
    pytest.param(
        *(row, phase, fate),
        id=f"{row.name}-{phase}",
        marks=[pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")]
        if row.lingers
        else [],
    )
    for row in MATRIX
    for phase, fate in zip(PHASES, row.fates, strict=True)
    if fate is not NEVER
]

Observed: TypeAlias = "dict[tuple[str, Phase, str], str]"
Whole: TypeAlias = "dict[str, dict[int, Any]]"


@pytest.fixture(scope="module")
def observed(request: pytest.FixtureRequest) -> Iterator[Observed]:
    """What became of each cell; printed when the module is done."""
    outcomes: Observed = {}
    yield outcomes
    lines = ["", f"{'fault: once/for good':22}" + "".join(f"{phase:15}" for phase in PHASES)]
    for row in MATRIX:
        cells = [
            f"{outcomes.get((row.name, phase, 'once'), '-')}/"
            f"{outcomes.get((row.name, phase, 'for good'), '-')}"
            for phase in PHASES
        ]
        lines.append(f"{row.name:22}" + "".join(f"{cell:15}" for cell in cells))
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    if reporter is not None and capture is not None:
        with capture.global_and_fixture_disabled():
            for line in lines:
                reporter.write_line(line.rstrip())


@pytest.fixture(scope="module")
def whole() -> Whole:
    """The records of a run without faults, by stream and id."""
    with Simulator(dataset()) as simulator:
        output = sync_three(simulator)
    assert output.error is None
    assert list(output.records) == [BEFORE, FAULTY, AFTER]
    for records in output.records.values():
        assert ids(records) == list(range(1, ROWS + 1))
    return {stream: by_id(records) for stream, records in output.records.items()}


def by_id(records: list[dict[str, Any]]) -> dict[int, Any]:
    """Sort records by id; of those that came twice, the last counts."""
    return {record["id"]: record for record in records}


def ids(records: list[dict[str, Any]]) -> list[int]:
    """List the ids of records in order."""
    return sorted(record["id"] for record in records)


def outcome(output: Output, whole: Whole) -> str:
    """Say what became of the stream with the fault."""
    bookmarks = {state["bookmarks"][FAULTY]["replication_key_value"] for state in output.states}
    rows = by_id(output.records.get(FAULTY, []))
    if output.error is None and rows == whole[FAULTY] and output.bookmarks[FAULTY] == NEW:
        return "whole"
    # The command line makes exit code 1 of the tap's own errors: see below.
    if isinstance(output.error, CampusGroupsError) and bookmarks == {OLD}:
        return "failed"
    return "WRONG"


@pytest.mark.parametrize("often", ["once", "for good"])
@pytest.mark.parametrize(("row", "phase", "fate"), CELLS)
def test_the_rows_are_whole_or_the_bookmark_stays(  # noqa: PLR0913, PLR0917 - fixtures and a cell
    simulator: Simulator,
    fake_time: FakeTime,
    monkeypatch: pytest.MonkeyPatch,
    observed: Observed,
    whole: Whole,
    row: Row,
    phase: Phase,
    fate: Fate,
    often: str,
) -> None:
    is_once = often == "once"
    settings: dict[str, Any] = {}
    if fate in {TRIED, PAGED} and (is_once or phase == "submit"):
        settings["max_concurrent_exports"] = 1
    if row.hangs:
        time_out_when_held(simulator, monkeypatch)
    # Some answers to a poll count as given though they do not arrive: enough for eight tries.
    simulator.timing.queued_polls = {FAULTY: 12 if phase == "poll" and not is_once else 2}
    fault = simulator.inject(row.kind.on(FAULTY, phase, times=1 if is_once else None))
    started = perf_counter()
    output = sync_three(simulator, **settings)
    passed = perf_counter() - started
    if row.lingers:
        let_go(output.error)

    observed[row.name, phase, often] = outcome(output, whole)
    assert observed[row.name, phase, often] == (fate.once if is_once else fate.for_good)
    for stream in (BEFORE, AFTER):
        assert ids(output.records[stream]) == list(range(1, ROWS + 1))
        assert by_id(output.records[stream]) == whole[stream]
        assert output.bookmarks[stream] == NEW
    if output.error is None:
        assert fate.comes_twice or len(output.records[FAULTY]) == ROWS
    else:
        assert isinstance(output.error, fate.error)
        assert_one_line(output.error, row.words)
    if is_once:
        assert fault.fired == 1
    else:
        assert fault.fired == fate.times if fate.times else fault.fired > 10
    if fate in {TRIED, PAGED, PROVEN}:
        waits = RETRY_WAITS[: 1 if is_once else 3 if fate is PROVEN else 7]
        if row.wait is not None:
            waits = [row.wait] * len(waits)
        polls = POLL_WAITS[: polls_in_vain(simulator)]
        if fate is PAGED and not is_once:
            waits = waits * 3 + RESUBMISSION_DELAYS
            polls *= 3
        waits += polls
        # A date has whole seconds, and is read some time after it was written.
        inexact = 1 + passed if row.wait == A_DATE_S_WAIT else 1e-6
        assert sorted(fake_time.slept) == pytest.approx(sorted(waits), abs=inexact)


def let_go(error: Exception | None) -> None:
    """Collect what an error holds now, while nobody minds what was left open."""
    if error is not None:
        error.__traceback__ = error.__cause__ = error.__context__ = None
    gc.collect()


def assert_one_line(error: Exception, words: str) -> None:
    """Make sure that an error names the stream and says what happened, in one line."""
    assert str(error).startswith(f"Stream '{FAULTY}': ")
    assert "\n" not in str(error)
    assert re.search(words, str(error))


def polls_in_vain(simulator: Simulator) -> int:
    """Count the answers that told the tap to wait, and that it got."""
    return sum(request.phase == "poll" and request.fault is None for request in simulator.requests)


def submits(simulator: Simulator, stream: str = FAULTY) -> list[RecordedRequest]:
    """List what was submitted of a stream."""
    return [
        request
        for request in simulator.requests
        if request.method == "POST" and request.stream == stream
    ]


# -- exports -------------------------------------------------------------------------------------


def test_a_post_that_is_one_too_many_gets_its_tries_alone_at_the_server(
    simulator: Simulator, whole: Whole
) -> None:
    fault = simulator.inject(Status(429).on(FAULTY, "submit", times=None))
    output = sync_three(simulator)
    assert outcome(output, whole) == "failed"
    assert by_id(output.records[AFTER]) == whole[AFTER]
    # Each export that was there beside it gave it one more.
    assert 8 <= fault.fired <= 8 + 2


def test_a_slow_export_is_never_submitted_twice(
    simulator: Simulator, fake_time: FakeTime, whole: Whole
) -> None:
    simulator.timing.queued_seconds = {FAULTY: 700}
    simulator.timing.running_seconds = {FAULTY: 700}
    # Two of each, and two answers between them: a request has but eight tries.
    kinds = [
        ConnectionReset(),
        TruncatedBody(),
        Status(503),
        RandomBytes(),
        Status(429),
        Status(201),
    ]
    faults = [
        simulator.inject(kind.on(FAULTY, "poll", times=2, after=4 * place))
        for place, kind in enumerate(kinds)
    ]
    faults.append(simulator.inject(MessageOnly().on(FAULTY)))
    output = sync_three(simulator)
    assert outcome(output, whole) == "whole"
    assert all(fault.fired for fault in faults)
    assert sum(fake_time.slept) > 1300
    assert len(submits(simulator)) == 1
    assert len(output.records[FAULTY]) == ROWS


def test_export_still_queued_at_its_limit_is_not_submitted_twice(
    simulator: Simulator, whole: Whole
) -> None:
    simulator.timing.queued_seconds = {FAULTY: 1801}
    output = sync_three(simulator)
    assert outcome(output, whole) == "failed"
    assert isinstance(output.error, ExportTimeoutError)
    assert len(submits(simulator)) == 1


@dataclass(frozen=True)
class FailWindows(FailQuery):
    """Fails the queries for a range that is too wide, or that has a certain instant in it."""

    widest: timedelta
    never: datetime | None = None

    def applies(self, context: RequestContext) -> bool:
        """Apply to submits of such a range."""
        if context.window is None:
            return False
        start, end = context.window
        return end - start > self.widest or (self.never is not None and start <= self.never <= end)


START, FIRST, MIDDLE, THIRD, END = (
    "2024-05-30T00:00:00Z",  # 48 h before the bookmark
    "2024-08-29T21:15:00Z",
    "2024-11-29T18:30:00Z",
    "2025-03-01T15:45:00Z",
    "2025-06-01T13:00:00Z",
)
IN_QUARTERS = [
    *((START, END), (START, MIDDLE), (START, FIRST), (FIRST, MIDDLE)),
    *((MIDDLE, END), (MIDDLE, THIRD), (THIRD, END)),
]


def windows(simulator: Simulator) -> list[tuple[str, str]]:
    """List the ranges that were submitted."""
    return [
        (request.query["updatedStart"], request.query["updatedEnd"])
        for request in submits(simulator)
    ]


def test_a_range_that_is_too_wide_comes_through_in_parts(
    simulator: Simulator, whole: Whole
) -> None:
    simulator.inject(FailWindows(timedelta(days=92)).on(FAULTY, times=None))
    assert outcome(sync_three(simulator), whole) == "whole"
    assert windows(simulator) == IN_QUARTERS


def test_only_the_half_that_fails_is_halved_again(simulator: Simulator, whole: Whole) -> None:
    never = datetime(2025, 5, 31, tzinfo=UTC)
    simulator.inject(FailWindows(timedelta(days=184), never).on(FAULTY, times=2))
    assert outcome(sync_three(simulator), whole) == "whole"
    assert windows(simulator) == [
        *((START, END), (START, MIDDLE), (MIDDLE, END), (MIDDLE, THIRD), (THIRD, END))
    ]


def test_a_hopeless_range_ends_after_seven_exports_in_one_line(
    simulator: Simulator, whole: Whole
) -> None:
    never = datetime(2025, 5, 31, tzinfo=UTC)
    simulator.inject(FailWindows(timedelta(days=92), never).on(FAULTY, times=None))
    output = sync_three(simulator)
    assert outcome(output, whole) == "failed"
    assert windows(simulator) == IN_QUARTERS
    assert str(output.error) == (
        f"Stream '{FAULTY}': the export of updatedOn {THIRD} to {END} ended early: the query "
        'failed (HTTP 500: "Query execution failed"). Run again later, or set export_window_days '
        "for shorter ranges."
    )


@pytest.mark.parametrize(
    ("minutes", "expected"),
    [
        (60, [(0, 60), (0, 60), (0, 60)]),
        (61, [(0, 61), (0, 30.5), (0, 30.5)]),
        (90, [(0, 90), (0, 45), (0, 45)]),
        (150, [(0, 150), (0, 75), (0, 37.5)]),
    ],
)
def test_an_hour_is_not_halved(
    simulator: Simulator, minutes: int, expected: list[tuple[float, float]]
) -> None:
    simulator.inject(FailQuery().on(FAULTY, times=None))
    start = datetime(2025, 6, 1, tzinfo=UTC)
    bounds = {"start_date": start, "end_date": start + timedelta(minutes=minutes)}
    settings = {name: bound.isoformat() for name, bound in bounds.items()}
    assert isinstance(sync_three(simulator, {}, **settings).error, ExportFailedError)
    asked = [tuple(map(datetime.fromisoformat, window)) for window in windows(simulator)]
    assert asked == [
        (start + timedelta(minutes=first), start + timedelta(minutes=last))
        for first, last in expected
    ]


def test_an_hour_comes_through_at_the_third_export(simulator: Simulator) -> None:
    simulator.inject(FailQuery().on(FAULTY, times=2))
    settings = {"start_date": "2025-06-01T11:30:00Z", "end_date": "2025-06-01T12:30:00Z"}
    output = sync_three(simulator, {}, **settings)
    assert output.error is None
    assert 1 in ids(output.records[FAULTY])  # the newest row
    assert len(set(windows(simulator))) == 1
    assert len(windows(simulator)) == 3


def test_windows_before_the_one_that_fails_count(simulator: Simulator) -> None:
    simulator.inject(FailQuery().on(FAULTY, "submit", after=1, times=None))
    output = sync_three(simulator, export_window_days=100, max_concurrent_exports=1)
    assert isinstance(output.error, ExportFailedError)
    assert output.bookmarks == {BEFORE: NEW, FAULTY: "2024-09-07T00:00:00.000000Z", AFTER: NEW}
    assert windows(simulator)[:2] == [
        (START, "2024-09-07T00:00:00Z"),
        ("2024-09-07T00:00:00Z", "2024-12-16T00:00:00Z"),
    ]


# -- streams that are refused --------------------------------------------------------------------


STREAMS = sorted(stream["tap_stream_id"] for stream in catalog_of(())["streams"])
ALL = state_of(**dict.fromkeys(STREAMS, OLD))


def summary(caplog: pytest.LogCaptureFixture) -> list[str]:
    """Return the lines of the run's summary."""
    (text,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("Summary: ")]
    return text.splitlines()


def test_a_secret_that_is_refused_costs_one_request(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(Status(401).on(times=None))
    output = sync(settings_for(simulator), state=ALL)
    assert isinstance(output.error, AccessDeniedError)
    assert str(output.error) == (
        f"Stream '{STREAMS[0]}': the service refuses access (HTTP 401: \"Unauthorized\"). "
        "Check api_secret and school_code, and that the key may read this data."
    )
    assert [request.stream for request in simulator.requests] == STREAMS[:1]
    assert output.records == {}
    assert set(output.bookmarks.values()) == {OLD}
    assert "Summary" not in caplog.text


def test_a_403_that_the_next_stream_gets_too_costs_two_requests(simulator: Simulator) -> None:
    simulator.inject(Status(403).on(times=None))
    output = sync(settings_for(simulator), state=ALL)
    assert isinstance(output.error, AccessDeniedError)
    assert f"Stream '{STREAMS[1]}': the service refuses access (HTTP 403" in str(output.error)
    assert [request.stream for request in simulator.requests] == STREAMS[:2]
    assert output.records == {}
    assert set(output.bookmarks.values()) == {OLD}


@pytest.mark.parametrize(
    ("code", "place"),
    # A 401 of the first stream is the secret's.
    [(401, 1), (401, 22), (403, 0), (403, 1), (403, 22), (404, 0), (404, 1), (404, 22)],
)
def test_a_stream_that_is_refused_does_not_starve_the_others(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, code: int, place: int
) -> None:
    refused = STREAMS[place]
    simulator.inject(Status(code).on(refused, times=None))
    simulator.paths[refused] = "elsewhere" if code == 404 else refused
    output = sync(settings_for(simulator), state=ALL)
    assert isinstance(output.error, ExportFailedError if code == 404 else AccessDeniedError)
    assert f"Stream '{refused}': " in str(output.error)
    assert f"HTTP {code}" in str(output.error)
    others = [stream for stream in STREAMS if stream != refused]
    assert list(output.records) == others
    assert all(ids(records) == list(range(1, ROWS + 1)) for records in output.records.values())
    assert output.bookmarks == dict.fromkeys(others, NEW) | {refused: OLD}
    lines = summary(caplog)
    assert lines[0].startswith(f"Summary: 22 of 23 streams, {22 * ROWS} rows in ")
    assert lines[-1] == f"  FAILED: {output.error}"
    assert "FAILED" not in "".join(lines[:-1])


def test_streams_that_fail_are_named_together_and_last(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, whole: Whole
) -> None:
    for stream in (BEFORE, AFTER):
        simulator.inject(FailQuery().on(stream, times=None))
    output = sync_three(simulator)
    assert isinstance(output.error, StreamsFailedError)
    assert str(output.error).startswith(f"2 of 3 streams failed: {BEFORE}, {AFTER}. ")
    assert by_id(output.records[FAULTY]) == whole[FAULTY]
    assert output.bookmarks == {BEFORE: OLD, FAULTY: NEW, AFTER: OLD}
    first, second = summary(caplog)[-2:]
    assert first.startswith(f"  FAILED: Stream '{BEFORE}': the export of updatedOn ")
    assert second.startswith(f"  FAILED: Stream '{AFTER}': the export of updatedOn ")


@pytest.mark.parametrize("cap", [1, 4])
@pytest.mark.parametrize(
    "kind",
    [Status(403), Status(404), FailQuery(), Redirect("/")],
    ids=["403", "404", "query failed", "302"],
)
def test_abort_stops_at_once(simulator: Simulator, whole: Whole, kind: FaultType, cap: int) -> None:
    fault = simulator.inject(kind.on(FAULTY, times=None))
    output = sync_three(simulator, on_stream_error="abort", max_concurrent_exports=cap)
    assert outcome(output, whole) == "failed"
    assert fault.fired
    assert by_id(output.records[BEFORE]) == whole[BEFORE]
    assert output.bookmarks == {BEFORE: NEW, FAULTY: OLD, AFTER: OLD}
    assert AFTER not in {message.get("stream") for message in output.messages}
    if cap == 1:
        assert AFTER not in {request.stream for request in simulator.requests}


# -- the command line ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "times", "stream", "settings", "code", "arrive"),
    [
        (FailQuery(), 2, "events", {}, 0, 23),
        (Status(403), None, STREAMS[0], {}, 1, 22),
        (Status(404), None, STREAMS[11], {}, 1, 22),
        (FailQuery(), None, STREAMS[11], {"on_stream_error": "abort"}, 1, 11),
    ],
    ids=["whole", "first", "middle", "abort"],
)
def test_exit_codes(
    tmp_path: Path,
    kind: FaultType,
    times: int | None,
    stream: str,
    settings: dict[str, Any],
    code: int,
    arrive: int,
) -> None:
    path = tmp_path / "config.json"
    with Simulator(Dataset(1, newest=NEWEST)) as simulator:
        simulator.inject(kind.on(stream, "submit", times=times))
        path.write_text(json.dumps(settings_for(simulator, **settings)))
        done = run("--config", path)
    messages = [json.loads(line) for line in done.stdout.splitlines()]
    assert len({one["stream"] for one in messages if one["type"] == "RECORD"}) == arrive
    assert done.returncode == code
    *_, last = done.stderr.splitlines()
    if code:
        assert f" ERROR    | tap-campusgroups               | Stream '{stream}': " in last
        assert f"\n  FAILED: Stream '{stream}': " in done.stderr
    else:
        assert " ERROR " not in done.stderr
    assert "Traceback" not in done.stderr


# -- two spellings of a path ---------------------------------------------------------------------

SPELLINGS = [
    ("room_reservations", "rooms_reservations"),
    ("badge_completions", "badges_completions"),
]


def asked_paths(simulator: Simulator, method: str, *names: str) -> list[str]:
    """List the last parts of the paths that were asked for, of those named."""
    paths = [
        request.path.rpartition("/")[2]
        for request in simulator.requests
        if request.method == method
    ]
    return [path for path in paths if path in names]


@pytest.mark.parametrize(("stream", "other"), SPELLINGS)
@pytest.mark.parametrize("cap", [1, 4])
def test_the_other_spelling_is_tried_once_and_remembered(
    simulator: Simulator, stream: str, other: str, cap: int
) -> None:
    simulator.paths[stream] = other
    # Whatever comes after the first export is asked for there, too.
    simulator.inject(CancelQuery().on(stream, "later_page", after=2))
    config = settings_for(simulator, page_size=1, max_concurrent_exports=cap)
    output = sync(config | {"export_window_days": 100}, "badges", stream, "rooms", state=ALL)
    assert output.error is None
    assert set(output.records) == {"badges", stream, "rooms"}
    assert all(set(ids(rows)) == set(range(1, ROWS + 1)) for rows in output.records.values())
    posts = asked_paths(simulator, "POST", stream, other)
    if cap == 1:
        assert posts == [stream, *[other] * (4 + 2)]
    else:
        assert posts.count(other) == 4 + 2
        assert 1 <= posts.count(stream) <= cap  # those that had been sent when the first came back
    assert set(asked_paths(simulator, "GET", stream, other)) == {other}


@pytest.mark.parametrize(("stream", "other"), SPELLINGS)
def test_a_path_that_is_there_in_neither_spelling(
    simulator: Simulator, stream: str, other: str
) -> None:
    simulator.paths[stream] = "elsewhere"
    output = sync(settings_for(simulator), "badges", stream, "rooms", state=ALL)
    assert isinstance(output.error, ExportFailedError)
    assert f"Stream '{stream}': " in str(output.error)
    assert 'the service rejects the request (HTTP 404: "Not Found")' in str(output.error)
    assert asked_paths(simulator, "POST", stream, other) == [stream, other]
    assert output.bookmarks[stream] == OLD
    assert set(output.records) == {"badges", "rooms"}


@pytest.mark.parametrize(("stream", "other"), SPELLINGS)
def test_a_404_to_a_get_is_the_query_s(simulator: Simulator, stream: str, other: str) -> None:
    simulator.inject(Status(404).on(stream, "first_page"))
    output = sync(settings_for(simulator), stream, state=ALL)
    assert output.error is None
    assert asked_paths(simulator, "POST", stream, other) == [stream] * 3
    assert set(ids(output.records[stream])) == set(range(1, ROWS + 1))


@pytest.mark.parametrize("stream", sorted(set(STREAMS) - {stream for stream, _ in SPELLINGS}))
def test_other_streams_have_one_path(simulator: Simulator, stream: str) -> None:
    simulator.paths[stream] = "elsewhere"
    output = sync(settings_for(simulator), catalog=only(stream))
    assert isinstance(output.error, ExportFailedError)
    assert len(simulator.requests) == 1
