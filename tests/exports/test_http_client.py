"""Requests of one export: attempts, delays and their limits, denied access, the other path."""

from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
import requests

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    ConnectionSetupError,
    ExportFailedError,
    ExportsStoppedError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.connection import BodyTooLargeError
from tap_campusgroups.exports.export import PollPolicy
from tap_campusgroups.exports.pagination import Fetch
from tap_campusgroups.exports.response import ResponseKind
from tap_campusgroups.exports.scheduler import PAGE_ESTIMATE
from tests.support.scripted_service import (
    ENDLESS,
    RUNNING,
    Answer,
    ScriptedJob,
    accepted,
    page,
    status,
)

if TYPE_CHECKING:
    from tests.support.fake_time import FakeTime

USUAL_DELAYS = [1, 2, 4, 8, 16, 32, 60]
DROPPED = Answer(error=requests.exceptions.ConnectionError("/events?token=sentinel"))

UNTRUSTED = ssl.SSLCertVerificationError()
UNTRUSTED.verify_message = "self-signed"


def times(job: ScriptedJob) -> list[float]:
    """Return when each request was sent, in seconds."""
    return [one.at for one in job.sent]


# Delays


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (status(408), "the service is busy (HTTP 408, an object of no keys)."),
        (status(429), "the service is busy (HTTP 429, an object of no keys)."),
        (status(503), "internal error of the service (HTTP 503, an object of no keys)."),
        (Answer(body=b"<html>"), "the body is not valid JSON (HTTP 200, 6 bytes that are not "),
        (DROPPED, "ConnectionError. Check the network, school_code and api_url."),
    ],
)
def test_transient_failure_is_retried_after_the_usual_delays_up_to_eight_attempts(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture, answer: Answer, reason: str
) -> None:
    job = ScriptedJob(fake_time, [*[answer] * 7, accepted()])
    assert job.send().query_id == "q"
    assert fake_time.slept == USUAL_DELAYS
    assert job.slot.exports.counts == {"requests": 8, "retries": 7}
    assert [one.levelname for one in caplog.records] == ["WARNING"] * 7
    assert caplog.messages[0].startswith("Retrying request: stream=events reason=")
    assert caplog.messages[6].endswith(" attempt=8/8 delay=60.0s")

    with pytest.raises(ServiceUnavailableError) as raised:
        ScriptedJob(fake_time, [answer] * 8).send()
    text = "Stream 'events': POST /events failed after 8 attempts: "
    assert str(raised.value).startswith(text + reason)
    assert raised.value.__context__ is None
    assert "sentinel" not in caplog.text


@pytest.mark.parametrize(
    ("header", "slept"),
    [
        ("7", [7, 7, 7, 8]),
        ("0", [1, 2, 4, 8]),
        ("3", [3, 3, 4, 8]),
        ("soon", [1, 2, 4, 8]),
        ("-5", [1, 2, 4, 8]),
    ],
)
def test_delay_is_the_usual_one_or_the_requested_one_whichever_is_longer(
    fake_time: FakeTime, header: str, slept: list[float]
) -> None:
    ScriptedJob(fake_time, [*[status(429, header)] * 4, accepted()]).send()
    assert fake_time.slept == slept


# Time limits


@pytest.mark.parametrize("step", ["submission", "page"])
def test_retry_after_beyond_the_limit_fails_the_export_at_once(
    fake_time: FakeTime, step: str
) -> None:
    before = [accepted()] if step == "page" else []
    job = ScriptedJob(fake_time, [*before, *[status(429, "600")] * 9])
    with pytest.raises(ServiceUnavailableError) as raised:
        list(job.pages())
    assert times(job)[len(before) :] == [0, 600]
    assert str(raised.value).endswith(
        "failed after 2 attempts: the service is busy (HTTP 429, an object of no keys). The "
        "service asks to wait 600 s; run again later."
    )


@pytest.mark.parametrize("header", ["900", "86400", "9" * 5000])
def test_retry_after_of_the_whole_limit_is_not_waited_for(fake_time: FakeTime, header: str) -> None:
    job = ScriptedJob(fake_time, [status(429, header)])
    with pytest.raises(ServiceUnavailableError, match=r"after 1 attempt: .* asks to wait"):
        job.send()
    assert fake_time.slept == []


SLOW_FAULTS = {
    "endless response": ENDLESS,
    "wrong length": Answer(error=requests.exceptions.ChunkedEncodingError(), seconds=60),
    "slow 503": Answer(503, {}, seconds=100),
    "slow Retry-After": Answer(429, {}, {"Retry-After": "50"}, seconds=20),
}


