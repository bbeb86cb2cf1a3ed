"""How many exports are at the service, and which is submitted next."""

from __future__ import annotations

import re
from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ExportsStoppedError
from tap_campusgroups.exports.scheduler import PAGE_ESTIMATE, Capacity, Slot
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tests.support.exports import (
    LOGGER,
    SECONDS,
    background,
    fake_job,
    page_texts,
    scheduled,
    take_all,
    text_page,
    with_timeout,
    workers,
)
from tests.support.harness import STARTED, wait_until
from tests.support.scripted_service import ScriptedJob, accepted, make_slot, status

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.support.fake_time import FakeTime

pytestmark = pytest.mark.usefixtures("no_threads_left")


def has_limit(caplog: pytest.LogCaptureFixture, limit: int) -> bool:
    """Return whether the log has the line about a lowered limit."""
    return f"Concurrency changed: max_concurrent_exports={limit} reason=HTTP 429" in caplog.messages


# The places at the service


@pytest.fixture
def capacity(caplog: pytest.LogCaptureFixture) -> Capacity:
    """Four places of a service that has accepted an export before."""
    caplog.set_level("INFO")
    monitor = ServiceMonitor(STARTED, LOGGER)
    monitor.accept("earlier")
    return Capacity(4, monitor, LOGGER)


def at_service(capacity: Capacity, *numbers: int) -> list[Slot]:
    """Return jobs whose exports the service has accepted."""
    slots = [make_slot(capacity, number, stream=f"s{number}") for number in numbers]
    for slot in slots:
        slot.acquire()
        slot.accept(f"q{slot.number}", is_resubmission=False)
    return slots


def test_job_has_a_place_from_its_start_until_its_export_has_run(capacity: Capacity) -> None:
    slot, _ = at_service(capacity, 1, 2)
    assert (slot.query_id, capacity.free_places) == ("q1", 2)
    slot.reserve()
    slot.reserve()  # has room already
    assert capacity.buffered_bytes == PAGE_ESTIMATE
    slot.acquire()  # has one already
    assert capacity.free_places == 2
    slot.store(text_page("s1", 1, 10, is_last=True))
    assert (slot.query_id, capacity.free_places) == ("q1", 3)
    assert capacity.buffered_bytes == 10
    slot.reserve()  # for a page like the last one
    assert capacity.buffered_bytes == 20
    slot.finish()
    assert slot.is_done
    with capacity.changed:
        assert slot.take() is not None
        assert slot.take() is None
    assert capacity.buffered_bytes == 0


def test_released_job_has_no_export(capacity: Capacity) -> None:
    (slot,) = at_service(capacity, 1)
    slot.release()
    assert capacity.free_places == 4
    slot.acquire()
    assert (slot.query_id, capacity.free_places) == (None, 3)


def test_export_with_the_query_id_of_another_is_not_new(capacity: Capacity) -> None:
    (slot,) = at_service(capacity, 1)
    assert not slot.accept("earlier", is_resubmission=True)
    assert slot.query_id is None
    assert slot.exports.counts == {"exports": 2, "resubmissions": 1}


def test_abandoned_export_keeps_its_place_for_the_rest_of_the_run(
    capacity: Capacity, caplog: pytest.LogCaptureFixture
) -> None:
    first, *others = at_service(capacity, 1, 2, 3)
    assert all(slot.abandon() for slot in (first, *others))
    assert caplog.messages == [f"Export abandoned: stream=s{n} query_id=q{n}" for n in (1, 2, 3)]
    assert capacity.free_places == 1
    (last,) = at_service(capacity, 4)
    assert not last.abandon()
    assert (capacity.abandoned, capacity.free_places) == (3, 0)


