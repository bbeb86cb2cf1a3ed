"""One run of the tap in this process: the simulator without sockets, with its own clock."""

from __future__ import annotations

import io
import json
import logging
import random
import sys
import time
from contextlib import ExitStack, redirect_stdout
from dataclasses import dataclass
from datetime import datetime, timedelta
from email.message import Message
from email.utils import format_datetime
from threading import Lock
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import requests
from requests.structures import CaseInsensitiveDict
from typing_extensions import override

from tap_campusgroups.exceptions import CampusGroupsError
from tap_campusgroups.exports import scheduler
from tap_campusgroups.exports.connection import (
    Connection,
    DeadlineExceededError,
    HttpResponse,
    NoRoomError,
)
from tap_campusgroups.shutdown import SHUTDOWN
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator.service import Request
from tests.support.harness import limited_to

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from threading import Event

    from tests.simulator.service import Service

REQUEST_SECONDS = 0.2
MAX_REQUESTS = 20_000
"""A run that sends more never ends."""


class Machine:
    """The machine of the tap, its clock, and the service's; time passes only when something waits.

    Attributes:
        now: The service's time.
        offset: How far the machine's clock is ahead of it.
        stopped: Monotonic seconds in which the process was suspended.
        at_request: What happens before the request of a number in the next run.
        sends_date: Whether responses have a `Date` header.
    """

    def __init__(self, now: datetime) -> None:
        self.now, self.offset = now, timedelta()
        self.stopped, self._monotonic = 0.0, 1000.0
        self.at_request: dict[int, Callable[[], object]] = {}
        self.sends_date = True
        self._lock = Lock()

    def service_seconds(self) -> float:
        """Return the time of the service, in seconds."""
        return self.now.timestamp()

    def local(self) -> float:
        """Return the time of the machine, in seconds."""
        return (self.now + self.offset).timestamp()

    def monotonic(self) -> float:
        """Return the monotonic time, in seconds."""
        return self._monotonic

    def pass_time(self, seconds: float) -> None:
        """Move the time on."""
        with self._lock:
            self.now += timedelta(seconds=seconds)
            self._monotonic += seconds

    def stop(self, seconds: float, *, is_asleep: bool) -> None:
        """Suspend the process, or the machine, whose monotonic time then stands still."""
        self.now += timedelta(seconds=seconds)
        if not is_asleep:
            self._monotonic += seconds
            self.stopped += seconds

    def wait(self, event: Event, seconds: float) -> bool:
        """Move the time on unless the event has happened."""
        if not event.is_set():
            self.pass_time(seconds)
        return event.is_set()


@dataclass
class _Wire:
    """The simulator's side of a connection."""

    machine: Machine
    status: int = 0
    headers: Mapping[str, str] | None = None
    body: bytes = b""
    is_broken: bool = False
    is_held: bool = False

    def format_head(self, status: int, headers: Mapping[str, str]) -> bytes:
        self.status, self.headers = status, headers
        return b""

    def send(self, head: bytes, body: bytes) -> None:
        self.body += head + body

    def close(self) -> None:
        self.is_broken = True

    reset = close

    def hold(self) -> bool:
        self.is_held = True
        return False

    def pause(self, seconds: float) -> bool:
        self.machine.pass_time(seconds)
        return True


class _Exchanges:
    """All connections of a run; one request at a time."""

    def __init__(self, service: Service, machine: Machine) -> None:
        self._service, self._machine = service, machine
        self._lock = Lock()
        self.count = 0

    def exchange(self, request: requests.PreparedRequest, deadline: float) -> _Wire:
        """Send a request to the service."""
        machine, wire = self._machine, _Wire(self._machine)
        headers = Message()
        for name, value in request.headers.items():
            headers[name] = str(value)
        with self._lock:
            self.count += 1
            if self.count >= MAX_REQUESTS:
                SHUTDOWN.request(15)
            machine.at_request.pop(self.count, lambda: None)()
            machine.pass_time(REQUEST_SECONDS)
            method = request.method or ""
            self._service.handle(Request(method, request.path_url, headers)).send(wire)
            if wire.is_held:
                machine.pass_time(deadline)
        date = {"Date": format_datetime(machine.now, usegmt=True)} if machine.sends_date else {}
        wire.headers = CaseInsensitiveDict({**(wire.headers or {}), **date})
        return wire


class _StormConnection(Connection):
    def __init__(self, exchanges: _Exchanges) -> None:
        super().__init__()
        self._exchanges = exchanges

    @override
    def exchange(
        self,
        request: requests.PreparedRequest,
        *,
        timeout: float,
        deadline: float,
        has_room: Callable[[int], bool] = lambda _: True,
    ) -> HttpResponse:
        wire = self._exchanges.exchange(request, deadline)
        self.waited = deadline if wire.is_held else REQUEST_SECONDS
        if wire.is_held:
            raise DeadlineExceededError
        if wire.is_broken:
            raise requests.exceptions.ConnectionError(ConnectionResetError())
        if not has_room(len(wire.body)):
            raise NoRoomError
        return HttpResponse(wire.status, wire.headers or {}, wire.body)


def _datetime_on(machine: Machine) -> type[datetime]:
    """Return the class `datetime` with the time of a machine."""

    class Local(datetime):
        def __new__(cls, *args: Any, **more: Any) -> datetime:  # type: ignore[misc]
            return datetime(*args, **more)  # noqa: DTZ001 - the caller chooses the zone

        @classmethod
        @override
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return datetime.fromtimestamp(machine.local(), tz)

    return Local


class _Log(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    @override
    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


@dataclass(frozen=True)
class Ended:
    """A run that has ended; `seconds` is without suspensions."""

    code: int
    error: BaseException | None
    output: bytes
    log: list[logging.LogRecord]
    seconds: float
    requests: int


def run_tap(
    service: Service, machine: Machine, streams: Collection[str], **inputs: Mapping[str, Any]
) -> Ended:
    """Run the tap with `config`, `catalog` and `state`."""
    exchanges, output, log = _Exchanges(service, machine), io.BytesIO(), _Log()
    began, code = machine.monotonic() - machine.stopped, 0
    error: BaseException | None = None
    root, local = logging.getLogger(), _datetime_on(machine)
    with ExitStack() as stack:
        for owner, name, value in [
            (scheduler, "wait", machine.wait),
            (scheduler, "CHECK_INTERVAL", 0.005),
            # A few pages fill the buffer, and most are larger than expected.
            (scheduler, "MAX_BUFFERED_BYTES", 8_000),
            (scheduler, "RESUME_BYTES", 6_000),
            (scheduler, "PAGE_ESTIMATE", 500),
            (scheduler, "Connection", lambda: _StormConnection(exchanges)),
            (time, "monotonic", machine.monotonic),
            (time, "time", machine.local),
            (random, "random", lambda: 0.5),
            (root, "level", logging.DEBUG),
            (SHUTDOWN, "signal", None),
            (TapCampusGroups, "initialized_at", int(machine.local() * 1000)),
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
        try:
            TapCampusGroups(**json.loads(json.dumps(inputs))).sync_all()
        except CampusGroupsError as caught:
            code, error = 1, caught
        except SystemExit as caught:
            code, error = int(caught.code or 0), caught
        except BaseException as caught:  # noqa: BLE001 - a violation
            code, error = -1, caught
        sys.stdout.flush()
        seconds = machine.monotonic() - machine.stopped - began
        return Ended(code, error, output.getvalue(), log.records, seconds, exchanges.count)
