"""How a process ends: the signal handler, the watchdog, an output that fails."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
from contextlib import ExitStack, contextmanager
from queue import Empty
from types import SimpleNamespace
from typing import IO, TYPE_CHECKING

import pytest

from tap_campusgroups.shutdown import SHUTDOWN, Shutdown, TerminationSignal
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Hang, Simulator
from tests.support.harness import environment_for, settings_for, sync, wait_until
from tests.support.messages import stopped_by
from tests.support.tap_process import EXIT_CODES, ExitWatch, each_signal, is_blocked_on_pipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


# The flag


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=lambda one: one.name)
def test_signal_raises_at_the_next_safe_point_and_not_in_the_handler(
    simulator: Simulator, number: signal.Signals
) -> None:
    SHUTDOWN.handle_signals()
    tap = TapCampusGroups(config=settings_for(simulator))
    signal.raise_signal(number)
    with pytest.raises(TerminationSignal) as ended:
        tap.sync_all()
    assert ended.value.code == EXIT_CODES[number]
    assert simulator.requests == []


def test_program_that_uses_the_tap_keeps_its_signal_handlers(simulator: Simulator) -> None:
    arrived: list[int] = []
    for number in EXIT_CODES.keys() - {signal.SIGKILL}:
        signal.signal(number, lambda number, _: arrived.append(number))
    for _ in range(2):
        assert sync(settings_for(simulator), "rooms").error is None
        signal.raise_signal(signal.SIGINT)
    assert arrived == [signal.SIGINT] * 2


# The watchdog


@contextmanager
def program(
    code: str, *arguments: str, **environment: str
) -> Iterator[tuple[subprocess.Popen[bytes], IO[bytes], IO[bytes]]]:
    """Run a Python program; yield its process, stdout and stderr."""
    with subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=os.environ | environment,
        stdin=subprocess.PIPE,
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


BLOCKED_LOG = BUSY.replace("time.sleep(0.01)", 'logging.error("x" * 10_000)')


def test_watchdog_ends_a_main_thread_without_safe_points() -> None:
    """All programs at the same time, because the watchdog waits for some seconds."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    with ExitStack() as stack:
        programs = [stack.enter_context(program(BUSY)) for _ in numbers]
        blocked, blocked_stdout, _ = stack.enter_context(program(BLOCKED_LOG))
        for _, stdout, _ in programs:
            assert stdout.readline() == b"begun\n"
        assert blocked_stdout.readline() == b"begun\n"
        wait_until(lambda: is_blocked_on_pipe(blocked.pid))
        watches = [ExitWatch(process) for process in (blocked, *(one[0] for one in programs))]
        for (process, *_), number in zip(programs, numbers, strict=True):
            process.send_signal(number)
        blocked.send_signal(signal.SIGTERM)
        codes = [watch.wait() for watch in watches]
        assert codes == [EXIT_CODES[number] for number in (signal.SIGTERM, *numbers)]
        for (*_, stderr), number in zip(programs, numbers, strict=True):
            assert stderr.read().decode().splitlines() == ["left behind", stopped_by(number.name)]


NOT_READ = """
import sys
from queue import Empty
from types import SimpleNamespace
from tap_campusgroups.__main__ import main
from tap_campusgroups.shutdown import SHUTDOWN

class Requests:
    def get(self, timeout):
        sys.stdin.read()  # after its end, time passes
        raise Empty

SHUTDOWN._requests = Requests()
main()
"""


def test_target_that_never_reads_ends_the_process_with_one_line(simulator: Simulator) -> None:
    environment = environment_for(simulator)
    with program(NOT_READ, "--config", "ENV", **environment) as (process, _, stderr):
        wait_until(lambda: is_blocked_on_pipe(process.pid))
        assert process.stdin is not None
        watch = ExitWatch(process)
        process.stdin.close()
        assert watch.wait() == 1
        assert error_of(stderr.read()).endswith(
            "The target has not read for 12 hours. Check the target's log. The next run resumes "
            "from the last saved state."
        )


def test_main_thread_may_be_blocked_for_12_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    shutdown, minutes = Shutdown(), []

    def get(timeout: float) -> None:
        minutes.append(timeout)
        if len(minutes) in {700, 1400}:
            shutdown.check()
        raise Empty

    monkeypatch.setattr(os, "_exit", sys.exit)
    monkeypatch.setattr(shutdown, "_requests", SimpleNamespace(get=get))
    with pytest.raises(SystemExit):
        shutdown._watch(logging.getLogger())  # noqa: SLF001 - the thread of `run_process`
    assert minutes == [60] * (1400 + 12 * 60 + 1)


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


# The command line


def error_of(stderr: bytes) -> str:
    """Return the only line of a log with an error."""
    log = stderr.decode()
    assert "Traceback" not in log
    assert "Exception ignored" not in log
    (line,) = [line for line in log.splitlines() if " | ERROR " in line]
    return line


RUN = "from tap_campusgroups.__main__ import main; main()"


def test_signal_during_connection_test_ends_the_process(simulator: Simulator) -> None:
    simulator.inject(Hang().on(None, "submit", times=None))
    environment = environment_for(simulator)
    with program(RUN, "--test", "--config", "ENV", **environment) as (process, _, stderr):
        wait_until(lambda: simulator.hanging > 0)
        assert end_of(process, signal.SIGHUP) == EXIT_CODES[signal.SIGHUP]
        assert stopped_by("SIGHUP") in error_of(stderr.read())