def test_job_that_is_over_changes_nothing_also_with_a_free_place(
    capacity: Capacity, caplog: pytest.LogCaptureFixture
) -> None:
    other, over = at_service(capacity, 1, 2)
    pending = make_slot(capacity, 3)
    fetching = make_slot(capacity, 4)
    fetching.store(text_page("s4", 1, 10))
    with capacity.changed:
        fetching.end()
        assert (fetching.take(), capacity.buffered_bytes) == (None, 0)
        over.end()
        pending.end()
    before = (capacity.limit, capacity.free_places, capacity.abandoned)
    calls: list[Callable[[], object]] = [over.abandon, over.yield_to_others, over.check]
    calls += [over.acquire, pending.acquire, lambda: over.pause(600)]
    calls += [over.reserve, lambda: fetching.store(text_page("s4", 2, 10))]
    for call in calls:
        with pytest.raises(ExportsStoppedError):
            call()
    assert (capacity.limit, capacity.free_places, capacity.abandoned) == before
    assert (pending.has_place, other.has_place) == (False, True)
    assert over.over.is_set()
    assert not other.over.is_set()
    assert caplog.messages == []


@pytest.mark.parametrize(
    ("is_current", "has_accepted_job", "max_concurrent", "taken", "buffered", "may_start"),
    [
        (True, False, 1, 0, 2**40, True),
        (True, True, 4, 4, 0, False),
        (False, True, 4, 3, 0, True),
        (False, True, 4, 4, 0, False),
        (False, False, 4, 0, 0, False),
        (False, True, 1, 0, 0, False),
        (False, True, 2, 0, 0, True),
        (False, True, 4, 0, 2**40, False),
        (False, True, 4, 0, 15 * 2**20, True),
        (False, True, 4, 0, 15 * 2**20 + 1, False),
    ],
)
def test_job_may_start_at_its_turn_or_ahead_with_a_place_and_room(
    *,
    is_current: bool,
    has_accepted_job: bool,
    max_concurrent: int,
    taken: int,
    buffered: int,
    may_start: bool,
) -> None:
    monitor = ServiceMonitor(STARTED, LOGGER)
    monitor.has_accepted_job = has_accepted_job
    capacity = Capacity(max_concurrent, monitor, LOGGER)
    job = make_slot(capacity, 9)
    capacity.current_job = job if is_current else None
    capacity.active = {make_slot(capacity, number) for number in range(taken)}
    capacity.buffered_bytes = buffered
    assert capacity.may_start(job) == may_start


# HTTP 429


def refused_job(fake_time: FakeTime, *retry_after: str | None) -> ScriptedJob:
    """Return a job whose submission is refused some times, beside an export at the service."""
    return ScriptedJob(fake_time, [*(status(429, one) for one in retry_after), accepted("q")])


