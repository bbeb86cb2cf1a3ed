"""A target that checks the tap's output as it comes: lines, records and states."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeAlias

from tests.support.harness import canonical

if TYPE_CHECKING:
    from tests.simulator import Simulator

Version: TypeAlias = tuple[str, int, str]
"""Stream, id and `updatedOn` of a row."""


class FakeTarget:
    """Takes the output of one or more runs and checks every state.

    A state must not move a bookmark back, and everything up to its bookmarks must precede it.

    Attributes:
        state: The last state.
    """

    def __init__(self, simulator: Simulator) -> None:
        self._dataset = simulator.dataset
        self._loaded: set[Version] = set()
        self.state: dict[str, Any] = {}

    def load(self, output: bytes) -> None:
        """Load the output of a run, which must end with a whole line."""
        assert output[-1:] in {b"\n", b""}
        for line in output.splitlines():
            self.load_line(line)

    def load_line(self, line: bytes) -> None:
        """Load a message."""
        message = json.loads(line)
        if message["type"] == "RECORD":
            record = message["record"]
            self._loaded.add((message["stream"], record["id"], record["updatedOn"]))
        elif message["type"] == "STATE":
            before, self.state = self.state, message["value"]
            for stream in self._dataset.streams:
                assert self.bookmark(stream) >= bookmark_in(before, stream)
                assert self._missing_of(stream, self.bookmark(stream)) == set()

    def bookmark(self, stream: str) -> str:
        """Return a stream's bookmark in the last state, or an empty text."""
        return bookmark_in(self.state, stream)

    def missing(self, until: datetime) -> set[Version]:
        """Return the service's rows up to a timestamp that were not loaded."""
        missing = (self._missing_of(stream, canonical(until)) for stream in self._dataset.streams)
        return set().union(*missing)

    def _missing_of(self, stream: str, until: str) -> set[Version]:
        rows = {(stream, row["id"], _updated_on(row)) for row in self._dataset[stream]}
        return {row for row in rows - self._loaded if row[2] <= until}


def bookmark_in(state: dict[str, Any], stream: str) -> str:
    """Return a stream's bookmark in a state, or an empty text."""
    value: str = state.get("bookmarks", {}).get(stream, {}).get("replication_key_value", "")
    return value


def _updated_on(row: dict[str, Any]) -> str:
    timestamp = datetime.fromisoformat(row["updatedOn"])
    if timestamp.tzinfo is None:
        return canonical(timestamp.replace(tzinfo=UTC))
    return canonical(timestamp.astimezone(UTC))
