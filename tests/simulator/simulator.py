"""The simulator as tests use it: dataset, rules, faults and server in one object."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from .dataset import Dataset
from .queries import Timing
from .server import Server
from .service import (
    BASE_PATH,
    DEFAULT_SCHOOL,
    DEFAULT_SECRET,
    SCHOOL_HEADER,
    SECRET_HEADER,
    Service,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from ssl import SSLContext
    from types import TracebackType

    from .faults import Fault
    from .service import RecordedRequest


def utc_now() -> datetime:
    """Return the current time in UTC."""
    return datetime.now(UTC)


class Simulator:
    """The Data Export API on a local port, from construction until `close()`.

        with Simulator(Dataset(20, newest=now), queued_polls=1) as simulator:
            requests.post(f"{simulator.url}/events", ...)

    Args:
        dataset: The rows (default: 50 per stream, the newest at `now()`).
        clock: Returns seconds; measures how long a query has waited.
        now: Returns the time for the Date header.
        running_seconds: See `Timing`, also for the other waiting times; `simulator.timing` may be
            changed while the simulator runs.
        max_active: Number of active queries at which a POST gets 429 (None: no limit). A query is
            active until a GET for it was answered with 200, 410 or 500.
        tls: Certificate for localhost, see `tests/support/tls.py`; serves https.

    Attributes:
        paths: Streams that are served under another path than their name, and that path.
        clock: Returns seconds, as given.
        errors: Errors of the simulator itself; the client saw its connection close.
    """

    def __init__(  # noqa: PLR0913 - one argument per setting
        self,
        dataset: Dataset | None = None,
        *,
        api_secret: str = DEFAULT_SECRET,
        school_code: str = DEFAULT_SCHOOL,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], datetime] = utc_now,
        running_seconds: float | Mapping[str, float] = 0.0,
        queued_polls: int | Mapping[str, int] = 0,
        running_polls: int | Mapping[str, int] = 0,
        page_seconds: float | Mapping[str, float] = 0.0,
        max_active: int | None = None,
        tls: SSLContext | None = None,
    ) -> None:
        """Bind to a free port and start serving."""
        self.dataset = Dataset(newest=now()) if dataset is None else dataset
        waits = (running_seconds, queued_polls, running_polls, page_seconds)
        self.timing = Timing(*waits, max_active)
        self.clock = clock
        self.api_secret = api_secret
        self.school_code = school_code
        self._service = Service(self.dataset, api_secret, school_code, clock, self.timing)
        self._is_closed = False
        host = "127.0.0.1"
        self._server = Server(host, 0, handle=self._service.handle, now=now, tls=tls)
        self.paths, self.errors = self._service.paths, self._server.errors
        site = f"http://{host}" if tls is None else "https://localhost"
        self.url = f"{site}:{self._server.port}{BASE_PATH}"

    def __enter__(self) -> Self:
        """Return the simulator, which is already serving."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Close; raise the simulator's first own error unless another exception is propagating."""
        self.close()
        if error is None and self.errors:
            raise self.errors[0]

    @property
    def requests(self) -> list[RecordedRequest]:
        """A copy of the requests so far; each is recorded before its response is sent."""
        return self._service.requests

    @property
    def active(self) -> int:
        """Number of active queries."""
        return self._service.queries.active

    @property
    def peak_active(self) -> int:
        """Highest number of active queries since the start or `reset_log()`."""
        return self._service.queries.peak_active

    @property
    def hanging(self) -> int:
        """Number of requests that are being held."""
        return len(self._server.gate.waiting)

    def holds(self, client: object) -> bool:
        """Return whether a request from this socket address is being held."""
        return client in self._server.gate.waiting

    def headers(self) -> dict[str, str]:
        """Return the headers that every request needs."""
        return {SECRET_HEADER: self.api_secret, SCHOOL_HEADER: self.school_code}

    def inject(self, fault: Fault) -> Fault:
        """Add a fault and return it; its `fired` counts the requests that it has hit."""
        if fault.stream is not None and fault.stream not in self.dataset:
            message = f"no such stream: {fault.stream}"
            raise ValueError(message)
        self._service.faults.add(fault)
        return fault

    def set_now(self, now: Callable[[], datetime]) -> None:
        """Replace the time for the Date header."""
        self._server.now = now

    @property
    def faults(self) -> list[Fault]:
        """A copy of the injected faults."""
        return self._service.faults.all()

    def clear_faults(self) -> None:
        """Remove all injected faults."""
        self._service.faults.clear()

    def release(self) -> None:
        """Respond to the requests that are being held."""
        self._server.gate.release()

    def reset_log(self) -> None:
        """Forget the requests so far and restart `peak_active`."""
        self._service.reset_log()

    def close(self) -> None:
        """Stop serving, reset held requests, join the threads; may be called again."""
        if not self._is_closed:
            self._is_closed = True
            self._server.close()
