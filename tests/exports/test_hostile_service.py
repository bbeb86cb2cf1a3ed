"""A service that lies, drips, floods or pages without end: errors within limits, no row lost."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    ExportTimeoutError,
    FutureBookmarkError,
    ServiceUnavailableError,
    UnexpectedError,
)
from tap_campusgroups.exports import client, response, transport
from tap_campusgroups.exports.pagination import MAX_EMPTY_PAGES, MAX_REPEATED_PAGES
from tests.simulator import (
    Dataset,
    EndlessBody,
    EndlessPages,
    ExtraKeys,
    FailQuery,
    Fault,
    FaultType,
    JsonBody,
    Phase,
    RepeatQueryId,
    Simulator,
    SlowResponse,
    Status,
    TokenKey,
    WrongContentLength,
)
from tests.simulator.responses import CompleteResponse
from tests.support.harness import NEWEST, catalog_of, settings_for, state_of, sync, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator import RecordedRequest
    from tests.support.fake_time import FakeTime
    from tests.support.harness import Output

ROWS = 16
OLD = "2024-06-01T00:00:00.000000Z"
NEW = "2025-06-01T12:00:00.250000Z"
STREAMS = ("groups", "members", "tags")
"""In the order of their sync; the one in the middle has the fault."""
STATE = state_of(**dict.fromkeys(STREAMS, OLD))


@pytest.fixture
def simulator(fake_time: FakeTime) -> Iterator[Simulator]:
    """The service in the tests' time, with rows in each quarter of the range."""
    dataset = Dataset(ROWS, newest=NEWEST, span=timedelta(days=365))
    with Simulator(dataset, clock=fake_time.monotonic) as simulator:
        yield simulator


def sync_three(simulator: Simulator, **more: Any) -> Output:
    """Sync three streams, pages of three rows."""
    return sync(settings_for(simulator, **{"page_size": 3, **more}), *STREAMS, state=STATE)


def assert_only_members_failed(output: Output, error: type[CampusGroupsError], words: str) -> None:
    """Check that one stream failed with its bookmark unmoved, and that the others are whole."""
    assert isinstance(output.error, error)
    assert str(output.error).startswith("Stream 'members': ")
    assert words in str(output.error)
    assert output.bookmarks == {"groups": NEW, "members": OLD, "tags": NEW}
    for stream in ("groups", "tags"):
        assert len(output.records[stream]) == ROWS


def submitted(simulator: Simulator, stream: str | None = None) -> list[RecordedRequest]:
    """List the POSTs of a stream, or of all."""
    return [
        request
        for request in simulator.requests
        if request.method == "POST" and stream in {None, request.stream}
    ]


# -- messages, tokens and queryIds ---------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        {"Results": [], "message": "Query still running"},
        {"Results": None, "message": "Query still running"},
        {"Results": [], "Message": "Query is queued"},
    ],
    ids=repr,
)
def test_message_beside_empty_results_is_waited_for(simulator: Simulator, body: Any) -> None:
    fault = simulator.inject(JsonBody(body).on("members", "first_page", times=3))
    output = sync_three(simulator)
    assert output.error is None
    assert fault.fired == 3
    assert len(output.records["members"]) == ROWS
    assert len(submitted(simulator, "members")) == 1


@pytest.mark.parametrize(
    "body",
    [
        {"Results": [], "message": "Error parsing query result"},
        {"Results": [], "error": "boom"},
        {"Results": [{"id": 1}], "message": "Query failed after 1 row"},
    ],
    ids=repr,
)
def test_error_beside_results_is_submitted_again_and_fails_in_the_end(
    simulator: Simulator, body: Any
) -> None:
    simulator.inject(JsonBody(body).on("members", "first_page"))
    output = sync_three(simulator)
    assert output.error is None
    assert len(output.records["members"]) == ROWS
    assert len(submitted(simulator, "members")) == 3  # the export, and its bisect

    simulator.inject(JsonBody(body).on("members", "first_page", times=None))
    assert_only_members_failed(sync_three(simulator), ExportFailedError, "the query failed")


