"""The tap as a process that tests signal, and the limit on how long it may take to end."""

from __future__ import annotations

import fcntl
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from threading import Thread, Timer
from time import monotonic
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.support.harness import WAIT_LIMIT, wait_until
from tests.support.messages import ABANDONED

if TYPE_CHECKING:
    from collections.abc import Mapping

SECONDS_TO_END = 5.0
"""The promise: a process ends within so many seconds of a signal."""

EXIT_CODES = {
    signal.SIGTERM: 143,
    signal.SIGINT: 130,
    signal.SIGHUP: 129,
    signal.SIGKILL: -signal.SIGKILL,
}

each_signal = pytest.mark.parametrize(
    "number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP], ids=lambda number: number.name
)


class ExitWatch:
    """Measures how long a process takes to end.

    Time that the process's threads spend waiting for a CPU does not count: on an overloaded machine
    it depends on the other processes. On an idle machine it is a few milliseconds.
    """

    def __init__(self, process: subprocess.Popen[Any]) -> None:
        self._process = process
        self._began = monotonic()
        self._waits = _cpu_waits(process.pid)
        self._seconds_without_cpu = 0.0
        self._ended = 0.0
        self._thread = Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self) -> None:
        before = sum(self._waits.values())
        while True:
            try:
                self._process.wait(0.02)
            except subprocess.TimeoutExpired:
                # The kernel forgets a thread with its end.
                self._waits |= _cpu_waits(self._process.pid)
                self._seconds_without_cpu = sum(self._waits.values()) - before
            else:
                self._ended = monotonic()
                return

    def wait(self) -> int:
        """Wait for the end of the process, check how long it took, and return the exit code."""
        while not self._ended and self._seconds() < SECONDS_TO_END:
            self._thread.join(0.1)
        if not self._ended:
            self._process.send_signal(signal.SIGABRT)  # faulthandler prints the threads' stacks
            self._process.wait()
        assert self._seconds() < SECONDS_TO_END, "the process did not end in time after a signal"
        return self._process.wait()

    def _seconds(self) -> float:
        return (self._ended or monotonic()) - self._began - self._seconds_without_cpu


def _cpu_waits(pid: int) -> dict[str, float]:
    """Return how long each thread of a process has waited for a CPU, in seconds."""
    waits = {}
    for path in Path(f"/proc/{pid}/task").glob("*/schedstat"):
        try:
            waits[path.parent.name] = int(path.read_text().split()[1]) / 1e9
        except (OSError, IndexError):
            continue  # the thread has ended
    return waits


def is_blocked_on_pipe(pid: int) -> bool:
    """Return whether the main thread of a process waits for a pipe to be read."""
    if sys.platform != "linux":
        pytest.skip("only Linux tells what a process waits for")
    return b"pipe_w" in Path(f"/proc/{pid}/wchan").read_bytes()


class TapProcess:
    """The tap as a process, with a pipe for its output; a context that leaves no process behind.

    Attributes:
        stdout: The pipe with its output.
    """

    def __init__(
        self,
        folder: Path,
        config: Mapping[str, Any],
        *,
        catalog: Mapping[str, Any] | None = None,
        state: Mapping[str, Any] | None = None,
        pipe_size: int = -1,
        unbuffered: bool = False,
    ) -> None:
        """Start the process.

        Args:
            folder: Folder for the files of the arguments.
            config: The settings.
            catalog: The catalog.
            state: The state.
            pipe_size: Capacity of the pipe in bytes, which limits how far the tap is ahead.
            unbuffered: Whether the process has PYTHONUNBUFFERED.
        """
        arguments: list[str | Path] = []
        files = {"config": config, "catalog": catalog, "state": state}
        for name, content in files.items():
            if content is not None:
                path = folder / f"{name}.json"
                path.write_text(json.dumps(content))
                arguments += [f"--{name}", path]
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tap_campusgroups", *arguments],
            env={
                **os.environ,
                "PYTHONUNBUFFERED": "1" if unbuffered else "",
                "PYTHONFAULTHANDLER": "1",
                "TAP_CAMPUSGROUPS_LOGLEVEL": "DEBUG",  # tests wait for its lines
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        assert self._process.stdout is not None
        if pipe_size > 0 and sys.platform == "linux":
            # Not the log's pipe, which a short log would fill.
            fcntl.fcntl(self._process.stdout, fcntl.F_SETPIPE_SZ, pipe_size)
        self.stdout = self._process.stdout
        self._watch: ExitWatch | None = None
        self._lines: list[str] = []
        self._reader = Thread(target=self._read_log)
        self._reader.start()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as log:
            for line in log:
                self._lines.append(line.decode())

    def __enter__(self) -> Self:
        """Return the process."""
        return self

    def __exit__(self, *_: object) -> None:
        """Kill the process if it still runs."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self.stdout.close()

    @property
    def is_signalled(self) -> bool:
        """Whether a signal was sent."""
        return self._watch is not None

    def send(self, number: signal.Signals, *, must_end: bool = True) -> None:
        """Send a signal; from then on the process must end in time."""
        if must_end:
            self._watch = self._watch or ExitWatch(self._process)
        self._process.send_signal(number)

    def close_output(self) -> None:
        """Stop reading for good, like a target that exits; the process must end in time."""
        self._watch = ExitWatch(self._process)
        self.stdout.close()

    def pause_and_resume(self) -> None:
        """Stop the process for a moment, like Ctrl-Z and `fg`."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)
        self._process.send_signal(signal.SIGCONT)

    def wait_until_blocked(self) -> None:
        """Wait until the tap cannot write because its output is not read."""
        wait_until(lambda: is_blocked_on_pipe(self._process.pid))

    def rest(self) -> bytes:
        """Return the rest of the output up to its end."""
        watch = Timer(WAIT_LIMIT, self._process.kill)
        watch.start()
        try:
            return self.stdout.read()
        finally:
            watch.cancel()
            watch.join()

    def wait(self) -> int:
        """Wait for the end of the process and return the exit code."""
        try:
            code = self._watch.wait() if self._watch else self._process.wait(WAIT_LIMIT)
        except AssertionError as error:
            self._reader.join()
            pytest.fail(f"{error}:\n{self.log[-10_000:]}")
        self._reader.join()
        return code

    @property
    def log(self) -> str:
        """Everything that was logged so far."""
        return "".join(self._lines)

    def error(self) -> str:
        """Return the log's only line with an error, after a check that there is no traceback."""
        assert "Traceback" not in self.log
        assert "Exception ignored" not in self.log
        (line,) = (line for line in self.log.splitlines() if "| ERROR " in line)
        return line

    def abandoned(self) -> dict[str, str]:
        """Return the streams of the exports that the log says are abandoned, by query id."""
        return abandoned(self.log)


def abandoned(log: str) -> dict[str, str]:
    """Return the streams of the exports that a log says, by default, are abandoned, by query id."""
    lines = re.findall(rf"INFO .*{ABANDONED}stream=(\S+) query_id=(\S+)$", log, re.MULTILINE)
    return {query_id: stream for stream, query_id in lines}
