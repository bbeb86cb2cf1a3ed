"""One export: polls, pages and time limits, with a fake clock."""

from __future__ import annotations

import logging
import random
from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ExportsStoppedError, ExportTimeoutError
from tap_campusgroups.exports.export import PollPolicy
from tap_campusgroups.exports.pagination import ExportEnded
from tap_campusgroups.exports.response import ResponseKind
from tap_campusgroups.records.json_codec import decode_rows
from tests.support.exports import WINDOW
from tests.support.scripted_service import QUEUED, RUNNING, Answer, ScriptedJob, accepted, page

if TYPE_CHECKING:
    from tests.support.fake_time import FakeTime


def test_poll_intervals_grow_to_the_maximum_and_restart_after_a_page(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answers = [accepted(), QUEUED, QUEUED, *[RUNNING] * 5, page(1, next_page="t"), RUNNING, page(2)]
    job = ScriptedJob(fake_time, answers, poll=PollPolicy(max_interval=5, timeout=1800))
    pages = list(job.export())
    assert [decode_rows(page.results)[0] for page in pages] == [[{"id": 1}], [{"id": 2}]]
    assert [(page.is_first, page.is_last) for page in pages] == [(True, False), (False, True)]
    assert pages[1].size == len(b'[{"id":2}]')
    assert fake_time.slept == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0, 5.0, 1.0]
    lines = [(one.levelname, one.getMessage()) for one in caplog.records]
    assert lines[:4] == [
        ("DEBUG", f"Export submitted: stream=events window={WINDOW} query_id=q"),
        ("DEBUG", "Export queued: stream=events elapsed=0s next_poll=1.0s"),
        ("DEBUG", "Export queued: stream=events elapsed=1s next_poll=1.5s"),
        ("DEBUG", "Export running: stream=events elapsed=2s next_poll=2.2s"),
    ]
    assert lines[-1] == ("DEBUG", "Export running: stream=events elapsed=0s next_poll=1.0s")


