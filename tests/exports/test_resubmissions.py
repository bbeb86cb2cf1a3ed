"""Exports that fail or take too long: what is submitted again, in which windows, and how often."""

from __future__ import annotations

from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import requests

from tap_campusgroups.exceptions import (
    ConnectionSetupError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.export import PollPolicy
from tap_campusgroups.exports.window import Window
from tests.support.scripted_service import (
    QUEUED,
    RUNNING,
    Answer,
    ScriptedJob,
    accepted,
    page,
    status,
)

if TYPE_CHECKING:
    from tests.support.fake_time import FakeTime

START = datetime(2024, 1, 1, tzinfo=UTC)
DAY = Window(START, START + timedelta(hours=24))
FAILED = Answer(500, {"message": "Query execution failed"})
REASON = 'the query failed (HTTP 500, "Query execution failed")'
DROPPED = Answer(error=requests.exceptions.ConnectionError())


def exports(*outcomes: Answer | list[Answer]) -> list[Answer]:
    """Return an accepted export for each outcome: a response, or several."""
    answers: list[Answer] = []
    for number, outcome in enumerate(outcomes):
        answers += [accepted(f"q{number}"), *(outcome if isinstance(outcome, list) else [outcome])]
    return answers


def hours(job: ScriptedJob) -> list[tuple[float, float]]:
    """Return the submitted windows in hours since the start of the first."""
    bounds = [
        [datetime.fromisoformat(one.query[name]) for name in ("updatedStart", "updatedEnd")]
        for one in job.sent
        if one.method == "POST"
    ]
    hour = timedelta(hours=1)
    return [((start - START) / hour, (end - START) / hour) for start, end in bounds]


IN_QUARTERS = [(0, 24), (0, 12), (0, 6), (6, 12), (12, 24), (12, 18), (18, 24)]


def test_slow_export_with_passing_faults_is_submitted_once(fake_time: FakeTime) -> None:
    waits = [QUEUED] * 25 + [RUNNING] * 25
    faults = [DROPPED, Answer(body=b"<html>"), status(429), status(503)]
    job = ScriptedJob(fake_time, exports([*faults, *waits, *faults, page(1)]))
    assert len(list(job.pages())) == 1
    assert sum(fake_time.slept) > 1300
    assert job.methods().count("POST") == 1


# Halves


def test_window_that_fails_is_complete_in_quarters_after_growing_delays(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("WARNING")
    outcomes = [FAILED, FAILED, page(1), page(2), Answer(410, {}), page(3), page(4)]
    job = ScriptedJob(fake_time, exports(*outcomes), window=DAY)
    assert len(list(job.pages())) == 4
    assert hours(job) == IN_QUARTERS
    assert fake_time.slept == [5, 20, 20]
    assert job.slot.exports.counts["resubmissions"] == 6
    assert caplog.messages[0] == (
        f"Export failed: stream=events window={DAY} reason={REASON}; resubmitting its halves in 5 s"
    )


def test_window_that_always_fails_ends_with_an_error_after_seven_exports(
    fake_time: FakeTime,
) -> None:
    outcomes = [FAILED, FAILED, page(), page(), FAILED, page(), FAILED]
    job = ScriptedJob(fake_time, exports(*outcomes), window=DAY)
    with pytest.raises(ExportFailedError) as raised:
        list(job.pages())
    assert hours(job) == IN_QUARTERS
    assert str(raised.value) == (
        "Stream 'events': the export of 2024-01-01T18:00:00Z/2024-01-02T00:00:00Z failed: "
        f"{REASON}. Run again later, or set export_window_days for shorter windows."
    )


@pytest.mark.parametrize(
    ("length", "expected"),
    [(60, [60, 60, 60]), (61, [61, 30.5, 30.5]), (90, [90, 45, 45]), (150, [150, 75, 37.5])],
)
def test_window_of_an_hour_or_less_is_resubmitted_as_a_whole(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture, length: int, expected: list[float]
) -> None:
    caplog.set_level("WARNING")
    window = Window(START, START + timedelta(minutes=length))
    job = ScriptedJob(fake_time, exports(*[FAILED] * 3), window=window)
    with pytest.raises(ExportFailedError):
        list(job.pages())
    assert hours(job) == [(0, minutes / 60) for minutes in expected]
    parts = "it" if expected[-2] <= 60 else "its halves"
    assert caplog.messages[-1].endswith(f"; resubmitting {parts} in 20 s")


@pytest.mark.parametrize(("answer", "is_final"), [(FAILED, False), (Answer(400, {}), True)])
def test_query_that_fails_at_its_submission_is_submitted_again_unless_it_is_rejected(
    fake_time: FakeTime, answer: Answer, *, is_final: bool
) -> None:
    job = ScriptedJob(fake_time, [answer, *exports(page(), page())], window=DAY)
    with pytest.raises(ExportFailedError) if is_final else nullcontext():
        assert len(list(job.pages())) == 2
    assert len(job.sent) == (1 if is_final else 5)


def test_place_of_a_failed_export_is_free_during_the_pause(
    fake_time: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = ScriptedJob(fake_time, exports(FAILED, page(), page()))
    places = []
    monkeypatch.setattr(job.slot, "pause", lambda _: places.append(job.capacity.free_places))
    list(job.pages())
    assert places == [4]
    assert job.capacity.free_places == 3


# Faults of requests


def test_range_of_a_page_that_cannot_be_had_is_submitted_twice_more(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    job = ScriptedJob(fake_time, exports(*[[status(503)] * 8] * 3), window=DAY)
    with pytest.raises(ServiceUnavailableError, match="failed after 8 attempts"):
        list(job.pages())
    assert hours(job) == [(0, 24), (0, 12), (0, 6)]
    assert sum(fake_time.slept) == 3 * 123 + 5 + 20
    assert "an object of no keys); resubmitting its halves in 20 s" in caplog.text


def test_resubmission_waits_as_long_as_the_last_response_asks(fake_time: FakeTime) -> None:
    answers = exports([status(503, "70")] * 8, page(), page())
    assert len(list(ScriptedJob(fake_time, answers).pages())) == 2
    assert fake_time.slept == [70.0] * 8


@pytest.mark.parametrize(("requested", "posts"), [("172", 3), ("173", 1)])
def test_delay_before_a_resubmission_is_part_of_the_time_limit(
    fake_time: FakeTime, requested: str, posts: int
) -> None:
    """The other delays add up to 122 + 5 seconds, and the limit is 300."""
    faults = [status(429, requested), *[status(503)] * 7]
    job = ScriptedJob(fake_time, exports(faults, page(), page()), request_timeout=1)
    with pytest.raises(ServiceUnavailableError) if posts == 1 else nullcontext():
        list(job.pages())
    assert job.methods().count("POST") == posts


@pytest.mark.parametrize(
    ("answers", "error"),
    [
        ([status(503)] * 8, ServiceUnavailableError),  # a POST that may not have arrived
        (exports(Answer(error=requests.exceptions.InvalidURL())), ConnectionSetupError),
    ],
)
def test_range_is_not_submitted_again_if_nothing_was_accepted_or_the_setup_is_wrong(
    fake_time: FakeTime, answers: list[Answer], error: type[Exception]
) -> None:
    job = ScriptedJob(fake_time, answers)
    with pytest.raises(error):
        list(job.pages())
    assert len(job.sent) == len(answers)


# Exports that take too long

SLOW = [RUNNING, RUNNING]
"""Responses of an export up to a time limit of one second."""


def slow_job(fake_time: FakeTime, *outcomes: Answer | list[Answer], limit: int = 4) -> ScriptedJob:
    """Return a job of a day whose exports time out after a second."""
    job = ScriptedJob(fake_time, exports(*outcomes), window=DAY, poll=PollPolicy(1, 1))
    job.capacity.max_concurrent = job.capacity.limit = limit
    return job


def test_export_running_at_its_timeout_keeps_its_place_and_its_halves_are_submitted(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    job = slow_job(fake_time, SLOW, page(1), page(2), limit=2)
    assert len(list(job.pages())) == 2
    assert hours(job) == [(0, 24), (0, 12), (12, 24)]
    assert (job.capacity.abandoned, job.capacity.free_places) == (1, 0)
    assert "Export abandoned: stream=events query_id=q0" in caplog.messages
    (warning,) = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warning == (
        f"Export too slow: stream=events window={DAY} reason=still running after 0 minutes; "
        "submitting its halves. It counts against max_concurrent_exports for the rest of the run."
    )


@pytest.mark.parametrize(
    ("outcomes", "limit", "ranges"),
    [
        ([[QUEUED, QUEUED]], 4, [(0, 24)]),
        ([SLOW], 1, [(0, 24)]),
        ([SLOW, SLOW], 4, [(0, 24), (0, 12)]),
        ([SLOW, FAILED, SLOW], 4, [(0, 24), (0, 12), (0, 6)]),
    ],
    ids=["queued", "limit of one", "slow half", "slow quarter after a failure"],
)
def test_export_that_is_queued_or_the_last_or_a_half_fails_at_its_timeout(
    fake_time: FakeTime, outcomes: list[list[Answer]], limit: int, ranges: list[tuple[int, int]]
) -> None:
    job = slow_job(fake_time, *outcomes, limit=limit)
    with pytest.raises(ExportTimeoutError) as raised:
        list(job.pages())
    assert hours(job) == ranges
    state = "queued" if outcomes[0] is not SLOW else "running"
    end = START + timedelta(hours=ranges[-1][1])
    assert str(raised.value) == (
        f"Stream 'events': the export of {Window(START, end)} did not finish: still {state} after "
        "0 minutes. Raise export_timeout_minutes, or set export_window_days for shorter windows."
    )
    assert raised.value.is_running == (state == "running")


def test_short_window_that_is_too_slow_fails(fake_time: FakeTime) -> None:
    window = Window(START, START + timedelta(hours=1))
    job = ScriptedJob(fake_time, exports(SLOW), window=window, poll=PollPolicy(1, 1))
    with pytest.raises(ExportTimeoutError):
        list(job.pages())
    assert job.capacity.abandoned == 0


# Parts


def test_parts_are_exported_in_order_each_with_all_its_resubmissions(fake_time: FakeTime) -> None:
    window = Window(START, START + timedelta(days=2))
    outcomes = [FAILED, FAILED, page(), page(), page(), FAILED, FAILED, page(), page(), page()]
    job = ScriptedJob(fake_time, exports(*outcomes), window=window, max_days=1)
    assert len(list(job.pages())) == 6
    quarters = [(0, 24), (0, 12), (0, 6), (6, 12), (12, 24)]
    assert hours(job) == [(start + day, end + day) for day in (0, 24) for start, end in quarters]
