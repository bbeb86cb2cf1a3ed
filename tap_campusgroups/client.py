"""The base stream: URL, headers, errors and retries, and the state rule applied."""

from __future__ import annotations

import logging
import sys
import time
import typing as t
from datetime import UTC, datetime
from functools import cached_property

import backoff
import msgspec
import requests
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.exceptions import AbortedSyncExceptionBase, RetriableAPIError
from singer_sdk.helpers.conform import TypeConformanceLevel
from singer_sdk.schema.source import SchemaDirectory, StreamSchema
from singer_sdk.singerlib.catalog import REPLICATION_INCREMENTAL
from singer_sdk.streams import RESTStream

from tap_campusgroups import bookmarks, schemas
from tap_campusgroups.errors import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports import PollPolicy, Window, run_export, write_bound
from tap_campusgroups.pagination import ExportEnded, ExportPaginator, Fetch, Step, Submit
from tap_campusgroups.records import (
    Converter,
    Oddities,
    canonical_instant,
    decode_rows,
    parse_instant,
    write_canonical,
)
from tap_campusgroups.replies import TRANSIENT, Reply, describe, read
from tap_campusgroups.retries import MAX_TRIES, RETRIED, name_fault, waits
from tap_campusgroups.settings import Settings

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Sequence

    from backoff.types import Details
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth, Context, Record, RequestFunc
    from singer_sdk.streams.rest import HTTPRequest, PageContext


REPLICATION_KEY: t.Final = "updatedOn"
"""What the API's date range selects on (document, "Date Ranges and Pagination")."""

WAIT_LOG_INTERVAL: t.Final = 60.0
"""Seconds between two lines about the same waiting export."""


