"""Runs exports: the window that one covers, and how long to wait for it.

HTTP is the caller's: `run_export` is given a function that sends one step.
"""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import backoff

from tap_campusgroups.exceptions import ExportTimeoutError
from tap_campusgroups.exports.response import WAITING, ResponseKind, read

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from tap_campusgroups.exports.pagination import ExportPaginator
    from tap_campusgroups.records.json_codec import Raw


def write_bound(instant: datetime) -> str:
    """Write a bound of a window as the document's examples do: `2020-01-01T00:00:00Z`.

    Args:
        instant: Aware; of its second only the whole is written.
    """
    # Not `strftime`: its %Y does not pad years before 1000 everywhere.
    return f"{instant.astimezone(UTC).replace(tzinfo=None).isoformat('T', 'seconds')}Z"


SHORTEST_HALVED: t.Final = timedelta(hours=1)
"""A window of an export that failed is halved for the next one if it is longer than this."""


@dataclass(frozen=True, slots=True)
class Window:
    """A range of `updatedOn`, both bounds inclusive, in whole seconds UTC.

    Sub-second parts are cut off: the document shows instants without them. At the start that reads
    up to a second again; at the end, what it leaves out belongs to the next run.
    """

    start: datetime
    end: datetime

    @classmethod
    def between(cls, start: datetime, end: datetime) -> Window:
        """Make a window of two aware instants, cutting both to whole seconds UTC."""
        return cls(
            start.astimezone(UTC).replace(microsecond=0),
            end.astimezone(UTC).replace(microsecond=0),
        )

    def split(self, days: int | None) -> list[Window]:
        """Split the window into shorter ones.

        Args:
            days: How long each may be; `None` for the window as it is.

        Returns:
            Ascending windows, of which adjacent ones share their bound; none if no instant lies in
            this one.
        """
        if self.is_empty:
            return []
        if days is None:
            return [self]
        step = timedelta(days=days)
        windows, start = [], self.start
        while self.end - start > step:
            windows.append(Window(start, start + step))
            start += step
        return [*windows, Window(start, self.end)]

    def bisect(self) -> list[Window]:
        """Split the window in two that share their bound, unless it is an hour or less."""
        length = self.end - self.start
        if length <= SHORTEST_HALVED:
            return [self]
        middle = self.start + timedelta(seconds=length // timedelta(seconds=2))
        return [Window(self.start, middle), Window(middle, self.end)]

    @property
    def is_empty(self) -> bool:
        """Whether no instant lies in the window."""
        return self.end < self.start

    def __str__(self) -> str:
        """Write the window for a log line."""
        return f"{write_bound(self.start)} to {write_bound(self.end)}"


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How an export that is queued or running is waited for.

    Attributes:
        longest_interval: Seconds between two polls at most, chance aside.
        timeout: Seconds that one export may be queued or running in all.
    """

    longest_interval: float
    timeout: float

    FIRST_INTERVAL: t.ClassVar[float] = 1.0
    """Seconds before the second question; the first is asked at once."""

    AFTER_EMPTY_PAGE: t.ClassVar[float] = 1.0
    """Delay before the page after an empty one, in seconds."""

    GROWTH: t.ClassVar[float] = 1.5
    """Factor from one interval to the next."""

    def intervals(self) -> Iterator[float]:
        """Yield the seconds to wait before each next poll, for ever.

        Each is longer by up to a tenth at random, so that many clients do not ask in step.
        """
        growing = backoff.expo(
            base=self.GROWTH,
            factor=min(self.FIRST_INTERVAL, self.longest_interval),
            max_value=self.longest_interval,
        )
        next(growing)  # the library's generators are primed by one empty step
        for seconds in growing:
            yield seconds * (1 + random.random() / 10)  # noqa: S311 - no secret hangs on it


@dataclass(frozen=True, slots=True)
class Page:
    """A page of an export, not decoded yet.

    Attributes:
        results: JSON text of its rows.
        size: Bytes of that text.
        is_last: Whether the export ends with it.
        is_replaced: Whether characters of it that are none had to be replaced already.
    """

    results: Raw
    size: int
    is_last: bool
    is_replaced: bool = False


class OnWait(t.Protocol):
    """Told before each wait."""

    def __call__(self, reply: ResponseKind, *, waited: float, interval: float) -> None:
        """Hear that the export needs time.

        Args:
            reply: `QUEUED` or `RUNNING`.
            waited: Seconds waited so far.
            interval: Seconds until the next question.
        """


def run_export(  # noqa: PLR0913 - the last two are time itself
    paginator: ExportPaginator,
    send: Callable[[ExportPaginator], requests.Response],
    policy: PollPolicy,
    on_wait: OnWait,
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Page]:
    """Submit an export, wait until it has run, and fetch its pages.

    Args:
        paginator: The export, before its first step.
        send: Sends the paginator's current step and returns the whole response.
        policy: How to wait.
        on_wait: Told before each wait.
        clock: Seconds that never go back.
        sleep: Waits that many seconds.

    Yields:
        Each page, in the service's order; a page may have no rows.

    Raises:
        ExportEnded: If the export ends before its last page.
        ExportTimeoutError: If it stays queued or running for longer than the policy allows.
    """
    waiting_since: float | None = None
    intervals = policy.intervals()
    while not paginator.finished:
        response = send(paginator)
        reading = read(response)
        paginator.advance(response)
        if reading.results is not None:
            waiting_since, intervals = None, policy.intervals()
            page = Page(
                reading.results,
                len(memoryview(reading.results)),
                is_last=paginator.finished,
                is_replaced=reading.is_replaced,
            )
            is_empty = not reading.has_rows
            del response, reading  # while the page waits, nothing else of the answer does
            yield page
            if is_empty and not paginator.finished:
                sleep(policy.AFTER_EMPTY_PAGE)
        elif reading.reply in WAITING:
            now = clock()
            waiting_since = now if waiting_since is None else waiting_since
            waited = now - waiting_since
            left = policy.timeout - waited
            if left <= 0:
                msg = f"it was still {reading.reply.value} after {waited / 60:.0f} minutes"
                raise ExportTimeoutError(msg, is_running=reading.reply is ResponseKind.RUNNING)
            interval = min(next(intervals), left)
            on_wait(reading.reply, waited=waited, interval=interval)
            sleep(interval)
