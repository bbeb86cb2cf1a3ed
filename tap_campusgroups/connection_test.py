"""The connection test behind `--test`: one small export per stream."""

from __future__ import annotations

import logging
import time
import typing as t
from contextlib import closing
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportsStoppedError,
    ExportTimeoutError,
    ServiceUnavailableError,
    StreamsFailedError,
)
from tap_campusgroups.exports.export import PollPolicy
from tap_campusgroups.exports.retry import RetryPolicy
from tap_campusgroups.exports.sender import ExportLimits
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tap_campusgroups.exports.window import Window

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_campusgroups.client import CampusGroupsStream
    from tap_campusgroups.exports.scheduler import ExportJob, Scheduler

WINDOW: t.Final = timedelta(hours=1)  # before the lookback, which the data lake has

POLL: t.Final = PollPolicy(max_interval=2.0, timeout=15.0)
"""A stream whose export was accepted but takes longer than this is readable."""

MAX_REQUEST_TIMEOUT: t.Final = 20  # seconds
RETRY: t.Final = RetryPolicy(
    max_attempts=2, max_attempts_unknown_host=2, max_retry_after=5.0, resubmissions=0
)


def check_access(streams: Sequence[CampusGroupsStream], logger: logging.Logger) -> None:
    """Test which streams the secret may read, and log the result; nothing is emitted.

    Raises:
        CampusGroupsError: If the secret, the school code or the network is at fault, or if streams
            cannot be read; the text names them.
    """
    began = time.monotonic()
    first = streams[0]
    end = datetime.now(UTC) - first.settings.lookback
    window = Window.between(end - WINDOW, end)
    request_timeout = min(first.settings.request_timeout, MAX_REQUEST_TIMEOUT)
    limits = ExportLimits(request_timeout, POLL, RETRY)
    monitor = ServiceMonitor(first.started, logger)
    jobs = [job for one in streams for job in one.export_jobs([window], limits, monitor)]
    with closing(first.schedule(jobs, monitor)) as scheduler:
        results = [(job.stream, _test(scheduler, job, monitor)) for job in jobs]
    _report(results, logger, seconds=time.monotonic() - began)


_Result: t.TypeAlias = "str | CampusGroupsError"
"""How a stream can be read, or why it cannot."""


def _test(scheduler: Scheduler, job: ExportJob, monitor: ServiceMonitor) -> _Result:
    """Fetch an export; raise a failure that concerns every stream."""
    try:
        for _ in scheduler.pages(job):
            pass
    except ExportTimeoutError:
        return f"readable (the export did not finish within {POLL.timeout:.0f} s)"
    except ExportsStoppedError:
        raise
    except CampusGroupsError as error:
        is_secret = isinstance(error, AccessDeniedError) and error.status != HTTPStatus.FORBIDDEN
        is_general = is_secret or isinstance(error, ServiceUnavailableError)
        if is_general and not monitor.has_accepted_job:
            raise
        return error
    return "readable"


def _report(
    results: Sequence[tuple[str, _Result]], logger: logging.Logger, *, seconds: float
) -> None:
    readable = [stream for stream, result in results if isinstance(result, str)]
    unreadable = [stream for stream, result in results if not isinstance(result, str)]
    width = max(len(stream) for stream, _ in results)
    lines = [
        f"Connection test: {len(readable)} of {len(results)} streams readable ({seconds:.1f} s)",
        *(f"  {stream:{width}}  {result}" for stream, result in results),
    ]
    logger.log(
        logging.WARNING if unreadable else logging.INFO,
        "%s",
        "\n".join(lines),
        extra={"seconds": round(seconds, 3), "readable": readable, "unreadable": unreadable},
    )
    if unreadable:
        msg = (
            f"{len(unreadable)} of {len(results)} streams cannot be read: {', '.join(unreadable)}. "
            "See the lines above for the reasons. Deselect them, or ask CampusGroups which data "
            "the secret may read."
        )
        raise StreamsFailedError(msg)