def test_refused_submission_is_sent_again_after_the_requested_delay(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """A rate limit ends with the delay: the limit stays."""
    caplog.set_level("INFO")
    job = refused_job(fake_time, "20")
    at_service(job.capacity, 2)
    job.slot.acquire()
    assert job.send().query_id == "q"
    assert [one.at for one in job.sent] == [0, 20]
    assert job.capacity.limit == 4
    assert "Concurrency" not in caplog.text


def test_submission_refused_after_the_requested_delay_waits_until_another_export_ends(
    fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    """A limit on exports does not end with the delay: it becomes the limit of the run."""
    caplog.set_level("INFO")
    job = refused_job(fake_time, "20", "20", "5", None)
    first, second = at_service(job.capacity, 2, 3)
    unaccepted = make_slot(job.capacity, 4)
    unaccepted.acquire()
    job.slot.acquire()

    def release() -> None:
        for one in (first, second, unaccepted, job.slot):
            one.release()

    with background(job.send, release=release) as sending:
        wait_until(lambda: has_limit(caplog, 2))
        unaccepted.release()  # not one of those that the service runs
        assert [one.at for one in job.sent] == [0, 20]
        assert not sending.done()
        assert (job.capacity.limit, job.capacity.free_places) == (2, 0)
        first.release()
        wait_until(lambda: has_limit(caplog, 1))
        # Refused again, and after the delay once more.
        assert [one.at for one in job.sent] == [0, 20, 40, 45]
        second.release()
        assert sending.result(SECONDS).query_id == "q"
    assert job.history.fault_seconds == 45.5
    assert fake_time.slept == [20, 20, 5, 0.5]
    # After each wait for a place, it has all its attempts again.
    assert re.findall(r"attempt=(\d)/8", caplog.text) == ["2", "1", "2", "1"]


def test_limit_rises_by_one_after_each_interval_without_429(
    fake_time: FakeTime, capacity: Capacity, caplog: pytest.LogCaptureFixture
) -> None:
    slots = at_service(capacity, *range(1, 5))
    capacity.set_limit(2, "HTTP 429")
    limits = []
    for seconds in (119, 1, 0, 120, 120):
        fake_time.advance(seconds)
        slots[0].release()
        limits.append(capacity.limit)
    assert limits == [2, 3, 3, 4, 4]
    assert caplog.messages == [
        "Concurrency changed: max_concurrent_exports=2 reason=HTTP 429",
        "Concurrency changed: max_concurrent_exports=3 reason=time without HTTP 429",
        "Concurrency changed: max_concurrent_exports=4 reason=time without HTTP 429",
    ]


def test_another_429_postpones_the_rise_of_the_limit(
    fake_time: FakeTime, capacity: Capacity
) -> None:
    (slot,) = at_service(capacity, 1)
    capacity.set_limit(2, "HTTP 429")
    fake_time.advance(60)
    capacity.set_limit(2, "HTTP 429")
    fake_time.advance(60)
    slot.release()
    assert capacity.limit == 2


# The order of submissions


def test_free_place_goes_to_the_first_of_the_waiting_jobs(capacity: Capacity) -> None:
    active = at_service(capacity, 1, 2, 3, 4)
    waiting = [make_slot(capacity, number) for number in (7, 5, 6)]

    def release() -> None:
        with capacity.changed:
            for one in waiting:
                one.end()

    def acquire(slot: Slot) -> None:
        slot.acquire()
        order.append(slot.number)

    order: list[int] = []
    with ExitStack() as stack:
        for slot in waiting:
            stack.enter_context(background(partial(acquire, slot), release=release))
        wait_until(lambda: len(capacity.waiting) == 3)
        assert order == []
        for count, slot in enumerate(active[:3], 1):
            slot.release()
            wait_until(lambda: len(order) == count)  # noqa: B023 - called at once
    assert order == [5, 6, 7]


def test_job_that_is_dropped_while_it_waits_for_a_place_takes_none(capacity: Capacity) -> None:
    active = at_service(capacity, 1, 2, 3, 4)
    waiting = make_slot(capacity, 5)

    def end() -> None:
        with capacity.changed:
            waiting.end()

    with background(waiting.acquire, release=end) as acquiring:
        wait_until(lambda: waiting in capacity.waiting)
        end()
        active[0].release()
        with pytest.raises(ExportsStoppedError):
            acquiring.result(SECONDS)
    assert capacity.waiting == set()
    assert capacity.free_places == 1


def test_workers_of_many_exports_are_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tap_campusgroups.exports.scheduler.MAX_WORKERS", 2)
    peak = [0]

    def count(_number: int) -> None:
        peak[0] = max(peak[0], len(workers()) - 1)  # one thread logs progress

    jobs = [fake_job(str(number), [1] * 3, before=count) for number in range(8)]
    with scheduled(*jobs, max_concurrent=8) as scheduler:
        found = with_timeout(lambda: take_all(scheduler, jobs), scheduler)
    assert found == [text for number in range(8) for text in page_texts(str(number), 3)]
    assert peak == [2]


# Figures and room of one job


def test_events_of_a_job_are_counted_one_by_one(capacity: Capacity) -> None:
    slot = make_slot(capacity, 1)
    for _ in range(3):
        slot.count("retries")
    assert slot.exports.counts == {"retries": 3}


def test_pausing_job_has_no_room_in_the_buffer(fake_time: FakeTime, capacity: Capacity) -> None:
    (slot,) = at_service(capacity, 1)
    slot.reserve()
    slot.pause(5)
    assert (capacity.buffered_bytes, fake_time.slept) == (0, [5])


def test_job_without_others_at_the_service_keeps_its_place(capacity: Capacity) -> None:
    (slot,) = at_service(capacity, 1)
    assert slot.yield_to_others() is False
    assert slot.has_place


def test_lowered_limit_includes_abandoned_exports(capacity: Capacity) -> None:
    first, second, third = at_service(capacity, 1, 2, 3)
    assert first.abandon()
    with background(third.yield_to_others, release=second.release) as waiting:
        wait_until(lambda: third in capacity.waiting)
        assert (capacity.limit, capacity.free_places) == (2, 0)
        second.release()
        assert waiting.result(SECONDS)
