"""Singer messages on stdout, written in whole pages."""

from __future__ import annotations

import sys
import typing as t

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage, StateMessage
from typing_extensions import override

from tap_campusgroups.exceptions import OutputError, output_error
from tap_campusgroups.shutdown import SHUTDOWN

if t.TYPE_CHECKING:
    from singer_sdk.singerlib import Message

CHUNK_BYTES: t.Final = 2**16  # between two checks for a signal: the usual capacity of a pipe


class PageWriter(MsgSpecWriter):
    """Writer that flushes after each page and each message other than RECORD.

    Attributes:
        is_state_due: Whether records were written since the last STATE. False after a failed
            write, because nothing may follow a line that may be incomplete.
    """

    is_state_due = False

    @override
    def write_message(self, message: Message) -> None:
        # The SDK formats every message into the same buffer, so each is written at once.
        self._write(self.format_message(message))
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
        try:
            sys.stdout.buffer.flush()
        except (AttributeError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def _write(self, data: bytearray | memoryview) -> None:
        view, written = memoryview(data), 0
        try:
            while written < len(view):  # unbuffered stdout (python -u) may write only a part
                written += sys.stdout.buffer.write(view[written:])
        except (AttributeError, OSError, ValueError) as error:
            raise self._failed(error) from None
        finally:
            view.release()  # otherwise, the SDK could not resize its buffer

    def _failed(self, error: Exception) -> OutputError:
        self.is_state_due = False
        return output_error(error)
