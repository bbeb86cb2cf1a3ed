"""Shutdown after a signal: a flag, safe points that check it, and one watchdog.

SIGTERM, SIGINT and SIGHUP can arrive at any bytecode of the main thread, so the handler raises
nothing and takes no lock: it stores the signal. The main thread checks it at safe points (between
pages, between writes, while it waits) and ends the run in order. The watchdog ends the process if
that takes too long, because the output or the log is blocked or a computation is long. Without a
signal, it ends a process whose output is not read for hours.

Only the command line handles signals. In another program, they belong to that program.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import typing as t
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

from tap_campusgroups.exceptions import output_error

if t.TYPE_CHECKING:
    from collections.abc import Callable

CHECK_INTERVAL: t.Final = 0.2  # seconds between two safe points at most
GRACE_SECONDS: t.Final = 2.5  # for the main thread to end the run after a signal
LAST_LINES_SECONDS: t.Final = 0.7  # for the watchdog to log: the log may be blocked, too
MAX_BLOCKED_HOURS: t.Final = 12  # between two safe points: a loader may be busy for long


class TerminationSignal(SystemExit):
    """Raised at a safe point after a signal; the exit code is 128 plus the signal's number."""

    def __init__(self, number: signal.Signals) -> None:
        super().__init__(128 + number)


class Shutdown:
    """A request by a signal to end the process.

    Attributes:
        signal: The first signal; later ones change nothing.
        log_abandoned: Logs the exports that a run leaves at the service. The watchdog calls it if
            the main thread cannot.
        finish_report: Writes the exit code, and the reason if it is not 0, to the run report.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.log_abandoned: Callable[[], None] | None = None
        self.finish_report: Callable[[int, str | None], None] = lambda _code, _reason: None
        self._is_blocked = False  # since the watchdog's last look
        # A signal handler may use this queue, but no other: its `put` is reentrant.
        self._requests: SimpleQueue[signal.Signals] = SimpleQueue()

    def request(self, number: int) -> None:
        """Request the end of the run at the next safe point; called by signal handlers."""
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._requests.put(self.signal)

    def check(self) -> None:
        """Raise `TerminationSignal` if a signal has arrived: a safe point."""
        self._is_blocked = False
        if self.signal is not None:
            raise TerminationSignal(self.signal)

    def handle_signals(self) -> None:
        """Install the signal handlers."""
        signals = [signal.SIGINT, signal.SIGTERM]
        hang_up: signal.Signals | None = getattr(signal, "SIGHUP", None)  # Windows has none
        if hang_up and signal.getsignal(hang_up) is not signal.SIG_IGN:  # `nohup` ignores it
            signals.append(hang_up)
        for number in signals:
            signal.signal(number, lambda number, _frame: self.request(number))

    def run_process(self, command: Callable[[], object], logger: logging.Logger) -> t.NoReturn:
        """Run a command, which may raise SystemExit, then end the process with its exit code.

        The process ends without Python's own clean-up, which may hang or crash on a thread that
        still waits for the service.
        """
        Thread(
            target=self._watch, args=(logger,), name="tap-campusgroups-watchdog", daemon=True
        ).start()
        self.handle_signals()
        code = _exit_code(command)
        reason: str | None = None
        try:
            sys.stdout.flush()  # lines that were being written when a signal arrived
        except (AttributeError, OSError) as error:
            if not code:
                reason, code = str(output_error(error)), 1
                logger.error("%s", reason)  # noqa: TRY400 - the message is complete
        if self.signal is not None:
            reason, code = stop_message(self.signal), 128 + self.signal
        self.finish_report(code, reason)
        if self.signal is not None:
            logger.error("%s", reason)
        logging.shutdown()
        os._exit(code)

    def _watch(self, logger: logging.Logger) -> None:
        number: signal.Signals | None = None
        blocked_minutes = 0  # counted, because the process or the machine may be suspended
        while number is None and blocked_minutes < MAX_BLOCKED_HOURS * 60:
            blocked_minutes = blocked_minutes + 1 if self._is_blocked else 0
            self._is_blocked = True
            with suppress(Empty):
                number = self._requests.get(timeout=60)
                time.sleep(GRACE_SECONDS)

        code = 1 if number is None else 128 + number

        def log_last_lines() -> None:
            self.finish_report(code, stop_message(number))
            if self.log_abandoned is not None:
                self.log_abandoned()
            logger.error("%s", stop_message(number))

        last = Thread(target=log_last_lines, daemon=True)
        last.start()
        last.join(LAST_LINES_SECONDS)
        os._exit(code)


SHUTDOWN: t.Final = Shutdown()
"""The process has one, not each tap: signals belong to the process."""


def stop_message(number: signal.Signals | None) -> str:
    """Return the last line of a run that a signal or the watchdog ended."""
    if number is not None:
        return f"Stopped by {number.name}. The next run resumes from the last saved state."
    return (
        f"The target has not read for {MAX_BLOCKED_HOURS} hours. Check the target's log. The next "
        "run resumes from the last saved state."
    )


def _exit_code(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:  # noqa: BLE001 - prints a traceback, as the interpreter does
        sys.excepthook(*t.cast("tuple[type[BaseException], BaseException, t.Any]", sys.exc_info()))
        return 1
    return 0
