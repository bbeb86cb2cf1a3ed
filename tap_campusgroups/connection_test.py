"""The check behind `--test`: a small export of each stream, and which ones the secret may read."""

from __future__ import annotations

import logging
import time
import typing as t
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from functools import partial
from http import HTTPStatus

from tap_campusgroups.client import schedule_tasks
from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ConnectionTestError,
    ExportsStoppedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.export import Window
from tap_campusgroups.exports.retry import RetryPolicy
from tap_campusgroups.exports.scheduler import ExportJob

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_campusgroups.client import CampusGroupsStream
    from tap_campusgroups.exports.scheduler import Scheduler

RANGE: t.Final = timedelta(hours=1)
"""What each export asks for: the hour before the lookback, which the data lake has for sure."""

LONGEST_EXPORT: t.Final = 15.0
"""Seconds that an export may be queued or running; that it was accepted says enough."""

LONGEST_POLL_INTERVAL: t.Final = 2.0
"""Seconds."""

LONGEST_REQUEST: t.Final = 20
"""Seconds."""

PATIENCE: t.Final = RetryPolicy(
    tries=2, max_attempts_unknown_host=2, max_retry_after=5.0, resubmissions=0
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What came of the check of a stream.

    Attributes:
        stream: Its name.
        error: Why it cannot be read; `None` if it can.
        is_slow: Whether its export was accepted and had not run in time.
    """

    stream: str
    error: CampusGroupsError | None = None
    is_slow: bool = False

    def __str__(self) -> str:
        """Say it in a line."""
        if self.error is not None:
            return str(self.error)
        if self.is_slow:
            return f"may be read; its export has not run within {LONGEST_EXPORT:.0f} s"
        return "may be read"


def check_access(streams: Sequence[CampusGroupsStream], logger: logging.Logger) -> None:
    """Find out which streams the secret may read, and log it.

    One export of an hour a stream, under the cap of `max_concurrent_exports`. Nothing is emitted.

    Args:
        streams: At least one; they are of no use for a sync afterwards.
        logger: For the result.

    Raises:
        CampusGroupsError: If the secret, the school or the way to the service is wrong, or some
            streams cannot be read; the text names them.
    """
    began = time.monotonic()
    end = datetime.now(UTC) - streams[0].settings.lookback
    window = Window.between(end - RANGE, end)
    tasks = []
    for stream in streams:
        stream.retry_policy = PATIENCE
        stream.monitor = streams[0].monitor
        stream.settings = replace(
            stream.settings,
            poll_interval_max=LONGEST_POLL_INTERVAL,
            export_timeout=LONGEST_EXPORT,
            request_timeout=min(stream.settings.request_timeout, LONGEST_REQUEST),
        )
        tasks.append(ExportJob(stream.name, partial(stream.fetch, window)))
    scheduler = schedule_tasks(tasks, streams[0])
    try:
        verdicts = [_verdict(scheduler, task) for task in tasks]
    finally:
        scheduler.close()
    _report(verdicts, logger, seconds=time.monotonic() - began)


def _verdict(scheduler: Scheduler, task: ExportJob) -> Verdict:
    """Take the pages of an export, and see how it ends.

    Raises:
        CampusGroupsError: If what is wrong is wrong for every stream.
    """
    try:
        for _ in scheduler.pages(task):
            pass
    except ExportTimeoutError:
        return Verdict(task.stream, is_slow=True)
    except ExportsStoppedError:
        raise
    except CampusGroupsError as error:
        is_secret = isinstance(error, AccessDeniedError) and error.status != HTTPStatus.FORBIDDEN
        if not scheduler.is_proven and (is_secret or isinstance(error, ServiceUnavailableError)):
            raise
        return Verdict(task.stream, error)
    return Verdict(task.stream)


def _report(verdicts: Sequence[Verdict], logger: logging.Logger, *, seconds: float) -> None:
    """Log the verdicts.

    Raises:
        ConnectionTestError: If a stream cannot be read.
    """
    bad = [verdict.stream for verdict in verdicts if verdict.error is not None]
    width = max(len(verdict.stream) for verdict in verdicts)
    readable = f"{len(verdicts) - len(bad)} of {len(verdicts)} streams"
    lines = [
        f"Check: the secret may read {readable} ({seconds:.1f} s)",
        *(f"  {verdict.stream:{width}}  {verdict}" for verdict in verdicts),
    ]
    logger.log(
        logging.WARNING if bad else logging.INFO,
        "%s",
        "\n".join(lines),
        extra={
            "seconds": round(seconds, 3),
            "readable": [verdict.stream for verdict in verdicts if verdict.error is None],
            "unreadable": bad,
        },
    )
    if bad:
        msg = (
            f"{len(bad)} of {len(verdicts)} streams cannot be read: {', '.join(bad)}. The lines "
            "above say why. Deselect them, or ask CampusGroups what the key may read."
        )
        raise ConnectionTestError(msg)
