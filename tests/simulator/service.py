"""The service's rules, without sockets (specification 1.1, POST and GET responses)."""

from __future__ import annotations

from dataclasses import dataclass, field
from http import HTTPStatus
from threading import Lock
from typing import TYPE_CHECKING
from urllib.parse import parse_qsl

from .faults import FaultList
from .queries import MAX_PAGE_SIZE, QueryStore, TooManyQueriesError, of_stream
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
    from .queries import Query, State, Timing
    from .request_context import Phase, RecordedPhase
    from .responses import Response

BASE_PATH = "/data/v1"
KEY_HEADER, SCHOOL_HEADER = "X-CG-API-Secret", "X-CG-School"
# The default of every simulator; it opens nothing else.
DEFAULT_SECRET = "a-secret-for-the-simulator-only"  # noqa: S105
DEFAULT_SCHOOL = "readyeducation"


@dataclass(frozen=True)
class Request:
    """An HTTP request as it arrived: `target` is the path with the query string."""

    method: str
    target: str
    headers: Message


@dataclass(frozen=True)
class RecordedRequest:
    """What the simulator remembers of a request.

    `path` is without the query string, `stream` None if there is no such stream, `query` the
    decoded parameters, `headers` found in any case of letters. `phase` is "refused" when the
    service itself refused the request or the query was over. `status` is None when the client got
    no status line, `at` seconds of the simulator's clock, `fault` the kind that hit, if one did.
    """

    method: str
    path: str
    stream: str | None
    query: Mapping[str, str]
    headers: Message = field(repr=False)
    phase: RecordedPhase
    status: int | None
    at: float
    fault: str | None = None


class RefusedError(Exception):
    """The service does not do what was asked; `answer` says why."""

    def __init__(self, answer: CompleteResponse, query: Query | None = None) -> None:
        """Keep the answer, and the query if the request named one that is over."""
        super().__init__(answer.status)
        self.answer = answer
        self.query = query


def _bad_request(message: str) -> RefusedError:
    return RefusedError(message_response(HTTPStatus.BAD_REQUEST, message))