def test_unknown_message_beside_empty_results_is_never_an_empty_page(simulator: Simulator) -> None:
    body = {"Results": [], "message": "Please come back later"}
    simulator.inject(JsonBody(body).on("members", "first_page"))
    output = sync_three(simulator)
    assert_only_members_failed(output, ExportFailedError, "the answer has an unknown shape")


@pytest.mark.parametrize("key", ["nexttoken", "next_token", "NEXTTOKEN"])
def test_token_of_any_case_is_followed(simulator: Simulator, key: str) -> None:
    simulator.inject(TokenKey(key).on("members", times=None))
    output = sync_three(simulator)
    assert output.error is None
    assert len(output.records["members"]) == ROWS


@pytest.mark.parametrize("key", ["NextToken", "nextToken"])
def test_filled_token_counts_beside_an_empty_one(simulator: Simulator, key: str) -> None:
    other = {"NextToken": "nextToken", "nextToken": "NextToken"}[key]

    class Both(TokenKey):
        def respond(self, context: Any) -> Any:
            body = context.page().response(key=self.key).body
            return CompleteResponse(200, body[:-1] + f',"{other}":""}}'.encode())

    simulator.inject(Both(key).on("members", times=None))
    output = sync_three(simulator)
    assert output.error is None
    assert len(output.records["members"]) == ROWS


def test_unknown_keys_of_pages_are_one_warning_without_names_of_people(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    more = {"HasMore": True, "Zoe Sentinel": 1, "ZoeSentinel": 2}
    simulator.inject(ExtraKeys(more).on(times=None))
    assert sync_three(simulator).error is None
    (line,) = [
        record.getMessage() for record in caplog.records if "does not document" in record.message
    ]
    assert "(HasMore, 2 others)" in line
    assert "Sentinel" not in caplog.text


@pytest.mark.parametrize("windows", [{}, {"export_window_days": 100}])
def test_query_id_that_comes_twice_fails_its_stream(
    simulator: Simulator, windows: dict[str, int]
) -> None:
    """In another window of one stream, or in another stream: rows of the first range would come."""
    stream = "members" if windows else None
    simulator.inject(RepeatQueryId().on(stream, times=None))
    output = sync_three(simulator, max_concurrent_exports=1, **windows)
    assert isinstance(output.error, CampusGroupsError)
    if windows:
        assert "the service handed out a queryId that another export has" in str(output.error)
        assert OLD < str(output.bookmarks["members"]) < NEW  # after the first window
    else:
        assert output.bookmarks == {"groups": NEW, "members": OLD, "tags": OLD}


# -- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("part", ["head", "body", "chunks"])
@pytest.mark.parametrize("phase", ["submit", "poll", "first_page"])
def test_response_that_drips_is_cut_off_and_tried_again(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, part: Any, phase: Phase
) -> None:
    """The limit decides, not the time between two bytes."""
    monkeypatch.setattr(client, "EXCHANGE_TIMEOUTS", 1)
    simulator.timing.queued_polls = 1
    fault = simulator.inject(SlowResponse(part).on("members", phase))
    output = sync_three(simulator, request_timeout_seconds=1)
    assert output.error is None
    assert fault.fired == 1
    assert len(output.records["members"]) == ROWS


def test_no_exchange_outlives_the_limit_of_its_export(simulator: Simulator) -> None:
    simulator.inject(SlowResponse("body").on("groups", "submit", times=None))
    limits: list[float] = []

    def call_with_deadline(function: Any, seconds: float) -> Any:
        limits.append(seconds)
        return transport.call_with_deadline(function, 0.05)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "call_with_deadline", call_with_deadline)
        output = sync(
            settings_for(simulator, request_timeout_seconds=60, export_timeout_minutes=1), "groups"
        )
    assert isinstance(output.error, ServiceUnavailableError)
    assert "DeadlineExceededError on the way to the service" in str(output.error)
    assert limits == [60.0] * 8


