"""The requests of the steps of an export: retries, the alternative path, denied access."""

from __future__ import annotations

import typing as t
from dataclasses import dataclass, field
from http import HTTPStatus

import requests
from requests.utils import default_headers

from tap_campusgroups.exceptions import (
    AccessDeniedError,
    ConnectionSetupError,
    ExportFailedError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.connection import (
    BodyTooLargeError,
    NoRoomError,
    describe_failure,
    setup_problem,
)
from tap_campusgroups.exports.pagination import Fetch, Submit
from tap_campusgroups.exports.response import TRANSIENT, ParsedResponse, ResponseKind, classify
from tap_campusgroups.exports.retry import parse_retry_after, retry_delay
from tap_campusgroups.exports.window import format_bound

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Mapping

    from tap_campusgroups.exports.connection import HttpResponse
    from tap_campusgroups.exports.export import PollPolicy
    from tap_campusgroups.exports.pagination import Step
    from tap_campusgroups.exports.retry import RangeHistory, RetryPolicy
    from tap_campusgroups.exports.scheduler import Slot
    from tap_campusgroups.exports.service_monitor import ServiceMonitor

RESPONSE_DEADLINE: t.Final = 5  # time limit of a whole response, in request timeouts


@dataclass(eq=False)
class Endpoint:
    """Prepares the requests of one stream; used by several workers at a time."""

    url: str  # of the API, without a trailing slash
    path: str  # `use_alias` replaces it by `path_alias`
    path_alias: str | None
    page_size: int
    school_code: str
    user_agent: str
    api_secret: str = field(repr=False)

    def request(self, step: Step) -> requests.PreparedRequest:
        """Prepare the request of a step (document, "Request events" and "Retrieve events")."""
        if isinstance(step, Submit):
            start, end = format_bound(step.window.start), format_bound(step.window.end)
            return self.prepare("POST", {"updatedStart": start, "updatedEnd": end})
        params = {"queryId": step.query_id, "size": str(self.page_size)}
        if step.token is not None:
            params["token"] = step.token
        return self.prepare("GET", params)

    def prepare(self, method: str, params: Mapping[str, str]) -> requests.PreparedRequest:
        """Prepare any request of the stream (document, "Header parameters")."""
        headers = {
            **default_headers(),
            "Accept": "application/json",
            "User-Agent": self.user_agent,
            "X-CG-API-Secret": self.api_secret,
            "X-CG-School": self.school_code,
        }
        # Prepared without a session, which would add the credentials of a .netrc file.
        return requests.Request(method, self.url + self.path, headers, params=params).prepare()

    def use_alias(self, unknown_path: str) -> bool:
        """Use the other spelling from now on, after a 404; return false if that was the other."""
        if self.path_alias in {None, unknown_path}:
            return False
        self.path = self.path_alias or unknown_path
        return True


class _Failure(t.NamedTuple):
    """A failed attempt; `status` is that of the response, if there was one."""

    reason: str
    max_attempts: int
    status: int | None = None
    retry_after: float | None = None


@dataclass(frozen=True)
class HttpClient:
    """Sends the requests of a run; used by all workers."""

    request_timeout: float  # seconds between two bytes of a response
    poll: PollPolicy
    retry: RetryPolicy
    monitor: ServiceMonitor
    logger: logging.Logger

    @property
    def fault_limit(self) -> float:
        """Time that the faults of one export may take now, in seconds."""
        if self.monitor.has_accepted_job:
            return self.retry.fault_seconds
        return min(self.retry.fault_seconds, self.retry.fault_seconds_unaccepted)

    def send(
        self, step: Step, endpoint: Endpoint, slot: Slot, history: RangeHistory
    ) -> ParsedResponse:
        """Send a step and return the response; retry transient failures.

        These are connection errors, 408, 429, a 5xx unless the query failed, a body that is not
        JSON, and a 401 or 403 once the secret has worked in the run.

        Raises:
            AccessDeniedError: On 401 or 403.
            ConnectionSetupError: If waiting cannot help: a certificate, a proxy, the URL.
            ServiceUnavailableError: If all attempts failed, or took too long.
            ExportFailedError: If a page is too large.
            ExportsStoppedError: If the run is ending, or the stream has failed.
        """
        failures = refusals = 0
        while True:
            slot.check()
            if isinstance(step, Fetch):
                slot.reserve()
            slot.count("requests")
            path = endpoint.path
            request = endpoint.request(step)
            try:
                outcome = self._attempt(request, slot, history)
            except NoRoomError:
                slot.pause(0)  # without its reservation
                continue
            if isinstance(outcome, ParsedResponse):
                is_unknown = request.method == "POST" and outcome.status == HTTPStatus.NOT_FOUND
                if not (is_unknown and endpoint.use_alias(path)):
                    return outcome
                self.logger.info("Path not found: stream=%s path=%s", slot.stream, path)
                continue
            failures += 1
            is_refusal = request.method == "POST" and outcome.status == HTTPStatus.TOO_MANY_REQUESTS
            refusals = refusals + 1 if is_refusal else 0
            # A rate limit ends with the delay that it asks for; a limit on exports does not.
            if refusals > 1 and slot.yield_to_others():
                failures = refusals = 0
            delay = retry_delay(failures, outcome.retry_after)
            left = self.fault_limit - history.fault_seconds
            if failures >= outcome.max_attempts or delay >= left:
                history.retry_after = outcome.retry_after or 0.0
                raise self._final_error(outcome, failures, f"{request.method} {path}", slot.stream)
            self.logger.warning(
                "Retrying request: stream=%s reason=%s attempt=%d/%d delay=%.1fs",
                *(slot.stream, outcome.reason, failures + 1, outcome.max_attempts, delay),
            )
            slot.count("retries")
            history.fault_seconds += delay
            slot.pause(delay)

    def _attempt(
        self, request: requests.PreparedRequest, slot: Slot, history: RangeHistory
    ) -> ParsedResponse | _Failure:
        timeout, left = self.request_timeout, self.fault_limit - history.fault_seconds
        deadline = min(RESPONSE_DEADLINE * timeout, self.poll.timeout, left)
        try:
            response = slot.connection.exchange(
                request,
                timeout=timeout,
                deadline=deadline,
                has_room=lambda size: request.method != "GET" or slot.has_room(size),
            )
        except OSError as error:  # also those of requests
            failure = error
        except BodyTooLargeError:
            msg = f"Stream '{slot.stream}': a page is too large for memory. Lower page_size."
            raise ExportFailedError(msg) from None
        else:
            self.monitor.observe_date(response.headers.get("Date"))
            outcome = self._read(request.method or "", response, slot.stream)
            if isinstance(outcome, _Failure):
                history.fault_seconds += slot.connection.waited
            return outcome
        # Outside of `except`: a new error must not carry the old one, which may quote the URL.
        if problem := setup_problem(failure, has_answered=self.monitor.has_answered):
            msg = f"Stream '{slot.stream}': no connection: {problem}."
            raise ConnectionSetupError(msg)
        if not isinstance(failure, requests.RequestException):
            raise failure
        history.fault_seconds += slot.connection.waited
        return _Failure(describe_failure(failure), self.retry.max_attempts)

    def _read(self, method: str, response: HttpResponse, stream: str) -> ParsedResponse | _Failure:
        """Classify a response; a failure is one of the request, not of its export."""
        parsed, retry = classify(method, response.status, response.content), self.retry
        max_attempts = retry.max_attempts
        if parsed.kind is ResponseKind.DENIED:
            if not self.monitor.has_accepted_job:
                msg = (
                    f"Stream '{stream}': {parsed}. Check api_secret and school_code, and that the "
                    "secret may read this data."
                )
                raise AccessDeniedError(msg, status=parsed.status)
            max_attempts = min(max_attempts, retry.max_attempts_denied)
        elif parsed.kind not in TRANSIENT:
            self.monitor.observe_keys(stream, parsed.unknown_keys)
            return parsed
        retry_after = parse_retry_after(response.headers.get("Retry-After"))
        return _Failure(str(parsed), max_attempts, parsed.status, retry_after)

    def _final_error(
        self, failure: _Failure, attempts: int, request: str, stream: str
    ) -> AccessDeniedError | ServiceUnavailableError:
        count = f"{attempts} attempt{'s' * (attempts > 1)}"
        if failure.status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            msg = (
                f"Stream '{stream}': {failure.reason} after {count}. The secret has worked in this "
                "run, so either it may not read this data (ask CampusGroups, or deselect the "
                "stream), or a firewall or rate limit of the service refuses the requests (run "
                "again later, or lower max_concurrent_exports)."
            )
            return AccessDeniedError(msg, status=failure.status)
        msg = f"Stream '{stream}': {request} failed after {count}: {failure.reason}."
        if failure.status is None:
            msg += " Check the network, school_code and api_url."
        elif failure.retry_after is not None and attempts < failure.max_attempts:
            msg += f" The service asks to wait {failure.retry_after:.0f} s; run again later."
        return ServiceUnavailableError(msg)
