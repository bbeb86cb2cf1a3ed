"""One run of the tap in this process: the simulator without sockets, and time that only passes."""

from __future__ import annotations

import io
import json
import logging
import random
import sys
import time
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import requests
from typing_extensions import override

from tap_campusgroups.exceptions import CampusGroupsError
from tap_campusgroups.exports import scheduler
from tap_campusgroups.exports.connection import Connection, DeadlineExceededError, HttpResponse
from tap_campusgroups.shutdown import SHUTDOWN
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator.service import Request
from tests.support.harness import limited_to

if TYPE_CHECKING:
    import signal
    from collections.abc import Callable, Collection, Mapping
    from threading import Event

    from tests.simulator.service import Service

REQUEST_SECONDS = 0.2
MAX_REQUESTS = 20_000
"""Requests of one run after which it counts as endless."""


class Clock:
    """The time of the service and of the tap's machine; it passes only when something waits.

    Attributes:
        offset: How far the machine's clock is ahead of the service's.
        stopped: Monotonic seconds in which the process was suspended.
    """

    def __init__(self, now: datetime) -> None:
        self.offset = timedelta()
        self.stopped = 0.0
        self._now = now
        self._monotonic = 1000.0
        self._lock = Lock()

    def now(self) -> datetime:
        """Return the true time, which is the service's."""
        return self._now

    def seconds(self) -> float:
        """Return the true time in seconds."""
        return self._now.timestamp()

    def local(self) -> float:
        """Return the time of the tap's machine, in seconds."""
        return (self._now + self.offset).timestamp()

    def monotonic(self) -> float:
        """Return the monotonic time of the tap's machine, in seconds."""
        return self._monotonic

    def pass_by(self, seconds: float) -> None:
        """Move the time on."""
        with self._lock:
            self._now += timedelta(seconds=seconds)
            self._monotonic += seconds

    def suspend(self, seconds: float, *, is_asleep: bool) -> None:
        """Suspend the process, or the whole machine, whose monotonic time then stands still."""
        self.pass_by(seconds)
        with self._lock:
            if is_asleep:
                self._monotonic -= seconds
            else:
                self.stopped += seconds

    def wait(self, event: Event, seconds: float) -> bool:
        """Move the time on unless the event has happened."""
        if not event.is_set():
            self.pass_by(seconds)
        return event.is_set()


class _Wire:
    """A connection of the simulator that keeps what it sends."""

    def __init__(self, clock: Clock) -> None:
        self.status, self.headers, self.body = 0, dict[str, str](), b""
        self.is_broken = self.is_held = False
        self._clock = clock

    def format_head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.status, self.headers = status, dict(headers)
        return b""

    def send(self, head: bytes, body: bytes) -> None:
        self.body += head + body

    def close(self) -> None:
        self.is_broken = True

    def reset(self) -> None:
        self.is_broken = True

    def hold(self) -> bool:
        self.is_held = True
        return False

    def pause(self, seconds: float) -> bool:
        self._clock.pass_by(seconds)
        return True


@dataclass
class Weather:
    """What befalls one run besides the faults of the service.

    Attributes:
        at_request: What happens before the request of a number.
        signal_at_write: The signal that arrives at a write of a number.
        sends_date: Whether responses have a `Date` header.
    """

    at_request: dict[int, Callable[[], object]] = field(default_factory=dict)
    signal_at_write: tuple[signal.Signals, int] | None = None
    sends_date: bool = True


@dataclass(frozen=True)
class Ended:
    """A run that has ended.

    Attributes:
        code: Exit code.
        error: What ended it.
        seconds: How long it took, without suspensions.
        is_endless: Whether it was ended because it sent too many requests.
    """

    code: int
    error: BaseException | None
    output: bytes
    log: list[logging.LogRecord]
    seconds: float
    is_endless: bool


class _Exchanges:
    """Carries requests to the simulator's service, with what happens at them."""

    def __init__(self, service: Service, clock: Clock, weather: Weather) -> None:
        self._service, self._clock, self._weather = service, clock, weather
        self._lock = Lock()
        self.count = 0
        self.is_endless = False

    def exchange(self, request: requests.PreparedRequest, deadline: float) -> HttpResponse | float:
        """Return the response, or how long the connection took to break."""
        with self._lock:
            self.count += 1
            if self.count >= MAX_REQUESTS:
                self.is_endless = True
                SHUTDOWN.request(15)
            self._weather.at_request.pop(self.count, lambda: None)()
            self._clock.pass_by(REQUEST_SECONDS)
            headers = Message()
            for name, value in request.headers.items():
                headers[name] = str(value)
            wire = _Wire(self._clock)
            self._service.handle(Request(request.method or "", request.path_url, headers)).send(
                wire
            )
            if wire.is_held:
                self._clock.pass_by(deadline)
                return deadline
        if wire.is_broken:
            return REQUEST_SECONDS
        if self._weather.sends_date:
            wire.headers["Date"] = format_datetime(self._clock.now(), usegmt=True)
        wire_headers = requests.structures.CaseInsensitiveDict(wire.headers)
        return HttpResponse(wire.status, wire_headers, wire.body)


