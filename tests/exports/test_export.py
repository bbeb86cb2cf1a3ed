"""One export: polls, pages and time limits, with a fake clock."""

from __future__ import annotations

import random
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ExportTimeoutError
from tap_campusgroups.exports.export import PollPolicy, run_export
from tap_campusgroups.exports.pagination import ExportEnded, ExportPaginator, Fetch, Submit
from tap_campusgroups.exports.response import ResponseKind
from tap_campusgroups.records.json_codec import decode_rows
from tests.support.exports import WINDOW, make_response

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.pagination import Step
    from tests.support.fake_time import FakeTime

SUBMITTED = (200, {"queryId": "q"}, "POST")
QUEUED = (201, {"message": "Query is queued and waiting to be executed"}, "GET")
RUNNING = (202, {"message": "Accepted query and is running"}, "GET")


class Service:
    """Sends given responses in turn.

    Attributes:
        waits: Arguments of each call of `log_wait`.
        steps: Steps sent.
    """

    def __init__(self, *responses: tuple[int, object, str]) -> None:
        """Plan the responses: status, body and method of each."""
        self._responses: Iterator[tuple[int, object, str]] = iter(responses)
        self.waits: list[tuple[ResponseKind, float, float]] = []
        self.steps: list[Step] = []

    def send(self, paginator: ExportPaginator) -> requests.Response:
        """Return the response to the current step."""
        self.steps.append(paginator.current_value)
        status, body, method = next(self._responses)
        return make_response(status, body, method)

    def log_wait(self, kind: ResponseKind, waited: float, interval: float) -> None:
        """Record a wait."""
        self.waits.append((kind, round(waited, 3), round(interval, 3)))

    def run(self, policy: PollPolicy, time: FakeTime) -> list[Page]:
        """Run an export and return its pages."""
        return list(
            run_export(
                ExportPaginator(WINDOW),
                self.send,
                policy,
                self.log_wait,
                clock=time.monotonic,
                sleep=time.sleep,
            )
        )


def page(*ids: int, next_page: str | None = None) -> tuple[int, object, str]:
    """Return the response with a page; `next_page` is the token of the next one."""
    return 200, {"Results": [{"id": i} for i in ids], "NextToken": next_page}, "GET"


def test_poll_intervals_grow_to_the_maximum_and_restart_after_a_page(fake_time: FakeTime) -> None:
    service = Service(
        SUBMITTED, QUEUED, QUEUED, *[RUNNING] * 5, page(1, next_page="t"), RUNNING, page(2)
    )
    pages = service.run(PollPolicy(max_interval=5, timeout=1800), fake_time)
    assert [decode_rows(page.results)[0] for page in pages] == [[{"id": 1}], [{"id": 2}]]
    assert [page.is_last for page in pages] == [False, True]
    assert pages[1].size == len(b'[{"id":2}]')
    assert fake_time.slept == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0, 5.0, 1.0]
    assert service.waits[0] == (ResponseKind.QUEUED, 0.0, 1.0)
    assert service.waits[2] == (ResponseKind.RUNNING, 2.5, 2.25)


def test_export_that_has_run_is_fetched_without_delay(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, page(1, next_page="t"), page())
    assert len(service.run(PollPolicy(30, 1800), fake_time)) == 2
    assert fake_time.slept == []


def test_page_after_an_empty_page_is_fetched_after_one_second(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, page(next_page="t"), page(next_page="u"), page(1))
    assert len(service.run(PollPolicy(30, 1800), fake_time)) == 3
    assert fake_time.slept == [1.0, 1.0]


def test_poll_interval_with_short_maximum_starts_at_the_maximum(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, QUEUED, QUEUED, page())
    service.run(PollPolicy(max_interval=0.5, timeout=10), fake_time)
    assert fake_time.slept == [0.5, 0.5]


def test_export_cancelled_while_running_raises_export_ended(fake_time: FakeTime) -> None:
    service = Service(
        SUBMITTED, RUNNING, (410, {"message": "Query execution was cancelled"}, "GET")
    )
    with pytest.raises(ExportEnded) as ended:
        service.run(PollPolicy(30, 60), fake_time)
    assert ended.value.kind is ResponseKind.CANCELLED


def test_jitter_lengthens_poll_intervals_by_ten_percent_at_most(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    assert list(islice(PollPolicy(30, 60).intervals(), 3)) == pytest.approx([1.05, 1.575, 2.3625])
    monkeypatch.setattr(random, "random", lambda: 1.0)
    assert list(islice(PollPolicy(2, 60).intervals(), 4)) == pytest.approx([1.1, 1.65, 2.2, 2.2])


def test_steps_of_export_with_two_pages_are_sent_in_order(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, RUNNING, page(1, next_page="t"), page(2))
    service.run(PollPolicy(30, 60), fake_time)
    assert service.steps == [
        Submit(WINDOW),
        Fetch("q"),
        Fetch("q", polls=1),
        Fetch("q", "t"),
    ]


@pytest.mark.parametrize("has_invalid_unicode", [False, True])
def test_page_with_or_without_invalid_unicode_is_marked_accordingly(
    fake_time: FakeTime, *, has_invalid_unicode: bool
) -> None:
    body = b'{"Results": [{"name": "%s"}]}' % (b"\\ud83d" if has_invalid_unicode else b"Zoe")
    service = Service(SUBMITTED, (200, body, "GET"))
    (only,) = service.run(PollPolicy(30, 60), fake_time)
    assert only.has_invalid_unicode == has_invalid_unicode


@pytest.mark.parametrize(("response", "is_running"), [(QUEUED, False), (RUNNING, True)])
def test_export_at_its_timeout_raises_error_with_state_and_duration(
    fake_time: FakeTime, response: tuple[int, object, str], *, is_running: bool
) -> None:
    service = Service(SUBMITTED, *[response] * 300)
    with pytest.raises(ExportTimeoutError) as raised:
        service.run(PollPolicy(max_interval=60, timeout=3600), fake_time)
    assert raised.value.is_running == is_running
    state = "running" if is_running else "queued"
    assert str(raised.value) == f"still {state} after 60 minutes"
    assert sum(fake_time.slept) == pytest.approx(3600)


def test_last_interval_before_the_timeout_is_cut_to_the_time_left(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, *[RUNNING] * 10)
    with pytest.raises(ExportTimeoutError):
        service.run(PollPolicy(max_interval=30, timeout=3), fake_time)
    assert fake_time.slept == [1.0, 1.5, 0.5]
