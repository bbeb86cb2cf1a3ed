"""The order of pages: by stream and window, whatever is fetched first, for any schedule."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ExportsStoppedError
from tap_campusgroups.exports.scheduler import Slot, StreamExports
from tap_campusgroups.exports.window import Window
from tests.support.exports import (
    SECONDS,
    WINDOW,
    fake_job,
    page_texts,
    pages,
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
        assert take_all(scheduler, jobs) == page_texts("a", 3) + page_texts("b", 3)
        wait_until(lambda: workers() == ["tap-campusgroups-progress"])


def test_windows_are_made_when_their_turn_comes() -> None:
    """A stream with a window per day of all centuries takes no more memory than another."""
    made: list[Window] = []

    def run(slot: Slot) -> Generator[Page, None, None]:
        slot.accept(str(slot.number), is_resubmission=False)
        if slot.number > 1:
            slot.pause(SECONDS)
        yield text_page(slot.stream, slot.number, is_last=True)

    def windows() -> Generator[Window, None, None]:
        for window in Window(WINDOW.start, WINDOW.start + timedelta(days=200_000)).split(1):
            made.append(window)
            yield window

    exports = StreamExports("a", windows(), 200_000, run)
    with scheduled(exports, max_concurrent=2) as scheduler:
        taken = scheduler.windows(exports)
        first, first_pages = next(taken)
        found = texts(first_pages)
        second, _ = next(taken)
        # Beside the one that was taken: two at the service, and one that waits for a place.
        wait_until(lambda: len(made) == 4)
    assert [first, second] == made[:2]
    assert found == ["a 1"]
    assert exports.created == len(made) == 4


# Random schedules


class Service:
    """Accepts a limited number of exports at a time.

    Attributes:
        peak: Maximum number of exports at a time.
    """

    def __init__(self, limit: int) -> None:
        """Start without exports."""
        self._lock = threading.Lock()
        self._limit = limit
        self._active = 0
        self._count = 0
        self.peak = 0

    def submit(self, slot: Slot) -> bool:
        """Start an export; return whether it is accepted."""
        with self._lock:
            if self._active == self._limit:
                return False
            self._active += 1
            self._count += 1
            self.peak = max(self.peak, self._active)
            return slot.accept(str(self._count), is_resubmission=False)

    def end(self) -> None:
        """End an export."""
        with self._lock:
            self._active -= 1


@dataclass
class RandomExport:
    """The export of a window with random pages, delays, resubmissions and failures.

    Attributes:
        name: Its stream and the number of its window.
        texts: Texts of its pages.
        fails: Whether it fails after them.
    """

    name: str
    service: Service
    random: Random
    texts: list[str] = field(init=False)
    fails: bool = field(init=False)

    def __post_init__(self) -> None:
        """Choose what happens to the export."""
        chance = self.random
        self._sizes = [chance.choice((1, 50, 100, 400, 2500)) for _ in range(chance.randint(1, 6))]
        self._delays = [chance.choice((0.0, 0.0, 0.0003, 0.001)) for _ in self._sizes]
        self._resubmitted_before = {number for number in range(2, 6) if chance.random() < 0.1}
        self._failing_queries = chance.choice((0, 0, 0, 1, 2))
        self.texts = page_texts(self.name, len(self._sizes))
        self.fails = chance.random() < 0.1

    def _submit(self, slot: Slot) -> None:
        slot.acquire()
        while not self.service.submit(slot):
            if not slot.yield_to_others():
                slot.pause(0.001)

    def run(self, slot: Slot) -> Generator[Page, None, None]:
        """Run the export in a worker."""
        is_active = False
        try:
            for number, (size, delay) in enumerate(zip(self._sizes, self._delays, strict=True), 1):
                if number == 1 or number in self._resubmitted_before:
                    self._submit(slot)
                    is_active = True
                    for _ in range(self._failing_queries):
                        self.service.end()
                        is_active = False
                        slot.release()
                        self._submit(slot)
                        is_active = True
                slot.pause(delay)
                slot.reserve()
                if is_active:
                    self.service.end()
                    is_active = False
                is_last = number == len(self._sizes) and not self.fails
                yield text_page(self.name, number, size, is_last=is_last)
        except ExportsStoppedError:
            if is_active:
                self.service.end()
            raise
        if self.fails:
            raise ValueError(self.name)


class RandomStream:
    """A stream of one to four windows."""

    def __init__(self, number: int, service: Service, random: Random) -> None:
        """Choose what happens to its exports."""
        days = [WINDOW.start + timedelta(days=day) for day in range(random.choice((1, 1, 2, 4)))]
        self.windows = {
            Window(day, day + timedelta(days=1)): RandomExport(f"{number}.{at}", service, random)
            for at, day in enumerate(days)
        }
        self.exports = StreamExports(str(number), iter(self.windows), len(self.windows), self._run)

    def _run(self, slot: Slot) -> Generator[Page, None, None]:
        return self.windows[slot.window].run(slot)

    def expected(self) -> list[str]:
        """Return the texts of the pages up to the first failure, and the failure."""
        expected: list[str] = []
        for export in self.windows.values():
            expected += export.texts
            if export.fails:
                return [*expected, f"{export.name} fails"]
        return expected


def take_with_failures(
    scheduler: Scheduler, streams: list[RandomStream], *, delay: float
) -> list[str]:
    """Take the pages of all streams; after a failure, drop the stream and each second next one."""
    found: list[str] = []
    left = list(enumerate(streams))
    while left:
        number, stream = left.pop(0)
        try:
            for page in pages(scheduler, stream.exports):
                found += texts([page])
                threading.Event().wait(delay)
        except ValueError as error:
            found.append(f"{error} fails")
            scheduler.drop(stream.exports)
            if number % 2 == 0 and left:
                scheduler.drop(left.pop(0)[1].exports)
    return found


def expected_texts(streams: list[RandomStream]) -> list[str]:
    """Return what `take_with_failures` is to return."""
    expected: list[str] = []
    numbers = iter(range(len(streams)))
    for number in numbers:
        expected += streams[number].expected()
        if expected[-1].endswith(" fails") and number % 2 == 0:
            next(numbers, None)
    return expected


@pytest.mark.usefixtures("small_buffer")
def test_random_schedule_loses_no_page_and_never_deadlocks() -> None:
    for seed in range(150):
        random = Random(seed)  # noqa: S311 - not used for security
        max_concurrent = random.randint(1, 8)
        service = Service(random.randint(1, 8))
        streams = [RandomStream(number, service, random) for number in range(random.randint(1, 9))]
        delay = 0.0005 if random.random() < 0.3 else 0.0
        exports = [stream.exports for stream in streams]
        with scheduled(*exports, max_concurrent=max_concurrent) as scheduler:
            take = partial(take_with_failures, scheduler, streams, delay=delay)
            found = with_timeout(take, scheduler)
        assert workers() == [], seed
        assert found == expected_texts(streams), seed
        assert service.peak <= max_concurrent, seed
