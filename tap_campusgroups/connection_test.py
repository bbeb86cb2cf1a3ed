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
from tap_campusgroups.exports.http_client import HttpClient
from tap_campusgroups.exports.retry import RetryPolicy
from tap_campusgroups.exports.scheduler import Scheduler
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tap_campusgroups.exports.window import Window
from tap_campusgroups.sync import stream_exports

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_campusgroups.client import CampusGroupsStream
    from tap_campusgroups.exports.scheduler import StreamExports
    from tap_campusgroups.sync import RunContext

WINDOW: t.Final = timedelta(hours=1)  # before the lookback, which the data lake has

POLL: t.Final = PollPolicy(max_interval=2.0, timeout=15.0)
"""A stream whose export was accepted but takes longer than this is readable."""

MAX_REQUEST_TIMEOUT: t.Final = 20  # seconds
RETRY: t.Final = RetryPolicy(
    max_attempts=2, max_attempts_unknown_host=2, fault_seconds=30.0, resubmissions=0
)


def check_access(
    streams: Sequence[CampusGroupsStream], context: RunContext, logger: logging.Logger
) -> None:
    """Test which streams the secret may read, and log the result; nothing is emitted.

    Raises:
        CampusGroupsError: If the secret, the school code or the network is at fault, or if streams
            cannot be read; the text names them.
    """
    began, settings = time.monotonic(), context.settings
    end = datetime.now(UTC) - settings.lookback
    window = Window.between(end - WINDOW, end)
    timeout = min(settings.request_timeout, MAX_REQUEST_TIMEOUT)
    monitor = ServiceMonitor(context.started, logger)
    client = HttpClient(timeout, POLL, RETRY, monitor, logger)
    exports = [
        stream_exports(stream.definition, window, settings, client, days=None) for stream in streams
    ]
    scheduler = Scheduler(
        exports,
        max_concurrent=settings.max_concurrent_exports,
        monitor=client.monitor,
        logger=logger,
    )
    with closing(scheduler):
        results = [(one.stream, _test(scheduler, one, client.monitor)) for one in exports]
    _report(results, logger, seconds=time.monotonic() - began)


_Result: t.TypeAlias = "str | CampusGroupsError"
"""How a stream can be read, or why it cannot."""


def _test(scheduler: Scheduler, exports: StreamExports, monitor: ServiceMonitor) -> _Result:
    """Fetch an export; raise a failure that concerns every stream."""
    try:
        for _, pages in scheduler.windows(exports):
            for _ in pages:
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
