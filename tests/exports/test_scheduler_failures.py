"""Failures, dropped streams and early ends of the scheduler."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import TYPE_CHECKING

import pytest

from tap_campusgroups.exceptions import ConnectionSetupError, ExportsStoppedError
from tap_campusgroups.exports.scheduler import Slot, StreamExports
from tests.support.exports import (
    SECONDS,
    WINDOW,
    fake_job,
    page_texts,
    pages,
    scheduled,
    take_all,
    text_page,
    workers,
)
from tests.support.harness import settings_for, sync, wait_until

if TYPE_CHECKING:
    from collections.abc import Generator

    from tap_campusgroups.exports.export import Page
    from tests.simulator import Simulator

pytestmark = pytest.mark.usefixtures("no_threads_left")


def test_exception_in_worker_is_raised_after_the_pages_before_it() -> None:
    jobs = [
        fake_job("a", [1] * 2),
        fake_job("b", [1] * 2, error=KeyError("x")),
        fake_job("c", [1] * 2),
    ]
    found: list[str] = []
    with scheduled(*jobs) as scheduler:
        every = (page for job in jobs for page in pages(scheduler, job))
        with pytest.raises(KeyError) as raised:
            found.extend(bytes(page.results).decode() for page in every)
    assert found == page_texts("a", 2) + page_texts("b", 2)
    assert raised.value.__notes__ == ["In the export of stream 'b'."]


@pytest.mark.parametrize("is_current", [True, False])
def test_failed_window_ends_the_later_windows_of_its_stream_and_no_others(
    *, is_current: bool
) -> None:
    """Its second window fails while the first and the third are at the service."""
    all_run, has_failed = threading.Barrier(3), threading.Event()
    started: list[int] = []
    stopped: list[int] = []

    def run(slot: Slot) -> Generator[Page, None, None]:
        number = (slot.window.start - WINDOW.start).days
        started.append(number)
        slot.accept(f"{slot.stream} {number}", is_resubmission=False)
        all_run.wait(SECONDS)
        if number == 1:
            raise ValueError(number)
        if number == 0:
            assert has_failed.wait(SECONDS)
        try:
            slot.pause(0.0 if number == 0 else SECONDS)
        except ExportsStoppedError:
            stopped.append(number)
            has_failed.set()
            # Whatever it does now, it does not submit.
            for call in (slot.acquire, slot.abandon, slot.yield_to_others):
                with pytest.raises(ExportsStoppedError):
                    call()
            raise
        yield text_page(slot.stream, number, is_last=True)

    def hold(number: int) -> None:
        if number == 2:
            assert has_failed.wait(SECONDS)

    windows = WINDOW.split(1)
    failing = StreamExports("failing", windows, WINDOW.count(1), run)
    first, last = fake_job("first", [1, 1], before=hold), fake_job("last", [1])
    streams = [failing, last] if is_current else [first, failing, last]
    with scheduled(*streams, max_concurrent=3) as scheduler:
        if not is_current:
            taken = pages(scheduler, first)
            next(taken)
            assert has_failed.wait(SECONDS)
            list(taken)
        found: list[str] = []
        with pytest.raises(ValueError, match="1"):
            found.extend(bytes(page.results).decode() for page in pages(scheduler, failing))
        assert found == ["failing 0"]
        scheduler.drop(failing)
        assert take_all(scheduler, [last]) == ["last 1"]
    assert (sorted(started), stopped) == ([0, 1, 2], [2])
    assert next(windows).start == WINDOW.start + timedelta(days=3 + (failing.created > 3))


def test_stream_dropped_before_its_turn_does_not_start() -> None:
    first, second, third = jobs = [fake_job(name, [1]) for name in "abc"]
    with scheduled(*jobs, max_concurrent=1) as scheduler:
        scheduler.drop(second)
        assert take_all(scheduler, [first, second, third]) == ["a 1", "c 1"]
    assert second.counts == {}


def test_stream_that_is_not_taken_is_skipped() -> None:
    jobs = [fake_job(name, [1]) for name in "abc"]
    with scheduled(*jobs) as scheduler:
        assert take_all(scheduler, [jobs[0], jobs[2]]) == ["a 1", "c 1"]


def test_pause_of_worker_ends_with_the_run(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pausing, ended = threading.Event(), threading.Event()

    def run(slot: Slot) -> Generator[Page, None, None]:
        slot.accept("q7", is_resubmission=False)
        pausing.set()
        try:
            slot.pause(600)
        except ExportsStoppedError:
            ended.set()
            raise
        yield text_page("a", 1)

    one = StreamExports("a", iter([WINDOW, WINDOW]), 2, run)
    with scheduled(one, fake_job("b", [1])) as scheduler:
        _, taken = next(scheduler.windows(one))
        assert pausing.wait(SECONDS)
        scheduler.close()
        scheduler.close()
        assert ended.wait(SECONDS)
        with pytest.raises(ExportsStoppedError):
            next(taken)
        with pytest.raises(ExportsStoppedError):
            next(scheduler.windows(one))
    assert caplog.messages == ["Export abandoned: stream=a query_id=q7"]


@pytest.mark.parametrize("started", range(4))
def test_system_without_another_thread_ends_the_run_with_one_line(
    simulator: Simulator, monkeypatch: pytest.MonkeyPatch, started: int
) -> None:
    """The threads of a run: progress, worker, its connection, a second worker ..."""
    start, names = threading.Thread.start, list[str]()

    def limited(thread: threading.Thread) -> None:
        if thread.name.startswith("tap-campusgroups"):
            names.append(thread.name)
            if len(names) > started:
                msg = "can't start new thread"
                raise RuntimeError(msg)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)
    output = sync(settings_for(simulator), "events", "users")
    assert isinstance(output.error, ConnectionSetupError)
    assert str(output.error).startswith("The system does not allow another thread. Raise its ")
    assert output.records == {}
    assert output.of_type("STATE") == []
    assert len(names) > started


def test_worker_still_running_at_shutdown_is_logged_and_abandoned(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    monkeypatch.setattr("tap_campusgroups.exports.scheduler.STOP_TIMEOUT", 0.05)
    is_held, free = threading.Event(), threading.Event()

    def hold(number: int) -> None:
        if number == 1:
            is_held.set()
            free.wait(SECONDS)

    job = fake_job("a", [1, 1], before=hold)
    with scheduled(job) as scheduler:
        next(scheduler.windows(job))
        assert is_held.wait(SECONDS)
        scheduler.close()
        assert caplog.messages == [
            "Export abandoned: stream=a query_id=query of a",
            "Requests abandoned: 1 still running at shutdown",
        ]
        assert len(workers()) == 1
        free.set()
        wait_until(lambda: workers() == [])
