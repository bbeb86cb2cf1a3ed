"""Requests, responses, retries and log lines of one stream, over HTTP."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.retry import RetryPolicy
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
    """The service with 25 rows per stream, on the fake clock."""
    with Simulator(Dataset(ROWS, newest=NEWEST), clock=fake_time.monotonic) as simulator:
        yield simulator


def ids(records: list[dict[str, Any]]) -> list[int]:
    """Return the ids of records in ascending order."""
    return sorted(record["id"] for record in records)


# Requests


def test_request_of_any_step_has_headers_and_parameters(simulator: Simulator) -> None:
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


def test_upper_bound_of_all_streams_is_the_start_of_the_run(simulator: Simulator) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    sync(settings_for(simulator, start_date="2025-01-01T05:00:00+05:00"), started=None)
    after = datetime.now(UTC)
    submitted = [request.query for request in simulator.requests if request.method == "POST"]
    assert len(submitted) == 23
    (bounds,) = {(query["updatedStart"], query["updatedEnd"]) for query in submitted}
    assert bounds[0] == "2025-01-01T00:00:00Z"
    assert before <= datetime.fromisoformat(bounds[1]) <= after


def test_upper_bound_with_end_date_is_never_later_than_the_start_of_the_run(
    simulator: Simulator,
) -> None:
    sync(settings_for(simulator, end_date="2025-03-01"), "events")
    sync(settings_for(simulator, end_date="2999-01-01"), "events")
    first, second = [r.query["updatedEnd"] for r in simulator.requests if r.method == "POST"]
    assert first == "2025-03-01T00:00:00Z"
    assert second < "2100"


def test_run_with_future_start_date_sends_no_request(simulator: Simulator) -> None:
    output = sync(settings_for(simulator, start_date="2999-01-01"), "events")
    assert (output.error, output.records, simulator.requests) == (None, {}, [])


def test_deselected_streams_send_no_request(simulator: Simulator) -> None:
    sync(settings_for(simulator), "tags")
    assert {request.stream for request in simulator.requests} == {"tags"}


@pytest.mark.parametrize("size", [1, 7, 25, 999])
def test_rows_for_any_page_size_are_emitted_once(simulator: Simulator, size: int) -> None:
    output = sync(settings_for(simulator, page_size=size), "users")
    assert output.error is None
    assert ids(output.records["users"]) == list(range(1, ROWS + 1))


# Responses


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
def test_unusual_response_that_is_not_an_error_is_accepted(
    simulator: Simulator, fault: Fault
) -> None:
    simulator.timing.running_polls = 2
    simulator.inject(fault)
    output = sync(settings_for(simulator, page_size=10), "events")
    assert output.error is None
    assert fault.fired
    assert ids(output.records["events"]) == list(range(1, ROWS + 1))


@pytest.mark.parametrize(
    ("fault", "text"),
    [
        (
            FailQuery().on("events", times=None),
            'the query failed (HTTP 500, "Query execution failed")',
        ),
        (CancelQuery().on("events", times=None), "the query was cancelled (HTTP 410"),
        (RepeatToken().on("events"), "returned the same page token twice"),
        (RepeatToken("first").on("events"), "returned the same page token twice"),
        (JsonBody([]).on("events", "first_page"), "unknown format (HTTP 200, JSON of type array)"),
        (JsonBody({"Results": None}).on("events", "later_page"), "an object of Results: null"),
        (
            JsonBody({"message": "Error: x"}).on("events", "poll", times=None),
            "the query failed (HTTP 200",
        ),
        (JsonBody({"message": "hello"}).on("events", "poll"), "unknown format"),
        (JsonBody({"Results": "[]"}).on("events", "first_page"), "an object of Results: string"),
        (JsonBody({"id": "q"}).on("events", "submit"), "an object of (another key): string"),
        (Status(404).on("events", "submit"), "Check api_url and school_code, or deselect"),
        (
            Status(404).on("events", "first_page", times=None),
            "query or the page no longer exists",
        ),
        (Status(400).on("events", "submit"), "rejected the request (HTTP 400"),
        (Redirect("https://elsewhere.example/").on("events", "submit"), "Check api_url."),
    ],
    ids=lambda value: f"{value.type} {value.phase}" if isinstance(value, Fault) else "",
)
def test_permanent_fault_fails_the_stream_with_bookmark_unmoved(
    simulator: Simulator, fault: Fault, text: str
) -> None:
    simulator.timing.queued_polls = 1
    simulator.inject(fault)
    output = sync(settings_for(simulator, page_size=10), "events", state=STATE)
    assert isinstance(output.error, ExportFailedError)
    assert text in str(output.error)
    assert str(output.error).startswith("Stream 'events': ")
    assert "\n" not in str(output.error)
    assert output.bookmarks["events"] == "2024-06-01T00:00:00.000000Z"


def test_redirect_to_another_host_is_not_followed(simulator: Simulator) -> None:
    with Simulator(Dataset(1, newest=NEWEST)) as elsewhere:
        simulator.inject(Redirect(f"{elsewhere.url}/events", 307).on("events"))
        assert isinstance(sync(settings_for(simulator), "events").error, ExportFailedError)
        assert elsewhere.requests == []


def test_wrong_secret_is_an_error_after_one_request(simulator: Simulator) -> None:
    output = sync(settings_for(simulator, api_secret="wrong-sentinel"))  # noqa: S106 - a wrong one
    assert isinstance(output.error, AccessDeniedError)
    assert "api_secret" in str(output.error)
    assert "school_code" in str(output.error)
    assert "wrong-sentinel" not in str(output.error)
    assert len(simulator.requests) == 1
    assert output.records == {}


def test_export_queued_until_its_timeout_is_submitted_once(
    simulator: Simulator, fake_time: FakeTime
) -> None:
    simulator.timing.queued_seconds = 1e9
    output = sync(settings_for(simulator, export_timeout_minutes=2), "events")
    assert isinstance(output.error, ExportTimeoutError)
    assert "still queued after 2 minutes" in str(output.error)
    assert "Raise export_timeout_minutes" in str(output.error)
    assert sum(fake_time.slept) == pytest.approx(120)
    assert len([r for r in simulator.requests if r.method == "POST"]) == 1


# Retries


def test_delays_between_attempts_are_exact(simulator: Simulator, fake_time: FakeTime) -> None:
    simulator.inject(Status(503).on("events", "submit", times=7))
    output = sync(settings_for(simulator), "events")
    assert output.error is None
    assert fake_time.slept == [1, 2, 4, 8, 16, 32, 60]
    assert len(output.records["events"]) == ROWS


def test_request_failing_at_all_eight_attempts_fails_the_stream(
    simulator: Simulator, fake_time: FakeTime
) -> None:
    simulator.inject(Status(503).on("events", "submit", times=None))
    output = sync(settings_for(simulator), "events")
    assert isinstance(output.error, ServiceUnavailableError)
    assert str(output.error) == (
        "Stream 'events': POST /events failed after 8 attempts: internal error of the service "
        '(HTTP 503, "Service unavailable").'
    )
    assert fake_time.slept == [1, 2, 4, 8, 16, 32, 60]
    assert len(simulator.requests) == 8


def test_delay_with_jitter_is_longer_by_the_random_part(
    simulator: Simulator, fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("random.random", lambda: 0.25)
    simulator.inject(Status(503).on("events", "submit", times=2))
    sync(settings_for(simulator), "events")
    assert fake_time.slept == [1.25, 2.25]


def test_retry_after_of_a_page_in_any_form_is_obeyed(
    simulator: Simulator, fake_time: FakeTime
) -> None:
    """Of a page: until the service has accepted an export, a delay is one minute at most."""
    at = datetime.now(UTC) + timedelta(seconds=200)
    for header in ("7", format_datetime(at, usegmt=True), "86400", "soon"):
        fault = Status(429, headers={"Retry-After": header}).on("events", "first_page")
        simulator.inject(fault)
    assert sync(settings_for(simulator), "events").error is None
    assert fake_time.slept[0] == 7
    # A date has whole seconds, and time passes until it is parsed.
    passed = (datetime.now(UTC) - at).total_seconds() + 200
    assert 200 - passed - 1 <= fake_time.slept[1] <= 200
    assert fake_time.slept[2:] == [600, 8]  # ten minutes at most; then the usual fourth delay


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


@pytest.mark.parametrize("kind", TRANSPORT, ids=repr)
def test_transport_fault_in_any_phase_is_retried(
    simulator: Simulator, fake_time: FakeTime, kind: FaultType
) -> None:
    # One wait between two polls. The simulator counts a poll whose response it truncates.
    simulator.timing.queued_polls = 3 if isinstance(kind, TruncatedBody) else 1
    faults = [simulator.inject(kind.on("events", phase, times=2)) for phase in PHASES]
    output = sync(settings_for(simulator, page_size=10, poll_interval_max_seconds=7), "events")
    assert output.error is None
    assert [fault.fired for fault in faults] == [2] * len(PHASES)
    assert ids(output.records["events"]) == list(range(1, ROWS + 1))
    retries, poll = [1, 2], [1]
    assert fake_time.slept == retries + retries + poll + retries + retries


def test_request_that_hangs_times_out_and_is_retried(
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


def test_connections_after_runs_are_closed(simulator: Simulator) -> None:
    sync(settings_for(simulator), "events", "users")
    simulator.inject(FailQuery().on("events"))
    sync(settings_for(simulator), "events")
    gc.collect()  # an error and its traceback refer to each other and to the last response
    for thread in threading.enumerate():
        if thread.name == "simulator-connection":
            thread.join(MAX_RETRY_DELAY)  # ends when the tap closes its side
            assert not thread.is_alive()


@pytest.mark.usefixtures("fake_time")
@pytest.mark.parametrize(
    "kind", [ConnectionReset(), TruncatedBody(), RandomBytes(), HtmlPage(), Status(503)], ids=repr
)
def test_permanent_transport_fault_fails_the_stream_with_bookmark_unmoved(
    simulator: Simulator, kind: FaultType
) -> None:
    simulator.inject(kind.on("events", "later_page", times=None))
    output = sync(settings_for(simulator, page_size=2), "events", state=STATE)
    assert isinstance(output.error, ServiceUnavailableError)
    assert str(output.error).startswith("Stream 'events': GET /events failed after 8 attempts: ")
    assert output.bookmarks["events"] == "2024-06-01T00:00:00.000000Z"
    # The first page was emitted three times: of the window, of its half and of the quarter.
    assert len(output.records["events"]) == 6


def test_service_without_a_listener_is_an_error_with_advice(simulator: Simulator) -> None:
    config = settings_for(simulator)
    simulator.close()
    error = sync(config, "events").error
    assert isinstance(error, ServiceUnavailableError)
    assert "failed after 8 attempts: ConnectionError (NewConnectionError). " in str(error)
    assert "Check the network, school_code and api_url." in str(error)


def test_body_that_is_not_json_is_an_error_with_status_and_length(simulator: Simulator) -> None:
    simulator.inject(HtmlPage().on("events", times=None))
    error = sync(settings_for(simulator), "events").error
    length = len(HtmlPage().page)
    assert f"the body is not valid JSON (HTTP 200, {length} bytes " in str(error)


# Log lines


def test_submission_and_first_wait_of_export_are_one_log_line_each(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.timing.queued_seconds = 10
    simulator.timing.running_seconds = 140
    sync(settings_for(simulator, start_date="2025-01-01", end_date="2025-06-01"), "events")
    lines = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    query_id = simulator.requests[1].query["queryId"]
    assert [line for line in lines if line.startswith("Export ")] == [
        (
            "Export submitted: stream=events window=2025-01-01T00:00:00Z/2025-06-01T00:00:00Z "
            f"query_id={query_id}"
        ),
        "Export queued: stream=events elapsed=0s next_poll=1.0s",
    ]


def test_retry_is_one_log_line_without_personal_data(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(ConnectionReset().on("events", "later_page"))
    simulator.inject(Status(503, "jane.doe@uni.example").on("events", "later_page"))
    sync(settings_for(simulator, page_size=10), "events")
    lines = [
        r.getMessage()
        for r in caplog.records
        if r.levelno >= logging.WARNING and "Retrying" in r.getMessage()
    ]
    assert len(lines) == 2
    assert lines[0] == (
        "Retrying request: stream=events reason=ConnectionError attempt=2/8 delay=1.0s"
    )
    assert "HTTP 503, a hidden message of 20 characters" in lines[1]
    assert "token" not in caplog.text
    assert "jane" not in caplog.text
    assert simulator.api_secret not in caplog.text


def test_summary_names_unknown_fields_and_type_mismatches_without_values(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.dataset["events"][0] |= {"shoeSize": "sentinel-44", "capacity": "sentinel-many"}
    output = sync(settings_for(simulator), "events")
    assert output.error is None
    summary = next(r.getMessage() for r in caplog.records if "Summary: " in r.getMessage())
    assert summary.splitlines()[3:5] == [
        (
            "  events: field shoeSize is not in the schema: 1 value, kept in _extra; "
            "suggested type: string"
        ),
        "  events: field capacity has 1 value of another type, kept in _extra",
    ]
    assert "sentinel" not in caplog.text


def test_text_that_is_not_a_boolean_is_kept_in_extra(simulator: Simulator) -> None:
    """The SDK's own conversion would make it true."""
    rows = simulator.dataset["events"]
    rows[0]["draft"], rows[1]["draft"] = "maybe", "false"
    output = sync(settings_for(simulator), "events")
    records = {record["id"]: record for record in output.records["events"]}
    assert records[rows[0]["id"]]["draft"] is None
    assert records[rows[0]["id"]]["_extra"] == {"draft": "maybe"}
    assert records[rows[1]["id"]]["draft"] is False


# Host names


@pytest.mark.parametrize(
    ("number", "attempts"), [(socket.EAI_NONAME, 3), (socket.EAI_AGAIN, RetryPolicy().max_attempts)]
)
def test_unknown_host_is_an_error_after_few_attempts_unless_the_name_server_is_down(
    monkeypatch: pytest.MonkeyPatch, fake_time: FakeTime, number: int, attempts: int
) -> None:
    """A wrong school code shows within seconds."""

    def fail(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(number, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    output = sync({"api_secret": "s", "school_code": "no-such-school"}, "events")
    assert isinstance(output.error, ServiceUnavailableError)
    assert str(output.error) == (
        f"Stream 'events': POST /events failed after {attempts} attempts: ConnectionError "
        "(NameResolutionError). Check the network, school_code and api_url."
    )
    assert len(fake_time.slept) == attempts - 1
    assert number == socket.EAI_AGAIN or sum(fake_time.slept) < 6
