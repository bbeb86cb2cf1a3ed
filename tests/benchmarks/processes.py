"""Runs a candidate in a separate process and measures its resources."""

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
    from tests.benchmarks.candidates import Candidate
    from tests.benchmarks.checks import Check
    from tests.simulator import Simulator

_LAUNCHER: Final = Path(__file__).with_name("launcher.py")
_TIMEOUT: Final = 900.0


class CandidateError(Exception):
    """A candidate failed or wrote incomplete output.

    Attributes:
        log: What it wrote to stderr.
    """

    def __init__(self, message: str, log: str = "") -> None:
        super().__init__(message)
        self.log = log


class Usage(msgspec.Struct, frozen=True):
    """Resources that a process used.

    Attributes:
        code: Exit code.
        wall: Seconds from start to end.
        cpu: Seconds of CPU, user and system.
        peak_rss: Peak memory in bytes.
    """

    code: int
    wall: float
    cpu: float
    peak_rss: int


def run(
    candidate: Candidate, *, home: Path, simulator: Simulator | None, check: Check | None = None
) -> Usage:
    """Run a candidate and return the resources that it used.

    Args:
        candidate: The program to run.
        home: Empty folder that serves as home directory.
        simulator: The service, if the candidate needs one.
        check: Reads and checks stdout, which is discarded otherwise.

    Raises:
        CandidateError: If it failed, timed out or did not pass the check.
    """
    problem = None
    timed_out = Event()
    with TemporaryFile() as log_file, TemporaryFile() as usage_file:
        launcher = [sys.executable, "-I", "-S", str(_LAUNCHER), str(usage_file.fileno())]
        # The new session allows the launcher and the candidate to be killed together.
        with subprocess.Popen(
            [*launcher, candidate.python, *candidate.arguments],
            cwd=candidate.folder,
            env=candidate.environment(home, simulator),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL if check is None else subprocess.PIPE,
            stderr=log_file,
            pass_fds=[usage_file.fileno()],
            start_new_session=True,
        ) as process:

            def time_out() -> None:
                timed_out.set()
                _kill(process)

            timer = Timer(_TIMEOUT, time_out)
            timer.start()
            try:
                if check is not None and process.stdout is not None:
                    problem = _find_problem(check, process.stdout)
                process.communicate()
            except BaseException:
                _kill(process)
                raise
            finally:
                timer.cancel()
        log_file.seek(0)
        usage_file.seek(0)
        log, reported = log_file.read().decode(errors="replace"), usage_file.read()
    if timed_out.is_set():
        message = f"{candidate.name} timed out after {_TIMEOUT:.0f} s."
        raise CandidateError(message, log)
    usage = msgspec.json.decode(reported, type=Usage) if reported else None
    if usage is None or usage.code != 0:
        code = process.returncode if usage is None else usage.code
        message = f"{candidate.name} failed with exit code {code}."
        raise CandidateError(message, log)
    if problem is not None:
        message = f"{candidate.name} {problem}."
        raise CandidateError(message, log)
    return usage


def _find_problem(check: Check, output: IO[bytes]) -> str | None:
    try:
        return check(output)
    except msgspec.MsgspecError:
        return "wrote invalid output"


def _kill(process: subprocess.Popen[bytes]) -> None:
    if process.poll() is None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
