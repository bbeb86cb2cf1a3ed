"""A service with slow, endless or contradictory responses: errors within limits, no row lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import (
    CampusGroupsError,
    ExportFailedError,
    ServiceUnavailableError,
    StreamError,
)
from tap_campusgroups.exports import connection
from tap_campusgroups.exports.http_client import Endpoint
from tap_campusgroups.exports.pagination import MAX_EMPTY_PAGES
from tests.simulator import (
    Dataset,
    EndlessBody,
    EndlessPages,
    Fault,
    FaultType,
    RepeatQueryId,
    Simulator,
    Status,
    WrongContentLength,
)
from tests.support.exports import NAMES
from tests.support.harness import settings_for, state_of, sync
from tests.support.three_streams import (
    AFTER,
    BEFORE,
    FAULTY,
    NEW,
    OLD,
    ROWS,
    make_dataset,
    submissions,
    sync_three,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.fake_time import FakeTime
    from tests.support.harness import Output


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """The service on the fake clock, with rows in each quarter of the window."""
    with Simulator(make_dataset(timedelta(days=365)), clock=fake_time.monotonic) as simulator:
        yield simulator


def assert_only_faulty_failed(output: Output, error: type[CampusGroupsError], text: str) -> None:
    """Check that one stream failed with its bookmark unmoved, and the others are complete."""
    assert isinstance(output.error, error)
    assert str(output.error).startswith(f"Stream '{FAULTY}': ")
    assert text in str(output.error)
    assert output.bookmarks == {BEFORE: NEW, FAULTY: OLD, AFTER: NEW}
    for stream in (BEFORE, AFTER):
        assert len(output.records[stream]) == ROWS[stream]


@pytest.mark.parametrize("windows", [{}, {"export_window_days": 100}])
def test_repeated_query_id_fails_its_stream(simulator: Simulator, windows: dict[str, Any]) -> None:
    """Of another window or another stream, whose rows it would return."""
    stream = FAULTY if windows else None
    simulator.inject(RepeatQueryId().on(stream, times=None))
    output = sync_three(simulator, max_concurrent_exports=1, **windows)
    assert isinstance(output.error, CampusGroupsError)
    if windows:
        assert "the service returned the queryId of another export" in str(output.error)
        assert OLD < str(output.bookmarks[FAULTY]) < NEW  # after the first window
    else:
        assert output.bookmarks == {BEFORE: NEW, FAULTY: OLD, AFTER: OLD}


# Limits


def test_endless_pages_are_an_error_within_limits(simulator: Simulator) -> None:
    fault = simulator.inject(EndlessPages().on(FAULTY, times=None))
    output = sync_three(simulator)
    assert_only_faulty_failed(
        output, ExportFailedError, "keeps sending empty pages or the same rows"
    )
    assert fault.fired == MAX_EMPTY_PAGES


@pytest.mark.parametrize("kind", [Status(503), Status(429, headers={"Retry-After": "86400"})])
def test_service_that_accepts_no_export_ends_the_run_within_minutes(
    simulator: Simulator, fake_time: FakeTime, kind: FaultType
) -> None:
    simulator.inject(Fault(kind, times=None))
    output = sync(settings_for(simulator))
    assert isinstance(output.error, ServiceUnavailableError)
    assert {request.stream for request in simulator.requests} == set(NAMES[:2])
    assert sum(fake_time.slept) <= 2 * 400


def test_endpoint_down_from_the_start_fails_its_stream_only(simulator: Simulator) -> None:
    simulator.inject(Status(503).on(BEFORE, times=None))
    output = sync_three(simulator)
    assert isinstance(output.error, ServiceUnavailableError)
    assert output.bookmarks == {BEFORE: OLD, FAULTY: NEW, AFTER: NEW}


# Bodies


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("length", ["9" * 5000, "-1", "x"])
def test_absurd_content_length_is_ignored_or_retried(
    simulator: Simulator, *, length: str, is_chunked: bool
) -> None:
    """It is ignored in a chunked response; alone, it truncates the response."""
    fault_type = WrongContentLength(length, is_chunked)
    simulator.inject(fault_type.on(FAULTY, "first_page", times=2))
    output = sync_three(simulator)
    assert output.error is None
    assert len(output.records[FAULTY]) == ROWS[FAULTY]


@pytest.mark.parametrize("gzip", [False, True])
def test_endless_page_is_read_up_to_a_limit(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, *, gzip: bool
) -> None:
    monkeypatch.setattr(connection, "MAX_BODY_BYTES", 2**22)
    simulator.inject(EndlessBody(gzip=gzip).on(FAULTY, "first_page", times=None))
    output = sync_three(simulator)
    assert_only_faulty_failed(output, ExportFailedError, "too large for memory. Lower page_size.")


@pytest.mark.parametrize("code", [202, 401, 404, 503])
def test_other_endless_body_is_read_up_to_a_limit_and_classified_by_status(
    simulator: Simulator, code: int
) -> None:
    fault = simulator.inject(EndlessBody(code).on(FAULTY, "first_page", times=2))
    output = sync_three(simulator)
    assert output.error is None
    assert fault.fired == 2
    assert len(output.records[FAULTY]) >= ROWS[FAULTY]


def test_bug_in_a_worker_fails_its_stream_only(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    request = Endpoint.request

    def fail(endpoint: Endpoint, step: Any) -> Any:
        if endpoint.path == "/members":
            message = "quotes Zoe Sentinel"
            raise RuntimeError(message)
        return request(endpoint, step)

    monkeypatch.setattr(Endpoint, "request", fail)
    output = sync_three(simulator)
    assert_only_faulty_failed(output, StreamError, "unexpected RuntimeError in ")
    assert "Sentinel" not in caplog.text


# Clocks

DAY = timedelta(days=1)


def sync_with_clocks(
    *, service: int = 0, state: dict[str, Any] | None = None, **options: Any
) -> tuple[Output, str]:
    """Sync with a service some days ahead; return the output, and the latest possible bookmark."""
    now = datetime.now(UTC)
    with Simulator(Dataset(3, newest=now - 90 * DAY), now=lambda: now + service * DAY) as simulator:
        output = sync(settings_for(simulator), "events", AFTER, state=state, **options)
    return output, (now + min(service, 0) * DAY - 2 * DAY + timedelta(minutes=5)).isoformat()


def test_local_clock_ahead_of_the_service_does_not_move_a_bookmark_past_it() -> None:
    output, latest = sync_with_clocks(started=datetime.now(UTC) + DAY)
    assert output.error is None
    assert all(str(bookmark) <= latest for bookmark in output.bookmarks.values())
    assert len(output.records["events"]) == 3


@pytest.mark.parametrize("days", [-10, 10])
def test_different_clocks_are_one_warning(days: int, caplog: pytest.LogCaptureFixture) -> None:
    output, latest = sync_with_clocks(service=days, started=None)
    assert output.error is None
    assert len([line for line in caplog.messages if "Clocks differ" in line]) == 1
    assert all(str(bookmark) <= latest for bookmark in output.bookmarks.values())


def test_bookmark_later_than_the_run_is_an_error_before_any_request(simulator: Simulator) -> None:
    state = state_of(groups=OLD, members="2999-01-01T00:00:00Z", tags=OLD)
    output = sync_three(simulator, state)
    assert isinstance(output.error, StreamError)
    assert str(output.error).startswith(
        "Stream 'members': the bookmark in the state (2999-01-01T00:00:00.000000Z) is later than "
    )
    assert submissions(simulator) == []
    assert output.bookmarks[FAULTY] == "2999-01-01T00:00:00.000000Z"
    assert output.bookmarks[AFTER] == NEW


def test_bookmark_later_than_the_service_is_an_error_if_the_local_clock_is_ahead_too() -> None:
    """As after an earlier run on the same machine, whose clock is ten days ahead."""
    now = datetime.now(UTC)
    state = state_of(events=(now + 8 * DAY).isoformat())
    output, _ = sync_with_clocks(state=state, started=now + 10 * DAY)
    assert isinstance(output.error, StreamError)
