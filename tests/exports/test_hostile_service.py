"""A service with slow, endless or contradictory responses: errors within limits, no row lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import (
    CampusGroupsError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
    StreamError,
)
from tap_campusgroups.exports import connection, http_client
from tap_campusgroups.exports.endpoint import Endpoint
from tap_campusgroups.exports.pagination import MAX_EMPTY_PAGES, MAX_REPEATED_PAGES
from tests.simulator import (
    Dataset,
    EndlessBody,
    EndlessPages,
    Fault,
    FaultType,
    Phase,
    RepeatQueryId,
    Simulator,
    SlowResponse,
    Status,
    WrongContentLength,
)
from tests.support.exports import NAMES
from tests.support.harness import NEWEST, settings_for, state_of, sync
from tests.support.three_streams import (
    AFTER,
    BEFORE,
    FAULTY,
    NEW,
    OLD,
    ROWS,
    make_dataset,
    sync_three,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator import RecordedRequest
    from tests.support.fake_time import FakeTime
    from tests.support.harness import Output


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """The service on the fake clock, with rows in each quarter of the window."""
    with Simulator(make_dataset(timedelta(days=365)), clock=fake_time.monotonic) as simulator:
        yield simulator


def assert_complete(output: Output) -> None:
    """Check that all rows of the stream with the fault arrived."""
    assert output.error is None
    assert len(output.records[FAULTY]) == ROWS[FAULTY]


def assert_only_faulty_failed(output: Output, error: type[CampusGroupsError], text: str) -> None:
    """Check that one stream failed with its bookmark unmoved, and the others are complete."""
    assert isinstance(output.error, error)
    assert str(output.error).startswith(f"Stream '{FAULTY}': ")
    assert text in str(output.error)
    assert output.bookmarks == {BEFORE: NEW, FAULTY: OLD, AFTER: NEW}
    for stream in (BEFORE, AFTER):
        assert len(output.records[stream]) == ROWS[stream]


def submitted(simulator: Simulator, stream: str | None = None) -> list[RecordedRequest]:
    """Return the POSTs of a stream, or of all streams."""
    return [
        request
        for request in simulator.requests
        if request.method == "POST" and stream in {None, request.stream}
    ]


# Messages, tokens and queryIds


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


PHASES: tuple[Phase, ...] = ("submit", "poll", "first_page")


@pytest.mark.parametrize("part", ["head", "body", "chunks"])
def test_slow_response_in_any_phase_is_cut_off_at_its_deadline_and_retried(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, part: Any
) -> None:
    """Every byte arrives in time, the whole response does not."""
    monkeypatch.setattr(http_client, "RESPONSE_DEADLINE", 0.5)
    simulator.timing.queued_polls = 1
    faults = [simulator.inject(SlowResponse(part).on(FAULTY, phase)) for phase in PHASES]
    output = sync_three(simulator, request_timeout_seconds=1)
    assert_complete(output)
    assert [fault.fired for fault in faults] == [1, 1, 1]


@pytest.mark.parametrize("fault_type", [WrongContentLength("9" * 15), Status(503)], ids=repr)
def test_stream_of_which_no_page_can_be_had_fails_within_minutes_and_the_others_complete(
    simulator: Simulator, fake_time: FakeTime, fault_type: FaultType
) -> None:
    simulator.inject(fault_type.on(FAULTY, "first_page", times=None))
    began = fake_time.monotonic()
    output = sync_three(simulator, request_timeout_seconds=1)
    assert_only_faulty_failed(output, ServiceUnavailableError, "failed after ")
    assert fake_time.monotonic() - began <= 300


@pytest.mark.parametrize("rows", ["none", "same"])
def test_endless_pages_are_an_error_within_limits(
    simulator: Simulator, fake_time: FakeTime, rows: Any
) -> None:
    fault = simulator.inject(EndlessPages(rows).on(FAULTY, times=None))
    output = sync_three(simulator)
    assert_only_faulty_failed(output, ExportFailedError, "keeps sending empty or identical pages")
    assert fault.fired == (MAX_EMPTY_PAGES if rows == "none" else MAX_REPEATED_PAGES + 1)
    if rows == "none":
        assert fake_time.slept.count(1.0) >= MAX_EMPTY_PAGES - 1


@pytest.mark.parametrize("kind", [Status(503), Status(429, headers={"Retry-After": "86400"})])
def test_service_that_accepts_no_export_ends_the_run_within_minutes(
    simulator: Simulator, fake_time: FakeTime, kind: FaultType
) -> None:
    simulator.inject(Fault(kind, times=None))
    output = sync(settings_for(simulator))
    assert isinstance(output.error, ServiceUnavailableError)
    assert {request.stream for request in simulator.requests} == set(NAMES[:2])
    assert sum(fake_time.slept) <= 2 * 400


def test_endpoint_down_from_the_start_fails_its_stream_only(
    simulator: Simulator,
) -> None:
    simulator.inject(Status(503).on(BEFORE, times=None))
    output = sync_three(simulator)
    assert isinstance(output.error, ServiceUnavailableError)
    assert output.bookmarks == {BEFORE: OLD, FAULTY: NEW, AFTER: NEW}


def test_export_running_at_its_timeout_is_bisected_and_keeps_its_slot(
    simulator: Simulator, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """The first query never ends; its halves are fast. The limit of two becomes one."""
    simulator.timing.running_seconds = {FAULTY: 1e9}

    class FastHalves(FaultType):
        def applies(self, context: Any) -> bool:
            start, end = context.window or (NEWEST, NEWEST)
            if context.stream == FAULTY and end - start < timedelta(days=300):
                simulator.timing.running_seconds = 0
            return False

        def respond(self, context: Any) -> Any:
            return context.execute()

    simulator.inject(FastHalves().on(FAULTY, "submit", times=None))
    output = sync_three(simulator, max_concurrent_exports=2)
    assert_complete(output)
    assert len(submitted(simulator, FAULTY)) == 3
    assert simulator.peak_active == 2
    assert sum(fake_time.slept) >= 1800
    assert "still running after 30 minutes; submitting its halves. It counts" in caplog.text
    assert "Export abandoned: stream=members query_id=" in caplog.text


def test_export_whose_first_half_is_too_slow_fails_its_stream(simulator: Simulator) -> None:
    simulator.timing.running_seconds = {FAULTY: 1e9}
    output = sync_three(simulator, max_concurrent_exports=4)
    assert_only_faulty_failed(output, ExportTimeoutError, "still running after 30 minutes")
    assert len(submitted(simulator, FAULTY)) == 2  # the export and its first half


def test_slow_export_with_a_limit_of_one_is_not_bisected(simulator: Simulator) -> None:
    simulator.timing.running_seconds = {FAULTY: 1e9}
    output = sync_three(simulator, max_concurrent_exports=1)
    assert_only_faulty_failed(output, ExportTimeoutError, "still running after 30 minutes")
    assert len(submitted(simulator, FAULTY)) == 1


# Bodies


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("length", [str(2**60), "9" * 5000, "-1", "x"])
def test_absurd_content_length_is_ignored_or_retried(
    simulator: Simulator, *, length: str, is_chunked: bool
) -> None:
    """It is ignored in a chunked response; alone, it truncates the response."""
    kind = WrongContentLength(length, is_chunked)
    simulator.inject(kind.on(FAULTY, "first_page", times=2))
    output = sync_three(simulator)
    assert_complete(output)


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


def now() -> datetime:
    """Return the current time."""
    return datetime.now(UTC)


DAY = timedelta(days=1)


@pytest.mark.parametrize("days", [10, 1])
def test_local_clock_ahead_of_the_service_does_not_move_a_bookmark_past_it(
    days: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Simulator(Dataset(3, newest=now() - 90 * DAY)) as simulator:
        output = sync(settings_for(simulator), "events", AFTER, started=now() + days * DAY)
    assert output.error is None
    latest = (now() - 2 * DAY).isoformat()
    assert all(str(bookmark) <= latest for bookmark in output.bookmarks.values())
    assert len(output.records["events"]) == 3
    assert "Clocks differ" not in caplog.text  # `started` was moved, not the clock


@pytest.mark.parametrize("days", [-10, 10])
def test_different_clocks_are_one_warning(days: int, caplog: pytest.LogCaptureFixture) -> None:
    service = now() + days * DAY
    with Simulator(Dataset(3, newest=now() - 90 * DAY), now=lambda: service) as simulator:
        output = sync(settings_for(simulator), "events", AFTER, started=None)
    assert output.error is None
    lines = [record for record in caplog.records if "Clocks differ" in record.getMessage()]
    assert len(lines) == 1
    latest = (min(service, now()) - 2 * DAY).isoformat()
    assert all(str(bookmark) <= latest for bookmark in output.bookmarks.values())


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Jan 2025 00:00:00 GMT"])
def test_bookmark_without_a_valid_date_header_follows_the_local_clock(date: str) -> None:
    with Simulator(Dataset(3, newest=now() - 90 * DAY)) as simulator:
        simulator.set_date_header(date)
        output = sync(settings_for(simulator), "events", started=None)
    assert output.error is None
    assert str(output.bookmarks["events"]) > (now() - 3 * DAY).isoformat()


def test_bookmark_later_than_the_run_is_an_error_before_any_request(simulator: Simulator) -> None:
    state = state_of(groups=OLD, members="2999-01-01T00:00:00Z", tags=OLD)
    output = sync_three(simulator, state)
    assert isinstance(output.error, StreamError)
    assert str(output.error).startswith(
        "Stream 'members': the bookmark in the state (2999-01-01T00:00:00.000000Z) is later than "
    )
    assert submitted(simulator, FAULTY) == []
    assert output.bookmarks[FAULTY] == "2999-01-01T00:00:00.000000Z"
    assert output.bookmarks[AFTER] == NEW


def test_bookmark_later_than_the_service_is_an_error_if_the_local_clock_is_ahead_too() -> None:
    """As after an earlier run on the same machine, whose clock is ten days ahead."""
    bookmark = (now() + 8 * DAY).isoformat()
    with Simulator(Dataset(3, newest=now() - 90 * DAY)) as simulator:
        output = sync(
            settings_for(simulator),
            "events",
            state=state_of(events=bookmark),
            started=now() + 10 * DAY,
        )
    assert isinstance(output.error, StreamError)