@pytest.mark.parametrize("rows", ["none", "same"])
def test_pages_without_end_are_an_error_within_limits(
    simulator: Simulator, fake_time: FakeTime, rows: Any
) -> None:
    fault = simulator.inject(EndlessPages(rows).on("members", times=None))
    output = sync_three(simulator)
    assert_only_members_failed(output, ExportFailedError, "empty or identical pages without end")
    assert fault.fired == (MAX_EMPTY_PAGES if rows == "none" else MAX_REPEATED_PAGES + 1)
    if rows == "none":
        assert fake_time.slept.count(1.0) >= MAX_EMPTY_PAGES - 1


def test_some_empty_pages_are_read_over(simulator: Simulator) -> None:
    simulator.inject(EndlessPages("none").on("members", "first_page", times=1))
    output = sync_three(simulator)
    assert output.error is None
    assert len(output.records["members"]) == ROWS


@pytest.mark.parametrize("kind", [Status(503), Status(429, headers={"Retry-After": "86400"})])
def test_service_that_never_accepted_anything_ends_the_run_within_minutes(
    simulator: Simulator, fake_time: FakeTime, kind: FaultType
) -> None:
    simulator.inject(Fault(kind, times=None))
    output = sync(settings_for(simulator))
    assert isinstance(output.error, ServiceUnavailableError)
    assert {request.stream for request in simulator.requests} == set(sorted(NAMES)[:2])
    assert sum(fake_time.slept) <= 2 * 400


NAMES = ("academic_experiences", "badge_completions")


def test_one_endpoint_that_is_down_from_the_start_does_not_end_the_run(
    simulator: Simulator,
) -> None:
    simulator.inject(Status(503).on("groups", times=None))
    output = sync_three(simulator)
    assert isinstance(output.error, ServiceUnavailableError)
    assert output.bookmarks == {"groups": OLD, "members": NEW, "tags": NEW}


def test_page_that_stays_500_is_submitted_again_in_halves_after_growing_delays(
    simulator: Simulator, fake_time: FakeTime
) -> None:
    """The query is broken, not the request: a new one brings the rows."""
    broken: set[str] = set()

    class BrokenQuery(Status):
        def applies(self, context: Any) -> bool:
            if context.phase != "first_page":
                return False
            broken.add(context.existing_query.id)
            return context.existing_query.id in sorted(broken)[:1] and len(broken) == 1

    simulator.inject(BrokenQuery(500, "Error parsing query result").on("members", times=None))
    output = sync_three(simulator)
    assert output.error is None
    assert len(output.records["members"]) == ROWS
    assert len(submitted(simulator, "members")) == 3
    assert 5.0 in fake_time.slept


def test_failed_exports_are_submitted_again_after_growing_delays(
    simulator: Simulator, fake_time: FakeTime
) -> None:
    simulator.inject(FailQuery().on("members", times=None))
    assert_only_members_failed(sync_three(simulator), ExportFailedError, "the query failed")
    assert fake_time.slept == [5.0, 20.0]


