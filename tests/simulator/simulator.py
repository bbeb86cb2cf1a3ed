"""The simulator as tests use it: data, rules, faults and server in one object."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from .dataset import Dataset
from .queries import Timing
from .server import Server
from .service import BASE_PATH, DEFAULT_SCHOOL, DEFAULT_SECRET, Service

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from types import TracebackType

    from .faults import Fault
    from .service import RecordedRequest


def utc_now() -> datetime:
    """Return the present as an aware UTC datetime."""
    return datetime.now(UTC)


class Simulator:
    """The Data Export API on a local port, serving from construction until `close()`.

        with Simulator(Dataset(20, newest=now), queued_polls=1) as simulator:
            requests.post(f"{simulator.url}/events", ...)

    Without a dataset there are 50 rows a stream, the newest at `now()`. `clock` returns seconds and
    measures how long a query has waited; `now` returns aware UTC. Waits are in seconds of `clock`
    or in polls, for all streams or by stream (see `Timing`; `simulator.timing` may be changed);
    those before a page, `page_seconds`, are in seconds of real time.
    `max_active` is how many queries may be unfinished before a POST gets 429 (None: any number):
    a query is unfinished until a GET has answered 200, 410 or 500 for it.
    """

    def __init__(  # noqa: PLR0913 - one argument a setting
        self,
        dataset: Dataset | None = None,
        *,
        api_secret: str = DEFAULT_SECRET,
        school_code: str = DEFAULT_SCHOOL,
        host: str = "127.0.0.1",
        port: int = 0,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        queued_seconds: float | Mapping[str, float] = 0.0,
        running_seconds: float | Mapping[str, float] = 0.0,
        queued_polls: int | Mapping[str, int] = 0,
        running_polls: int | Mapping[str, int] = 0,
        page_seconds: float | Mapping[str, float] = 0.0,
        max_active: int | None = None,
    ) -> None:
        """Bind to `host` and `port` (0: a free one) and start to serve."""
        self.dataset = Dataset(newest=now()) if dataset is None else dataset
        self.timing = Timing(
            queued_seconds, running_seconds, queued_polls, running_polls, page_seconds
        )
        self.api_secret = api_secret
        self.school_code = school_code
        self._service = Service(
            self.dataset,
            api_secret=api_secret,
            school_code=school_code,
            clock=clock,
            timing=self.timing,
            max_active=max_active,
        )
        self._closed = False
        self._server = Server(host, port, handle=self._service.handle, now=now)
        self.url = f"http://{host}:{self._server.port}{BASE_PATH}"

    def __enter__(self) -> Self:
        """Return the simulator, which serves already."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; raise the simulator's own first error, if any, unless another is on its way."""
        self.close()
        if error is None and self.errors:
            raise self.errors[0]

    @property
    def requests(self) -> list[RecordedRequest]:
        """A copy of the requests so far, each recorded before its answer is sent."""
        return self._service.requests

    @property
    def errors(self) -> list[BaseException]:
        """Errors inside the simulator; a client saw its connection close on them."""
        return self._server.errors

    @property
    def paths(self) -> dict[str, str]:
        """Streams that are served under another name than their own, and that name; may change."""
        return self._service.paths

    def set_date_header(self, header: str) -> None:
        """Send another `Date` header from now on, for instance one that is not a date."""
        self._server.date = header

    @property
    def active(self) -> int:
        """How many queries are unfinished now."""
        return self._service.queries.active

    @property
    def peak_active(self) -> int:
        """How many queries were unfinished at once, since the start or `reset_log()`."""
        return self._service.queries.peak_active

    @property
    def hanging(self) -> int:
        """How many requests hang now."""
        return len(self._server.gate.waiting)

    def holds(self, client: object) -> bool:
        """Return whether a request from a client's socket address hangs now."""
        return client in self._server.gate.waiting

    def headers(self) -> dict[str, str]:
        """Return the headers that the service demands."""
        return {"X-CG-API-Secret": self.api_secret, "X-CG-School": self.school_code}

    def inject(self, fault: Fault) -> Fault:
        """Let a fault happen; return it, so that its `fired` can be read."""
        if fault.stream is not None and fault.stream not in self.dataset:
            message = f"no such stream: {fault.stream}"
            raise ValueError(message)
        self._service.faults.add(fault)
        return fault

    def clear_faults(self) -> None:
        """Let no injected fault happen any more."""
        self._service.faults.clear()

    def release(self) -> None:
        """Answer the requests that hang now."""
        self._server.gate.release()

    def reset_log(self) -> None:
        """Forget the requests so far, and count `peak_active` anew."""
        self._service.reset_log()

    def close(self) -> None:
        """Stop serving: reset what hangs, join the threads, close the sockets. May be repeated."""
        if not self._closed:
            self._closed = True
            self._server.close()
