"""Runs a contender in a process of its own and says what it used."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from threading import Event, Timer
from typing import IO, TYPE_CHECKING, Final

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.benchmarks.contenders import Contender
    from tests.simulator import Simulator

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")


class ContenderError(Exception):
    """A contender did not do its work.

    Attributes:
        log: What it wrote to stderr.
    """

    def __init__(self, message: str, log: str = "") -> None:
        """Keep what it logged."""
        super().__init__(message)
        self.log = log


class Usage(msgspec.Struct, frozen=True):
    """What a process used.

    Attributes:
        code: Its exit code.
        wall: Seconds from its start to its end.
        cpu: Seconds of CPU, its own and the system's for it.
        peak_rss: Bytes of memory at its peak.
    """

    code: int
    wall: float
    cpu: float
    peak_rss: int


def run(
    contender: Contender,
    *,
    home: Path,
    simulator: Simulator | None,
    timeout: float,
    read: Callable[[IO[bytes]], None] | None = None,
) -> Usage:
    """Run a contender to its end.

    Args:
        contender: The contender.
        home: An empty folder.
        simulator: The service, if it is to read from it.
        timeout: Seconds after which it is ended.
        read: Reads its stdout; without it, that goes to the null device.

    Returns:
        What it used.

    Raises:
        ContenderError: If it failed or had to be ended.
    """
    with TemporaryFile() as log, TemporaryFile() as report:
        command = [sys.executable, "-I", "-S", str(_LAUNCHER), str(report.fileno())]
        # A session of its own, so that launcher and contender can be ended together.
        with subprocess.Popen(
            [*command, *contender.command],
            cwd=contender.folder,
            env=contender.environment(home, simulator),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if read is None else subprocess.PIPE,
            stderr=log,
            pass_fds=[report.fileno()],
            start_new_session=True,
        ) as process:
            is_overdue = Event()

            def end_overdue() -> None:
                is_overdue.set()
                _end(process)

            overdue = Timer(timeout, end_overdue)
            overdue.start()
            try:
                if read is not None and process.stdout is not None:
                    read(process.stdout)
                process.wait()
            except BaseException:
                _end(process)
                raise
            finally:
                overdue.cancel()
        log.seek(0)
        report.seek(0)
        logged, reported = log.read().decode(errors="replace"), report.read()
    if is_overdue.is_set():
        message = f"{contender.name} did not end within {timeout:.0f} s."
        raise ContenderError(message, logged)
    usage = msgspec.json.decode(reported, type=Usage) if reported else None
    if usage is None or usage.code != 0:
        code = process.returncode if usage is None else usage.code
        message = f"{contender.name} ended with exit code {code}."
        raise ContenderError(message, logged)
    return usage


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the launcher and what it started."""
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
