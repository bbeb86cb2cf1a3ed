"""Requests as the service sees them, and what becomes of its answers, over real HTTP."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.retry import RetryPolicy, retry_after
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import (
    CancelQuery,
    ConnectionReset,
    Dataset,
    EmptyPage,
    EmptyToken,
    FailQuery,
    Fault,
    Hang,
    HtmlPage,
    JsonBody,
    MessageOnly,
    NullToken,
    Phase,
    RandomBytes,
    Redirect,
    RepeatToken,
    Simulator,
    Status,
    TokenKey,
    TruncatedBody,
)
from tests.support.harness import (
    MAX_RETRY_DELAY,
    NEWEST,
    settings_for,
    state_of,
    sync,
    time_out_when_held,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator import FaultType
    from tests.support.fake_time import FakeTime

ROWS = 25
STATE = state_of(events="2024-06-01T00:00:00Z")


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """The service with 25 rows a stream, in the tests' time."""
    with Simulator(Dataset(ROWS, newest=NEWEST), clock=fake_time.monotonic) as simulator:
        yield simulator


def ids(records: list[dict[str, Any]]) -> list[int]:
    """List the ids of records in order."""
    return sorted(record["id"] for record in records)


# What is asked


def test_what_every_request_carries(simulator: Simulator) -> None:
    simulator.timing.queued_polls = 1
    output = sync(settings_for(simulator, page_size=10), "events", "rsvp")
    assert output.error is None
    assert len(simulator.requests) == 2 * (1 + 1 + 3)
    version = TapCampusGroups.get_plugin_version()
    for request in simulator.requests:
        headers = {name.lower(): value for name, value in request.headers.items()}
        assert headers["x-cg-api-secret"] == simulator.api_secret
        assert headers["x-cg-school"] == simulator.school_code
        assert headers["user-agent"] == f"tap-campusgroups/{version}"
        assert headers["accept"] == "application/json"
        if request.method == "GET":
            assert request.query["size"] == "10"
        else:
            assert set(request.query) == {"updatedStart", "updatedEnd"}
            assert headers["content-length"] == "0"


def test_one_upper_bound_for_all_streams(simulator: Simulator) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    sync(settings_for(simulator, start_date="2025-01-01T05:00:00+05:00"), started=None)
    after = datetime.now(UTC)
    submitted = [request.query for request in simulator.requests if request.method == "POST"]
    assert len(submitted) == 23
    (bounds,) = {(query["updatedStart"], query["updatedEnd"]) for query in submitted}
    assert bounds[0] == "2025-01-01T00:00:00Z"
    assert before <= datetime.fromisoformat(bounds[1]) <= after


def test_end_date_is_the_upper_bound_unless_it_is_to_come(simulator: Simulator) -> None:
    sync(settings_for(simulator, end_date="2025-03-01"), "events")
    sync(settings_for(simulator, end_date="2999-01-01"), "events")
    first, second = [r.query["updatedEnd"] for r in simulator.requests if r.method == "POST"]
    assert first == "2025-03-01T00:00:00Z"
    assert second < "2100"


def test_a_range_of_nothing_asks_nothing(simulator: Simulator) -> None:
    output = sync(settings_for(simulator, start_date="2999-01-01"), "events")
    assert (output.error, output.records, simulator.requests) == (None, {}, [])


def test_deselected_streams_ask_nothing(simulator: Simulator) -> None:
    sync(settings_for(simulator), "tags")
    assert {request.stream for request in simulator.requests} == {"tags"}


@pytest.mark.parametrize("size", [1, 7, 25, 999])
def test_every_row_once_for_any_page_size(simulator: Simulator, size: int) -> None:
    output = sync(settings_for(simulator, page_size=size), "users")
    assert output.error is None
    assert ids(output.records["users"]) == list(range(1, ROWS + 1))


# What comes back