def test_query_id_that_forges_a_log_line_is_escaped_and_shortened(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    forged = "q\nExport abandoned:\x1b[2J\u2028\u202e"
    for query_id, shown in (
        (forged, r"q\nExport abandoned:\x1b[2J\u2028\u202e"),
        ("q" * 4096, "q" * 100 + "... (4096 characters)"),
    ):
        caplog.clear()
        job = ScriptedJob(fake_time, [accepted(query_id), page()])
        list(job.export())
        assert {one.query["queryId"] for one in job.sent[1:]} == {query_id}
        job.slot.log_left_running()
        assert [line.rpartition("query_id=")[2] for line in caplog.messages] == [shown] * 2


def test_requests_of_export_follow_its_query_and_tokens(fake_time: FakeTime) -> None:
    job = ScriptedJob(fake_time, [accepted("q7"), RUNNING, page(1, next_page="t"), page(2)])
    assert len(list(job.export())) == 2
    assert job.methods() == ["POST", "GET", "GET", "GET"]
    assert [(one.query.get("queryId"), one.query.get("token")) for one in job.sent[1:]] == [
        *(("q7", None), ("q7", None), ("q7", "t"))
    ]
    assert job.slot.exports.counts == Counter(requests=4, exports=1)


def test_export_that_has_run_is_fetched_without_delay(fake_time: FakeTime) -> None:
    job = ScriptedJob(fake_time, [accepted(), page(1, next_page="t"), page()])
    assert len(list(job.export())) == 2
    assert fake_time.slept == []


def test_page_after_an_empty_page_is_fetched_after_one_second(fake_time: FakeTime) -> None:
    answers = [accepted(), page(next_page="t"), page(next_page="u"), page(1)]
    assert len(list(ScriptedJob(fake_time, answers).export())) == 3
    assert fake_time.slept == [1.0, 1.0]


@pytest.mark.parametrize(
    ("maximum", "timeout", "slept"),
    [(0.5, 2, [0.5] * 4), (30, 3, [1.0, 1.5, 0.5]), (30, 1, [1.0])],
    ids=["short maximum", "rest of the timeout", "timeout after one interval"],
)
def test_poll_intervals_until_the_timeout(
    fake_time: FakeTime, maximum: float, timeout: float, slept: list[float]
) -> None:
    job = ScriptedJob(fake_time, [accepted(), *[RUNNING] * 9], poll=PollPolicy(maximum, timeout))
    with pytest.raises(ExportTimeoutError):
        list(job.export())
    assert fake_time.slept == slept
    assert len(job.sent) == 2 + len(slept)


@pytest.mark.parametrize(
    ("answer", "minutes", "words"),
    [(QUEUED, 60, "still queued after 60 minutes"), (RUNNING, 1, "still running after 1 minute")],
)
def test_export_at_its_timeout_raises_error_with_state_and_duration(
    fake_time: FakeTime, answer: Answer, minutes: int, words: str
) -> None:
    job = ScriptedJob(fake_time, [accepted(), *[answer] * 300], poll=PollPolicy(60, 60 * minutes))
    with pytest.raises(ExportTimeoutError) as raised:
        list(job.export())
    assert str(raised.value) == words
    assert raised.value.is_running == (answer is RUNNING)
    assert sum(fake_time.slept) == pytest.approx(60 * minutes)


def test_timeout_starts_again_after_a_page(fake_time: FakeTime) -> None:
    waits = [RUNNING] * 5
    answers = [accepted(), *waits, page(1, next_page="t"), *waits, page(2)]
    job = ScriptedJob(fake_time, answers, poll=PollPolicy(10, 30))
    assert len(list(job.export())) == 2
    assert sum(fake_time.slept) > 30 / 2


@pytest.mark.parametrize(
    ("answers", "kind"),
    [
        ([Answer(400, {})], ResponseKind.REJECTED),
        ([accepted("earlier")], ResponseKind.QUERY_ID_REPEATED),
        ([accepted(), RUNNING, Answer(410, {})], ResponseKind.CANCELLED),
    ],
)
def test_export_that_ends_early_raises_export_ended(
    fake_time: FakeTime, answers: list[Answer], kind: ResponseKind
) -> None:
    with pytest.raises(ExportEnded) as ended:
        list(ScriptedJob(fake_time, answers).export())
    assert ended.value.kind is kind


def test_second_export_of_a_range_is_counted_as_resubmission_once_accepted(
    fake_time: FakeTime,
) -> None:
    failed = Answer(500, {"message": "Query execution failed"})
    job = ScriptedJob(fake_time, [accepted("q1"), failed, Answer(400, {}), accepted("q2"), page()])
    counts = job.slot.exports.counts
    for resubmissions in (0, 0):
        with pytest.raises(ExportEnded):
            list(job.export())
        assert counts["resubmissions"] == resubmissions
    list(job.export())
    assert (counts["exports"], counts["resubmissions"]) == (2, 1)


def test_export_takes_a_place_and_none_after_its_job_is_over(fake_time: FakeTime) -> None:
    job = ScriptedJob(fake_time, [accepted(), page(1)])
    export = job.export()
    next(export)
    assert (job.slot.has_place, job.slot.query_id) == (True, "q")
    job.end()
    with pytest.raises(ExportsStoppedError):
        next(job.export())
    assert job.methods() == ["POST", "GET"]


@pytest.mark.parametrize("has_invalid_unicode", [False, True])
def test_page_with_or_without_invalid_unicode_is_marked_accordingly(
    fake_time: FakeTime, *, has_invalid_unicode: bool
) -> None:
    body = b'{"Results": [{"name": "%s"}]}' % (b"\\ud83d" if has_invalid_unicode else b"Zoe")
    (only,) = ScriptedJob(fake_time, [accepted(), Answer(body=body)]).export()
    assert only.has_invalid_unicode == has_invalid_unicode


def test_jitter_lengthens_poll_intervals_by_ten_percent_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    assert list(islice(PollPolicy(30, 60).intervals(), 3)) == pytest.approx([1.05, 1.575, 2.3625])
    monkeypatch.setattr(random, "random", lambda: 1.0)
    assert list(islice(PollPolicy(2, 60).intervals(), 4)) == pytest.approx([1.1, 1.65, 2.2, 2.2])
