"""The requests of a probe and what came back: one budget, at most two exports at a time."""

from __future__ import annotations

import time
import typing as t
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field, replace
from http import HTTPStatus

from singer_sdk.schema.source import SchemaDirectory

from tap_campusgroups import schemas
from tap_campusgroups.exceptions import (
    AccessDeniedError,
    ConnectionSetupError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports.connection import (
    BodyTooLargeError,
    Connection,
    describe_failure,
    setup_problem,
)
from tap_campusgroups.exports.http_client import RESPONSE_DEADLINE, Endpoint
from tap_campusgroups.exports.response import TRANSIENT, WAITING, ResponseKind, classify
from tap_campusgroups.exports.retry import parse_retry_after
from tap_campusgroups.exports.service_monitor import parse_http_date, utc_now
from tap_campusgroups.probe.rows import RowSurvey
from tap_campusgroups.records.json_codec import JsonError, decode_body, decode_rows, describe_json
from tap_campusgroups.records.values import parse_timestamp
from tap_campusgroups.redaction import redact_keys

if t.TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime, timedelta

    from requests import PreparedRequest

    from tap_campusgroups.config import Settings
    from tap_campusgroups.exports.connection import HttpResponse
    from tap_campusgroups.exports.response import ParsedResponse
    from tap_campusgroups.records.json_codec import Raw, Record

MAX_REQUESTS: t.Final = 100
MAX_EXPORTS: t.Final = 2  # queued or running at the service
MAX_SECONDS: t.Final = 900.0  # apart from `ProbeClient.rest`
MAX_EXPORT_SECONDS: t.Final = 180.0  # after which an export is left, and keeps its place
RETRY_DELAYS: t.Final = (0.0, 2.0, 8.0)  # before each attempt of a request
MAX_REQUESTED_DELAY: t.Final = 60.0  # of a Retry-After
FIRST_INTERVAL: t.Final = 2.0  # between two polls of an export
MAX_INTERVAL: t.Final = 15.0

_KNOWN_KEYS: t.Final = {"queryid", "message", "results", "nexttoken"}  # in any spelling
_SCHEMAS: t.Final = SchemaDirectory(schemas)


class BudgetSpentError(Exception):
    """No further request is allowed; the text is the reason."""


class UnansweredError(Exception):
    """A request got no response; the text is the reason."""


class RowKey(t.NamedTuple):
    """A row as far as the probe remembers it."""

    id: str  # as text: an id that changes its type is another difference
    updated: str  # as the service writes it
    updated_at: datetime | None

    @classmethod
    def of(cls, row: Record) -> RowKey:
        """Return the key of a row."""
        updated = row.get("updatedOn")
        return cls(str(row.get("id")), str(updated), parse_timestamp(updated))


@dataclass(frozen=True)
class Exchange:
    """A response, without its body.

    Attributes:
        keys: The keys of its body; those that may be data are hidden.
        token_form: Whether the token of a page is a string, empty, null or absent.
        clock_difference: The service's clock minus the local one, if there is a `Date`.
    """

    method: str
    headers: Mapping[str, str]
    keys: tuple[str, ...]
    parsed: ParsedResponse
    rows: tuple[RowKey, ...]
    token_form: str
    clock_difference: timedelta | None

    @property
    def is_page(self) -> bool:
        """Whether the response is a page of rows."""
        return self.parsed.kind is ResponseKind.PAGE

    def __str__(self) -> str:
        """Describe the response without any text of the service."""
        rows = f"{len(self.rows)} row{'s' * (len(self.rows) != 1)}"
        return f"HTTP {self.parsed.status} with {rows}" if self.is_page else str(self.parsed)


@dataclass
class Export:
    """An export: its range as it was asked for, and the responses in their order."""

    name: str
    stream: str
    start: str
    end: str
    is_surveyed: bool = False
    is_over: bool = False  # it has a page, or an error
    is_left: bool = False  # it took too long
    exchanges: list[Exchange] = field(default_factory=list)
    queued: float = 0.0  # seconds
    running: float = 0.0
    waited: float = 0.0  # until the last poll at which it was not ready
    polled: float = 0.0  # when, by the client's clock
    due: float = 0.0
    interval: float = FIRST_INTERVAL

    @property
    def query_id(self) -> str | None:
        """Its identifier, if the service has accepted it."""
        return self.exchanges[0].parsed.query_id if self.exchanges else None

    @property
    def page(self) -> Exchange | None:
        """The first page, if the export has run."""
        last = self.exchanges[-1] if self.exchanges else None
        return last if last and last.is_page else None

    @property
    def statuses(self) -> list[int]:
        """The statuses of its polls."""
        return [int(one.parsed.status) for one in self.exchanges[1:]]

    @property
    def is_complete(self) -> bool:
        """Whether the first page has all rows."""
        return self.page is not None and self.page.parsed.token is None

    def ids(self) -> set[str]:
        """Return the ids of the first page."""
        return {row.id for row in self.page.rows} if self.page else set()


class ProbeClient:
    """Asks the service, and keeps what the assumptions are about.

    Attributes:
        exports: The exports by name.
        answers: The responses to single questions by name.
        exchanges: All responses in their order.
        surveys: What the rows look like, by stream.
        requests: Number of requests.
        rested: Seconds of `rest`.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self.exports: dict[str, Export] = {}
        self.answers: dict[str, Exchange] = {}
        self.exchanges: list[Exchange] = []
        self.surveys: dict[str, RowSurvey] = {}
        self.requests = 0
        self.rested = 0.0
        self._clock, self._sleep = clock, sleep
        self._deadline = clock() + MAX_SECONDS
        self._connection = Connection()
        self._active: list[Export] = []
        self._places = MAX_EXPORTS
        self._first_interval = 0.0  # as long as the latest export took

    def close(self) -> None:
        """Close the connection."""
        self._connection.close()

    # Exports

    def run(self, *exports: Export) -> None:
        """Run some exports, at most `MAX_EXPORTS` at a time, each up to its first page."""
        todo = deque(exports)
        while todo or self._active:
            if todo and len(self._active) < self._places:
                export = todo.popleft()
                if self._submit(export):
                    self._active.append(export)
            elif self._active:
                export = min(self._active, key=lambda one: one.due)
                self._sleep(max(0.0, export.due - self._clock()))
                self._poll(export)
                if export.is_over or export.is_left:
                    self._active.remove(export)
            else:
                msg = f"{MAX_EXPORTS} exports may still be running"
                raise BudgetSpentError(msg)

    def _submit(self, export: Export) -> bool:
        self.exports[export.name] = export
        params = {"updatedStart": export.start, "updatedEnd": export.end}
        exchange = self.send("POST", export.stream, params)
        if len(self.exports) == 1:
            _require_access(exchange, export.stream)
        export.exchanges.append(exchange)
        export.polled = self._clock()
        export.due = export.polled + self._first_interval
        export.is_over = export.query_id is None
        return not export.is_over

    def _poll(self, export: Export) -> None:
        params = {"queryId": export.query_id or "", "size": str(self.settings.page_size)}
        exchange = self.send("GET", export.stream, params, is_surveyed=export.is_surveyed)
        export.exchanges.append(exchange)
        now, kind = self._clock(), exchange.parsed.kind
        if kind is ResponseKind.QUEUED:
            export.queued += now - export.polled
        else:
            export.running += now - export.polled
        export.polled = now
        seconds = export.queued + export.running
        if kind not in WAITING:
            # Halfway between the last poll at which it was not ready and this one.
            self._first_interval = min((export.waited + seconds) / 2, MAX_INTERVAL)
            export.is_over = True
        elif seconds >= MAX_EXPORT_SECONDS:
            self._places -= 1
            export.is_left = True
        export.waited = seconds
        export.due = now + export.interval
        export.interval = min(1.5 * export.interval, MAX_INTERVAL)

    # Requests

    def ask(
        self, name: str, export: Export, *, secret: str | None = None, **params: str
    ) -> Exchange:
        """Send one GET for an export; keep the response by a name, unless it is a rate limit."""
        params = {"queryId": export.query_id or "", **params}
        answer = self.send("GET", export.stream, params, may_fail=True, secret=secret)
        if answer.parsed.kind is not ResponseKind.BUSY:
            self.answers[name] = answer
        return answer

    def rest(self, seconds: float) -> None:
        """Wait, without using up the time of the client."""
        self._deadline += seconds
        self._sleep(seconds)
        self.rested += seconds

    def send(
        self,
        method: str,
        stream: str,
        params: Mapping[str, str],
        *,
        may_fail: bool = False,
        is_surveyed: bool = False,
        secret: str | None = None,
    ) -> Exchange:
        """Send a request, again after a passing fault; if it may fail, only after a rate limit.

        Raises:
            UnansweredError: If there was no response.
            BudgetSpentError: If the client may send no more.
            ConnectionSetupError: If no connection is possible.
        """
        request = self._endpoint(stream, secret).prepare(method, params)
        outcome: Exchange | str = ""
        requested = 0.0
        for delay in RETRY_DELAYS:
            self._sleep(max(delay, requested))
            outcome = self._attempt(request, stream, is_surveyed=is_surveyed)
            if isinstance(outcome, str):
                if method == "POST":  # it may have arrived: its export has a place
                    self._places -= 1
                    break
            elif outcome.parsed.kind not in ({ResponseKind.BUSY} if may_fail else TRANSIENT):
                break
            else:
                asked = parse_retry_after(outcome.headers.get("Retry-After")) or 0.0
                requested = min(asked, MAX_REQUESTED_DELAY)
        if isinstance(outcome, str):
            raise UnansweredError(outcome)
        return outcome

    def _endpoint(self, stream: str, secret: str | None) -> Endpoint:
        settings = self.settings
        return Endpoint(
            url=settings.api_url,
            path=f"/{stream}",
            path_alias=None,
            page_size=settings.page_size,
            school_code=settings.school_code,
            user_agent=settings.user_agent,
            api_secret=secret or settings.api_secret,
        )

    def _attempt(
        self, request: PreparedRequest, stream: str, *, is_surveyed: bool
    ) -> Exchange | str:
        """Send a request once; return the response, or the reason for a missing one."""
        if self.requests >= MAX_REQUESTS:
            msg = f"limit of {MAX_REQUESTS} requests"
            raise BudgetSpentError(msg)
        if self._clock() >= self._deadline:
            msg = f"limit of {MAX_SECONDS / 60:.0f} minutes"
            raise BudgetSpentError(msg)
        self.requests += 1
        timeout = float(self.settings.request_timeout)
        try:
            response = self._connection.exchange(
                request, timeout=timeout, deadline=RESPONSE_DEADLINE * timeout
            )
        except BodyTooLargeError:
            return "a page is too large for memory"
        except OSError as error:  # also those of requests
            failure = error
        else:
            return self._keep(str(request.method), stream, response, is_surveyed=is_surveyed)
        # Outside of `except`: a new error must not carry the old one, which may quote the URL.
        if problem := setup_problem(failure, has_answered=bool(self.exchanges)):
            msg = f"Stream '{stream}': no connection: {problem}."
            raise ConnectionSetupError(msg)
        return describe_failure(failure)

    def _keep(
        self, method: str, stream: str, response: HttpResponse, *, is_surveyed: bool
    ) -> Exchange:
        parsed = classify(method, response.status, response.content)
        rows: list[Record] = []
        with suppress(JsonError):
            if parsed.results is not None:
                rows, others, _ = decode_rows(parsed.results)
                if is_surveyed:
                    self._survey(stream).add(rows)
                    self._survey(stream).others += others
        date = parse_http_date(response.headers.get("Date"))
        exchange = Exchange(
            method=method,
            headers=response.headers,
            keys=_keys(response.content),
            parsed=replace(parsed, results=None),
            rows=tuple(map(RowKey.of, rows)),
            token_form=_token_form(response.content),
            clock_difference=None if date is None else date - utc_now(),
        )
        self.exchanges.append(exchange)
        return exchange

    def _survey(self, stream: str) -> RowSurvey:
        if stream not in self.surveys:
            self.surveys[stream] = RowSurvey(stream, _SCHEMAS.fetch_schema(stream))
        return self.surveys[stream]


def _require_access(exchange: Exchange, stream: str) -> None:
    """Raise the error for a service that answers the first request without an answer."""
    parsed = exchange.parsed
    if parsed.kind is ResponseKind.DENIED:
        msg = (
            f"Stream '{stream}': {parsed}. Check api_secret and school_code, and that the secret "
            "may read this data."
        )
        raise AccessDeniedError(msg, status=parsed.status)
    is_unknown = parsed.status == HTTPStatus.NOT_FOUND
    if is_unknown or parsed.kind in {*TRANSIENT, ResponseKind.REDIRECTED}:
        msg = f"Stream '{stream}': the service cannot be probed: {parsed}. Check api_url."
        raise ServiceUnavailableError(msg)


def _fields(content: bytes) -> dict[str, Raw]:
    with suppress(JsonError):
        return decode_body(content)[0]
    return {}


def _keys(content: bytes) -> tuple[str, ...]:
    """Return the keys of a body, those that may be data hidden."""
    return tuple(
        key if _plain(key) in _KNOWN_KEYS else redact_keys([key]) for key in _fields(content)
    )


def _plain(key: str) -> str:
    return key.replace("_", "").lower()


def _token_form(content: bytes) -> str:
    """Return whether the token of a page is text, empty, null or absent."""
    for key, raw in _fields(content).items():
        if _plain(key) == "nexttoken":
            kind = describe_json(raw)
            return "empty" if bytes(memoryview(raw)).strip() == b'""' else kind
    return "absent"