class CampusGroupsStream(RESTStream[Step]):
    """A stream of the Data Export API.

    A subclass names itself and nothing else: path and schema have its name.
    """

    name: str
    schema: t.ClassVar[StreamSchema] = StreamSchema(SchemaDirectory(schemas))
    primary_keys: t.ClassVar[Sequence[str]] = ("id",)
    replication_key = REPLICATION_KEY

    # The other host would get the secret: `requests` keeps custom headers across a redirect.
    allow_redirects = False

    # `records.Converter` does it, by the same schema but without making "false" true.
    TYPE_CONFORMANCE_LEVEL = TypeConformanceLevel.NONE

    def __init__(self, tap: Tap) -> None:
        """Make the stream of a tap.

        Args:
            tap: The tap.
        """
        super().__init__(tap, path=f"/{self.name}")
        self._started = datetime.fromtimestamp(tap.initialized_at / 1000, tz=UTC)
        self._wait_logged = 0.0
        self.oddities = Oddities()

    @cached_property
    def settings(self) -> Settings:
        """The settings, checked."""
        return Settings.from_config(self.config)

    @property
    def read_until(self) -> datetime:
        """The upper bound of this run's export, aware: one instant for all streams of a tap."""
        return min(self._started, self.settings.end_date or self._started)

    # What is asked

    @property
    @override
    def url_base(self) -> str:
        return self.settings.api_url

    @property
    @override
    def http_headers(self) -> dict[str, str]:
        return {"Accept": "application/json", "X-CG-School": self.settings.school_code}

    @cached_property
    def authenticator(self) -> Auth:
        """Adds the secret (document, header parameters of every request)."""
        return APIKeyAuthenticator(
            key="X-CG-API-Secret", value=self.settings.api_secret, location="header"
        )

    @cached_property
    def user_agent(self) -> str:
        """User-Agent of every request."""
        return self.settings.user_agent

    @property
    @override
    def timeout(self) -> int:
        return self.settings.request_timeout

    @override
    def get_http_request(self, *, page: PageContext[Step]) -> HTTPRequest:
        request = super().get_http_request(page=page)
        match page.next_page_token:
            case Submit(start, end):
                request.method = "POST"
                request.params = {
                    "updatedStart": write_bound(start),
                    "updatedEnd": write_bound(end),
                }
            case Fetch(query_id, token):
                request.params = {
                    "queryId": query_id,
                    "token": token,
                    "size": self.settings.page_size,
                }
        return request

    # What comes back

    @override
    def validate_response(self, response: requests.Response) -> None:
        """Raise what concerns the request; what concerns its export is the paginator's.

        Args:
            response: A whole response.

        Raises:
            AccessDeniedError: On 401 and 403, which no other try will change.
            RetriableAPIError: On a passing fault: 408, 429, a 5xx that is not the query's, a body
                that is no JSON.
        """
        reply = read(response).reply
        if reply is Reply.DENIED:
            msg = (
                f"Stream '{self.name}': the service refuses access ({describe(response)}). "
                "Check api_secret and school_code, and that the key may read this data."
            )
            raise AccessDeniedError(msg)
        if reply in TRANSIENT:
            raise RetriableAPIError(self.response_error_message(response), response)

    @override
    def response_error_message(self, response: requests.Response) -> str:
        # The SDK's own text has the body, which may hold students' data.
        return f"{read(response).reply.value} ({describe(response)})"

    @override
    def get_new_paginator(self) -> ExportPaginator:
        window = self.window()
        return ExportPaginator(window.start, window.end)

    @override
    def parse_response(self, response: requests.Response) -> Iterable[Record]:
        results = read(response).results
        if results is None:
            return []
        try:
            return decode_rows(results)
        except (msgspec.DecodeError, UnicodeDecodeError):
            # Not chained: the decoder's own text may quote the row.
            msg = f"Stream '{self.name}': a page's Results are no array of objects."
            raise ExportFailedError(msg) from None

    @override
    def request_records(self, context: Context | None) -> Iterable[Record]:
        """Export the stream's window and yield its rows.

        In place of the SDK's loop, which can neither wait between two polls nor tell an empty page
        from a page that is not ready.

        Args:
            context: Not used; the streams have no partitions.

        Yields:
            Rows as the service sends them, in its order.

        Raises:
            CampusGroupsError: If not every row of the window arrived; the text names the stream.
        """
        window = self.window()
        if window.is_empty:
            self.logger.info("Stream '%s': nothing to read in %s", self.name, window)
            return
        settings = self.settings
        policy = PollPolicy(settings.poll_interval_max, settings.export_timeout)
        self.logger.info("Stream '%s': exporting updatedOn %s", self.name, window)
        try:
            with self.get_http_request_counter() as counter:

                def send(paginator: ExportPaginator) -> requests.Response:
                    counter.increment()
                    return self._send(paginator, context)

                for response in run_export(
                    self.get_new_paginator(),
                    send,
                    policy,
                    self._log_wait,
                    clock=time.monotonic,
                    sleep=time.sleep,
                ):
                    yield from self.parse_response(response)
            self._log_oddities()
        except ExportEnded as ended:
            msg = f"Stream '{self.name}': the export of updatedOn {window} ended early: {ended}."
            if ended.reply is Reply.REJECTED:
                msg += " Check api_url and school_code, or deselect the stream."
            elif ended.reply is Reply.REDIRECTED:
                msg += " Check api_url."
            raise ExportFailedError(msg) from ended
        except ExportTimeoutError as error:
            msg = (
                f"Stream '{self.name}': the export of updatedOn {window} did not finish: {error}. "
                "Raise export_timeout_minutes, or read a shorter range."
            )
            raise ExportTimeoutError(msg) from error
        finally:
            self.requests_session.close()

    def _send(self, paginator: ExportPaginator, context: Context | None) -> requests.Response:
        # The two internals are what the SDK's own loop calls; tests/test_client.py pins them.
        prepared = self._prepare_request(context=context, page=paginator)
        try:
            return self.request_decorator(self._request)(prepared, context)
        except RETRIED as error:
            msg = (
                f"Stream '{self.name}': gave up after {MAX_TRIES} tries of "
                f"{prepared.method} {self.path}: {name_fault(error)}."
            )
            if isinstance(error, requests.exceptions.ConnectionError):
                msg += " Check the network, school_code and api_url."
            raise ServiceUnavailableError(msg) from error

    def _log_wait(self, reply: Reply, *, waited: float, interval: float) -> None:
        is_due = waited == 0 or waited >= self._wait_logged + WAIT_LOG_INTERVAL
        if is_due:
            self._wait_logged = waited
        self.logger.log(
            logging.INFO if is_due else logging.DEBUG,
            "Stream '%s': its export is %s (%.0f s so far); asking again in %.1f s",
            self.name,
            reply.value,
            waited,
            interval,
        )

    @override
    def log(self, message: str, *args: t.Any, level: int = logging.INFO, **kwargs: t.Any) -> None:
        # The SDK calls every end of a stream "unhandled". The command line explains ours in one
        # line, `--test` means its own, and of a closed pipe nobody else says anything.
        error = sys.exception()
        if isinstance(error, (CampusGroupsError, AbortedSyncExceptionBase)):
            return
        if isinstance(error, BrokenPipeError):
            message, args = "Stream '%s': nobody reads the output any more; stopping", (self.name,)
        super().log(message, *args, level=level, **kwargs)

    def _log_oddities(self) -> None:
        for what, counts in (
            ("left out, for the schema does not have them", self.oddities.unknown),
            ("passed on as they are, for they do not fit their type", self.oddities.unconvertible),
        ):
            if counts:
                fields = ", ".join(f"{name} ({count})" for name, count in sorted(counts.items()))
                self.logger.warning("Stream '%s': values %s: %s", self.name, what, fields)

    # Tries again

    @override
    def request_decorator(self, func: RequestFunc) -> RequestFunc:
        # As the SDK's, but the library's own log lines, which quote URLs and arguments, are off.
        decorate = backoff.on_exception(
            self.backoff_wait_generator,
            RETRIED,
            max_tries=self.backoff_max_tries,
            on_backoff=self.backoff_handler,
            jitter=self.backoff_jitter,
            logger=None,
        )
        return decorate(func)

    @override
    def backoff_max_tries(self) -> int:
        return MAX_TRIES

    @override
    def backoff_wait_generator(self) -> Generator[float, t.Any, None]:
        return self.backoff_runtime(value=waits())

    @override
    def backoff_handler(self, details: Details) -> None:
        self.logger.warning(
            "Stream '%s': %s; try %d of %d in %.1f s",
            self.name,
            name_fault(details.get("exception")),
            details["tries"] + 1,
            MAX_TRIES,
            details.get("wait", 0.0),
        )

    # Records and state

    @cached_property
    def _converter(self) -> Converter:
        return Converter(
            self.effective_schema, replication_key=REPLICATION_KEY, oddities=self.oddities
        )

    @override
    def post_process(self, row: Record, context: Context | None = None) -> Record | None:
        return self._converter(row)

    def window(self) -> Window:
        """Say which range of `updatedOn` this run reads.

        Returns:
            From the bookmark less the lookback, or `start_date`, up to the run's upper bound.
        """
        settings = self.settings
        is_incremental = self.replication_method == REPLICATION_INCREMENTAL
        start = bookmarks.read_from(
            parse_instant(self.stream_state.get("replication_key_value"))
            if is_incremental
            else None,
            start_date=settings.start_date,
            lookback=settings.lookback,
        )
        return Window.between(start, self.read_until)

    @override
    def get_replication_key_signpost(self, context: Context | None = None) -> str | None:
        # In the bookmarks' own form: the SDK compares the two as strings.
        if not self.replication_key:
            return None
        return write_canonical(self.read_until)

    @override
    def _increment_stream_state(
        self, latest_record: Record, *, context: Context | None = None
    ) -> None:
        # Internal to the SDK, which alone would raise on a record without `updatedOn`, and move a
        # bookmark back when the newest row of a run is older than it; tests/test_state.py pins it.
        seen = canonical_instant(latest_record.get(REPLICATION_KEY))
        if bookmarks.moves_to(seen, self.stream_state.get("replication_key_value")):
            super()._increment_stream_state(latest_record, context=context)
