"""The progress line of a run, once a minute."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exports.scheduler import PROGRESS_INTERVAL
from tests.support.exports import SECONDS, fake_job, pages, scheduled, take_all
from tests.support.harness import wait_until

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("no_threads_left")

FIGURES = (
    *("stream", "rows", "seconds", "jobs_pending", "jobs_active", "jobs_done"),
    "prefetched_bytes",
)


@pytest.fixture
def logged(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., dict[str, Any]]:
    """Log progress all the time; return a function that waits for a line with some figures."""
    caplog.set_level("INFO")
    monkeypatch.setattr("tap_campusgroups.exports.scheduler.PROGRESS_INTERVAL", 0.01)

    def wait_for(**expected: Any) -> dict[str, Any]:
        found: list[logging.LogRecord] = []

        def has_line() -> bool:
            lines = list(caplog.records)
            found[:] = [line for line in lines if expected.items() <= vars(line).items()]
            return bool(found)

        wait_until(has_line)
        figures = {name: getattr(found[0], name) for name in FIGURES}
        text = " ".join(f"{name}={value}" for name, value in figures.items())
        assert (found[0].levelname, found[0].getMessage()) == ("INFO", f"Sync progress: {text}")
        return figures

    return wait_for


@pytest.fixture
def gate() -> threading.Event:
    """Opens `hold`."""
    return threading.Event()


@pytest.fixture
def hold(gate: threading.Event) -> Callable[[int], None]:
    """Hold a fake job before its second page."""

    def hold(number: int) -> None:
        if number == 2:
            assert gate.wait(SECONDS)

    return hold


def test_progress_counts_jobs_and_rows(
    logged: Callable[..., dict[str, Any]], gate: threading.Event, hold: Callable[[int], None]
) -> None:
    jobs = [
        fake_job("a", [10]),
        fake_job("b", [20, 20], before=hold),
        fake_job("c", [40, 40]),
        *(fake_job(name, [1]) for name in "defg"),
    ]
    with scheduled(*jobs, max_concurrent=1) as scheduler:
        jobs[0].rows = len(list(pages(scheduler, jobs[0])))
        taken = pages(scheduler, jobs[1])
        next(taken)
        figures = logged(stream="b", rows=1, jobs_active=0)
        assert 0 <= figures["seconds"] < SECONDS
        assert (figures["jobs_pending"], figures["jobs_done"]) == (5, 1)
        assert figures["prefetched_bytes"] == 0
        gate.set()
        list(taken)
        jobs[2].rows = len(list(pages(scheduler, jobs[2])))
        logged(stream=None, rows=3, jobs_pending=4, jobs_active=0, jobs_done=3)
        take_all(scheduler, jobs[3:])
        logged(stream=None, jobs_pending=0, jobs_active=0, jobs_done=7)


def test_progress_counts_prefetched_bytes_and_exports_at_the_service(
    logged: Callable[..., dict[str, Any]], gate: threading.Event, hold: Callable[[int], None]
) -> None:
    jobs = [
        fake_job("a", [10, 10], before=hold),
        fake_job("b", [40, 50]),
        *(fake_job(name, [1], before=lambda _: hold(2)) for name in "cd"),
        fake_job("e", [1]),
    ]
    with scheduled(*jobs, max_concurrent=2) as scheduler:
        taken = pages(scheduler, jobs[0])
        next(taken)
        logged(stream="a", jobs_pending=1, jobs_active=2, jobs_done=1, prefetched_bytes=90)
        gate.set()
        list(taken)
        take_all(scheduler, jobs[1:])


def test_progress_after_a_failure_counts_dropped_jobs_as_done(
    logged: Callable[..., dict[str, Any]], gate: threading.Event, hold: Callable[[int], None]
) -> None:
    failing, later, _ = jobs = [
        fake_job("a", [], error=ValueError("a")),
        fake_job("b", [1], before=lambda _: hold(2)),
        fake_job("c", [1]),
    ]
    with scheduled(*jobs, max_concurrent=1) as scheduler:
        with pytest.raises(ValueError, match="a"):
            list(pages(scheduler, failing))
        scheduler.drop(failing)
        _, taken = next(scheduler.windows(later))
        logged(stream="b", jobs_pending=1, jobs_active=1, jobs_done=1)
        gate.set()
        assert len(list(taken)) == 1


def test_run_shorter_than_a_minute_logs_no_progress(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    assert PROGRESS_INTERVAL == 60
    with scheduled(job := fake_job("a", [1])) as scheduler:
        take_all(scheduler, [job])
    assert caplog.messages == []
