"""The progress line of a run, once a minute."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exports.scheduler import PROGRESS_INTERVAL
from tests.support.exports import (
    SECONDS,
    fake_job,
    pages,
    scheduled,
    take_all,
)
from tests.support.harness import wait_until

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from tap_campusgroups.exports.scheduler import Scheduler, StreamExports

pytestmark = pytest.mark.usefixtures("no_threads_left")

INTERVAL = "tap_campusgroups.exports.scheduler.PROGRESS_INTERVAL"


@pytest.fixture
def logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., dict[str, Any]]:
    """Log progress all the time; return a function that waits for figures."""
    caplog.set_level("INFO")
    monkeypatch.setattr(INTERVAL, 0.01)

    def wait_for(**figures: Any) -> dict[str, Any]:
        found: list[logging.LogRecord] = []

        def has_figures() -> bool:
            found[:] = [
                record for record in list(caplog.records) if figures.items() <= vars(record).items()
            ]
            return bool(found)

        wait_until(has_figures)
        record = found[0]
        names = (*FIGURES, *figures)
        text = " ".join(f"{name}={getattr(record, name)}" for name in FIGURES)
        assert (record.levelname, record.getMessage()) == ("INFO", f"Sync progress: {text}")
        return {name: getattr(record, name) for name in names}

    return wait_for


FIGURES = (
    *("stream", "rows", "seconds", "jobs_pending", "jobs_active", "jobs_done"),
    "prefetched_bytes",
)


def test_progress_counts_jobs_rows_and_prefetched_bytes(
    logged: Callable[..., dict[str, Any]],
) -> None:
    is_free = threading.Event()

    def hold(number: int) -> None:
        if number == 2:
            assert is_free.wait(SECONDS)

    first, second, third, *_ = jobs = [
        fake_job("a", [10]),
        fake_job("b", [20, 20], before=hold),
        fake_job("c", [40, 40]),
        fake_job("d", [1], before=lambda _: hold(2)),
        *(fake_job(name, [1]) for name in "efg"),
    ]

    def take(scheduler: Scheduler, exports: StreamExports) -> None:
        for _ in pages(scheduler, exports):
            exports.rows += 3

    with scheduled(*jobs, max_concurrent=1) as scheduler:
        take(scheduler, first)
        taken = pages(scheduler, second)
        next(taken)
        figures = logged(stream="b", rows=3, jobs_active=0)
        assert 0 <= figures["seconds"] < SECONDS
        assert (figures["jobs_pending"], figures["jobs_done"]) == (5, 1)
        assert figures["prefetched_bytes"] == 0
        is_free.set()
        list(taken)
        take(scheduler, third)
        logged(stream=None, rows=9, jobs_pending=4, jobs_active=0, jobs_done=3)
        take_all(scheduler, jobs[3:])
        logged(stream=None, jobs_pending=0, jobs_active=0, jobs_done=7)


def test_progress_counts_prefetched_bytes_and_exports_at_the_service(
    logged: Callable[..., dict[str, Any]],
) -> None:
    is_free = threading.Event()

    def hold(number: int) -> None:
        if number == 2:
            assert is_free.wait(SECONDS)

    jobs = [
        fake_job("a", [10, 10], before=hold),
        fake_job("b", [40, 50]),
        fake_job("c", [1], before=lambda _: hold(2)),
        fake_job("d", [1], before=lambda _: hold(2)),
        fake_job("e", [1]),
    ]
    with scheduled(*jobs, max_concurrent=2) as scheduler:
        taken = pages(scheduler, jobs[0])
        next(taken)
        logged(stream="a", jobs_pending=1, jobs_active=2, jobs_done=1, prefetched_bytes=90)
        is_free.set()
        list(taken)
        take_all(scheduler, jobs[1:])


def test_progress_after_a_failure_counts_dropped_jobs_as_done(
    logged: Callable[..., dict[str, Any]],
) -> None:
    is_free = threading.Event()

    def hold(_number: int) -> None:
        assert is_free.wait(SECONDS)

    jobs = [
        fake_job("a", [], error=ValueError("a")),
        fake_job("b", [1], before=hold),
        fake_job("c", [1]),
    ]
    with scheduled(*jobs, max_concurrent=1) as scheduler:
        with pytest.raises(ValueError, match="a"):
            list(pages(scheduler, jobs[0]))
        scheduler.drop(jobs[0])
        _, taken = next(scheduler.windows(jobs[1]))
        logged(stream="b", jobs_pending=1, jobs_active=1, jobs_done=1)
        is_free.set()
        assert len(list(taken)) == 1


def test_run_shorter_than_a_minute_logs_no_progress(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert PROGRESS_INTERVAL == 60
    with scheduled(job := fake_job("a", [1])) as scheduler:
        take_all(scheduler, [job])
    assert caplog.messages == []
