"""Failures, dropped jobs and early ends of the scheduler."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ExportsStoppedError
from tap_campusgroups.exports.scheduler import ExportJob
from tests.support.exports import (
    SECONDS,
    WINDOW,
    fake_job,
    page_texts,
    scheduled,
    text_page,
    texts,
    with_timeout,
    workers,
)
from tests.support.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator
    from contextlib import AbstractContextManager

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.scheduler import Scheduler

pytestmark = pytest.mark.usefixtures("no_threads_left")


def test_exception_in_worker_is_raised_after_the_pages_before_it() -> None:
    jobs = [
        fake_job("a", [1] * 2),
        fake_job("b", [1] * 2, error=KeyError("x")),
        fake_job("c", [1] * 2),
    ]
    found: list[str] = []
    with scheduled(*jobs) as scheduler:
        pages = (page for job in jobs for page in scheduler.pages(job))
        with pytest.raises(KeyError) as raised:
            found.extend(bytes(page.results).decode() for page in pages)
    assert found == page_texts("a", 2) + page_texts("b", 2)
    assert raised.value.__notes__ == ["In the export of stream 'b'."]


def test_exception_of_worker_context_is_raised_in_the_main_thread() -> None:
    def broken() -> AbstractContextManager[object]:
        msg = "no session"
        raise OSError(msg)

    job = fake_job("a", [1])
    with (
        scheduled(job, worker_context=broken) as scheduler,
        pytest.raises(OSError, match="no session"),
    ):
        with_timeout(lambda: list(scheduler.pages(job)), scheduler)


def test_job_dropped_while_it_fetches_ends_with_its_page() -> None:
    is_dropped, has_ended = threading.Event(), threading.Event()

    def fetch(scheduler: Scheduler, job: ExportJob) -> Generator[Page, None, None]:
        try:
            scheduler.accept(job, "b")
            yield text_page("b", 1)
            assert is_dropped.wait(SECONDS)
            while True:
                yield text_page("b", 2)
        finally:
            has_ended.set()

    first, second, third = jobs = [
        fake_job("a", [1]),
        ExportJob("b", WINDOW, fetch),
        fake_job("c", [1]),
    ]
    with scheduled(*jobs) as scheduler:
        assert texts(scheduler.pages(first)) == ["a 1"]
        wait_until(lambda: second.pages)
        scheduler.drop([second])
        is_dropped.set()
        assert has_ended.wait(SECONDS)
        assert texts(scheduler.pages(third)) == ["c 1"]
        assert not second.pages


def test_pause_of_worker_ends_with_the_run() -> None:
    pausing, ended = threading.Event(), threading.Event()

    def fetch(scheduler: Scheduler, _job: ExportJob) -> Generator[Page, None, None]:
        yield text_page("a", 1)
        pausing.set()
        try:
            scheduler.pause(600)
        except ExportsStoppedError:
            ended.set()
            raise

    job = ExportJob("a", WINDOW, fetch)
    with scheduled(job, fake_job("b", [1])) as scheduler:
        next(scheduler.pages(job))
        assert pausing.wait(SECONDS)
    assert ended.wait(SECONDS)
    with pytest.raises(ExportsStoppedError):
        list(scheduler.pages(job))


def test_worker_still_running_at_shutdown_is_logged_and_abandoned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tap_campusgroups.exports.scheduler.STOP_TIMEOUT", 0.05)
    is_held, free = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 2:
            is_held.set()
            free.wait(SECONDS)

    job = fake_job("a", [1, 1], before=hold)
    with scheduled(job) as scheduler:
        next(scheduler.pages(job))
        assert is_held.wait(SECONDS)
        scheduler.close()
        assert "Requests abandoned: 1 still running at shutdown" in caplog.text
        assert len(workers()) == 1
        free.set()
        wait_until(lambda: workers() == [])
