"""The service's rules, without sockets (specification 1.1, responses of POST and GET)."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from .faults import FaultList
from .queries import MAX_PAGE_SIZE, QueryStore, TooManyQueriesError, value_for
from .request_context import PAGES, RequestContext
from .responses import (
    QUEUED,
    RUNNING,
    UNAUTHORIZED,
    CompleteResponse,
    DelayedResponse,
    json_response,
    message_response,
)
from .timestamps import parse_bound

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from email.message import Message

    from .dataset import Dataset
    from .queries import Query, QueryState, Timing
    from .request_context import Phase, RecordedPhase
    from .responses import Response

BASE_PATH = "/data/v1"
SECRET_HEADER, SCHOOL_HEADER = "X-CG-API-Secret", "X-CG-School"
DEFAULT_SECRET = "a-secret-for-the-simulator-only"  # noqa: S105 - not a real one
DEFAULT_SCHOOL = "readyeducation"


@dataclass(frozen=True)
class Request:
    """An HTTP request; `target` is the path with the query string."""

    method: str
    target: str
    headers: Message


@dataclass(frozen=True)
class RecordedRequest:
    """A request that was answered.

    Attributes:
        path: Path without the query string.
        stream: Stream of the path; None if it does not exist.
        query: Decoded parameters.
        headers: Headers, case-insensitive.
        phase: Phase; "refused" if the service refused the request or the query had failed.
        status: Status that the client got; None if it got no status line.
        fault: Name of the fault type that hit it.
    """

    method: str
    path: str
    stream: str | None
    query: Mapping[str, str]
    headers: Message = field(repr=False)
    phase: RecordedPhase
    status: int | None
    fault: str | None = None


class RefusedError(Exception):
    """The service refuses a request; `query` is set if it names a query that has failed."""

    def __init__(self, response: CompleteResponse, query: Query | None = None) -> None:
        super().__init__(response.status)
        self.response = response
        self.query = query


def _refusal(status: HTTPStatus, message: str) -> RefusedError:
    return RefusedError(message_response(status, message))


@dataclass
class Service:
    """Answers requests from a dataset, like the Data Export API.

    Attributes:
        paths: Streams served under another path than their name, and that path.
    """

    dataset: Dataset
    api_secret: str
    school_code: str
    clock: Callable[[], float]
    timing: Timing
    paths: dict[str, str] = field(default_factory=dict)
    faults: FaultList = field(default_factory=FaultList, init=False)
    queries: QueryStore = field(init=False)
    _requests: list[RecordedRequest] = field(default_factory=list, init=False)
    _lock: Lock = field(default_factory=Lock, init=False)

    def __post_init__(self) -> None:
        """Start without queries."""
        self.queries = QueryStore(seed=self.dataset.seed)

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in the order in which they were answered."""
        with self._lock:
            return list(self._requests)

    def reset_log(self) -> None:
        """Forget the requests so far and restart `peak_active`."""
        with self._lock:
            self._requests.clear()
        self.queries.reset_peak()

    def handle(self, request: Request) -> Response:
        """Return the response to a request and record both."""
        at = self.clock()
        path, _, query = request.target.partition("?")
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        stream = self._stream_of(path)
        context = self._accept(request, stream, parameters, at)
        context.parameters = parameters
        fault = self.faults.take(context)
        response = context.execute() if fault is None else fault.type.respond(context)
        recorded = RecordedRequest(
            method=request.method,
            path=path,
            stream=stream,
            query=parameters,
            headers=request.headers,
            phase=context.phase,
            status=response.status,
            fault=None if fault is None else type(fault.type).__name__,
        )
        with self._lock:
            self._requests.append(recorded)
        seconds = self._page_delay(context, response)
        return DelayedResponse(response, seconds) if seconds > 0 else response

    def _page_delay(self, context: RequestContext, response: Response) -> float:
        is_page = context.phase in PAGES and response.status == HTTPStatus.OK
        if not is_page or context.stream is None:
            return 0.0
        return value_for(self.timing.page_seconds, context.stream)

    def _stream_of(self, path: str) -> str | None:
        name = path.removeprefix(f"{BASE_PATH}/")
        streams = {served: stream for stream, served in self.paths.items()}
        stream = streams.get(name, name)
        is_served = name != path and name == self.paths.get(stream, stream)
        return stream if is_served and stream in self.dataset else None

    def _accept(
        self, request: Request, stream: str | None, parameters: Mapping[str, str], at: float
    ) -> RequestContext:
        try:
            return self._validate(request, stream, parameters, at)
        except RefusedError as refused:
            response, query = refused.response, refused.query
            return RequestContext(stream, "refused", response.status, lambda _: response, query)

    def _validate(
        self, request: Request, stream: str | None, parameters: Mapping[str, str], at: float
    ) -> RequestContext:
        if stream is None:
            raise _refusal(HTTPStatus.NOT_FOUND, "Not Found")
        accept = {"POST": self._accept_submit, "GET": self._accept_get}.get(request.method)
        if accept is None:
            allow = {"Allow": "GET, POST"}
            raise RefusedError(
                message_response(HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed", allow)
            )
        given = (request.headers.get(SECRET_HEADER), request.headers.get(SCHOOL_HEADER))
        if given != (self.api_secret, self.school_code):
            raise RefusedError(UNAUTHORIZED)
        return accept(stream, parameters, at)

    def _accept_submit(
        self, stream: str, parameters: Mapping[str, str], at: float
    ) -> RequestContext:
        start_text = parameters.get("updatedStart", "")
        end_text = parameters.get("updatedEnd", "")
        if not start_text or not end_text:
            raise _refusal(HTTPStatus.BAD_REQUEST, "updatedStart and updatedEnd are required")
        # The specification lists both messages as 500, though they are permanent.
        start, end = parse_bound(start_text), parse_bound(end_text)
        if start is None:
            raise _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Error Parsing Start Date")
        if end is None:
            raise _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "Error Parsing End Date")
        window = (start, end)

        def submit(context: RequestContext) -> CompleteResponse:
            try:
                query = self.queries.submit(stream, self.timing, at)
            except TooManyQueriesError:
                return message_response(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests")
            rows = self.dataset.select(stream, *window)
            query.rows = self.queries.shuffle(stream, start_text, end_text, rows)
            context.query = query
            return json_response(HTTPStatus.OK, {"queryId": query.id})

        return RequestContext(stream, "submit", HTTPStatus.OK, submit, window=window)

    def _accept_get(self, stream: str, parameters: Mapping[str, str], at: float) -> RequestContext:
        query = self._query_of(stream, parameters)
        size = _page_size(parameters)
        # The vendor's own script sends an empty token for the first page.
        token = parameters.get("token") or None
        if query.failure is not None:
            query.is_finished = True
            raise RefusedError(query.failure, query)
        if token is not None and not query.has_issued(token):
            raise _refusal(HTTPStatus.BAD_REQUEST, "token is not valid for this query")
        state = query.state(at) if token is None else "ready"
        if state == "ready":
            phase: Phase = "first_page" if token is None else "later_page"
            return RequestContext(stream, phase, HTTPStatus.OK, _respond_page, query, token, size)
        return _poll(query, state)

    def _query_of(self, stream: str, parameters: Mapping[str, str]) -> Query:
        query_id = parameters.get("queryId", "")
        if not query_id:
            raise _refusal(HTTPStatus.BAD_REQUEST, "queryId is required")
        query = self.queries.get(query_id)
        if query is None or query.stream != stream:
            raise _refusal(HTTPStatus.BAD_REQUEST, "queryId is not valid for this endpoint")
        return query


def _poll(query: Query, state: QueryState) -> RequestContext:
    response = QUEUED if state == "queued" else RUNNING

    def poll(_: RequestContext) -> CompleteResponse:
        query.count_poll(state)
        return response

    return RequestContext(query.stream, "poll", response.status, poll, query)


def _respond_page(context: RequestContext) -> CompleteResponse:
    return context.page().response()


def _page_size(parameters: Mapping[str, str]) -> int:
    text = parameters.get("size", str(MAX_PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_PAGE_SIZE):
        message = f"size must be a number from 1 to {MAX_PAGE_SIZE}"
        raise _refusal(HTTPStatus.BAD_REQUEST, message)
    return int(text)
