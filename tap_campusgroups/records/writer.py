"""Singer messages on stdout, written in whole pages."""

from __future__ import annotations

import os
import sys
import typing as t

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage, StateMessage
from typing_extensions import override

from tap_campusgroups.exceptions import output_error
from tap_campusgroups.shutdown import SHUTDOWN

if t.TYPE_CHECKING:
    from singer_sdk.singerlib import Message

CHUNK_BYTES: t.Final = 2**16  # between two checks for a signal: the usual capacity of a pipe


class PageWriter(MsgSpecWriter):
    """Writer that flushes after each page and each message other than RECORD.

    Attributes:
        is_state_due: Whether records were written since the last STATE. False during and after a
            write that fails, because nothing may follow a line that may be incomplete.
    """

    is_state_due = False

    @override
    def write_message(self, message: Message) -> None:
        # A copy: the SDK could not format into its buffer while an exception refers to it.
        self._write(memoryview(bytes(self.format_message(message))))
        if isinstance(message, RecordMessage):
            self.is_state_due = True
            return
        if isinstance(message, StateMessage):
            self.is_state_due = False
        self.flush()

    def write_lines(self, lines: bytes) -> None:
        """Write the RECORD messages of a page; a signal ends this between two lines."""
        start = 0
        while start < len(lines):
            end = lines.rfind(b"\n", start, start + CHUNK_BYTES) + 1
            end = end or lines.index(b"\n", start) + 1
            self._write(memoryview(lines)[start:end])
            self.is_state_due = True
            SHUTDOWN.check()
            start = end
        self.flush()

    def flush(self) -> None:
        """Flush stdout; raise `OutputError` if the target does not accept the output."""
        is_flushed = False
        try:
            while not is_flushed:
                try:
                    sys.stdout.flush()
                    is_flushed = True
                except BlockingIOError:
                    os.set_blocking(sys.stdout.fileno(), True)
        except Exception as error:  # noqa: BLE001 - another stdout may raise anything
            self.is_state_due = False
            raise output_error(error) from None

    def _write(self, data: memoryview) -> None:
        is_state_due, self.is_state_due = self.is_state_due, False
        try:
            while data:
                data = data[_write_part(data) :]
        except Exception as error:  # noqa: BLE001
            raise output_error(error) from None
        self.is_state_due = is_state_due


def _write_part(data: memoryview) -> int:
    """Write to stdout; return how many bytes it accepted, which may be fewer."""
    if not hasattr(sys.stdout, "buffer"):  # only for text, such as a notebook's
        sys.stdout.write(str(data, "utf-8"))
        return len(data)
    try:
        accepted = sys.stdout.buffer.write(data)
    except BlockingIOError as error:
        accepted = error.characters_written
    if not accepted:  # a pipe that the parent has made non-blocking is full
        descriptor = sys.stdout.fileno()
        if os.get_blocking(descriptor):
            raise BlockingIOError
        os.set_blocking(descriptor, True)
    return accepted or 0
