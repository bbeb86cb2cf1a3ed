"""The run report: what it says after every kind of end, and that it never says too much."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import SettingsError
from tests.simulator import Dataset, Simulator, Status, StillRunning
from tests.support.harness import (
    NEWEST,
    invoke,
    only,
    settings_for,
    sync,
    wait_until,
)
from tests.support.tap_process import EXIT_CODES, TapProcess

if TYPE_CHECKING:
    from pathlib import Path

FIRST, LAST = "tags", "users"
STALE = '{"status": "complete"}'
STOPPED = "Stopped by SIGTERM. The next run resumes from the last saved state."


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The path of a report, where an earlier run has left one."""
    path = tmp_path / "report.json"
    path.write_text(STALE)
    return path


def read(path: Path) -> dict[str, Any]:
    """Return a report, after a check that nothing else is left in its folder."""
    assert not list(path.parent.glob("*.tmp"))
    report: dict[str, Any] = json.loads(path.read_bytes())
    return report


def result(path: Path) -> tuple[Any, ...]:
    """Return what a report says about the run as a whole."""
    report = read(path)
    return report["status"], report["exit_code"], report["error"]


def test_report_of_a_complete_run_has_the_figures_and_the_last_state(
    simulator: Simulator, path: Path
) -> None:
    link = path.with_name("link.json")
    link.symlink_to(path)
    for _ in range(2):  # a second run of the same process
        path.write_text(STALE)
        output = sync(settings_for(simulator, run_report=str(link)), FIRST, LAST)
        report = read(path)
        assert result(path) == ("complete", 0, None)
        assert (report["rows"], report["failed"]) == (10, [])
        assert {"bookmarks": report["bookmarks"]} == output.states[-1]
        assert [(one["stream"], one["rows"]) for one in report["streams"]] == [
            (FIRST, 5),
            (LAST, 5),
        ]
        assert report["started"] <= report["ended"]
    assert link.is_symlink()
    emails = [row["email"] for row in simulator.dataset[LAST] if row["email"]]
    assert emails
    assert not [one for one in [simulator.api_secret, *emails] if one in path.read_text()]


def test_report_names_the_failed_stream(simulator: Simulator, path: Path) -> None:
    simulator.inject(Status(403).on(LAST, times=None))
    output = sync(settings_for(simulator, run_report=str(path)), FIRST, LAST)
    assert result(path) == ("failed", 1, str(output.error))
    report = read(path)
    assert report["failed"] == [LAST]
    assert [bool(one) for one in report["bookmarks"].values()] == [True, False]


@pytest.mark.parametrize(
    ("number", "expected"),
    [
        (signal.SIGTERM, ("failed", 143, STOPPED)),
        (signal.SIGKILL, ("running", None, None)),
    ],
)
def test_report_of_a_run_that_a_signal_ends(
    tmp_path: Path, path: Path, number: signal.Signals, expected: tuple[Any, ...]
) -> None:
    with Simulator(Dataset(5, newest=NEWEST)) as service:
        service.inject(StillRunning(lambda: False).on(LAST, times=None))
        config = settings_for(service, run_report=str(path))
        with TapProcess(tmp_path, config, catalog=only(FIRST, LAST)) as process:
            wait_until(lambda: f"Stream completed: stream={FIRST}" in process.log)
            assert result(path) == ("running", None, None)
            process.send(number)
            assert process.wait() == EXIT_CODES[number]
    assert result(path) == expected
    done = [one["windows_done"] for one in read(path)["streams"]]
    assert done == ([1, 0] if number == signal.SIGTERM else [])


@pytest.mark.parametrize("is_closed", [True, False], ids=["closed", "not read"])
def test_report_of_a_run_whose_output_is_not_read(
    tmp_path: Path, path: Path, *, is_closed: bool
) -> None:
    """If the main thread is blocked, the watchdog writes it."""
    with Simulator(Dataset(2000, newest=NEWEST)) as service:
        config = settings_for(service, run_report=str(path))
        with TapProcess(tmp_path, config, catalog=only(LAST), pipe_size=4096) as process:
            process.wait_until_blocked()
            if is_closed:
                process.close_output()
            else:
                process.send(signal.SIGTERM)
            code = process.wait()
    assert code == (1 if is_closed else 143)
    status, exit_code, error = result(path)
    assert (status, exit_code) == ("failed", code)
    assert error.startswith("Output pipe closed: ") if is_closed else error == STOPPED
    assert read(path)["streams"][0]["windows_done"] == 0


@pytest.mark.parametrize(
    ("files", "error"),
    [
        ({"config": {"page_size": 0}}, "Invalid settings: page_size "),
        ({"catalog": {"streams": []}}, "No stream is selected: "),
        ({"state": {"bookmarks": {LAST: 7}}}, "state.json"),
        ({"catalog": b""}, "catalog.json: the file must contain one JSON object"),
        ({"state": b"[]"}, "state.json: the file must contain one JSON object"),
    ],
    ids=["settings", "catalog", "state", "empty catalog", "list as state"],
)
def test_report_of_a_run_that_cannot_start(
    simulator: Simulator, tmp_path: Path, path: Path, files: dict[str, Any], error: str
) -> None:
    config = settings_for(simulator, run_report=str(path)) | files.get("config", {})
    assert invoke(tmp_path, **{**files, "config": config}).exit_code == 1
    assert result(path)[:2] == ("failed", 1)
    assert error in read(path)["error"]
    assert simulator.requests == []


@pytest.mark.parametrize("option", ["--discover", "--test", "--about"])
def test_commands_other_than_a_run_leave_the_report_alone(
    simulator: Simulator, tmp_path: Path, path: Path, option: str
) -> None:
    config = settings_for(simulator, run_report=str(path))
    invoke(tmp_path, option, config=config, catalog=only(FIRST))
    assert path.read_text() == STALE


@pytest.mark.parametrize("name", ["missing/report.json", "", "/dev/null", "a\0b", "mine.json"])
def test_run_without_a_writable_report_reads_nothing(
    simulator: Simulator, tmp_path: Path, name: str
) -> None:
    (tmp_path / "mine.json").write_text("{}")
    output = sync(settings_for(simulator, run_report=str(tmp_path / name)), FIRST)
    assert isinstance(output.error, SettingsError)
    assert str(output.error).startswith("Cannot write run_report: ")
    assert simulator.requests == []


def test_report_to_the_output_of_the_run_is_refused(simulator: Simulator, tmp_path: Path) -> None:
    """The report would replace the file, and the records would go to a file without a name."""
    output, config = tmp_path / "output.jsonl", tmp_path / "config.json"
    config.write_text(json.dumps(settings_for(simulator, run_report=str(output))))
    command = [sys.executable, "-m", "tap_campusgroups", "--config", str(config)]
    with output.open("wb") as file:
        done = subprocess.run(command, stdout=file, stderr=file, check=False)
    assert done.returncode == 1
    assert "Cannot write run_report: another file has this path" in output.read_text()
    assert simulator.requests == []


def test_report_that_cannot_be_written_at_the_end_stays_running(
    simulator: Simulator, path: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    write = type(path).replace

    def replace(temporary: Path, target: Path) -> Path:
        if '"complete"' in temporary.read_text():
            raise OSError(28, "No space left on device")
        return write(temporary, target)

    monkeypatch.setattr(type(path), "replace", replace)
    assert sync(settings_for(simulator, run_report=str(path)), FIRST).error is None
    assert result(path)[0] == "running"
    assert "Run report not written: No space left on device" in caplog.text
