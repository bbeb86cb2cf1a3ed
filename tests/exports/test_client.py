"""Requests and responses of one stream, over HTTP."""

from __future__ import annotations

import gc
import logging
import socket
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import (
    ExportFailedError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.retry import RetryPolicy
from tests.simulator import (
    ConnectionReset,
    Dataset,
    EmptyPage,
    EmptyToken,
    FailQuery,
    Fault,
    JsonBody,
    MessageOnly,
    NullToken,
    Redirect,
    Simulator,
    Status,
    TokenKey,
)
from tests.support.harness import (
    MAX_RETRY_DELAY,
    NEWEST,
    settings_for,
    state_of,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def test_upper_bound_of_all_streams_is_the_start_of_the_run(simulator: Simulator) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    sync(settings_for(simulator, start_date="2025-01-01T05:00:00+05:00"), started=None)
    after = datetime.now(UTC)
    submitted = [request.query for request in simulator.requests if request.method == "POST"]
    assert len(submitted) == 23
    (bounds,) = {(query["updatedStart"], query["updatedEnd"]) for query in submitted}
    assert bounds[0] == "2025-01-01T00:00:00Z"
    assert before <= datetime.fromisoformat(bounds[1]) <= after


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
        (JsonBody({"id": "q"}).on("events", "submit"), "an object of (another key): string"),
        (Status(404).on("events", "submit"), "Check api_url and school_code, or deselect"),
        (
            Status(404).on("events", "first_page", times=None),
            "query or the page no longer exists",
        ),
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


# Retries


def test_connections_after_runs_are_closed(simulator: Simulator) -> None:
    sync(settings_for(simulator), "events", "users")
    simulator.inject(FailQuery().on("events"))
    sync(settings_for(simulator), "events")
    gc.collect()  # an error and its traceback refer to each other and to the last response
    for thread in threading.enumerate():
        if thread.name == "simulator-connection":
            thread.join(MAX_RETRY_DELAY)  # ends when the tap closes its side
            assert not thread.is_alive()


def test_service_without_a_listener_is_an_error_with_advice(simulator: Simulator) -> None:
    config = settings_for(simulator)
    simulator.close()
    error = sync(config, "events").error
    assert isinstance(error, ServiceUnavailableError)
    assert "failed after 8 attempts: ConnectionError (NewConnectionError). " in str(error)
    assert "Check the network, school_code and api_url." in str(error)


# Log lines


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
    assert len(fake_time.slept) == attempts - 1
    assert number == socket.EAI_AGAIN or sum(fake_time.slept) < 6
