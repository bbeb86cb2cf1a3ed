"""The HTTP side of a stream: URL, headers, errors and retries, and the run of one export."""

from __future__ import annotations

import logging
import sys
import time
import typing as t
from functools import cached_property
from http import HTTPStatus

import backoff
from singer_sdk.authenticators import APIKeyAuthenticator
from singer_sdk.exceptions import RetriableAPIError
from singer_sdk.streams import RESTStream
from singer_sdk.streams.rest import PageContext

from tap_campusgroups.config import Settings
from tap_campusgroups.exceptions import (
    AccessDeniedError,
    ExportFailedError,
    ExportTimeoutError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.export import PollPolicy, Window, run_export, write_bound
from tap_campusgroups.exports.pagination import ExportEnded, ExportPaginator, Fetch, Step, Submit
from tap_campusgroups.exports.response import (
    RESUBMITTED,
    TRANSIENT,
    ResponseKind,
    cache_parsed,
    describe,
    read,
)
from tap_campusgroups.exports.retry import MAX_RETRY_DELAY, RetryPolicy, waits
from tap_campusgroups.exports.transport import (
    RETRIED,
    BodyTooLargeError,
    DeadlineExceededError,
    call_with_deadline,
    current_session,
    is_unknown_host,
    name_fault,
    read_body,
    replace_session,
)

if sys.version_info >= (3, 12):
    from typing import override
else:
    from typing_extensions import override

if t.TYPE_CHECKING:
    from collections.abc import Callable, Generator

    import requests
    from backoff.types import Details
    from singer_sdk import Tap
    from singer_sdk.helpers.types import Auth
    from singer_sdk.metrics import Counter
    from singer_sdk.streams.rest import HTTPRequest

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.scheduler import Control
    from tap_campusgroups.exports.service_monitor import ServiceMonitor

EXCHANGE_TIMEOUTS: t.Final = 5
"""A request and its whole response may take so many times `request_timeout_seconds`."""


class ExportClient(RESTStream[Step]):
    """Asks the Data Export API for the exports of one stream.

    Its methods run in workers, several at a time: they change nothing of the stream but `path`.
    """

    # The other host would get the secret: `requests` keeps custom headers across a redirect.
    allow_redirects = False

    path_alias: str | None = None
    """Another spelling of the path, which a public client uses; tried once, on a 404."""

    retry_policy = RetryPolicy()
    """When to give up."""

    monitor: ServiceMonitor
    """What the run has learned of the service."""

    def __init__(self, tap: Tap) -> None:
        """Make the client of a stream.

        Args:
            tap: The tap.
        """
        super().__init__(tap, path=f"/{self.name}")

    @cached_property
    def settings(self) -> Settings:
        """The settings, checked."""
        return Settings.from_config(self.config)

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

    @property
    @override
    def requests_session(self) -> requests.Session:
        # A session is for one thread only: each worker has its own.
        return current_session() or super().requests_session

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
            response: A response, its body still on the way.

        Raises:
            AccessDeniedError: On 401 and 403, which no other try will change.
            RetriableAPIError: On a passing fault: 408, 429, a 5xx that is not the query's, a body
                that is not JSON; a 401 after the secret has worked in the run.
            BodyTooLargeError: If the page is too large for memory.
        """
        reply = cache_parsed(response, read_body(response)).reply
        if reply is ResponseKind.DENIED and not self._is_passing_denial(response):
            raise self._denied(response)
        if reply is ResponseKind.DENIED or reply in TRANSIENT:
            raise RetriableAPIError(self.response_error_message(response), response)

    def _is_passing_denial(self, response: requests.Response | None) -> bool:
        """Return whether a response is a 401 though the secret has worked in the run."""
        return (
            response is not None
            and response.status_code == HTTPStatus.UNAUTHORIZED
            and self.monitor.has_accepted_job
        )

    def _denied(self, response: requests.Response) -> AccessDeniedError:
        msg = (
            f"Stream '{self.name}': the service refuses access ({describe(response)}). "
            "Check api_secret and school_code, and that the key may read this data."
        )
        return AccessDeniedError(msg, status=response.status_code)

    @override
    def response_error_message(self, response: requests.Response) -> str:
        # The SDK's own text has the body, which may hold students' data.
        return f"{read(response).reply.value} ({describe(response)})"

    # One export

    def fetch(self, window: Window, control: Control) -> Generator[Page, None, None]:
        """Run the export of a window; called in a worker.

        In place of the SDK's loop, which can neither wait between two polls nor tell an empty page
        from a page that is not ready.

        Args:
            window: The range of `updatedOn`.
            control: What to wait with, and whom to tell.

        Yields:
            The pages, as the service sends them, in its order.

        Raises:
            CampusGroupsError: If not every row of the window arrived; the text names the stream.
        """
        with self.get_http_request_counter() as counter:
            yield from self._export(window, control, counter, left=self.retry_policy.resubmissions)

    def _export(
        self,
        window: Window,
        control: Control,
        counter: Counter,
        *,
        left: int,
        may_leave_running: bool = True,
    ) -> Generator[Page, None, None]:
        """Run an export, and others in its place if it fails.

        Rows that came before it failed come again: twice is better than never.

        Args:
            window: The range of `updatedOn`.
            control: As for `fetch`.
            counter: Counts requests.
            left: How often the range may still be submitted again after a failure.
            may_leave_running: Whether it may be submitted again in bisect if it is too slow.
        """
        settings = self.settings
        policy = PollPolicy(settings.poll_interval_max, settings.export_timeout)
        control.acquire_slot()
        self.logger.info("Stream '%s': exporting updatedOn %s", self.name, window)
        paginator = ExportPaginator(window.start, window.end)

        def send(paginator: ExportPaginator) -> requests.Response:
            counter.increment()
            response = self._send(paginator, control)
            reading = read(response)
            self.monitor.observe_keys(self.name, reading.unknown_keys)
            if reading.query_id is not None:
                control.counts["exports"] += 1
                if not self.monitor.accept(reading.query_id):
                    raise ExportEnded(ResponseKind.REPEATED, response)
                control.accepted(reading.query_id)
            return response

        try:
            yield from run_export(
                paginator,
                send,
                policy,
                self._log_wait,
                clock=time.monotonic,
                sleep=control.pause,
            )
        except ExportTimeoutError as error:
            parts = self._replace_slow(window, error, control, may_leave=may_leave_running)
            may_leave_running = False
        except (ExportEnded, ServiceUnavailableError) as error:
            # A POST that fails at all tries is not the export's fault: it may not have arrived.
            if isinstance(error, ServiceUnavailableError) and paginator.is_submitting:
                raise
            parts = self._replace_failed(window, error, control, left=left)
            left -= 1
        else:
            return
        control.counts["resubmissions"] += len(parts)
        for part in parts:
            yield from self._export(
                part, control, counter, left=left, may_leave_running=may_leave_running
            )

    def _replace_slow(
        self, window: Window, error: ExportTimeoutError, control: Control, *, may_leave: bool
    ) -> list[Window]:
        """Return the windows to submit in place of one whose export is still running.

        Raises:
            ExportTimeoutError: If nothing is to be submitted: the export is still queued or was
                halved before, its window cannot be halved, or no other export may run beside it.
        """
        bisect = window.bisect()
        is_too_large = error.is_running and may_leave and len(bisect) > 1
        if not is_too_large or not control.leave_running():
            msg = (
                f"Stream '{self.name}': the export of updatedOn {window} did not finish: {error}. "
                "Raise export_timeout_minutes, or set export_window_days for shorter ranges."
            )
            raise ExportTimeoutError(msg, is_running=error.is_running) from error
        self.logger.warning(
            "Stream '%s': the export of updatedOn %s takes too long: %s. Its bisect are submitted "
            "instead. It is left running and counts against max_concurrent_exports for the rest of "
            "the run.",
            *(self.name, window, error),
        )
        return bisect

    def _replace_failed(
        self,
        window: Window,
        error: ExportEnded | ServiceUnavailableError,
        control: Control,
        *,
        left: int,
    ) -> list[Window]:
        """Return the windows to submit in place of one whose export failed, after a delay.

        Raises:
            CampusGroupsError: If nothing is to be submitted.
        """
        control.ended()
        if isinstance(error, ServiceUnavailableError):
            if not left:
                raise error
            problem = str(error).rstrip(".")
        else:
            problem = f"Stream '{self.name}': the export of updatedOn {window} ended early: {error}"
            if error.reply not in RESUBMITTED or not left:
                msg = f"{problem}.{_advice(error.reply)}"
                raise ExportFailedError(msg) from error
        parts = window.bisect()
        seconds = self.retry_policy.resubmission_delay(left - 1)
        self.logger.warning(
            "%s; submitting it again%s in %.0f s",
            *(problem, ", in bisect," * (len(parts) > 1), seconds),
        )
        control.pause(seconds)
        return parts

    def _send(self, paginator: ExportPaginator, control: Control) -> requests.Response:
        """Send a step, again and again if need be."""
        prepared = self._prepare(paginator.current_value)
        asked, has_room, tries, began = self.path, False, 0, 0.0

        def give_up(error: Exception) -> bool:
            nonlocal has_room, tries
            tries += 1
            has_room = _is_one_too_many(error) and control.reduce_concurrency()
            is_over = time.monotonic() - began >= self._seconds_to_try
            return has_room or is_over or tries >= self._tries(error)

        while True:
            tries, began = 0, time.monotonic()
            send = backoff.on_exception(
                # The library's own sleep could not be broken off: the handler waits.
                backoff.constant,
                RETRIED,
                interval=0,
                max_tries=self.retry_policy.tries,
                jitter=None,
                giveup=give_up,
                on_backoff=self._before_next_try(control),
                logger=None,  # its lines quote URLs and arguments
            )(self._exchange)
            failure: Exception | None = None
            try:
                response = send(prepared)
            except RETRIED as error:
                failure = error
            if failure is not None:
                if has_room:
                    continue
                # Not within `except`: the library's own error, which may quote the service, would
                # be told with ours.
                raise self._gave_up(prepared, failure, tries)
            is_unknown = prepared.method == "POST" and response.status_code == HTTPStatus.NOT_FOUND
            if is_unknown and self._tries_other_path(asked):
                return self._send(paginator, control)
            return response

    @property
    def _seconds_to_try(self) -> float:
        """Time for all tries of one request, in seconds."""
        retry_policy = self.retry_policy
        return (
            retry_policy.seconds
            if self.monitor.has_accepted_job
            else retry_policy.seconds_unaccepted
        )

    def _tries(self, error: Exception) -> int:
        """Return how often a request that fails like this is tried."""
        if is_unknown_host(error):
            return min(self.retry_policy.tries, self.retry_policy.max_attempts_unknown_host)
        if isinstance(error, RetriableAPIError) and self._is_passing_denial(error.response):
            return min(self.retry_policy.tries, self.retry_policy.max_attempts_denied)
        return self.retry_policy.tries

    def _prepare(self, step: Step) -> requests.PreparedRequest:
        request = self.get_http_request(page=PageContext(None, step))
        return self.build_prepared_request(
            method=request.method,
            url=request.url,
            params=request.encode_params(),
            headers=request.headers,
        )

    def _exchange(self, prepared: requests.PreparedRequest) -> requests.Response:
        session = self.requests_session  # the worker's, which another thread would not find

        def exchange() -> requests.Response:
            response = session.send(
                prepared, timeout=self.timeout, allow_redirects=self.allow_redirects
            )
            self.monitor.observe_date(response.headers.get("Date"))
            self.validate_response(response)
            return response

        seconds = min(EXCHANGE_TIMEOUTS * self.timeout, self.settings.export_timeout)
        try:
            return call_with_deadline(exchange, seconds)
        except DeadlineExceededError:
            replace_session()
            raise
        except BodyTooLargeError:
            msg = f"Stream '{self.name}': a page is too large for memory. Lower page_size."
        raise ExportFailedError(msg)

    def _gave_up(
        self, prepared: requests.PreparedRequest, failure: Exception, tries: int
    ) -> ServiceUnavailableError | AccessDeniedError:
        response = failure.response if isinstance(failure, RetriableAPIError) else None
        if response is not None and self._is_passing_denial(response):
            return self._denied(response)
        msg = (
            f"Stream '{self.name}': gave up after {tries} {'try' if tries == 1 else 'tries'} of "
            f"{prepared.method} {self.path}: {name_fault(failure)}."
        )
        if not isinstance(failure, RetriableAPIError):
            msg += " Check the network, school_code and api_url."
        return ServiceUnavailableError(msg)

    def _tries_other_path(self, asked: str) -> bool:
        """After a 404, say whether there is another path to try, which is the path from then on."""
        other = self.path_alias
        if other is None or asked == other:
            return False
        if self.path != other:
            self.logger.info(
                "Stream '%s': no %s at the service; trying %s", self.name, asked, other
            )
            self.path = other
        return True

    def _before_next_try(self, control: Control) -> Callable[[Details], None]:
        longest = self.retry_policy.max_retry_after
        usual = waits(longest if self.monitor.has_accepted_job else min(longest, MAX_RETRY_DELAY))

        def before(details: Details) -> None:
            error = details["exception"]
            seconds = self.backoff_jitter(usual(error))
            self.logger.warning(
                "Stream '%s': %s; try %d of %d in %.1f s",
                *(self.name, name_fault(error), details["tries"] + 1, self._tries(error), seconds),
            )
            control.counts["retries"] += 1
            control.pause(seconds)

        return before

    def _log_wait(self, reply: ResponseKind, *, waited: float, interval: float) -> None:
        self.logger.log(
            # The scheduler tells of the whole run, once a minute.
            logging.INFO if waited == 0 else logging.DEBUG,
            "Stream '%s': its export is %s (%.0f s so far); asking again in %.1f s",
            *(self.name, reply.value, waited, interval),
        )


def _advice(reply: ResponseKind) -> str:
    """Say what to do about an export that ended for good."""
    if reply is ResponseKind.REJECTED:
        return " Check api_url and school_code, or deselect the stream."
    if reply is ResponseKind.REDIRECTED:
        return " Check api_url."
    if reply in RESUBMITTED:
        return " Run again later, or set export_window_days for shorter ranges."
    return ""


def _is_one_too_many(error: Exception) -> bool:
    """Say whether a failed try was a `POST` that the service is too busy for."""
    response = error.response if isinstance(error, RetriableAPIError) else None
    return (
        response is not None
        and response.request.method == "POST"
        and response.status_code == HTTPStatus.TOO_MANY_REQUESTS
    )
