"""Windows and waiting, in injected time."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ExportTimeoutError
from tap_campusgroups.exports.export import PollPolicy, run_export
from tap_campusgroups.exports.pagination import ExportEnded, ExportPaginator, Fetch, Submit
from tap_campusgroups.exports.response import ResponseKind
from tap_campusgroups.exports.window import Window
from tap_campusgroups.records.json_codec import decode_rows
from tests.exports.test_pagination import answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    import requests

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.pagination import Step
    from tests.conftest import FakeTime

START, END = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC)

SUBMITTED = (200, {"queryId": "q"}, "POST")
QUEUED = (201, {"message": "Query is queued and waiting to be executed"}, "GET")
RUNNING = (202, {"message": "Accepted query and is running"}, "GET")


class Service:
    """Answers in turn, and notes what the client waited."""

    def __init__(self, *answers: tuple[int, object, str]) -> None:
        self.answers: Iterator[tuple[int, object, str]] = iter(answers)
        self.waits: list[tuple[ResponseKind, float, float]] = []
        self.steps: list[Step] = []

    def send(self, paginator: ExportPaginator) -> requests.Response:
        """Answer the next step."""
        self.steps.append(paginator.current_value)
        status, body, method = next(self.answers)
        return answer(status, body, method)

    def on_wait(self, reply: ResponseKind, *, waited: float, interval: float) -> None:
        """Note a wait."""
        self.waits.append((reply, round(waited, 3), round(interval, 3)))

    def run(self, policy: PollPolicy, time: FakeTime) -> list[Page]:
        """Run an export to its end."""
        return list(
            run_export(
                ExportPaginator(Window(START, END)),
                self.send,
                policy,
                self.on_wait,
                clock=time.monotonic,
                sleep=time.sleep,
            )
        )


def page(*ids: int, after: str | None = None) -> tuple[int, object, str]:
    """Answer a page; `after` is the token of the next one."""
    return 200, {"Results": [{"id": i} for i in ids], "NextToken": after}, "GET"


def test_waits_grow_to_the_longest_and_start_anew_after_a_page(fake_time: FakeTime) -> None:
    service = Service(
        SUBMITTED, QUEUED, QUEUED, *[RUNNING] * 5, page(1, after="t"), RUNNING, page(2)
    )
    pages = service.run(PollPolicy(max_interval=5, timeout=1800), fake_time)
    assert [decode_rows(page.results)[0] for page in pages] == [[{"id": 1}], [{"id": 2}]]
    assert [page.is_last for page in pages] == [False, True]
    assert pages[1].size == len(b'[{"id":2}]')
    assert fake_time.slept == [1.0, 1.5, 2.25, 3.375, 5.0, 5.0, 5.0, 1.0]
    assert service.waits[0] == (ResponseKind.QUEUED, 0.0, 1.0)
    assert service.waits[2] == (ResponseKind.RUNNING, 2.5, 2.25)


def test_no_wait_without_need(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, page(1, after="t"), page())
    assert len(service.run(PollPolicy(30, 1800), fake_time)) == 2
    assert fake_time.slept == []


def test_page_after_an_empty_one_is_fetched_after_a_second(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, page(after="t"), page(after="u"), page(1))
    assert len(service.run(PollPolicy(30, 1800), fake_time)) == 3
    assert fake_time.slept == [1.0, 1.0]


def test_a_short_longest_interval_is_the_first_too(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, QUEUED, QUEUED, page())
    service.run(PollPolicy(max_interval=0.5, timeout=10), fake_time)
    assert fake_time.slept == [0.5, 0.5]


def test_the_wait_for_an_export_has_an_end(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, *[RUNNING] * 100)
    with pytest.raises(ExportTimeoutError, match="still running after 1 minutes"):
        service.run(PollPolicy(max_interval=30, timeout=60), fake_time)
    assert sum(fake_time.slept) == pytest.approx(60)  # the last wait is cut to what is left


def test_the_end_of_an_export_ends_it(fake_time: FakeTime) -> None:
    service = Service(
        SUBMITTED, RUNNING, (410, {"message": "Query execution was cancelled"}, "GET")
    )
    with pytest.raises(ExportEnded) as ended:
        service.run(PollPolicy(30, 60), fake_time)
    assert ended.value.reply is ResponseKind.CANCELLED


def test_chance_lengthens_a_wait_by_a_tenth_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random, "random", lambda: 0.5)
    assert list(islice(PollPolicy(30, 60).intervals(), 3)) == pytest.approx([1.05, 1.575, 2.3625])
    monkeypatch.setattr(random, "random", lambda: 1.0)
    assert list(islice(PollPolicy(2, 60).intervals(), 4)) == pytest.approx([1.1, 1.65, 2.2, 2.2])


def test_a_window_is_in_whole_seconds_utc() -> None:
    east = timezone(timedelta(hours=5))
    window = Window.between(
        datetime(2024, 1, 1, 5, 0, 0, 999_999, tzinfo=east),
        datetime(2024, 1, 2, 0, 0, 0, 1, tzinfo=UTC),
    )
    assert str(window) == "2024-01-01T00:00:00Z to 2024-01-02T00:00:00Z"
    assert not window.is_empty
    assert not Window.between(START, START).is_empty
    assert Window.between(END, START).is_empty


def test_each_step_of_the_paginator_is_sent(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, RUNNING, page(1, after="t"), page(2))
    service.run(PollPolicy(30, 60), fake_time)
    assert service.steps == [
        Submit(Window(START, END)),
        Fetch("q"),
        Fetch("q", polls=1),
        Fetch("q", "t"),
    ]


@pytest.mark.parametrize("has_invalid_unicode", [False, True])
def test_page_tells_whether_characters_were_replaced(
    fake_time: FakeTime, *, has_invalid_unicode: bool
) -> None:
    body = b'{"Results": [{"name": "%s"}]}' % (b"\\ud83d" if has_invalid_unicode else b"Zoe")
    service = Service(SUBMITTED, (200, body, "GET"))
    (only,) = service.run(PollPolicy(30, 60), fake_time)
    assert only.has_invalid_unicode == has_invalid_unicode


@pytest.mark.parametrize(("answer", "is_running"), [(QUEUED, False), (RUNNING, True)])
def test_export_at_its_limit_says_for_how_long_it_did_what(
    fake_time: FakeTime, answer: tuple[int, object, str], *, is_running: bool
) -> None:
    service = Service(SUBMITTED, *[answer] * 300)
    with pytest.raises(ExportTimeoutError) as raised:
        service.run(PollPolicy(max_interval=60, timeout=3600), fake_time)
    assert raised.value.is_running == is_running
    words = "running" if is_running else "queued"
    assert str(raised.value) == f"it was still {words} after 60 minutes"
    assert sum(fake_time.slept) == 3600


def test_last_wait_of_less_than_a_second_is_waited(fake_time: FakeTime) -> None:
    service = Service(SUBMITTED, *[RUNNING] * 10)
    with pytest.raises(ExportTimeoutError):
        service.run(PollPolicy(max_interval=30, timeout=3), fake_time)
    assert fake_time.slept == [1.0, 1.5, 0.5]