class Service:
    """Answers requests from a dataset, as the Data Export API does.

    `clock` returns seconds. Its public attributes may be changed while it runs. `paths` has the
    streams that are served under another name than their own, and under that one only.
    """

    def __init__(  # noqa: PLR0913 - one argument a setting
        self,
        dataset: Dataset,
        *,
        api_secret: str,
        school_code: str,
        clock: Callable[[], float],
        timing: Timing,
        max_active: int | None,
    ) -> None:
        """Start without queries, faults or recorded requests."""
        self.dataset = dataset
        self.api_secret = api_secret
        self.school_code = school_code
        self.clock = clock
        self.timing = timing
        self.queries = QueryStore(seed=dataset.seed, max_active=max_active)
        self.faults = FaultList()
        self.paths: dict[str, str] = {}
        self._requests: list[RecordedRequest] = []
        self._lock = Lock()

    @property
    def requests(self) -> list[RecordedRequest]:
        """The requests so far, in the order in which they were answered."""
        with self._lock:
            return list(self._requests)

    def reset_log(self) -> None:
        """Forget the requests so far, and count `peak_active` anew."""
        with self._lock:
            self._requests.clear()
        self.queries.restart_peak()

    def handle(self, request: Request) -> Response:
        """Return what becomes of a request, and record it."""
        at = self.clock()
        path, _, query = request.target.partition("?")
        parameters = dict(parse_qsl(query, keep_blank_values=True))
        stream = self._stream(path)
        context = self._plan(request, stream, parameters, at)
        fault = self.faults.take(context)
        outcome = context.execute() if fault is None else fault.type.respond(context)
        recorded = RecordedRequest(
            method=request.method,
            path=path,
            stream=stream,
            query=parameters,
            headers=request.headers,
            phase=context.phase,
            status=outcome.status,
            at=at,
            fault=None if fault is None else type(fault.type).__name__,
        )
        with self._lock:
            self._requests.append(recorded)
        seconds = self._seconds_of_page(context, outcome)
        return DelayedResponse(outcome, seconds) if seconds > 0 else outcome

    def _seconds_of_page(self, context: RequestContext, outcome: Response) -> float:
        is_page = context.phase in PAGES and outcome.status == HTTPStatus.OK
        if not is_page or context.stream is None:
            return 0.0
        return of_stream(self.timing.page_seconds, context.stream)

    def _stream(self, path: str) -> str | None:
        name = path.removeprefix(f"{BASE_PATH}/")
        streams = {served: stream for stream, served in self.paths.items()}
        stream = streams.get(name, name)
        is_there = name != path and name == self.paths.get(stream, stream)
        return stream if is_there and stream in self.dataset else None

    def _plan(
        self, request: Request, stream: str | None, parameters: Mapping[str, str], at: float
    ) -> RequestContext:
        try:
            return self._accept(request, stream, parameters, at)
        except RefusedError as refused:
            answer, query = refused.answer, refused.query
            return RequestContext(stream, "refused", answer.status, lambda _: answer, query)

    def _accept(
        self, request: Request, stream: str | None, parameters: Mapping[str, str], at: float
    ) -> RequestContext:
        if stream is None:
            raise RefusedError(message_response(HTTPStatus.NOT_FOUND, "Not Found"))
        accept = {"POST": self._accept_submit, "GET": self._accept_get}.get(request.method)
        if accept is None:
            answer = message_response(
                HTTPStatus.METHOD_NOT_ALLOWED, "Method Not Allowed", {"Allow": "GET, POST"}
            )
            raise RefusedError(answer)
        given = (request.headers.get(KEY_HEADER), request.headers.get(SCHOOL_HEADER))
        if given != (self.api_secret, self.school_code):
            raise RefusedError(UNAUTHORIZED)
        return accept(stream, parameters, at)

    # -- POST: submit ------------------------------------------------------------------------------

    def _accept_submit(
        self, stream: str, parameters: Mapping[str, str], at: float
    ) -> RequestContext:
        start_text = parameters.get("updatedStart", "")
        end_text = parameters.get("updatedEnd", "")
        if not start_text or not end_text:
            message = "updatedStart and updatedEnd are required"
            raise _bad_request(message)
        start, end = parse_bound(start_text), parse_bound(end_text)
        if start is None:
            message = "Error Parsing Start Date"
            raise _bad_request(message)
        if end is None:
            message = "Error Parsing End Date"
            raise _bad_request(message)
        window = (start, end)

        def submit(context: RequestContext) -> CompleteResponse:
            try:
                query = self.queries.submit(stream, self.timing, at)
            except TooManyQueriesError:
                return message_response(HTTPStatus.TOO_MANY_REQUESTS, "Too many requests")
            rows = self.dataset.select(stream, *window)
            query.rows = self.queries.order(stream, start_text, end_text, rows)
            context.query = query
            return json_response(HTTPStatus.OK, {"queryId": query.id})

        return RequestContext(stream, "submit", HTTPStatus.OK, submit, window=window)

    # -- GET: poll, pages --------------------------------------------------------------------------

    def _accept_get(self, stream: str, parameters: Mapping[str, str], at: float) -> RequestContext:
        query = self._query(stream, parameters)
        size = _size(parameters)
        # The vendor's own script sends an empty token for the first page.
        token = parameters.get("token") or None
        if query.failure is not None:
            query.observed = True
            raise RefusedError(query.failure, query)
        if token is not None and not query.has_issued(token):
            message = "token is not valid for this query"
            raise _bad_request(message)
        state = query.state(at) if token is None else "ready"
        if state == "ready":
            phase: Phase = "first_page" if token is None else "later_page"
            return RequestContext(stream, phase, HTTPStatus.OK, _page_answer, query, token, size)
        return _poll(query, state)

    def _query(self, stream: str, parameters: Mapping[str, str]) -> Query:
        query_id = parameters.get("queryId", "")
        if not query_id:
            message = "queryId is required"
            raise _bad_request(message)
        query = self.queries.get(query_id)
        if query is None or query.stream != stream:
            message = "queryId is not valid for this endpoint"
            raise _bad_request(message)
        return query


def _poll(query: Query, state: State) -> RequestContext:
    answer = QUEUED if state == "queued" else RUNNING

    def poll(_: RequestContext) -> CompleteResponse:
        query.count_poll(state)
        return answer

    return RequestContext(query.stream, "poll", answer.status, poll, query)


def _page_answer(context: RequestContext) -> CompleteResponse:
    return context.page().response()


def _size(parameters: Mapping[str, str]) -> int:
    text = parameters.get("size", str(MAX_PAGE_SIZE))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= MAX_PAGE_SIZE):
        message = f"size must be a number from 1 to {MAX_PAGE_SIZE}"
        raise _bad_request(message)
    return int(text)