@pytest.mark.parametrize(
    "fault",
    [
        EmptyPage().on("events", "first_page"),
        EmptyPage().on("events", "later_page"),
        TokenKey().on("events", times=None),
        NullToken().on("events", times=None),
        EmptyToken().on("events", times=None),
        MessageOnly().on("events", times=None),
        MessageOnly("Query is still running").on("events", times=None),
    ],
    ids=lambda fault: f"{fault.type} {fault.phase}",
)
def test_odd_but_good_answers(simulator: Simulator, fault: Fault) -> None:
    simulator.timing.running_polls = 2
    simulator.inject(fault)
    output = sync(settings_for(simulator, page_size=10), "events")
    assert output.error is None
    assert fault.fired
    assert ids(output.records["events"]) == list(range(1, ROWS + 1))


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        (
            FailQuery().on("events", times=None),
            'the query failed (HTTP 500: "Query execution failed")',
        ),
        (CancelQuery().on("events", times=None), "the query was cancelled (HTTP 410"),
        (RepeatToken().on("events"), "handed out a page token twice"),
        (RepeatToken("first").on("events"), "handed out a page token twice"),
        (JsonBody([]).on("events", "first_page"), "unknown shape (HTTP 200, JSON of type array)"),
        (JsonBody({"Results": None}).on("events", "later_page"), "an object of Results: null"),
        (
            JsonBody({"message": "Error: x"}).on("events", "poll", times=None),
            "the query failed (HTTP 200",
        ),
        (JsonBody({"message": "hello"}).on("events", "poll"), "unknown shape"),
        (JsonBody({"Results": "[]"}).on("events", "first_page"), "an object of Results: string"),
        (JsonBody({"id": "q"}).on("events", "submit"), "an object of (another key): string"),
        (Status(404).on("events", "submit"), "Check api_url and school_code, or deselect"),
        (Status(404).on("events", "first_page", times=None), "no longer knows the query"),
        (Status(400).on("events", "submit"), "rejects the request (HTTP 400"),
        (Redirect("https://elsewhere.example/").on("events", "submit"), "Check api_url."),
    ],
    ids=lambda value: f"{value.type} {value.phase}" if isinstance(value, Fault) else "",
)
def test_what_ends_a_stream(simulator: Simulator, fault: Fault, words: str) -> None:
    simulator.timing.queued_polls = 1
    simulator.inject(fault)
    output = sync(settings_for(simulator, page_size=10), "events", state=STATE)
    assert isinstance(output.error, ExportFailedError)
    assert words in str(output.error)
    assert str(output.error).startswith("Stream 'events': ")
    assert "\n" not in str(output.error)
    assert output.bookmarks["events"] == "2024-06-01T00:00:00.000000Z"


def test_a_redirect_takes_the_secret_nowhere(simulator: Simulator) -> None:
    with Simulator(Dataset(1, newest=NEWEST)) as elsewhere:
        simulator.inject(Redirect(f"{elsewhere.url}/events", 307).on("events"))
        assert isinstance(sync(settings_for(simulator), "events").error, ExportFailedError)
        assert elsewhere.requests == []


def test_a_wrong_secret_is_told_after_one_request(simulator: Simulator) -> None:
    output = sync(settings_for(simulator, api_secret="wrong-sentinel"))  # noqa: S106 - a wrong one
    assert isinstance(output.error, AccessDeniedError)
    assert "api_secret" in str(output.error)
    assert "school_code" in str(output.error)
    assert "wrong-sentinel" not in str(output.error)
    assert len(simulator.requests) == 1
    assert output.records == {}


def test_an_export_that_never_runs(simulator: Simulator, fake_time: FakeTime) -> None:
    simulator.timing.queued_seconds = 1e9
    output = sync(settings_for(simulator, export_timeout_minutes=2), "events")
    assert isinstance(output.error, ExportTimeoutError)
    assert "still queued after 2 minutes" in str(output.error)
    assert "Raise export_timeout_minutes" in str(output.error)
    assert sum(fake_time.slept) == pytest.approx(120)
    assert len([r for r in simulator.requests if r.method == "POST"]) == 1


# Tries again


def test_exact_waits_between_tries(simulator: Simulator, fake_time: FakeTime) -> None:
    simulator.inject(Status(503).on("events", "submit", times=7))
    output = sync(settings_for(simulator), "events")
    assert output.error is None
    assert fake_time.slept == [1, 2, 4, 8, 16, 32, 60]
    assert len(output.records["events"]) == ROWS


def test_the_last_try_is_the_eighth(simulator: Simulator, fake_time: FakeTime) -> None:
    simulator.inject(Status(503).on("events", "submit", times=None))
    output = sync(settings_for(simulator), "events")
    assert isinstance(output.error, ServiceUnavailableError)
    assert str(output.error) == (
        "Stream 'events': gave up after 8 tries of POST /events: the service has an internal error "
        '(HTTP 503: "Service Unavailable").'
    )
    assert fake_time.slept == [1, 2, 4, 8, 16, 32, 60]
    assert len(simulator.requests) == 8


def test_jitter_is_added_but_not_to_what_it_replaces(
    simulator: Simulator, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.25)
    simulator.inject(Status(503).on("events", "submit", times=2))
    sync(settings_for(simulator), "events")
    assert fake_time.slept == [1.25, 2.25]


