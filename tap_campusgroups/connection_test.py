"""The connection test behind `--test`: a run with one small export per stream."""

from __future__ import annotations

import logging
import typing as t
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http import HTTPStatus

from tap_campusgroups import exceptions
from tap_campusgroups.exports.retry import RetryPolicy
from tap_campusgroups.exports.window import Window
from tap_campusgroups.sync import SyncRun

if t.TYPE_CHECKING:
    from collections.abc import Sequence

    from tap_campusgroups.client import CampusGroupsStream
    from tap_campusgroups.tap import TapCampusGroups

WINDOW: t.Final = timedelta(hours=1)  # before the lookback, which the data lake has
RETRY: t.Final = RetryPolicy(max_attempts=2, fault_seconds=30.0, resubmissions=0)
MAX_REQUEST_TIMEOUT: t.Final = 20  # seconds
MAX_POLL_INTERVAL: t.Final = 2.0  # seconds
EXPORT_TIMEOUT: t.Final = 15.0  # seconds

NOT_FINISHED: t.Final = f"accepted, not finished within {EXPORT_TIMEOUT:.0f} s: cannot be judged"
"""Result of a stream whose export the service has accepted but not run in time; not a failure."""


def check_access(tap: TapCampusGroups, streams: Sequence[CampusGroupsStream]) -> None:
    """Test which streams the secret may read, and log the result; nothing is emitted.

    Raises:
        CampusGroupsError: If the secret, the school code or the network is at fault, or if streams
            cannot be read; the text names them.
    """
    settings = replace(
        tap.settings,
        request_timeout=min(tap.settings.request_timeout, MAX_REQUEST_TIMEOUT),
        poll_interval_max=MAX_POLL_INTERVAL,
        export_timeout=EXPORT_TIMEOUT,
    )
    end = datetime.now(UTC) - settings.lookback
    window = Window.between(end - WINDOW, end)
    run = SyncRun(streams, settings, tap.started, tap.logger, retry=RETRY, window=window)
    with closing(run):
        results = {stream.name: _test(run, stream) for stream in streams}
    unreadable = [stream for stream, result in results.items() if not isinstance(result, str)]
    readable = [stream for stream, result in results.items() if result == "readable"]
    width = max(map(len, results))
    tap.logger.log(
        logging.INFO if len(readable) == len(results) else logging.WARNING,
        "Connection test: %d of %d streams readable (%.1f s)%s",
        *(len(readable), len(results), run.seconds),
        "".join(f"\n  {stream:{width}}  {result}" for stream, result in results.items()),
        extra={"seconds": round(run.seconds, 3), "readable": readable, "unreadable": unreadable},
    )
    if unreadable:
        msg = (
            f"{len(unreadable)} of {len(results)} streams cannot be read: {', '.join(unreadable)}. "
            "See the lines above for the reasons. Deselect them, or ask CampusGroups which data "
            "the secret may read."
        )
        raise exceptions.StreamsFailedError(msg)


def _test(run: SyncRun, stream: CampusGroupsStream) -> str | exceptions.CampusGroupsError:
    """Return how a stream can be read, or why not; raise a failure that concerns every stream."""
    try:
        for _, pages in run.windows(stream):
            for _ in pages:
                pass
    except exceptions.ExportTimeoutError:
        return NOT_FINISHED
    except exceptions.ExportsStoppedError:
        raise
    except exceptions.CampusGroupsError as error:
        is_forbidden = getattr(error, "status", None) == HTTPStatus.FORBIDDEN
        general = exceptions.AccessDeniedError | exceptions.ServiceUnavailableError
        if isinstance(error, general) and not is_forbidden and not run.monitor.has_accepted_job:
            raise
        return error
    return "readable"
