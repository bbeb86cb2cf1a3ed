"""How a signal ends the process: a flag, safe points that look at it, and one watchdog.

SIGTERM and SIGINT can arrive at any bytecode of the main thread, so the handler raises nothing and
takes no lock: it stores the signal. The main thread looks at it at safe points (between pages,
between writes, whenever it waits) and ends the run in order there. The watchdog ends the process if
that takes too long, because the output or the log is blocked or a computation is long.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import time
import typing as t
from queue import SimpleQueue
from threading import Thread

from tap_campusgroups.exceptions import output_error

if t.TYPE_CHECKING:
    from collections.abc import Callable

SIGNALS: t.Final = (signal.SIGINT, signal.SIGTERM)

CHECK_INTERVAL: t.Final = 0.2
"""Longest time that the main thread waits before it looks for a signal, in seconds."""

GRACE_SECONDS: t.Final = 2.5
"""Time that the main thread has to end the run after a signal, in seconds."""

LAST_LINES_SECONDS: t.Final = 0.7
"""Time that the watchdog has for its lines, in seconds: the log may be blocked, too."""


class TerminationSignal(SystemExit):
    """Raised at a safe point after a signal; the exit code is the shell's, 128 + the signal."""

    def __init__(self, number: signal.Signals) -> None:
        """Make the exit code of a signal."""
        super().__init__(128 + number)


class Shutdown:
    """A request to end the process, made by a signal.

    Attributes:
        signal: The first signal that arrived; later ones change nothing.
        log_abandoned: Logs the exports that a run leaves at the service, while there is a run. The
            watchdog calls it if the main thread cannot.
    """

    def __init__(self) -> None:
        """Begin without a signal."""
        self.signal: signal.Signals | None = None
        self.log_abandoned: Callable[[], None] | None = None
        # Of all queues, this one may be used by a handler: its `put` is reentrant.
        self._requests: SimpleQueue[signal.Signals] = SimpleQueue()

    def request(self, number: int) -> None:
        """Ask the main thread to end the run at its next safe point; for a signal handler."""
        if self.signal is None:
            self.signal = signal.Signals(number)
            self._requests.put(self.signal)

    def check(self) -> None:
        """Be a safe point.

        Raises:
            TerminationSignal: If a signal has arrived.
        """
        if self.signal is not None:
            raise TerminationSignal(self.signal)

    def run_process(self, command: Callable[[], object], logger: logging.Logger) -> t.NoReturn:
        """Run a command and end the process with its exit code; does not return.

        Without Python's own clean-up, which may hang or crash on a thread that still waits for the
        service, and during which a signal would no longer reach the handler.

        Args:
            command: The command; it may end with SystemExit.
            logger: Logger for the lines about the end.
        """
        Thread(
            target=self._watch, args=(logger,), name="tap-campusgroups-watchdog", daemon=True
        ).start()
        for number in SIGNALS:
            signal.signal(number, lambda number, _frame: self.request(number))
        code = _exit_code(command)
        try:
            sys.stdout.flush()  # lines that a signal found half written
        except (AttributeError, OSError) as error:
            if not code:
                logger.error("%s", output_error(error))  # noqa: TRY400 - the line says it all
                code = 1
        if self.signal is not None:
            _log_stop(logger, self.signal)
            code = 128 + self.signal
        logging.shutdown()
        os._exit(code)

    def _watch(self, logger: logging.Logger) -> None:
        number = self._requests.get()
        time.sleep(GRACE_SECONDS)

        def log_last_lines() -> None:
            if self.log_abandoned is not None:
                self.log_abandoned()
            _log_stop(logger, number)

        last = Thread(target=log_last_lines, daemon=True)
        last.start()
        last.join(LAST_LINES_SECONDS)
        os._exit(128 + number)


SHUTDOWN: t.Final = Shutdown()
"""The process's: signals belong to the process, not to a tap."""


def _log_stop(logger: logging.Logger, number: signal.Signals) -> None:
    logger.error("Stopped by %s. The next run resumes from the last saved state.", number.name)


def _exit_code(command: Callable[[], object]) -> int:
    try:
        command()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except Exception:  # noqa: BLE001 - as the interpreter would, but without ending by itself
        sys.excepthook(*t.cast("tuple[type[BaseException], BaseException, t.Any]", sys.exc_info()))
        return 1
    return 0
