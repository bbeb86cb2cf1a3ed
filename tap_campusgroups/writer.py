"""Singer messages on stdout: the SDK's msgspec writer, without a flush a record."""

from __future__ import annotations

import os
import signal
import sys
import typing as t

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from singer_sdk.singerlib import Message


SECONDS_FOR_LAST_WRITE: t.Final = 2.0
"""How long after a signal the target may take to read what is being written."""

_HAS_TIMER: t.Final = hasattr(signal, "setitimer")


class PageWriter(MsgSpecWriter):
    """Writes whole pages, and flushes after a page or any message other than RECORD.

    Nothing is written from a signal handler, nor is a line cut by one: `interrupt` ends the run
    once the line or page is out.
    """

    def __init__(self) -> None:
        """Begin with nothing to write."""
        super().__init__()
        self._is_writing = False
        self._interruption: BaseException | None = None

    @override
    def write_message(self, message: Message) -> None:
        # The formatted message is one buffer of the SDK's: written before the next one is made.
        self._write(self.format_message(message), flush=not isinstance(message, RecordMessage))

    def write_lines(self, lines: bytes) -> None:
        """Write the RECORD messages of a page.

        Args:
            lines: Of JSON, each with its end.
        """
        self._write(lines, flush=True)

    def flush(self) -> None:
        """Hand everything to the target."""
        self._write(b"", flush=True)

    def interrupt(self, interruption: BaseException) -> None:
        """End the run with an exception; for a signal handler.

        What is being written is written to its end first, if the target reads it within
        `SECONDS_FOR_LAST_WRITE`, where the system has timers (not on Windows).

        Args:
            interruption: The exception.

        Raises:
            BaseException: The interruption, unless something is being written; else it is raised
                by what writes.
        """
        if not self._is_writing:
            raise interruption
        self._interruption = interruption
        if _HAS_TIMER:
            signal.signal(signal.SIGALRM, self._give_up)
            signal.setitimer(signal.ITIMER_REAL, SECONDS_FOR_LAST_WRITE)

    def _give_up(self, *_: object) -> None:
        """Leave what the target does not read, now and when the process ends."""
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        if self._interruption is not None:
            raise self._interruption

    def _write(self, data: bytes | bytearray, *, flush: bool) -> None:
        self._is_writing = True
        try:
            rest = memoryview(data)
            while rest:  # without a buffer (python -u), a pipe takes what it has room for
                rest = rest[sys.stdout.buffer.write(rest) :]
            rest.release()  # or the SDK could not reuse its buffer
            if flush:
                sys.stdout.buffer.flush()
        finally:
            self._is_writing = False
        if self._interruption is not None:
            if _HAS_TIMER:
                signal.setitimer(signal.ITIMER_REAL, 0)
            raise self._interruption
