"""The run report: a JSON file that says how far a run came, also if it was killed."""

from __future__ import annotations

import os
import time
import typing as t
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path

from tap_campusgroups.exceptions import CampusGroupsError, SettingsError
from tap_campusgroups.exports.service_monitor import utc_now
from tap_campusgroups.records.json_codec import format_json
from tap_campusgroups.records.values import format_timestamp
from tap_campusgroups.shutdown import SHUTDOWN, TerminationSignal, stop_message

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Iterator

_NO_CONTENTS: t.Final[dict[str, t.Any]] = {
    "rows": 0,
    "failed": [],
    "streams": [],
    "bookmarks": {},
}
_BEGIN: t.Final = b'{"status": "'


class RunReport:
    """The file of one run, replaced as a whole: first as `running`, at the end with the result.

    A process that is killed leaves `running` behind, never the `complete` of an earlier run.

    Attributes:
        contents: Returns the figures and the bookmarks of the run; set when it has any.
    """

    def __init__(self, path: str, logger: logging.Logger) -> None:
        self.contents: Callable[[], dict[str, t.Any]] = dict
        self._logger = logger
        self._started = utc_now()
        self._exit_code: int | None = None
        try:
            self._path = Path(os.path.realpath(path))  # a link stays, and its file is replaced
            if self._path.exists() and not self._is_report():
                self._fail("another file has this path")
            self._write("running")
        except (OSError, ValueError) as error:
            self._fail(getattr(error, "strerror", None) or "the path is not valid")

    def _is_report(self) -> bool:
        """Return whether the file can be replaced: not a device, nor a file of the user."""
        if not self._path.is_file():
            return False
        with self._path.open("rb") as file:
            is_output = any(map(partial(_is_same, os.fstat(file.fileno())), (1, 2)))
            return not is_output and file.read(len(_BEGIN)) in {_BEGIN, b""}

    def _fail(self, reason: str) -> t.NoReturn:
        msg = (
            f"Cannot write run_report: {reason}. Set run_report to the path of a file in an "
            "existing, writable folder."
        )
        raise SettingsError(msg)

    def finish(self, exit_code: int, error: str | None = None) -> None:
        """Write the result of the run; a later call with another exit code corrects it."""
        if exit_code == self._exit_code:
            return
        self._exit_code = exit_code
        try:
            self._write("failed" if exit_code else "complete", error)
        except OSError as problem:
            self._logger.warning("Run report not written: %s", problem.strerror)

    def _write(self, status: str, error: str | None = None) -> None:
        now = utc_now()
        report = {
            "status": status,
            "exit_code": self._exit_code,
            "error": error,
            "started": format_timestamp(self._started),
            "ended": None if self._exit_code is None else format_timestamp(now),
            "seconds": round((now - self._started).total_seconds(), 3),
            **(_NO_CONTENTS | self.contents()),
        }
        # The watchdog's thread may write at the same time as the main thread.
        unique = f"{os.getpid()}-{time.monotonic_ns()}"
        temporary = self._path.with_name(f"{self._path.name}.{unique}.tmp")
        try:
            temporary.write_text(f"{format_json(report)}\n", encoding="utf-8")
            temporary.replace(self._path)
        except OSError:
            with suppress(OSError):
                temporary.unlink()
            raise


def _is_same(file: os.stat_result, descriptor: int) -> bool:
    """Return whether a standard stream writes to a file."""
    try:
        return os.path.samestat(file, os.fstat(descriptor))
    except OSError:  # closed
        return False


_current: RunReport | None = None


def current() -> RunReport | None:
    """Return the report of the current run, if it has one."""
    return _current


@contextmanager
def reported(path: str | None, logger: logging.Logger) -> Iterator[None]:
    """Write the report of what runs inside; inside another one, or without a path, do nothing.

    Raises:
        SettingsError: The file cannot be written.
    """
    global _current  # noqa: PLW0603 - like SHUTDOWN: a process has one run at a time
    if not path or _current is not None:
        yield
        return
    _current = report = RunReport(path, logger)
    SHUTDOWN.finish_report = report.finish
    try:
        yield
    except BaseException as error:
        report.finish(_exit_code(error), _reason(error))
        raise
    else:
        report.finish(0)
    finally:
        _current = None


def _exit_code(error: BaseException) -> int:
    if isinstance(error, SystemExit) and isinstance(error.code, int):
        return error.code
    return 1


def _reason(error: BaseException) -> str:
    if isinstance(error, CampusGroupsError):
        return str(error)
    if isinstance(error, TerminationSignal) and SHUTDOWN.signal is not None:
        return stop_message(SHUTDOWN.signal)
    # Its text may quote a row.
    return f"unexpected {type(error).__name__}"
