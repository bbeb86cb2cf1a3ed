"""The buffer of prefetched pages: its limit, backpressure, and no deadlock."""

from __future__ import annotations

import itertools
import threading
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exports.scheduler import Capacity
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tests.support.exports import (
    LOGGER,
    SECONDS,
    BufferProbe,
    background,
    fake_job,
    page_texts,
    pages,
    scheduled,
    take_all,
    text_page,
    texts,
    with_timeout,
)
from tests.support.harness import wait_until
from tests.support.scripted_service import make_slot

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tap_campusgroups.exports.export import Page

pytestmark = pytest.mark.usefixtures("no_threads_left")


def test_pages_that_are_not_taken_fill_the_buffer_up_to_its_limit(small_buffer: int) -> None:
    probe = BufferProbe()
    all_begin = threading.Barrier(3)

    def begin(number: int) -> None:
        if number == 1:
            all_begin.wait(SECONDS)

    jobs = [fake_job(name, itertools.repeat(100), probe=probe, before=begin) for name in "abc"]
    with scheduled(*jobs) as scheduler:
        taken = pages(scheduler, jobs[0])
        for _ in range(20):
            probe.take(100)
            next(taken)
            wait_until(lambda: probe.buffered >= small_buffer)
    assert probe.peak <= small_buffer + 100
    assert probe.fetched.total() <= 20 + small_buffer / 100 + 1
    assert min(probe.fetched[name] for name in "abc") > 0


def test_first_pages_of_many_exports_stay_within_the_buffer(small_buffer: int) -> None:
    """Also those of exports that were submitted before any page was there."""
    probe = BufferProbe()
    begun: list[int] = []
    gate = threading.Event()

    def hold(number: int) -> None:
        if number == 1:
            begun.append(number)
            assert gate.wait(SECONDS)

    jobs = [fake_job(str(number), [100] * 5, probe=probe, before=hold) for number in range(20)]

    def take() -> None:
        for job in jobs:
            for page in pages(scheduler, job):
                probe.take(page.size)

    with (
        scheduled(*jobs, max_concurrent=20) as scheduler,
        background(take, release=scheduler.close) as taking,
    ):
        wait_until(lambda: len(begun) >= small_buffer / 100)
        gate.set()
        taking.result(SECONDS)
    assert probe.fetched.total() == 100
    # Beyond the buffer: the current job's page, and the one that was just taken.
    assert probe.peak <= small_buffer + 200


def test_current_job_with_full_buffer_still_fetches(small_buffer: int) -> None:
    probe = BufferProbe()

    def let_others_first(number: int) -> None:
        if number == 2:
            wait_until(lambda: probe.fetched["b"] + probe.fetched["c"] >= 9)

    sizes = [100] + 9 * [600]
    first, *_ = jobs = [
        fake_job("a", sizes, probe=probe, before=let_others_first),
        fake_job("b", itertools.repeat(100), probe=probe),
        fake_job("c", itertools.repeat(100), probe=probe),
    ]

    def take() -> Iterator[Page]:
        taken = pages(scheduler, first)
        for size in sizes:
            probe.take(size)
            yield next(taken)
        yield from taken

    with scheduled(*jobs) as scheduler:
        assert with_timeout(lambda: texts(take()), scheduler) == page_texts("a", 10)
    assert probe.peak <= small_buffer + 600


def test_page_larger_than_the_buffer_is_fetched(small_buffer: int) -> None:
    jobs = [fake_job(name, [5 * small_buffer] * 4) for name in "abc"]
    with scheduled(*jobs) as scheduler:
        found = with_timeout(lambda: take_all(scheduler, jobs), scheduler)
    assert found == [text for name in "abc" for text in page_texts(name, 4)]


def test_current_job_that_waits_for_a_place_gets_that_of_a_job_without_room(
    small_buffer: int,
) -> None:
    """Its export failed, and a later job has taken its place; pages of others fill the buffer."""
    monitor = ServiceMonitor(datetime.now(UTC), LOGGER)
    capacity = Capacity(1, monitor, LOGGER)
    current, later = make_slot(capacity, 1), make_slot(capacity, 2)
    later.acquire()
    with capacity.changed:
        capacity.current_job = current
        capacity.buffered_bytes = small_buffer

    def release() -> None:
        with capacity.changed:
            current.end()
            later.end()

    with background(later.reserve, release=release) as reserving:
        assert not reserving.done()
        with background(current.acquire, release=release) as acquiring:
            reserving.result(SECONDS)
            later.store(text_page("later", 1, 100, is_last=True))
            acquiring.result(SECONDS)
    assert current in capacity.active
