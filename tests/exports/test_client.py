"""Requests and responses of one stream, over HTTP."""

from __future__ import annotations

import gc
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
    Dataset,
    FailQuery,
    Redirect,
    Simulator,
)
from tests.support.harness import (
    MAX_RETRY_DELAY,
    NEWEST,
    settings_for,
    sync,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_time import FakeTime

ROWS = 25


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
    assert "failed after 8 attempts: ConnectionError (ConnectionRefusedError). " in str(error)
    assert "Check the network, school_code and api_url." in str(error)


# Log lines


# Host names


@pytest.mark.parametrize(
    ("number", "attempts"), [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, RetryPolicy().max_attempts)]
)
def test_unknown_host_is_an_error_at_once_unless_the_name_server_is_down(
    monkeypatch: pytest.MonkeyPatch, fake_time: FakeTime, number: int, attempts: int
) -> None:
    def fail(*_: object, **__: object) -> list[Any]:
        raise socket.gaierror(number, "no address")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    output = sync({"api_secret": "s", "school_code": "no-such-school"}, "events")
    assert isinstance(output.error, ServiceUnavailableError)
    assert len(fake_time.slept) == attempts - 1
    advice = "Correct school_code or api_url." if attempts == 1 else "Check the network"
    assert advice in str(output.error)
