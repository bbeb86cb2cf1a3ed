"""Connections: deadlines, suspension, closing, hosts that do not answer."""

from __future__ import annotations

import gc
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
import requests

from tap_campusgroups.exceptions import ServiceUnavailableError
from tap_campusgroups.exports import connection
from tap_campusgroups.exports.connection import Connection, DeadlineExceededError
from tap_campusgroups.exports.retry import RetryPolicy
from tests.simulator import (
    ConnectionReset,
    FailQuery,
    Hang,
    Simulator,
    SlowResponse,
)
from tests.support.harness import settings_for, sync, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response
    from tests.support.fake_time import FakeTime


@pytest.fixture
def one() -> Iterator[Connection]:
    """A connection, closed at the end."""
    one = Connection()
    yield one
    one.close()
    wait_until(lambda: not request_threads())


def request_threads() -> list[str]:
    """Return the names of threads that wait for responses."""
    return [t.name for t in threading.enumerate() if t.name == "tap-campusgroups-request"]


def submission(simulator: Simulator) -> requests.PreparedRequest:
    """Return a request for the simulator."""
    params = {"updatedStart": "2025-01-01T00:00:00Z", "updatedEnd": "2025-06-01T00:00:00Z"}
    url = f"{simulator.url}/events"
    return requests.Request("POST", url, simulator.headers(), params=params).prepare()


@pytest.mark.parametrize("part", ["head", "body", "chunks"])
def test_response_that_arrives_byte_by_byte_ends_at_its_deadline(
    simulator: Simulator, one: Connection, part: Any
) -> None:
    simulator.inject(SlowResponse(part).on())
    with pytest.raises(DeadlineExceededError):
        one.exchange(submission(simulator), timeout=60, deadline=0.2)
    assert one.waited == pytest.approx(0.2)
    # The abandoned thread ends with its response; the next request has another one.
    assert one.exchange(submission(simulator), timeout=60, deadline=60).status == 200
    simulator.close()
    wait_until(lambda: len(request_threads()) == 1)


def test_connection_is_kept_alive_and_has_one_thread(simulator: Simulator, one: Connection) -> None:
    for _ in range(3):
        assert one.exchange(submission(simulator), timeout=60, deadline=60).status == 200
    assert len(request_threads()) == 1
    connections = [t for t in threading.enumerate() if t.name == "simulator-connection"]
    assert len(connections) == 1


def test_time_in_which_the_process_did_not_run_is_not_part_of_the_deadline(
    simulator: Simulator, one: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The clock jumps by five minutes at each look, as if the process had been suspended."""
    monkeypatch.setattr(connection, "CHECK_SECONDS", 0.05)
    real, looks = time.monotonic, [0]

    def monotonic() -> float:
        looks[0] += 1
        if looks[0] > 3 and simulator.hanging:
            simulator.release()
        return real() + 300 * looks[0]

    simulator.inject(Hang().on())
    with monkeypatch.context() as patch:
        patch.setattr(time, "monotonic", monotonic)
        response = one.exchange(submission(simulator), timeout=60, deadline=60)
    assert response.status == 200
    assert looks[0] >= 4
    assert one.waited <= 0.05 * looks[0]


def test_request_of_a_process_that_was_suspended_has_a_new_attempt(
    simulator: Simulator, fake_time: FakeTime
) -> None:
    """The process stands still for an hour, and its connection is gone when it runs again."""

    class Suspended(ConnectionReset):
        def respond(self, context: RequestContext) -> Response:
            fake_time.advance(3600)
            return super().respond(context)

    fault = simulator.inject(Suspended().on("events", "submit"))
    output = sync(settings_for(simulator, request_timeout_seconds=1), "events")
    assert output.error is None
    assert fault.fired == 1
    assert fake_time.slept == [1]


def test_connections_after_runs_are_closed(simulator: Simulator) -> None:
    sync(settings_for(simulator), "events", "users")
    simulator.inject(FailQuery().on("events"))
    sync(settings_for(simulator), "events")
    gc.collect()  # an error and its traceback refer to each other and to the last response
    wait_until(lambda: "simulator-connection" not in {t.name for t in threading.enumerate()})


def test_service_without_a_listener_is_an_error_with_advice(
    simulator: Simulator, fake_time: FakeTime
) -> None:
    config = settings_for(simulator)
    simulator.close()
    error = sync(config, "events").error
    assert len(fake_time.slept) == 7
    assert isinstance(error, ServiceUnavailableError)
    assert "failed after 8 attempts: ConnectionError (ConnectionRefusedError). " in str(error)
    assert "Check the network, school_code and api_url." in str(error)


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
