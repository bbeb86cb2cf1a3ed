"""One job against a service that answers from a script: without HTTP, threads and waits."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlsplit

import msgspec
from typing_extensions import override

from tap_campusgroups.exports.connection import (
    Connection,
    DeadlineExceededError,
    HttpResponse,
    NoRoomError,
)
from tap_campusgroups.exports.export import PollPolicy, WindowExporter, run_export
from tap_campusgroups.exports.http_client import Endpoint, HttpClient
from tap_campusgroups.exports.pagination import Submit
from tap_campusgroups.exports.retry import RangeHistory, RetryPolicy
from tap_campusgroups.exports.scheduler import Capacity, Slot, StreamExports
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tests.support.exports import LOGGER, WINDOW

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import requests

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.pagination import Step
    from tap_campusgroups.exports.response import ParsedResponse
    from tap_campusgroups.exports.window import Window
    from tests.support.fake_time import FakeTime


@dataclass(frozen=True)
class Answer:
    """What the service does with a request.

    Attributes:
        body: JSON value, or bytes.
        error: Raised instead of a response.
        seconds: How long the response takes.
        suspended: How long the process does not run meanwhile, in seconds.
    """

    status: int = 200
    body: object = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    error: Exception | None = None
    seconds: float = 0.0
    suspended: float = 0.0


@dataclass(frozen=True)
class Sent:
    """A request, and its time limits."""

    at: float
    method: str
    path: str
    query: Mapping[str, str]
    timeout: float
    deadline: float


ENDLESS = Answer(seconds=float("inf"))
"""A response that never ends."""

QUEUED = Answer(201, {"message": "Query is queued and waiting to be executed"})
RUNNING = Answer(202, {"message": "Accepted query and is running"})


def accepted(query_id: str = "q") -> Answer:
    """Return the response to an accepted submission."""
    return Answer(body={"queryId": query_id})


def page(*ids: int, next_page: str | None = None) -> Answer:
    """Return a page of rows; `next_page` is the token of the next one."""
    return Answer(body={"Results": [{"id": number} for number in ids], "NextToken": next_page})


def status(code: int, retry_after: str | None = None) -> Answer:
    """Return a response without a meaningful body."""
    return Answer(code, {}, {} if retry_after is None else {"Retry-After": retry_after})


class ScriptedConnection(Connection):
    """A connection that takes responses from a script.

    Attributes:
        sent: The requests.
    """

    def __init__(self, time: FakeTime, answers: Iterable[Answer]) -> None:
        super().__init__()
        self.sent: list[Sent] = []
        self._answers = iter(answers)
        self._time = time
        self._began = time.monotonic()

    @override
    def exchange(
        self,
        request: requests.PreparedRequest,
        *,
        timeout: float,
        deadline: float,
        has_room: Callable[[int], bool] = lambda _: True,
    ) -> HttpResponse:
        url = urlsplit(request.url or "")
        at = self._time.monotonic() - self._began
        query = dict(parse_qsl(str(url.query)))
        sent = Sent(at, request.method or "", str(url.path), query, timeout, deadline)
        self.sent.append(sent)
        answer = next(self._answers)
        self.waited = min(answer.seconds, deadline)
        self._time.advance(self.waited + answer.suspended)
        if answer.seconds > deadline:
            raise DeadlineExceededError
        if answer.error is not None:
            raise answer.error
        body = answer.body if isinstance(answer.body, bytes) else msgspec.json.encode(answer.body)
        if not has_room(len(body)):
            raise NoRoomError
        return HttpResponse(answer.status, answer.headers, body)


class ScriptedJob:
    """A job and all that it uses.

    Attributes:
        time: The clock.
        sent: The requests.
        slot: The job as its worker sees it.
        capacity: What it shares with other jobs.
    """

    def __init__(  # noqa: PLR0913 - one argument per setting
        self,
        time: FakeTime,
        answers: Iterable[Answer],
        *,
        window: Window = WINDOW,
        request_timeout: float = 60.0,
        poll: PollPolicy | None = None,
        has_accepted_job: bool = True,
        path_alias: str | None = None,
        max_days: int | None = None,
    ) -> None:
        """Plan a job; by default, the service has accepted an export of the run before."""
        monitor = ServiceMonitor(datetime.now(UTC), LOGGER)
        if has_accepted_job:
            monitor.accept("earlier")
        self.time = time
        self.history = RangeHistory()
        policies = (poll or PollPolicy(30, 1800), RetryPolicy.for_timeout(request_timeout))
        self.client = HttpClient(request_timeout, *policies, monitor, LOGGER)
        self.endpoint = Endpoint(
            url="https://school.example/data/v1",
            path="/events",
            path_alias=path_alias,
            page_size=999,
            school_code="school",
            user_agent="tests",
            api_secret="secret",  # noqa: S106 - not a real one
        )
        exporter = WindowExporter(self.endpoint, self.client, max_days)
        self.capacity = Capacity(4, monitor, LOGGER)
        self.slot = make_slot(self.capacity, window=window, run=exporter.run)
        connection = ScriptedConnection(time, answers)
        self.slot.connection = connection
        self.sent = connection.sent

    def send(self, step: Step | None = None) -> ParsedResponse:
        """Send a step, by default a submission."""
        step = step or Submit(self.slot.window)
        return self.client.send(step, self.endpoint, self.slot, self.history)

    def export(self) -> Iterator[Page]:
        """Yield the pages of one export."""
        window = self.slot.window
        return run_export(window, self.endpoint, self.client, self.slot, self.history)

    def pages(self) -> Iterator[Page]:
        """Yield the pages of the job."""
        return self.slot.exports.run(self.slot)

    def end(self) -> None:
        """Declare the job over."""
        with self.capacity.changed:
            self.slot.end()

    def methods(self) -> list[str]:
        """Return the methods of the requests."""
        return [one.method for one in self.sent]


def make_slot(
    capacity: Capacity,
    number: int = 1,
    *,
    stream: str = "events",
    window: Window = WINDOW,
    run: Any = None,
) -> Slot:
    """Create a job outside a scheduler."""
    return Slot(StreamExports(stream, iter(()), 1, run), window, number, capacity)