def test_retry_after_in_both_its_forms(simulator: Simulator, fake_time: FakeTime) -> None:
    """Of a page: before the service has accepted an export, a wait is a minute at most."""
    at = datetime.now(UTC) + timedelta(seconds=200)
    for header in ("7", format_datetime(at, usegmt=True), "86400", "soon"):
        fault = Status(429, headers={"Retry-After": header}).on("events", "first_page")
        simulator.inject(fault)
    assert sync(settings_for(simulator), "events").error is None
    assert fake_time.slept[0] == 7
    # A date has whole seconds, and is read some time after it was written.
    passed = (datetime.now(UTC) - at).total_seconds() + 200
    assert 200 - passed - 1 <= fake_time.slept[1] <= 200
    assert fake_time.slept[2:] == [600, 8]  # at most ten minutes; then the usual fourth wait


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        ("601", 600.0),
        ("Wed, 01 Jan 2025 00:01:40 GMT", 100.0),
        ("Wed, 01 Jan 2025 00:01:40 -0000", 100.0),
        ("Tue, 31 Dec 2024 00:00:00 GMT", 0.0),
        ("", None),
        ("1.5", None),
        ("-5", None),
        ("tomorrow", None),
    ],
)
def test_reading_retry_after(value: str, seconds: float | None) -> None:
    response = requests.Response()
    response.headers["Retry-After"] = value
    assert retry_after(response, now=datetime(2025, 1, 1, tzinfo=UTC)) == seconds
    assert retry_after(None, now=datetime(2025, 1, 1, tzinfo=UTC)) is None


PHASES: tuple[Phase, ...] = ("submit", "poll", "first_page", "later_page")
TRANSPORT: tuple[FaultType, ...] = (
    Status(429),
    Status(500, "Error retrieving query result"),
    Status(502),
    Status(503),
    Status(504),
    ConnectionReset(),
    TruncatedBody(),
    TruncatedBody(mode="chunked"),
    RandomBytes(),
    HtmlPage(),
    HtmlPage(502),
)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("kind", TRANSPORT, ids=repr)
def test_a_transport_fault_is_tried_again(
    simulator: Simulator, fake_time: FakeTime, kind: FaultType, phase: Phase
) -> None:
    # An answer to a poll that is cut off counts as given.
    simulator.timing.queued_polls = 3 if phase == "poll" and isinstance(kind, TruncatedBody) else 1
    fault = simulator.inject(kind.on("events", phase, times=2))
    output = sync(settings_for(simulator, page_size=10, poll_interval_max_seconds=1), "events")
    assert output.error is None
    assert fault.fired == 2
    assert ids(output.records["events"]) == list(range(1, ROWS + 1))
    assert sorted(fake_time.slept) == [1, 1, 2]  # one poll, two tries