@pytest.mark.parametrize("fault", SLOW_FAULTS.values(), ids=SLOW_FAULTS)
@pytest.mark.parametrize(
    ("request_timeout", "limit"), [(120, 900), (60, 900), (40, 600), (20, 300), (1, 300)]
)
def test_faults_delays_and_resubmissions_of_an_export_stay_within_one_limit(
    fake_time: FakeTime, fault: Answer, request_timeout: float, limit: float
) -> None:
    """Every export of the range is accepted, and none of its pages can be had."""

    def answers(job_limit: int = 100) -> list[Answer]:
        return [answer for n in range(job_limit) for answer in (accepted(f"q{n}"), *[fault] * 8)]

    job = ScriptedJob(fake_time, answers(), request_timeout=request_timeout)
    began = fake_time.monotonic()
    with pytest.raises(ServiceUnavailableError):
        list(job.pages())
    assert fake_time.monotonic() - began <= limit


@pytest.mark.parametrize(("has_accepted_job", "limit"), [(False, 300), (True, 900)])
def test_limit_before_the_service_accepted_an_export_is_five_minutes(
    fake_time: FakeTime, *, has_accepted_job: bool, limit: float
) -> None:
    job = ScriptedJob(fake_time, [ENDLESS] * 9, has_accepted_job=has_accepted_job)
    began = fake_time.monotonic()
    with pytest.raises(ServiceUnavailableError, match="DeadlineExceededError"):
        job.send()
    assert limit - 60 < fake_time.monotonic() - began <= limit


@pytest.mark.parametrize(
    ("request_timeout", "export_timeout", "spent", "deadline"),
    [(60, 1800, 0, 300), (10, 1800, 0, 50), (60, 90, 0, 90), (60, 1800, 700, 200)],
)
def test_deadline_of_a_response_is_the_shortest_of_three_limits(
    fake_time: FakeTime,
    request_timeout: float,
    export_timeout: float,
    spent: float,
    deadline: float,
) -> None:
    poll = PollPolicy(30, export_timeout)
    job = ScriptedJob(fake_time, [accepted()], request_timeout=request_timeout, poll=poll)
    job.history.fault_seconds = spent
    job.send()
    (sent,) = job.sent
    assert (sent.timeout, sent.deadline) == (request_timeout, deadline)


def test_time_of_responses_without_a_fault_does_not_count(fake_time: FakeTime) -> None:
    slow = Answer(202, {}, seconds=250)
    job = ScriptedJob(fake_time, [accepted(), *[slow] * 5, page(1)])
    assert len(list(job.pages())) == 1
    assert job.history.fault_seconds == 0


def test_time_in_which_the_process_did_not_run_does_not_count(fake_time: FakeTime) -> None:
    """As on a laptop that sleeps for a night while it waits for a response."""
    timeout = Answer(error=requests.exceptions.ReadTimeout(), seconds=60, suspended=30_000)
    job = ScriptedJob(fake_time, [*[timeout] * 2, accepted()])
    job.send()
    assert fake_time.slept == [1, 2]
    assert job.history.fault_seconds == 60 + 1 + 60 + 2


# Failures that are not retried as others are


@pytest.mark.parametrize("code", [401, 403])
def test_denied_request_is_final_until_the_secret_has_worked(
    fake_time: FakeTime, code: int
) -> None:
    job = ScriptedJob(fake_time, [status(code)], has_accepted_job=False)
    with pytest.raises(AccessDeniedError) as raised:
        job.send()
    assert raised.value.status == code
    assert str(raised.value) == (
        f"Stream 'events': the service denied access (HTTP {code}, an object of no keys). Check "
        "api_secret and school_code, and that the secret may read this data."
    )
    assert fake_time.slept == []


@pytest.mark.parametrize("code", [401, 403])
def test_denied_request_after_the_secret_has_worked_has_four_attempts_and_names_both_reasons(
    fake_time: FakeTime, code: int
) -> None:
    ScriptedJob(fake_time, [*[status(code)] * 3, accepted()]).send()
    assert fake_time.slept == [1, 2, 4]
    with pytest.raises(AccessDeniedError) as raised:
        ScriptedJob(fake_time, [status(code)] * 4).send()
    assert raised.value.status == code
    assert str(raised.value) == (
        f"Stream 'events': the service denied access (HTTP {code}, an object of no keys) after 4 "
        "attempts. The secret has worked in this run, so either it may not read this data (ask "
        "CampusGroups, or deselect the stream), or a firewall or rate limit of the service refuses "
        "the requests (run again later, or lower max_concurrent_exports)."
    )


