"""The order of pages: by stream and window, whatever is fetched first, for any schedule."""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING

import pytest

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
    from collections.abc import Callable, Generator, Iterator

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
    jobs = [fake_job("a", [1] * 3, before=hold), fake_job("b", [1] * 3, before=announce)]
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


class RandomService:
    """Exports with random pages, delays, resubmissions and failures; a few of them at a time.

    Attributes:
        peak: Maximum number of exports at a time.
        expected: Texts of the pages of each window, and its failure.
    """

    def __init__(self, random: Random) -> None:
        self._random = random
        self._limit = random.randint(1, 8)
        self._lock = threading.Lock()
        self._active = self.peak = 0
        self._ids = count()
        self.expected: dict[str, list[str]] = {}

    def stream(self, name: str) -> StreamExports:
        """Plan a stream of one to four windows."""
        days = self._random.choice((1, 1, 2, 4))
        windows = list(Window(WINDOW.start, WINDOW.start + timedelta(days=days)).split(1))
        runs = {window: self._plan(f"{name}.{at}") for at, window in enumerate(windows)}
        return StreamExports(name, iter(windows), days, lambda slot: runs[slot.window](slot))

    def _plan(self, name: str) -> Callable[[Slot], Generator[Page, None, None]]:
        chance = self._random
        sizes = [chance.choice((1, 50, 100, 400, 2500)) for _ in range(chance.randint(1, 6))]
        delays = [chance.choice((0.0, 0.0, 0.0003, 0.001)) for _ in sizes]
        submitted_before = {1} | {number for number in range(2, 6) if chance.random() < 0.1}
        failing_queries = chance.choice((0, 0, 0, 1, 2))
        fails = chance.random() < 0.1
        self.expected[name] = page_texts(name, len(sizes)) + [f"{name} fails"] * fails

        def run(slot: Slot) -> Generator[Page, None, None]:
            for number, (size, delay) in enumerate(zip(sizes, delays, strict=True), 1):
                if number in submitted_before:
                    for _ in range(failing_queries):
                        with self._export(slot):
                            pass
                        slot.release()
                with self._export(slot) if number in submitted_before else nullcontext():
                    slot.pause(delay)
                    slot.reserve()
                is_last = number == len(sizes) and not fails
                yield text_page(name, number, size, is_last=is_last)
            if fails:
                raise ValueError(name)

        return run

    @contextmanager
    def _export(self, slot: Slot) -> Iterator[None]:
        """Submit an export until it is accepted; at the end, it is no longer at the service."""
        slot.acquire()
        while not self._begin():
            if not slot.yield_to_others():
                slot.pause(0.001)
        try:
            slot.accept(f"q{next(self._ids)}", is_resubmission=False)
            yield
        finally:
            with self._lock:
                self._active -= 1

    def _begin(self) -> bool:
        with self._lock:
            if self._active == self._limit:
                return False
            self._active += 1
            self.peak = max(self.peak, self._active)
            return True


def take_with_failures(
    scheduler: Scheduler, streams: list[StreamExports], *, delay: float
) -> list[str]:
    """Take the pages of all streams; after some failures, drop the next stream, too."""
    found: list[str] = []
    left = list(streams)
    while left:
        stream = left.pop(0)
        try:
            for page in pages(scheduler, stream):
                found += texts([page])
                threading.Event().wait(delay)
        except ValueError as error:
            found.append(f"{error} fails")
            scheduler.drop(stream)
            if drops_next(stream) and left:
                scheduler.drop(left.pop(0))
    return found


def drops_next(stream: StreamExports) -> bool:
    """Return whether a failure of the stream also drops the next one."""
    return int(stream.stream) % 2 == 0


def expected_texts(streams: list[StreamExports], expected: dict[str, list[str]]) -> list[str]:
    """Return what `take_with_failures` is to return."""
    found: list[str] = []
    numbers = iter(streams)
    for stream in numbers:
        for at in range(stream.planned):
            found += expected[f"{stream.stream}.{at}"]
            if found[-1].endswith(" fails"):
                if drops_next(stream):
                    next(numbers, None)
                break
    return found


@pytest.mark.usefixtures("small_buffer")
def test_random_schedule_loses_no_page_and_never_deadlocks() -> None:
    for seed in range(150):
        random = Random(seed)  # noqa: S311 - not used for security
        max_concurrent = random.randint(1, 8)
        service = RandomService(random)
        streams = [service.stream(str(number)) for number in range(random.randint(1, 9))]
        delay = 0.0005 if random.random() < 0.3 else 0.0
        with scheduled(*streams, max_concurrent=max_concurrent) as scheduler:
            take = partial(take_with_failures, scheduler, streams, delay=delay)
            found = with_timeout(take, scheduler)
        wait_until(lambda: workers() == [])
        assert found == expected_texts(streams, service.expected), seed
        assert service.peak <= max_concurrent, seed
