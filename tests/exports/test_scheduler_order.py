"""The order of pages: by job, whatever is fetched first, for any schedule."""

from __future__ import annotations

import threading
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exports.scheduler import ExportJob
from tests.support.exports import (
    SECONDS,
    WINDOW,
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
    from collections.abc import Generator

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.scheduler import Scheduler

pytestmark = pytest.mark.usefixtures("no_threads_left")


def test_pages_of_later_job_fetched_first_come_after_those_of_earlier_job() -> None:
    later_is_fetched = threading.Event()

    def announce(number: int) -> None:
        if number == 3:
            later_is_fetched.set()

    def hold(_number: int) -> None:
        assert later_is_fetched.wait(SECONDS)

    # Prefetching begins once the service has accepted the first export.
    jobs = [
        fake_job("a", [1] * 3, before=hold),
        fake_job("b", [1] * 3, before=announce),
    ]
    with scheduled(*jobs) as scheduler:
        assert take_all(scheduler) == page_texts("a", 3) + page_texts("b", 3)


def test_workers_after_pages_of_last_job_have_ended() -> None:
    with scheduled(*(fake_job(name, [1, 1]) for name in "abc"), max_concurrent=3) as scheduler:
        take_all(scheduler)
        wait_until(lambda: workers() == [])


# Random schedules


class Service:
    """Accepts a limited number of exports at a time.

    Attributes:
        peak: Maximum number of exports at a time.
        rejections: Number of exports rejected.
    """

    def __init__(self, limit: int) -> None:
        """Start without exports."""
        self._lock = threading.Lock()
        self._limit = limit
        self._active = 0
        self.peak = 0
        self.rejections = 0

    def submit(self) -> bool:
        """Start an export; return whether it is accepted."""
        with self._lock:
            if self._active == self._limit:
                self.rejections += 1
                return False
            self._active += 1
            self.peak = max(self.peak, self._active)
            return True

    def end(self) -> None:
        """End an export."""
        with self._lock:
            self._active -= 1


class RandomExport:
    """An export with random pages, delays, rejections, resubmissions and failures.

    Attributes:
        pages: Texts of its pages.
        fails: Whether it fails after them.
        job: The job.
    """

    def __init__(self, stream: str, service: Service, random: Random) -> None:
        """Choose what happens to the export."""
        self._stream = stream
        self._service = service
        self._sizes = [random.choice((1, 50, 100, 400, 2500)) for _ in range(random.randint(1, 6))]
        self._delays = [random.choice((0.0, 0.0, 0.0003, 0.001)) for _ in self._sizes]
        self._resubmitted_before = {number for number in range(2, 6) if random.random() < 0.1}
        self._failing_queries = random.choice((0, 0, 0, 1, 2))
        self.pages = page_texts(stream, len(self._sizes))
        self.fails = random.random() < 0.1
        self.job = ExportJob(stream, WINDOW, self._fetch)

    def _submit(self, scheduler: Scheduler, job: ExportJob) -> None:
        scheduler.acquire_slot(job)
        while not self._service.submit():
            if not scheduler.reduce_concurrency(job):
                scheduler.pause(0.001)
        scheduler.accept(job, self._stream)

    def _fetch(self, scheduler: Scheduler, job: ExportJob) -> Generator[Page, None, None]:
        for number, (size, delay) in enumerate(zip(self._sizes, self._delays, strict=True), 1):
            is_submitted = number == 1 or number in self._resubmitted_before
            if is_submitted:
                self._submit(scheduler, job)
                for _ in range(self._failing_queries):
                    self._service.end()
                    scheduler.release_slot(job)
                    self._submit(scheduler, job)
            scheduler.pause(delay)
            if is_submitted:
                self._service.end()
            is_last = number == len(self._sizes) and not self.fails
            yield text_page(self._stream, number, size, is_last=is_last)
        if self.fails:
            raise ValueError(self._stream)


def take_with_failures(scheduler: Scheduler, *, delay: float) -> list[str]:
    """Take the pages of all jobs; after a failure, drop the next job if its number is odd."""
    found: list[str] = []
    dropped: list[ExportJob] = []
    for job in scheduler.jobs:
        if job in dropped:
            continue
        try:
            for page in scheduler.pages(job):
                found += texts([page])
                scheduler.pause(delay)
        except ValueError as error:
            found.append(f"{error} fails")
            following = job.number + 1
            dropped = [job, *scheduler.jobs[following : following + following % 2]]
            scheduler.drop(dropped)
    return found


def expected_texts(exports: list[RandomExport]) -> list[str]:
    """Return what `take_with_failures` is to return."""
    expected: list[str] = []
    numbers = iter(range(len(exports)))
    for number in numbers:
        expected += exports[number].pages
        if exports[number].fails:
            expected.append(f"{number} fails")
            if number % 2 == 0:
                next(numbers, None)
    return expected


@pytest.mark.usefixtures("small_buffer")
def test_random_schedule_loses_no_page_and_never_deadlocks() -> None:
    for seed in range(150):
        random = Random(seed)  # noqa: S311 - not used for security
        max_concurrent = random.randint(1, 8)
        service = Service(random.randint(1, 8))
        exports = [
            RandomExport(str(number), service, random) for number in range(random.randint(1, 9))
        ]
        delay = 0.0005 if random.random() < 0.3 else 0.0
        jobs = [export.job for export in exports]
        with scheduled(*jobs, max_concurrent=max_concurrent) as scheduler:
            found = with_timeout(partial(take_with_failures, scheduler, delay=delay), scheduler)
        assert workers() == [], seed
        assert found == expected_texts(exports), seed
        assert service.peak <= max_concurrent, seed
        assert service.rejections <= max_concurrent, seed
