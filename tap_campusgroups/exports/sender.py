"""Sends the requests of one stream, with retries."""

from __future__ import annotations

import time
import typing as t
from dataclasses import dataclass
from http import HTTPStatus

import backoff
from singer_sdk.exceptions import RetriableAPIError

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    ExportFailedError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.response import TRANSIENT, ResponseKind, cache_parsed, describe
from tap_campusgroups.exports.retry import MAX_RETRY_DELAY, RetryPolicy, retry_delays
from tap_campusgroups.exports.transport import (
    RETRIABLE,
    BodyTooLargeError,
    DeadlineExceededError,
    call_with_deadline,
    current_session,
    describe_failure,
    is_unknown_host,
    read_body,
    replace_session,
)

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    import requests

    from tap_campusgroups.exports.export import PollPolicy
    from tap_campusgroups.exports.pagination import Step
    from tap_campusgroups.exports.scheduler import ExportJob, Scheduler
    from tap_campusgroups.exports.service_monitor import ServiceMonitor

RESPONSE_DEADLINE: t.Final = 5  # time limit of a whole response, in request timeouts


class ExportLimits(t.NamedTuple):
    """Time limits and retry limits of exports; `request_timeout` is in seconds without a byte."""

    request_timeout: float
    poll: PollPolicy
    retry: RetryPolicy


@dataclass(eq=False)
class RequestSender:
    """Sends the requests of one stream; used by several workers at a time.

    `path` becomes `path_alias` after a 404. `prepare` creates the request of a step for a path.
    """

    stream: str
    path: str
    path_alias: str | None
    prepare: Callable[[Step, str], requests.PreparedRequest]
    limits: ExportLimits
    monitor: ServiceMonitor
    logger: logging.Logger

    def send(self, step: Step, scheduler: Scheduler, job: ExportJob) -> requests.Response:
        """Send a step and return the whole response; retry transient failures.

        These are connection errors, 408, 429, a 5xx unless the query failed, a body that is not
        JSON, and a 401 once the secret has worked in the run.

        Raises:
            AccessDeniedError: On 401 or 403.
            ServiceUnavailableError: If all attempts failed.
            ExportFailedError: If a page is too large.
        """
        path = self.path
        request = self.prepare(step, path)
        response = self._send_with_retries(request, path, scheduler, job)
        is_unknown = request.method == "POST" and response.status_code == HTTPStatus.NOT_FOUND
        if not is_unknown or self.path_alias in {None, path}:
            return response
        self.logger.info("Path not found: stream=%s path=%s", self.stream, path)
        self.path = self.path_alias or path
        return self.send(step, scheduler, job)

    def _send_with_retries(
        self, request: requests.PreparedRequest, path: str, scheduler: Scheduler, job: ExportJob
    ) -> requests.Response:
        retry = self.limits.retry
        max_seconds, max_retry_after = retry.max_seconds, retry.max_retry_after
        if not self.monitor.has_accepted_job:
            max_seconds = retry.max_seconds_unaccepted
            max_retry_after = min(max_retry_after, MAX_RETRY_DELAY)
        delays = retry_delays(max_retry_after)
        attempts, began = 0, time.monotonic()
        while True:
            attempts += 1
            try:
                return self._exchange(request)
            except RETRIABLE as error:
                failure = error
            # Outside of `except`: a new error must not carry the old one, which may quote the URL.
            response = failure.response if isinstance(failure, RetriableAPIError) else None
            status = None if response is None else response.status_code
            is_too_many = request.method == "POST" and status == HTTPStatus.TOO_MANY_REQUESTS
            if is_too_many and scheduler.reduce_concurrency(job):
                return self._send_with_retries(request, path, scheduler, job)
            max_attempts = retry.max_attempts
            if status == HTTPStatus.UNAUTHORIZED:
                max_attempts = min(max_attempts, retry.max_attempts_denied)
            elif is_unknown_host(failure):
                max_attempts = min(max_attempts, retry.max_attempts_unknown_host)
            if attempts >= max_attempts or time.monotonic() - began >= max_seconds:
                if response is not None and status == HTTPStatus.UNAUTHORIZED:
                    raise self._denied(response)
                msg = (
                    f"Stream '{self.stream}': {request.method} {path} failed after {attempts} "
                    f"attempt{'s' * (attempts > 1)}: {describe_failure(failure)}."
                )
                if response is None:
                    msg += " Check the network, school_code and api_url."
                raise ServiceUnavailableError(msg)
            delay = backoff.random_jitter(delays(response))
            self.logger.warning(
                "Retrying request: stream=%s reason=%s attempt=%d/%d delay=%.1fs",
                *(self.stream, describe_failure(failure), attempts + 1, max_attempts, delay),
            )
            job.counts["retries"] += 1
            scheduler.pause(delay)

    def _exchange(self, request: requests.PreparedRequest) -> requests.Response:
        session = current_session()  # belongs to this thread, the call below runs in another
        timeout = self.limits.request_timeout

        def exchange() -> requests.Response:
            # Redirects are not followed: requests would send the secret to another host.
            response = session.send(request, timeout=timeout, allow_redirects=False, stream=True)
            self.monitor.observe_date(response.headers.get("Date"))
            self._check(response)
            return response

        deadline = min(RESPONSE_DEADLINE * timeout, self.limits.poll.timeout)
        try:
            return call_with_deadline(exchange, deadline)
        except DeadlineExceededError:
            replace_session()
            raise
        except BodyTooLargeError:
            msg = f"Stream '{self.stream}': a page is too large for memory. Lower page_size."
            raise ExportFailedError(msg) from None

    def _check(self, response: requests.Response) -> None:
        """Read and classify a response; raise if the request failed, not its export."""
        kind = cache_parsed(response, read_body(response)).kind
        may_pass = response.status_code == HTTPStatus.UNAUTHORIZED and self.monitor.has_accepted_job
        if kind is ResponseKind.DENIED and not may_pass:
            raise self._denied(response)
        if kind is ResponseKind.DENIED or kind in TRANSIENT:
            msg = f"{kind.value} ({describe(response)})"
            raise RetriableAPIError(msg, response)

    def _denied(self, response: requests.Response) -> AccessDeniedError:
        msg = (
            f"Stream '{self.stream}': the service denied access ({describe(response)}). Check "
            "api_secret and school_code, and that the secret may read this data."
        )
        return AccessDeniedError(msg, status=response.status_code)