class _StormConnection(Connection):
    def __init__(self, exchanges: _Exchanges) -> None:
        super().__init__()
        self._exchanges = exchanges

    @override
    def exchange(
        self, request: requests.PreparedRequest, *, timeout: float, deadline: float
    ) -> HttpResponse:
        outcome = self._exchanges.exchange(request, deadline)
        self.waited = outcome if isinstance(outcome, float) else REQUEST_SECONDS
        if isinstance(outcome, HttpResponse):
            return outcome
        if outcome == deadline:
            raise DeadlineExceededError
        raise requests.exceptions.ConnectionError(ConnectionResetError())


class _Output(io.BytesIO):
    """A stdout in which a signal arrives at a write."""

    def __init__(self, weather: Weather) -> None:
        super().__init__()
        self._signal: signal.Signals | None
        self._signal, self._at = weather.signal_at_write or (None, 0)

    @override
    def write(self, data: Any) -> int:
        self._at -= 1
        if self._at == 0 and self._signal is not None:
            SHUTDOWN.request(self._signal)
        return super().write(data)


def _local_datetime(clock: Clock) -> type[datetime]:
    """Return the class `datetime` with the time of the tap's machine."""

    class Local(datetime):
        def __new__(cls, *args: Any, **more: Any) -> datetime:  # type: ignore[misc]
            return datetime(*args, **more)  # noqa: DTZ001 - the caller chooses the zone

        @classmethod
        @override
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(clock.local(), tz)

    return Local


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.records: list[logging.LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def run_tap(
    service: Service,
    clock: Clock,
    weather: Weather,
    streams: Collection[str],
    *,
    config: Mapping[str, Any],
    catalog: Mapping[str, Any],
    state: Mapping[str, Any],
) -> Ended:
    """Run the tap once on the clock."""
    exchanges, output, log = _Exchanges(service, clock, weather), _Output(weather), _Log()
    started, code = clock.monotonic() - clock.stopped, 0
    error: BaseException | None = None
    root = logging.getLogger()
    local = _local_datetime(clock)
    with ExitStack() as stack:
        for owner, name, value in [
            (scheduler, "wait", clock.wait),
            (scheduler, "CHECK_INTERVAL", 0.005),
            (scheduler, "Connection", lambda: _StormConnection(exchanges)),
            (time, "monotonic", clock.monotonic),
            (time, "time", clock.local),
            (random, "random", lambda: 0.5),
            (root, "level", logging.DEBUG),
            (TapCampusGroups, "initialized_at", int(clock.local() * 1000)),
            *(
                (module, "datetime", local)
                for name, module in sys.modules.items()
                if name.startswith("tap_campusgroups.") and vars(module).get("datetime") is datetime
            ),
        ]:
            stack.enter_context(patch.object(owner, name, value))
        stack.enter_context(limited_to(streams))
        stack.enter_context(redirect_stdout(io.TextIOWrapper(output, encoding="utf-8")))
        root.addHandler(log)
        stack.callback(root.removeHandler, log)
        SHUTDOWN.signal = None
        stack.callback(setattr, SHUTDOWN, "signal", None)
        try:
            TapCampusGroups(
                config=dict(config),
                catalog=json.loads(json.dumps(catalog)),
                state=json.loads(json.dumps(state)),
            ).sync_all()
        except CampusGroupsError as caught:
            code, error = 1, caught
        except SystemExit as caught:
            code, error = int(caught.code or 0), caught
        except BaseException as caught:  # noqa: BLE001 - a violation
            code, error = -1, caught
        sys.stdout.flush()
        written = output.getvalue()
        seconds = clock.monotonic() - clock.stopped - started
    return Ended(code, error, written, log.records, seconds, exchanges.is_endless)


def utc(text: str) -> datetime:
    """Parse a timestamp of a row or a state."""
    return datetime.fromisoformat(text).astimezone(UTC)
