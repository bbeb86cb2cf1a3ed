"""How many exports are at the service, and which is submitted next."""

from __future__ import annotations

import threading
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exports.scheduler import ExportJob
from tests.support.exports import (
    SECONDS,
    WINDOW,
    background,
    fake_job,
    page_texts,
    scheduled,
    take_all,
    text_page,
    texts,
    with_timeout,
    workers,
)
from tests.support.harness import wait_until

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.scheduler import Scheduler

pytestmark = pytest.mark.usefixtures("no_threads_left")


def has_limit(caplog: pytest.LogCaptureFixture, limit: int) -> bool:
    """Return whether the log has the line about a reduced limit."""
    return f"Concurrency reduced for this run: max_concurrent_exports={limit} " in caplog.text


class HeldExports:
    """Exports that run until they are released.

    Attributes:
        begun: Numbers of the accepted exports, in order.
        reject: Events that make the service reject an export at first, by its number.
        jobs: The jobs.
    """

    def __init__(self, count: int, *, rejected: Sequence[int] = ()) -> None:
        """Plan some exports, some of which the service rejects at first."""
        self.begun: list[int] = []
        self.reject = {number: threading.Event() for number in rejected}
        self._released = [threading.Event() for _ in range(count)]
        self.jobs = [
            ExportJob(str(number), WINDOW, partial(self._fetch, number)) for number in range(count)
        ]

    def _fetch(
        self, number: int, scheduler: Scheduler, job: ExportJob
    ) -> Generator[Page, None, None]:
        if number in self.reject:
            assert self.reject[number].wait(SECONDS)
            assert scheduler.reduce_concurrency(job)
        self.begun.append(number)
        scheduler.accept(job, str(number))
        assert self._released[number].wait(SECONDS)
        yield text_page(job.stream, 1, is_last=True)

    def release(self, *numbers: int) -> None:
        """End the execution of exports."""
        for number in numbers:
            self._released[number].set()

    def wait_for_begun(self, count: int) -> None:
        """Wait until a number of exports have been accepted."""
        wait_until(lambda: len(self.begun) == count)

    def take(self, scheduler: Scheduler) -> int:
        """Take the pages of all jobs; return how many."""
        return sum(len(list(scheduler.pages(job))) for job in self.jobs)


def test_exports_begin_in_job_order_one_for_each_that_has_run() -> None:
    exports = HeldExports(6)
    with (
        scheduled(*exports.jobs, max_concurrent=2) as scheduler,
        background(lambda: exports.take(scheduler), release=scheduler.close) as taking,
    ):
        exports.wait_for_begun(2)
        exports.begun.sort()  # the first two begin at the same time
        for number in (1, 0, 3, 2):
            exports.release(number)
            exports.wait_for_begun(len(exports.begun) + 1)
            assert exports.begun == sorted(exports.begun)
        exports.release(4, 5)
        assert taking.result(SECONDS) == 6


def test_rejected_exports_are_submitted_before_later_ones_in_job_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(10):
        caplog.clear()
        exports = HeldExports(7, rejected=(2, 3))
        with (
            scheduled(*exports.jobs, max_concurrent=4) as scheduler,
            background(partial(exports.take, scheduler), release=scheduler.close) as taking,
        ):
            for number, limit in ((3, 3), (2, 2)):
                exports.wait_for_begun(2)
                exports.reject[number].set()
                wait_until(partial(has_limit, caplog, limit))
            assert sorted(exports.begun) == [0, 1]
            exports.release(1)
            exports.wait_for_begun(3)
            exports.release(0)
            exports.wait_for_begun(4)
            assert exports.begun[2:] == [2, 3]
            exports.release(*range(7))
            assert taking.result(SECONDS) == 7


def test_job_dropped_while_it_waits_for_a_slot_is_not_submitted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    exports = HeldExports(5, rejected=(1,))
    with scheduled(*exports.jobs, max_concurrent=3) as scheduler:
        dropped = exports.jobs.pop(1)
        with background(lambda: exports.take(scheduler), release=scheduler.close) as taking:
            exports.wait_for_begun(2)
            exports.reject[1].set()
            wait_until(partial(has_limit, caplog, 2))
            scheduler.drop([dropped])
            exports.release(*range(5))
            assert taking.result(SECONDS) == 4
    assert sorted(exports.begun) == [0, 2, 3, 4]


def test_exports_with_a_limit_of_one_start_at_their_turn() -> None:
    requested: set[str] = set()
    early: list[str] = []

    def export(stream: str) -> ExportJob:
        def check(_number: int) -> None:
            if stream not in requested or len(workers()) > 2:  # one thread logs progress
                early.append(stream)

        return fake_job(stream, [1] * 3, before=check)

    jobs = [export(name) for name in "abc"]
    with scheduled(*jobs, max_concurrent=1) as scheduler:
        for job in jobs:
            requested.add(job.stream)
            assert texts(scheduler.pages(job)) == page_texts(job.stream, 3)
    assert early == []


def test_workers_of_many_exports_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_campusgroups.exports.scheduler.MAX_WORKERS", 2)
    peak = [0]

    def count(_number: int) -> None:
        peak[0] = max(peak[0], len(workers()) - 1)  # one thread logs progress

    jobs = [fake_job(str(number), [1] * 3, before=count) for number in range(8)]
    with scheduled(*jobs, max_concurrent=8) as scheduler:
        found = with_timeout(lambda: take_all(scheduler), scheduler)
    assert found == [text for number in range(8) for text in page_texts(str(number), 3)]
    assert peak == [2]
