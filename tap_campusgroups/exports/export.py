"""One export from submission to its last page: how long to wait, and for what.

`run_export` does no HTTP itself: it is given a function that sends one step.
"""

from __future__ import annotations

import random
import typing as t
from dataclasses import dataclass

from tap_campusgroups.exceptions import ExportTimeoutError
from tap_campusgroups.exports.response import WAITING, ResponseKind, parse_response

if t.TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import requests

    from tap_campusgroups.exports.pagination import ExportPaginator
    from tap_campusgroups.records.json_codec import Raw


@dataclass(frozen=True, slots=True)
class PollPolicy:
    """How long an export may be queued or running, and how often to poll it, all in seconds."""

    max_interval: float
    timeout: float

    FIRST_INTERVAL: t.ClassVar[float] = 1.0
    """Delay before the second poll; the first follows the submission at once."""

    GROWTH: t.ClassVar[float] = 1.5

    EMPTY_PAGE_DELAY: t.ClassVar[float] = 1.0
    """Delay after an empty page that has a token."""

    def intervals(self) -> Iterator[float]:
        """Yield the intervals between polls, without end, each with up to 10 % of jitter."""
        seconds = self.FIRST_INTERVAL
        while True:
            seconds = min(seconds, self.max_interval)
            yield seconds * (1 + random.random() / 10)  # noqa: S311 - not used for security
            seconds *= self.GROWTH


@dataclass(frozen=True, slots=True)
class Page:
    """A page of an export: JSON text of an array of rows, and its size in bytes."""

    results: Raw
    size: int
    is_last: bool
    is_first: bool = False
    has_invalid_unicode: bool = False


def run_export(
    paginator: ExportPaginator,
    send: Callable[[ExportPaginator], requests.Response],
    policy: PollPolicy,
    log_wait: Callable[[ResponseKind, float, float], None],
    *,
    clock: Callable[[], float],
    sleep: Callable[[float], None],
) -> Iterator[Page]:
    """Submit an export, poll until it has run, and fetch its pages.

    `send` sends the paginator's current step. `log_wait` is called before each wait with the
    export's state (queued or running), the time waited so far and the time until the next poll.

    Raises:
        ExportEnded: If the export ends before its last page.
        ExportTimeoutError: If the export is queued or running for longer than the timeout.
    """
    is_first = True
    waiting_since: float | None = None
    intervals = policy.intervals()
    while not paginator.finished:
        response = send(paginator)
        parsed = parse_response(response)
        paginator.advance(response)
        if parsed.results is not None:
            waiting_since, intervals = None, policy.intervals()
            page = Page(
                parsed.results,
                len(memoryview(parsed.results)),
                is_last=paginator.finished,
                is_first=is_first,
                has_invalid_unicode=parsed.has_invalid_unicode,
            )
            has_rows = parsed.has_rows
            del response, parsed  # frees the response while the page is buffered
            yield page
            is_first = False
            if not has_rows and not paginator.finished:
                sleep(policy.EMPTY_PAGE_DELAY)
        elif parsed.kind in WAITING:
            now = clock()
            waiting_since = now if waiting_since is None else waiting_since
            waited = now - waiting_since
            if waited >= policy.timeout:
                minutes = round(waited / 60)
                msg = f"still {parsed.kind.value} after {minutes} minute{'s' * (minutes != 1)}"
                raise ExportTimeoutError(msg, is_running=parsed.kind is ResponseKind.RUNNING)
            interval = min(next(intervals), policy.timeout - waited)
            log_wait(parsed.kind, waited, interval)
            sleep(interval)
