"""The progress line of a long run."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exports.scheduler import progress_interval, seconds_left
from tests.support.exports import SECONDS, fake_job, pages, scheduled, take_all
from tests.support.harness import wait_until

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

pytestmark = pytest.mark.usefixtures("no_threads_left")

FIGURES = (
    *("stream", "windows_done", "windows", "rows", "seconds", "seconds_left", "exports_active"),
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
        figures = logged(stream="b", rows=1, exports_active=0)
        assert 0 <= figures["seconds"] < SECONDS
        assert (figures["windows_done"], figures["windows"]) == (1, 7)
        assert figures["prefetched_bytes"] == 0
        gate.set()
        list(taken)
        jobs[2].rows = len(list(pages(scheduler, jobs[2])))
        logged(stream=None, rows=3, exports_active=0, windows_done=3)
        take_all(scheduler, jobs[3:])
        logged(stream=None, exports_active=0, windows_done=7, seconds_left=0)


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
        logged(stream="a", exports_active=2, windows_done=1, prefetched_bytes=90)
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
        logged(stream="b", exports_active=1, windows_done=1, windows=3)
        gate.set()
        assert len(list(taken)) == 1


@pytest.mark.parametrize(
    ("seconds", "done", "windows", "expected"),
    [(60, 0, 23, None), (600, 1, 3, 1200), (600.4, 23, 23, 0)],
)
def test_time_left_is_guessed_from_the_windows_done(
    seconds: float, done: int, windows: int, expected: int | None
) -> None:
    assert seconds_left(seconds, done, windows) == expected


@pytest.mark.parametrize(("is_terminal", "expected"), [(False, 60), (True, 10)])
def test_progress_is_logged_more_often_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, *, is_terminal: bool, expected: int
) -> None:
    monkeypatch.setattr("sys.stderr.isatty", lambda: is_terminal)
    assert progress_interval() == expected


def test_short_run_logs_no_progress(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    with scheduled(job := fake_job("a", [1])) as scheduler:
        take_all(scheduler, [job])
    assert caplog.messages == []