def test_page_too_large_for_memory_fails_the_stream(fake_time: FakeTime) -> None:
    job = ScriptedJob(fake_time, [Answer(error=BodyTooLargeError())])
    with pytest.raises(ExportFailedError) as raised:
        job.send()
    assert str(raised.value) == (
        "Stream 'events': a page is too large for memory. Lower page_size."
    )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (requests.exceptions.InvalidURL(), "a URL is invalid. Correct api_url, HTTPS_PROXY, "),
        (requests.exceptions.InvalidSchema(), "a SOCKS proxy needs the package PySocks."),
        (requests.exceptions.ProxyError(), "the proxy cannot be used (ProxyError). Correct HTTPS"),
        (requests.exceptions.SSLError(UNTRUSTED), "not trusted (self-signed). If a proxy of your"),
        (OSError("no file"), "a certificate file cannot be read. Correct REQUESTS_CA_BUNDLE or "),
    ],
    ids=repr,
)
def test_failure_that_waiting_cannot_mend_ends_at_once_and_names_what_to_set(
    fake_time: FakeTime, error: Exception, words: str
) -> None:
    job = ScriptedJob(fake_time, [Answer(error=error)])
    with pytest.raises(ConnectionSetupError) as raised:
        job.send()
    assert str(raised.value).startswith("Stream 'events': no connection: ")
    assert words in str(raised.value)
    assert fake_time.slept == []


def test_other_error_of_the_machine_is_raised(fake_time: FakeTime) -> None:
    job = ScriptedJob(fake_time, [Answer(error=OSError(24, "too many open files"))])
    with pytest.raises(OSError, match="too many open files"):
        job.send()


@pytest.mark.parametrize(("step", "reserved"), [(None, 0), (Fetch("q"), PAGE_ESTIMATE)])
def test_request_of_a_page_has_room_in_the_buffer_and_a_submission_needs_none(
    fake_time: FakeTime, step: Fetch | None, reserved: int
) -> None:
    job = ScriptedJob(fake_time, [page() if step else accepted()])
    job.send(step)
    assert job.capacity.buffered_bytes == reserved


def test_request_of_a_job_that_is_over_is_not_sent(fake_time: FakeTime) -> None:
    job = ScriptedJob(fake_time, [accepted()])
    job.end()
    with pytest.raises(ExportsStoppedError):
        job.send()
    assert job.sent == []


ADVICE = {
    400: "rejected the request (HTTP 400, an object of no keys). Check api_url and school_code, or "
    "deselect the stream.",
    302: "sent a redirect, which is not followed (HTTP 302, an object of no keys). Check api_url.",
}


@pytest.mark.parametrize("code", ADVICE)
def test_submission_that_is_not_accepted_fails_the_stream_with_advice(
    fake_time: FakeTime, code: int
) -> None:
    job = ScriptedJob(fake_time, [status(code)])
    with pytest.raises(ExportFailedError) as raised:
        list(job.pages())
    text = f"Stream 'events': the export of {job.slot.window} failed: the service "
    assert str(raised.value) == text + ADVICE[code]


# Paths


@pytest.mark.parametrize(
    ("path_alias", "paths"),
    [("/other", ["/events", "/other"]), ("/events", ["/events"]), (None, ["/events"])],
)
def test_submission_after_404_is_sent_to_the_other_path_once(
    fake_time: FakeTime, path_alias: str | None, paths: list[str]
) -> None:
    job = ScriptedJob(fake_time, [status(404)] * 2, path_alias=path_alias)
    assert job.send().kind is ResponseKind.REJECTED
    assert [one.path for one in job.sent] == [f"/data/v1{path}" for path in paths]


def test_other_path_is_used_for_all_requests_after_it_worked(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    answers = [status(404), accepted(), RUNNING, status(404), accepted("q2"), page(), page()]
    job = ScriptedJob(fake_time, answers, path_alias="/other")
    for step in (None, Fetch("q"), Fetch("q"), None, Fetch("q2")):
        job.send(step)
    assert [one.path.rpartition("/")[2] for one in job.sent] == ["events", *["other"] * 5]
    assert "Path not found: stream=events path=/events" in caplog.messages
    assert fake_time.slept == []


# What the run learns


@pytest.mark.parametrize(("answers", "is_known"), [([status(503)], True), ([DROPPED], False)])
def test_any_response_counts_as_an_answer_of_the_service(
    fake_time: FakeTime, answers: list[Answer], *, is_known: bool
) -> None:
    job = ScriptedJob(fake_time, [*answers, *[ENDLESS] * 9], has_accepted_job=False)
    with pytest.raises(ServiceUnavailableError):
        job.send()
    assert job.client.monitor.has_answered == is_known


@pytest.mark.parametrize("step", [None, Fetch("q")], ids=["submission", "page"])
def test_undocumented_keys_of_a_response_are_reported(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture, step: Fetch | None
) -> None:
    body: dict[str, object] = {"Results": []} if step else {"queryId": "q"}
    ScriptedJob(fake_time, [Answer(body={**body, "HasMore": True})]).send(step)
    assert "Undocumented keys in a page: stream=events keys=HasMore." in caplog.text
