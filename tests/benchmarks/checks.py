"""Checks that a contender did the whole work: one that loses rows has no figures."""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import IO, TYPE_CHECKING

import msgspec

from tests.benchmarks.processes import ContenderError

if TYPE_CHECKING:
    from collections.abc import Mapping


class _Row(msgspec.Struct):
    id: int | str


class _Message(msgspec.Struct):
    type: str
    stream: str = ""
    record: _Row | None = None


class _Stream(msgspec.Struct):
    tap_stream_id: str


class _Catalog(msgspec.Struct):
    streams: list[_Stream]


class RowCheck:
    """Reads a tap's output and compares it with what the service holds."""

    def __init__(self, name: str, expected: Mapping[str, int]) -> None:
        """Start before the first message.

        Args:
            name: Of the contender.
            expected: Rows of each stream.
        """
        self._name = name
        self._expected = expected
        self._rows: Counter[str] = Counter()
        self._ids: dict[str, set[int | str]] = defaultdict(set)
        self._last = ""

    def read(self, output: IO[bytes]) -> None:
        """Read to the end of the output."""
        decode = msgspec.json.Decoder(_Message).decode
        try:
            for line in output:
                message = decode(line)
                self._last = message.type
                if message.record is not None:
                    self._rows[message.stream] += 1
                    self._ids[message.stream].add(message.record.id)
        except msgspec.MsgspecError:
            error = f"{self._name} wrote a line that is no message."
            raise ContenderError(error) from None

    def verdict(self) -> None:
        """Judge what was read.

        Raises:
            ContenderError: If not every row of every stream was there exactly once, or if the last
                message is no state.
        """
        wrong = [
            f"{stream} ({self._rows[stream]} rows, {len(self._ids[stream])} ids of {expected})"
            for stream, expected in self._expected.items()
            if not self._rows[stream] == len(self._ids[stream]) == expected
        ]
        if wrong:
            message = f"{self._name} did not emit every row once: {', '.join(wrong)}."
            raise ContenderError(message)
        if self._last != "STATE":
            message = f"{self._name} did not end with a state."
            raise ContenderError(message)


class CatalogCheck:
    """Reads a catalog and counts its streams."""

    def __init__(self, name: str, expected: int) -> None:
        """Start before the first byte.

        Args:
            name: Of the contender.
            expected: Streams.
        """
        self._name = name
        self._expected = expected
        self._found = 0

    def read(self, output: IO[bytes]) -> None:
        """Read to the end of the output."""
        self._found = len(msgspec.json.decode(output.read(), type=_Catalog).streams)

    def verdict(self) -> None:
        """Judge what was read.

        Raises:
            ContenderError: If not every stream was there.
        """
        if self._found != self._expected:
            message = f"{self._name} discovered {self._found} streams of {self._expected}."
            raise ContenderError(message)