def test_export_still_running_at_its_limit_is_halved_once_and_keeps_its_place(
    simulator: Simulator, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """The first query never ends; its bisect are quick. The limit of two becomes one."""
    simulator.timing.running_seconds = {"members": 1e9}

    class Quick(FaultType):
        def applies(self, context: Any) -> bool:
            start, end = context.window or (NEWEST, NEWEST)
            if context.stream == "members" and end - start < timedelta(days=300):
                simulator.timing.running_seconds = 0
            return False

        def respond(self, context: Any) -> Any:
            return context.execute()

    simulator.inject(Quick().on("members", "submit", times=None))
    output = sync_three(simulator, max_concurrent_exports=2)
    assert output.error is None
    assert len(output.records["members"]) == ROWS
    assert len(submitted(simulator, "members")) == 3
    assert simulator.peak_active == 2
    assert sum(fake_time.slept) >= 1800
    assert "Its bisect are submitted instead. It is left running" in caplog.text
    assert "its export is left at the server, queryId" in caplog.text


def test_export_whose_halves_are_too_slow_as_well_fails(simulator: Simulator) -> None:
    simulator.timing.running_seconds = {"members": 1e9}
    output = sync_three(simulator, max_concurrent_exports=4)
    assert_only_members_failed(output, ExportTimeoutError, "still running after 30 minutes")
    assert len(submitted(simulator, "members")) == 2  # the export, and its first half


def test_slow_export_that_may_have_no_other_beside_it_is_not_halved(simulator: Simulator) -> None:
    simulator.timing.running_seconds = {"members": 1e9}
    output = sync_three(simulator, max_concurrent_exports=1)
    assert_only_members_failed(output, ExportTimeoutError, "still running after 30 minutes")
    assert len(submitted(simulator, "members")) == 1


DENIAL = "Error validating API key from API endpoint"


@pytest.mark.parametrize("phase", ["submit", "poll", "first_page", "later_page"])
def test_401_after_the_secret_has_worked_is_tried_again(simulator: Simulator, phase: Phase) -> None:
    simulator.timing.queued_polls = 1
    fault = simulator.inject(Status(401, DENIAL).on("members", phase, times=3))
    output = sync_three(simulator)
    assert output.error is None
    assert fault.fired == 3
    assert len(output.records["members"]) == ROWS


def test_401_to_the_first_request_is_final(simulator: Simulator) -> None:
    fault = simulator.inject(Status(401, DENIAL).on("groups", "submit"))
    output = sync_three(simulator)
    assert isinstance(output.error, AccessDeniedError)
    assert fault.fired == len(simulator.requests) == 1


def test_date_that_the_service_cannot_parse_is_not_tried_again(simulator: Simulator) -> None:
    fault = simulator.inject(Status(500, "Error Parsing Start Date").on("members", "submit"))
    output = sync_three(simulator)
    assert_only_members_failed(output, ExportFailedError, "the service rejects the request")
    assert fault.fired == 1


# -- bodies --------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_chunked", [False, True])
@pytest.mark.parametrize("length", [str(2**60), "9" * 5000, "-1", "x"])
def test_absurd_content_length_costs_no_memory_and_one_stream_at_most(
    simulator: Simulator, *, length: str, is_chunked: bool
) -> None:
    """Beside chunks it does not count; alone, the response is cut off, which is tried again."""
    kind = WrongContentLength(length, is_chunked)
    simulator.inject(kind.on("members", "first_page", times=2))
    output = sync_three(simulator)
    assert output.error is None
    assert len(output.records["members"]) == ROWS


@pytest.mark.parametrize("gzip", [False, True])
def test_page_without_end_is_read_to_a_limit(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, *, gzip: bool
) -> None:
    monkeypatch.setattr(transport, "MAX_BODY_BYTES", 2**22)
    simulator.inject(EndlessBody(gzip=gzip).on("members", "first_page", times=None))
    output = sync_three(simulator)
    assert_only_members_failed(output, ExportFailedError, "too large for memory. Lower page_size.")


@pytest.mark.parametrize("code", [202, 401, 404, 503])
def test_other_body_without_end_is_read_to_a_limit_and_counts_by_its_status(
    simulator: Simulator, code: int
) -> None:
    fault = simulator.inject(EndlessBody(code).on("members", "first_page", times=2))
    output = sync_three(simulator)
    assert output.error is None
    assert fault.fired == 2
    assert len(output.records["members"]) >= ROWS


@pytest.mark.parametrize(
    "value", ["9" * 5000, "Fri, 31 Dec 9999 23:59:59 -2359", "Mon, 01 Jan 99999 00:00:00 GMT", "٣"]
)
def test_absurd_retry_after_ends_no_stream(simulator: Simulator, value: str) -> None:
    headers = {"Retry-After": value.encode().decode("latin-1")}
    simulator.inject(Status(429, headers=headers).on("members", "first_page"))
    output = sync_three(simulator)
    assert output.error is None
    assert len(output.records["members"]) == ROWS


def test_bug_in_a_worker_fails_its_stream_only(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    original = response.read

    def read(response: Any) -> Any:
        if "/members" in response.url:
            message = "quotes Zoe Sentinel"
            raise RuntimeError(message)
        return original(response)

    monkeypatch.setattr(client, "read", read)
    output = sync_three(simulator)
    assert_only_members_failed(output, UnexpectedError, "unexpected RuntimeError in ")
    assert "Sentinel" not in caplog.text


# -- clocks --------------------------------------------------------------------------------------


def now() -> datetime:
    """Return the present time."""
    return datetime.now(UTC)


DAY = timedelta(days=1)


@pytest.mark.parametrize("days", [10, 1])
def test_local_clock_ahead_of_the_service_does_not_move_a_bookmark_past_it(
    days: int, caplog: pytest.LogCaptureFixture
) -> None:
    with Simulator(Dataset(3, newest=now() - 90 * DAY)) as simulator:
        output = sync(settings_for(simulator), "events", "tags", started=now() + days * DAY)
    assert output.error is None
    latest = (now() - 2 * DAY).isoformat()
    assert all(str(bookmark) <= latest for bookmark in output.bookmarks.values())
    assert len(output.records["events"]) == 3
    assert "Clocks differ" not in caplog.text  # the tap's start was moved, not the clock


@pytest.mark.parametrize("days", [-10, 10])
def test_clocks_that_differ_are_one_warning(days: int, caplog: pytest.LogCaptureFixture) -> None:
    service = now() + days * DAY
    with Simulator(Dataset(3, newest=now() - 90 * DAY), now=lambda: service) as simulator:
        output = sync(settings_for(simulator), "events", "tags", started=None)
    assert output.error is None
    lines = [record for record in caplog.records if "Clocks differ" in record.getMessage()]
    assert len(lines) == 1
    latest = (min(service, now()) - 2 * DAY).isoformat()
    assert all(str(bookmark) <= latest for bookmark in output.bookmarks.values())


@pytest.mark.parametrize("date", ["", "yesterday", "Mon, 99 Jan 2025 00:00:00 GMT"])
def test_service_without_a_readable_date_is_read_by_the_local_clock(date: str) -> None:
    with Simulator(Dataset(3, newest=now() - 90 * DAY)) as simulator:
        simulator.set_date_header(date)
        output = sync(settings_for(simulator), "events", started=None)
    assert output.error is None
    assert str(output.bookmarks["events"]) > (now() - 3 * DAY).isoformat()


def test_bookmark_later_than_the_run_is_an_error_before_any_request(simulator: Simulator) -> None:
    state = state_of(groups=OLD, members="2999-01-01T00:00:00Z", tags=OLD)
    output = sync(settings_for(simulator), *STREAMS, state=state)
    assert isinstance(output.error, FutureBookmarkError)
    assert "Stream 'members': the bookmark in the state is later than" in str(output.error)
    assert submitted(simulator, "members") == []
    assert output.bookmarks["members"] == "2999-01-01T00:00:00.000000Z"
    assert output.bookmarks["tags"] == NEW


def test_bookmark_later_than_the_service_is_an_error_though_the_local_clock_is_ahead_too() -> None:
    """As after a run with a clock that was ten days ahead, on the same machine."""
    bookmark = (now() + 8 * DAY).isoformat()
    with Simulator(Dataset(3, newest=now() - 90 * DAY)) as simulator:
        output = sync(
            settings_for(simulator),
            "events",
            state=state_of(events=bookmark),
            started=now() + 10 * DAY,
        )
    assert isinstance(output.error, FutureBookmarkError)


def test_whole_table_does_not_mind_a_bookmark_that_is_later(simulator: Simulator) -> None:
    """A bookmark decides nothing there."""
    catalog = catalog_of(["members"])
    for stream in catalog["streams"]:
        stream["replication_method"] = "FULL_TABLE"
    state = state_of(members="2999-01-01T00:00:00Z")
    output = sync(settings_for(simulator), catalog=catalog, state=state)
    assert output.error is None
    assert len(output.records["members"]) == ROWS


def test_held_workers_end_with_the_run(simulator: Simulator) -> None:
    """A request that was cut off goes on alone until its connection ends, and no longer."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(client, "EXCHANGE_TIMEOUTS", 1)
        simulator.inject(SlowResponse("head").on("members", "submit"))
        assert sync_three(simulator, request_timeout_seconds=1).error is None
    simulator.close()
    wait_until(
        lambda: (
            not any(thread.name == "tap-campusgroups-request" for thread in threading.enumerate())
        )
    )