def test_a_service_that_hangs(
    simulator: Simulator, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    timeouts = time_out_when_held(simulator, monkeypatch)
    hanging = simulator.inject(Hang().on("events", "submit"))
    output = sync(settings_for(simulator, request_timeout_seconds=7), "events")
    assert output.error is None
    assert hanging.fired == 1
    (timeout,) = timeouts
    assert 0 < timeout <= 7
    assert fake_time.slept == [1]
    assert len(output.records["events"]) == ROWS


def test_no_connection_stays_open(simulator: Simulator) -> None:
    sync(settings_for(simulator), "events", "users")
    simulator.inject(FailQuery().on("events"))
    sync(settings_for(simulator), "events")
    gc.collect()  # an error and its traceback hold each other, and the last response
    for thread in threading.enumerate():
        if thread.name == "simulator-connection":
            thread.join(MAX_RETRY_DELAY)  # the server's side ends when ours does
            assert not thread.is_alive()


@pytest.mark.usefixtures("fake_time")
@pytest.mark.parametrize(
    "kind", [ConnectionReset(), TruncatedBody(), RandomBytes(), HtmlPage(), Status(503)], ids=repr
)
def test_a_transport_fault_that_stays_ends_the_stream(
    simulator: Simulator, kind: FaultType
) -> None:
    simulator.inject(kind.on("events", "later_page", times=None))
    output = sync(settings_for(simulator, page_size=2), "events", state=STATE)
    assert isinstance(output.error, ServiceUnavailableError)
    assert "Stream 'events': gave up after 8 tries of GET /events: " in str(output.error)
    assert output.bookmarks["events"] == "2024-06-01T00:00:00.000000Z"
    # The first page went out, and again in the half and the quarter; nothing is taken back.
    assert len(output.records["events"]) == 6


def test_a_service_that_is_not_there(simulator: Simulator) -> None:
    config = settings_for(simulator)
    simulator.close()
    error = sync(config, "events").error
    assert isinstance(error, ServiceUnavailableError)
    assert "ConnectionError (NewConnectionError) on the way to the service" in str(error)
    assert "Check the network, school_code and api_url." in str(error)


def test_a_status_is_named_with_garbage(simulator: Simulator) -> None:
    simulator.inject(HtmlPage().on("events", times=None))
    error = sync(settings_for(simulator), "events").error
    length = len(HtmlPage().page)
    assert f"the body is not JSON (HTTP 200, {length} bytes that are no JSON)" in str(error)


# What is logged


def test_the_log_says_what_is_waited_for(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.timing.queued_seconds = 10
    simulator.timing.running_seconds = 140
    sync(settings_for(simulator, start_date="2025-01-01", end_date="2025-06-01"), "events")
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert (
        "Stream 'events': exporting updatedOn 2025-01-01T00:00:00Z to 2025-06-01T00:00:00Z" in lines
    )
    waiting = [line for line in lines if "asking again" in line]
    first = "its export is queued (0 s so far); asking again in 1.0 s"
    assert waiting[0] == f"Stream 'events': {first}"
    assert len(waiting) == 1  # then the run's own lines tell of it, once a minute


def test_a_try_again_is_one_line_without_addresses(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(ConnectionReset().on("events", "later_page"))
    simulator.inject(Status(503, "jane.doe@uni.example").on("events", "later_page"))
    sync(settings_for(simulator, page_size=10), "events")
    lines = [
        r.getMessage()
        for r in caplog.records
        if r.levelno >= logging.WARNING and "try" in r.getMessage()
    ]
    assert len(lines) == 2
    assert lines[0] == (
        "Stream 'events': ConnectionError on the way to the service; try 2 of 8 in 1.0 s"
    )
    assert "HTTP 503" in lines[1]
    # The library's own lines would quote addresses and arguments.
    assert "Backing off" not in caplog.text
    assert "token" not in caplog.text
    assert "jane" not in caplog.text
    assert simulator.api_secret not in caplog.text


def test_unknown_fields_and_odd_values_are_told_by_name(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.dataset["events"][0] |= {"shoeSize": "sentinel-44", "capacity": "sentinel-many"}
    output = sync(settings_for(simulator), "events")
    assert output.error is None
    summary = next(r.getMessage() for r in caplog.records if "Summary: " in r.getMessage())
    assert summary.splitlines()[-2:] == [
        (
            "  events: field shoeSize is not in the schema: 1 values, kept in _extra; "
            "suggested type: string"
        ),
        "  events: field capacity has 1 values that do not fit its type, kept in _extra",
    ]
    assert "sentinel" not in caplog.text


def test_a_boolean_that_is_none_does_not_become_true(simulator: Simulator) -> None:
    """As the SDK's own conversion would make it."""
    rows = simulator.dataset["events"]
    rows[0]["draft"], rows[1]["draft"] = "maybe", "false"
    output = sync(settings_for(simulator), "events")
    records = {record["id"]: record for record in output.records["events"]}
    assert records[rows[0]["id"]]["draft"] is None
    assert records[rows[0]["id"]]["_extra"] == {"draft": "maybe"}
    assert records[rows[1]["id"]]["draft"] is False


# The SDK


def test_errors_are_of_one_family() -> None:
    assert issubclass(AccessDeniedError, CampusGroupsError)
    assert issubclass(ServiceUnavailableError, CampusGroupsError)
    assert RetryPolicy().max_attempts == 8
    assert CampusGroupsStream.allow_redirects is False


def test_an_unknown_host_is_given_up_soon(
    monkeypatch: pytest.MonkeyPatch, fake_time: FakeTime
) -> None:
    """A wrong school is known within seconds; a name server that is away is waited for."""

    def unknown(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(number, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    config = {"api_secret": "s", "school_code": "no-such-school"}
    number = socket.EAI_NONAME
    output = sync(config, "events")
    assert "gave up after 3 tries of POST /events: ConnectionError (NameResolutionError)" in str(
        output.error
    )
    assert sum(fake_time.slept) < 6

    number = socket.EAI_AGAIN
    output = sync(config, "events")
    assert f"gave up after {RetryPolicy().max_attempts} tries" in str(output.error)
