"""How a process ends: the signal handler, the watchdog, an output that fails."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

import pytest

from tap_campusgroups.shutdown import SHUTDOWN, Shutdown, TerminationSignal
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Hang, Redirect, Simulator
from tests.support.harness import settings_for, wait_until
from tests.support.messages import OUTPUT_FAILED, stopped_by
from tests.support.tap_process import EXIT_CODES, ExitWatch, is_blocked_on_pipe

if TYPE_CHECKING:
    from collections.abc import Iterator

FULL = Path("/dev/full")
each_signal = pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT], ids=lambda number: number.name
)


# The flag


@each_signal
def test_signal_raises_at_the_next_safe_point_and_not_in_the_handler(
    simulator: Simulator, number: signal.Signals
) -> None:
    tap = TapCampusGroups(config=settings_for(simulator))
    signal.raise_signal(number)
    with pytest.raises(TerminationSignal) as ended:
        SHUTDOWN.check()
    assert ended.value.code == EXIT_CODES[number]
    with pytest.raises(TerminationSignal):
        tap.sync_all()
    assert simulator.requests == []


def test_second_signal_is_ignored() -> None:
    shutdown = Shutdown()
    shutdown.check()
    shutdown.request(signal.SIGINT)
    shutdown.request(signal.SIGTERM)
    with pytest.raises(TerminationSignal) as ended:
        shutdown.check()
    assert ended.value.code == EXIT_CODES[signal.SIGINT]


# The watchdog


@contextmanager
def program(
    code: str, *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
    """Run a Python program; yield its process, stdout and stderr."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            yield process, process.stdout, process.stderr
        finally:
            process.kill()


def end_of(process: subprocess.Popen[bytes], number: signal.Signals) -> int:
    """Send a signal, check that the process ends in time, and return the exit code."""
    watch = ExitWatch(process)
    process.send_signal(number)
    return watch.wait()


BUSY = """
import logging, sys, time
from tap_campusgroups.shutdown import SHUTDOWN

logging.basicConfig(format="%(message)s")
SHUTDOWN.log_abandoned = lambda: logging.error("left behind")

def work():
    print("begun", flush=True)
    while True:
        time.sleep(0.01)

SHUTDOWN.run_process(work, logging.getLogger("tap"))
"""


@each_signal
def test_watchdog_ends_a_main_thread_without_safe_points(number: signal.Signals) -> None:
    with program(BUSY) as (process, stdout, stderr):
        assert stdout.readline() == b"begun\n"
        assert end_of(process, number) == EXIT_CODES[number]
        assert stderr.read().splitlines() == [
            b"left behind",
            stopped_by(number.name).encode(),
        ]


BLOCKED_LOG = BUSY.replace("time.sleep(0.01)", 'logging.error("x" * 10_000)')


def test_blocked_log_does_not_delay_the_end() -> None:
    with program(BLOCKED_LOG) as (process, stdout, _):
        assert stdout.readline() == b"begun\n"
        wait_until(lambda: is_blocked_on_pipe(process.pid))
        assert end_of(process, signal.SIGTERM) == EXIT_CODES[signal.SIGTERM]


IMPORTED = """
import os, sys, time

os.write(1, b"importing")
time.sleep(60)
"""


@each_signal
def test_signal_during_imports_ends_the_process_without_a_traceback(
    tmp_path: Path, number: signal.Signals
) -> None:
    """The import of the SDK takes longest."""
    (tmp_path / "singer_sdk").mkdir()
    (tmp_path / "singer_sdk" / "__init__.py").write_text(IMPORTED)
    with program(
        "from tap_campusgroups.__main__ import main; main()", PYTHONPATH=str(tmp_path)
    ) as (process, stdout, stderr):
        assert stdout.read(9) == b"importing"
        assert end_of(process, number) == -number  # shells report 128 + the signal
        assert stderr.read() == b""


# The installed command

_started: list[subprocess.Popen[bytes]] = []


@pytest.fixture(autouse=True)
def _no_process_left() -> Iterator[None]:
    yield
    while _started:
        _started.pop().kill()


def tap(
    *arguments: str, config: dict[str, Any] | None = None, **options: Any
) -> subprocess.Popen[bytes]:
    """Start the installed command, which ends with the test."""
    settings = {
        f"TAP_CAMPUSGROUPS_{name.upper()}": str(value) for name, value in (config or {}).items()
    }
    command = Path(sys.executable).with_name("tap-campusgroups")
    process: subprocess.Popen[bytes] = subprocess.Popen(
        [command, *arguments], env=os.environ | settings, stderr=subprocess.PIPE, **options
    )
    _started.append(process)
    return process


def error_of(process: subprocess.Popen[bytes]) -> tuple[int, str]:
    """Wait for the end; return the exit code and the only line with an error."""
    _, stderr = process.communicate(timeout=60)
    log = stderr.decode()
    assert "Traceback" not in log
    assert "Exception ignored" not in log
    (line,) = [line for line in log.splitlines() if " | ERROR " in line]
    return process.returncode, line


@pytest.mark.skipif(not FULL.exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", [("--config", "ENV"), ("--discover",), ("--about",)])
def test_full_disk_is_one_error_line(simulator: Simulator, arguments: tuple[str, ...]) -> None:
    with FULL.open("wb") as full:
        process = tap(*arguments, config=settings_for(simulator), stdout=full)
        code, line = error_of(process)
    assert code == 1
    assert f"{OUTPUT_FAILED}No space left on device." in line


@pytest.mark.parametrize("arguments", [("--config", "ENV"), ("--discover",)])
def test_closed_output_is_one_error_line(simulator: Simulator, arguments: tuple[str, ...]) -> None:
    process = tap(*arguments, config=settings_for(simulator), preexec_fn=lambda: os.close(1))
    code, line = error_of(process)
    assert code == 1
    assert f"{OUTPUT_FAILED}standard output is closed." in line


def test_abort_while_another_request_hangs_ends_the_process(simulator: Simulator) -> None:
    simulator.timing.running_seconds = {"academic_experiences": 1e9}
    simulator.inject(Hang().on("badges", "submit"))
    config = settings_for(simulator, on_stream_error="abort", poll_interval_max_seconds=1)
    process = tap("--config", "ENV", config=config, stdout=subprocess.DEVNULL)
    wait_until(lambda: simulator.hanging > 0)
    simulator.inject(Redirect("/").on("academic_experiences", "poll", times=None))
    code, line = error_of(process)
    assert code == 1
    assert "Stream 'academic_experiences': the export of " in line
    assert simulator.hanging > 0


@each_signal
def test_signal_during_connection_test_ends_the_process(
    simulator: Simulator, number: signal.Signals
) -> None:
    simulator.inject(Hang().on(None, "submit", times=None))
    process = tap("--test", "--config", "ENV", config=settings_for(simulator))
    wait_until(lambda: simulator.hanging > 0)
    watch = ExitWatch(process)
    process.send_signal(number)
    assert watch.wait() == EXIT_CODES[number]
    code, line = error_of(process)
    assert code == EXIT_CODES[number]
    assert f"Stopped by {number.name}." in line
