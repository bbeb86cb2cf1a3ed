"""The window of one export: a range of `updatedOn`."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from tap_campusgroups.records.values import format_timestamp

if t.TYPE_CHECKING:
    from collections.abc import Iterator

MIN_BISECTED: t.Final = timedelta(hours=1)
"""A window of this length or less is not bisected."""

DIVIDED_FROM: t.Final = datetime(2000, 1, 1, tzinfo=UTC)
"""A range that reaches into later time is not divided before: hardly any row is older."""


def format_bound(bound: datetime) -> str:
    """Format a bound as the document's examples do: `2020-01-01T00:00:00Z`."""
    return format_timestamp(bound, timespec="seconds")


@dataclass(frozen=True, slots=True)
class Window:
    """A range of `updatedOn`, both bounds inclusive, in whole seconds UTC.

    The document shows bounds without fractions of a second, so both are truncated. At the start,
    up to one second is read again; at the end, the rest belongs to the next run.
    """

    start: datetime
    end: datetime

    @classmethod
    def between(cls, start: datetime, end: datetime) -> Window:
        """Create a window from two aware timestamps, truncated to whole seconds."""
        return cls(*(bound.astimezone(UTC).replace(microsecond=0) for bound in (start, end)))

    def split(self, days: int | None) -> Iterator[Window]:
        """Yield ascending windows of at most some days that share their bounds.

        These are one window if `days` is `None`, and none if the window is empty.
        """
        if self.is_empty:
            return
        start, end = self.start, self._divided_from
        step = timedelta(days=days) if days else self.end - end
        while self.end - end > step:
            end += step
            yield Window(start, end)
            start = end
        yield Window(start, self.end)

    def count(self, days: int | None) -> int:
        """Return the number of windows that `split` yields."""
        length = self.end - self._divided_from
        if self.is_empty or not length or days is None:
            return int(not self.is_empty)
        return -(-length // timedelta(days=days))

    def bisect(self) -> list[Window]:
        """Split the window into two halves that share their bound, unless it is too short."""
        length = self.end - self._divided_from
        if length <= MIN_BISECTED:
            return [self]
        middle = self._divided_from + timedelta(seconds=length // timedelta(seconds=2))
        return [Window(self.start, middle), Window(middle, self.end)]

    @property
    def _divided_from(self) -> datetime:
        return max(self.start, DIVIDED_FROM) if self.end > DIVIDED_FROM else self.start

    @property
    def is_empty(self) -> bool:
        """Whether the window ends before it starts."""
        return self.end < self.start

    def __str__(self) -> str:
        """Format the window for log lines, as an ISO 8601 interval."""
        return f"{format_bound(self.start)}/{format_bound(self.end)}"
