"""Singer messages on stdout: the SDK's msgspec writer, without a flush per record."""

from __future__ import annotations

import sys
import typing as t

from singer_sdk.contrib.msgspec import MsgSpecWriter
from singer_sdk.singerlib import RecordMessage, StateMessage

from tap_campusgroups.exceptions import OutputError, output_error
from tap_campusgroups.shutdown import SHUTDOWN

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from singer_sdk.singerlib import Message

CHUNK_BYTES: t.Final = 2**16
"""Bytes of a page that are written between two looks for a signal: what a pipe usually holds."""


class PageWriter(MsgSpecWriter):
    """Writes whole pages, and flushes after a page or any message other than RECORD.

    Attributes:
        is_state_due: Whether records were written since the last STATE. Not after a write that
            failed: the line that it began may be incomplete, and nothing may follow it.
    """

    is_state_due = False

    @override
    def write_message(self, message: Message) -> None:
        # The formatted message is one buffer of the SDK's: written before the next one is made.
        self._write(self.format_message(message))
        if isinstance(message, RecordMessage):
            self.is_state_due = True
            return
        if isinstance(message, StateMessage):
            self.is_state_due = False
        self.flush()

    def write_lines(self, lines: bytes) -> None:
        """Write the RECORD messages of a page.

        Args:
            lines: JSON lines, each with its line end.

        Raises:
            OutputError: If the target does not take them.
            TerminationSignal: After a signal, once the lines before it are out.
        """
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
        """Hand everything to the target.

        Raises:
            OutputError: If the target does not take it.
        """
        try:
            sys.stdout.buffer.flush()
        except (AttributeError, OSError, ValueError) as error:
            raise self._failed(error) from None

    def _write(self, data: bytearray | memoryview) -> None:
        view, written = memoryview(data), 0
        try:
            while written < len(view):  # unbuffered (python -u), a pipe takes what it has room for
                written += sys.stdout.buffer.write(view[written:])
        except (AttributeError, OSError, ValueError) as error:
            raise self._failed(error) from None
        finally:
            view.release()  # or the SDK could not reuse its buffer

    def _failed(self, error: Exception) -> OutputError:
        self.is_state_due = False
        return output_error(error)
