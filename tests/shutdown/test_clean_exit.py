"""Runs that are broken off: by an error, a signal, or a target that is gone. Nothing stays behind.

In process, threads and connections can be looked at; real processes have signals and pipes.
"""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import select
import signal
import subprocess
import sys
import threading
from contextlib import ExitStack, contextmanager, redirect_stdout
from time import monotonic
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.client import CampusGroupsStream
from tap_campusgroups.exceptions import ExportFailedError, OutputError, UnexpectedError
from tap_campusgroups.exports import scheduler
from tap_campusgroups.exports.export import PollPolicy
from tap_campusgroups.exports.transport import current_session, worker_session
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, FailQuery, Hang, JsonBody, Simulator, Status
from tests.support.exports import NAMES, background, supervised, workers
from tests.support.harness import NEWEST, catalog_of, settings_for, sync, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

LONGEST = 5.0
"""Seconds that an end may take."""

FIRST, POLLED, RETRIABLE, HANGING, AHEAD, REFUSED = BUSY = NAMES[:6]
"""The streams of a busy run, by what becomes of them."""


@pytest.fixture(autouse=True)
def _supervised() -> Iterator[None]:
    with supervised():
        yield


@contextmanager
def service(rows: int) -> Iterator[Simulator]:
    """Start a service under which the exports of a run come to wait in every way there is.

    Args:
        rows: Of the first stream.
    """
    dataset = Dataset(dict.fromkeys(BUSY, 5) | {FIRST: rows, AHEAD: 200}, newest=NEWEST)
    with Simulator(dataset, running_seconds={POLLED: 1e9}) as simulator:
        simulator.inject(Status(503, headers={"Retry-After": "600"}).on(RETRIABLE, "submit"))
        simulator.inject(Hang().on(HANGING, "first_page"))
        # Until the others at the server end, which they do not.
        simulator.inject(Status(429).on(REFUSED, "submit", times=None))
        yield simulator


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A service whose first stream is small."""
    with service(5) as simulator:
        yield simulator


@pytest.fixture
def large() -> Iterator[Simulator]:
    """A service whose first stream is one page, of more than a pipe holds."""
    with service(400) as simulator:
        yield simulator


def is_busy(simulator: Simulator) -> bool:
    """Say whether the exports of the streams after the first are where they will stay."""
    requests = simulator.requests

    def asked(stream: str, status: int | None) -> bool:
        return any(r.stream == stream and r.status == status for r in requests)

    return (
        asked(POLLED, 202)
        and asked(RETRIABLE, 503)
        and asked(HANGING, None)
        and asked(REFUSED, 429)
    )


def query_id(simulator: Simulator, stream: str) -> str:
    """Return the id of the export of a stream."""
    (found,) = {
        r.query["queryId"] for r in simulator.requests if (r.stream, r.method) == (stream, "GET")
    }
    return found


def left_at_server(lines: list[str]) -> list[str]:
    """Pick what is logged about exports that are left at the server."""
    return sorted(line.partition("Stream ")[2] for line in lines if "left at the server" in line)


def expected_at_server(simulator: Simulator, *streams: str) -> list[str]:
    """Write what must be logged about exports that are left at the server."""
    return sorted(
        f"'{stream}': its export is left at the server, queryId {query_id(simulator, stream)}"
        for stream in streams
    )


def is_turn_of(stream: str, log: str) -> bool:
    """Say whether the main thread waits for the pages of a stream, or is about to."""
    return f"Beginning sync of '{stream}'" in log


# In process


@pytest.fixture
def _short_of_room(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a few pages of two rows be ahead, so that `AHEAD` waits for room."""
    monkeypatch.setattr(scheduler, "MAX_BUFFERED_BYTES", 20_000)
    monkeypatch.setattr(scheduler, "PAGE_ESTIMATE", 1_000)
    monkeypatch.setattr(scheduler, "SECONDS_TO_STOP", 0.2)  # one of the requests hangs
    monkeypatch.setattr(PollPolicy, "FIRST_INTERVAL", 0.1)
    simulator.timing.queued_polls = {AHEAD: 2}  # until all are submitted


def connections() -> list[threading.Thread]:
    """List the simulator's sides of open connections."""
    return [thread for thread in threading.enumerate() if thread.name == "simulator-connection"]


@contextmanager
def cleanly(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, *left: str
) -> Iterator[Callable[[], None]]:
    """See to it that a run ends in time and leaves nothing but some exports at the server.

    Yields:
        A function to be called before the run is broken off.
    """
    began: list[float] = []

    def pages_ahead() -> int:
        return sum(r.stream == AHEAD and r.phase == "later_page" for r in simulator.requests)

    def begin() -> None:
        wait_until(lambda: is_busy(simulator) and pages_ahead() > 3)
        assert len(workers()) > 5
        began.append(monotonic())

    yield begin
    assert monotonic() - began[0] < LONGEST
    simulator.release()  # a worker ends with its request
    wait_until(lambda: workers() == [])
    gc.collect()  # an error and its traceback hold each other, and the last response
    for thread in connections():
        thread.join(timeout=LONGEST)  # it ends when our side does
        assert not thread.is_alive()
    found = [r.getMessage() for r in caplog.records if r.levelno == logging.INFO]
    assert left_at_server(found) == expected_at_server(simulator, *left)
    assert pages_ahead() < 50  # of 99


class Target(io.BytesIO):
    """A stdout of which somebody else is told before it takes something."""

    def __init__(self, tell: Callable[[bytes], None]) -> None:
        """Start empty."""
        super().__init__()
        self._tell = tell

    def write(self, data: Any, /) -> int:
        """Take something."""
        self._tell(bytes(data))
        return super().write(data)


@pytest.mark.usefixtures("_short_of_room")
@pytest.mark.parametrize("error", [RuntimeError, BrokenPipeError, OSError])
@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"RECORD","stream":"%s"' % FIRST.encode(),
        b'{"type":"SCHEMA","stream":"%s"' % POLLED.encode(),
    ],
    ids=["in a page", "between two streams"],
)
def test_a_failure_of_the_main_thread(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
    message: bytes,
) -> None:
    config = settings_for(
        simulator, page_size=2, max_concurrent_exports=23, on_stream_error="abort"
    )
    tap = TapCampusGroups(config=config, catalog=catalog_of(BUSY))
    # A bug while a stream is synced is the stream's failure.
    expected = OutputError if issubclass(error, OSError) else (error, UnexpectedError)
    with cleanly(simulator, caplog, POLLED, HANGING) as begin:

        def fail(data: bytes) -> None:
            if data.startswith(message):
                begin()
                raise error

        with (
            redirect_stdout(io.TextIOWrapper(Target(fail), encoding="utf-8")),
            pytest.raises(expected),
        ):
            tap.sync_all()


@pytest.mark.usefixtures("_short_of_room")
def test_a_failure_of_an_export(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(PollPolicy, "FIRST_INTERVAL", 0.1)
    config = settings_for(
        simulator, page_size=2, max_concurrent_exports=23, on_stream_error="abort"
    )
    with (
        cleanly(simulator, caplog, HANGING) as begin,
        background(lambda: sync(config, *BUSY), release=simulator.close) as run,
    ):
        wait_until(lambda: is_turn_of(POLLED, caplog.text))
        begin()
        simulator.inject(JsonBody({"message": "hello"}).on(POLLED, "poll"))
        output = run.result(LONGEST)
        assert isinstance(output.error, ExportFailedError)
        assert f"Stream '{POLLED}': " in str(output.error)
        assert {name: len(rows) for name, rows in output.records.items()} == {FIRST: 5}


@pytest.mark.usefixtures("_short_of_room")
def test_records_that_nobody_wants_any_more(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """As when the SDK stops a stream at some record."""
    catalog = catalog_of(BUSY)
    (first,) = [stream for stream in catalog["streams"] if stream["tap_stream_id"] == FIRST]
    one_by_one(first)
    tap = TapCampusGroups(
        config=settings_for(simulator, page_size=2, max_concurrent_exports=23), catalog=catalog
    )
    stream = tap.streams[FIRST]
    assert isinstance(stream, CampusGroupsStream)
    with (
        cleanly(simulator, caplog, POLLED, HANGING) as begin,
        redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")),
        tap._run,  # noqa: SLF001 - as in `sync_all`
    ):
        records = stream._sync_records(None)  # noqa: SLF001
        next(records)
        begin()
        records.close()


def one_by_one(entry: dict[str, Any]) -> None:
    """Deselect a property of a stream in a catalog: its records are then not written as a whole."""
    for metadata in entry["metadata"]:
        if metadata["breadcrumb"] == ["properties", "createdOn"]:
            metadata["metadata"]["selected"] = False
            return
    pytest.fail("no such property")


def test_the_session_of_a_worker_closes_its_connections(simulator: Simulator) -> None:
    """Also while somebody still has it: an error may hold the last response for long."""
    with worker_session() as session:
        assert current_session() is session
        assert session.get(simulator.url).content
        (connection,) = connections()
    assert current_session() is None
    connection.join(timeout=LONGEST)
    assert not connection.is_alive()


def test_records_of_one_stream_that_nobody_wants_any_more(simulator: Simulator) -> None:
    """A stream that is synced by itself has nobody else to end its workers."""
    simulator.inject(Hang().on(FIRST, "later_page"))
    catalog = catalog_of([FIRST])
    one_by_one(catalog["streams"][NAMES.index(FIRST)])
    tap = TapCampusGroups(config=settings_for(simulator, page_size=2), catalog=catalog)
    records = tap.streams[FIRST]._sync_records(None)  # noqa: SLF001
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        next(records)
        wait_until(lambda: simulator.hanging == 1)
        records.close()
    simulator.release()
    wait_until(lambda: workers() == [])


def test_an_export_that_failed_is_not_left_at_the_server(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Not while the one in its place is still to be accepted."""
    simulator.clear_faults()
    simulator.inject(FailQuery().on(HANGING))
    again = Status(503, headers={"Retry-After": "600"}).on(HANGING, "submit", after=1)
    simulator.inject(again)

    def fail(data: bytes) -> None:
        if data.startswith(b'{"type":"RECORD"'):
            wait_until(lambda: again.fired)
            raise RuntimeError

    config = settings_for(simulator, on_stream_error="abort")
    tap = TapCampusGroups(config=config, catalog=catalog_of([FIRST, HANGING]))
    with (
        redirect_stdout(io.TextIOWrapper(Target(fail), encoding="utf-8")),
        pytest.raises(UnexpectedError),
    ):
        tap.sync_all()
    assert left_at_server([record.getMessage() for record in caplog.records]) == []


# Real processes


class Running:
    """The tap in a process of its own, with a pipe for its output.

    Attributes:
        pipe: The end to read from.
    """

    def __init__(self, simulator: Simulator, folder: Path, **environment: str) -> None:
        """Start it."""
        catalog = folder / "catalog.json"
        # `AHEAD` would not wait: the whole buffer of a process is too much to fill.
        streams = catalog_of([stream for stream in BUSY if stream != AHEAD])
        if environment.pop("ONE_BY_ONE", ""):
            for entry in streams["streams"]:
                if entry["tap_stream_id"] == FIRST:
                    one_by_one(entry)
        catalog.write_text(json.dumps(streams))
        settings = {
            f"TAP_CAMPUSGROUPS_{name.upper()}": str(value)
            for name, value in settings_for(simulator, max_concurrent_exports=23).items()
        }
        self.pipe, self._far_end = os.pipe()
        self._stderr = folder / "stderr"
        with self._stderr.open("wb") as stderr:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tap_campusgroups", "--config", "ENV", "--catalog", catalog],
                env=os.environ
                | {"PYTHONUNBUFFERED": "", "PYTHONFAULTHANDLER": "1"}
                | settings
                | environment,
                stdout=self._far_end,
                stderr=stderr,
            )

    def is_stuck(self) -> bool:
        """Say whether nothing more goes into the pipe."""
        return not select.select([], [self._far_end], [], 0)[1]

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._process.send_signal(number)

    def read(self, size: int = -1) -> bytes:
        """Read what the process writes, up to some bytes or its end."""
        if self._far_end >= 0:
            os.close(self._far_end)
            self._far_end = -1
        read = b""
        while size < 0 or len(read) < size:
            if not (part := os.read(self.pipe, 65_536)):
                break
            read += part
        return read

    def log(self) -> str:
        """Return what is on stderr so far."""
        return self._stderr.read_text(encoding="utf-8")

    def end(self) -> tuple[int, list[str]]:
        """Wait for the end; return the exit code and the lines on stderr."""
        try:
            code = self._process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self._process.send_signal(signal.SIGABRT)  # Python writes where each thread is
            self._process.wait()
            pytest.fail(f"not ended after {LONGEST} s:\n{self.log()[-10_000:]}")
        return code, self.log().splitlines()

    def stop_reading(self) -> None:
        """Close the pipe for good."""
        if self.pipe >= 0:
            os.close(self.pipe)
            self.pipe = -1

    def close(self) -> None:
        """Leave nothing behind."""
        self._process.kill()
        self._process.wait()
        self.stop_reading()
        if self._far_end >= 0:
            os.close(self._far_end)


@contextmanager
def running(simulator: Simulator, folder: Path, **environment: str) -> Iterator[Running]:
    """Run the tap in a process."""
    process = Running(simulator, folder, **environment)
    try:
        yield process
    finally:
        process.close()


def the_error(lines: list[str]) -> str:
    """Return the one line of a log that tells of an error."""
    text = "\n".join(lines)
    assert "Traceback" not in text
    assert "Exception ignored" not in text
    (line,) = [line for line in lines if " ERROR " in line]
    return line


MODES: dict[str, dict[str, str]] = {
    "pages": {},
    "unbuffered": {"PYTHONUNBUFFERED": "1"},
    "records": {"ONE_BY_ONE": "1"},
}
"""How output is written: in whole pages, likewise but without a buffer, or record by record."""

in_each_mode = pytest.mark.parametrize("mode", MODES)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_while_all_wait(
    simulator: Simulator, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    with (
        running(simulator, tmp_path) as tap,
        background(tap.read, release=tap.close) as reading,
    ):
        wait_until(lambda: is_busy(simulator) and is_turn_of(POLLED, tap.log()))
        begin = monotonic()
        tap.send(number)
        written = reading.result(LONGEST)
        ended, lines = tap.end()
        assert monotonic() - begin < LONGEST
    assert ended == code
    assert f"Stopped by {number.name}." in the_error(lines)
    assert left_at_server(lines) == expected_at_server(simulator, POLLED, HANGING)
    messages = [json.loads(line) for line in written.splitlines()]
    assert sum(message["type"] == "RECORD" for message in messages) == 5
    states = [message["value"] for message in messages if message["type"] == "STATE"]
    bookmarks = states[-1]["bookmarks"]
    assert [name for name in bookmarks if "replication_key_value" in bookmarks[name]] == [FIRST]


@in_each_mode
def test_signal_while_target_is_slow_ends_with_a_whole_line(
    large: Simulator, tmp_path: Path, mode: str
) -> None:
    """In the midst of a page: a target that reads slowly may not have the rest of it in time."""
    with running(large, tmp_path, **MODES[mode]) as tap:
        wait_until(lambda: tap.is_stuck() and is_busy(large))
        tap.send(signal.SIGTERM)
        written = tap.read()
        code, lines = tap.end()
    assert code == 143
    assert "Stopped by SIGTERM." in the_error(lines)
    assert written.endswith(b"\n")
    first, *records, last = (json.loads(line)["type"] for line in written.splitlines())
    assert (first, last) == ("SCHEMA", "STATE")
    assert set(records) == {"RECORD"}
    assert len(records) < 400


def test_a_signal_while_the_target_has_stopped_reading(tmp_path: Path) -> None:
    """In each mode, all at once: this end may take its time."""
    with ExitStack() as stack:
        taps = []
        for mode, environment in MODES.items():
            simulator = stack.enter_context(service(400))
            (folder := tmp_path / mode).mkdir()
            tap = stack.enter_context(running(simulator, folder, **environment))
            taps.append((simulator, tap))
        wait_until(lambda: all(tap.is_stuck() and is_busy(simulator) for simulator, tap in taps))
        begin = monotonic()
        for _, tap in taps:
            tap.send(signal.SIGTERM)
        ends = [tap.end() for _, tap in taps]
        assert monotonic() - begin < LONGEST
        for (simulator, tap), (code, lines) in zip(taps, ends, strict=True):
            assert code == 143
            assert "Stopped by SIGTERM." in the_error(lines)
            assert left_at_server(lines) == expected_at_server(simulator, POLLED, HANGING)
            *whole, _ = tap.read().split(b"\n")
            assert {json.loads(line)["type"] for line in whole} == {"SCHEMA", "RECORD"}


@in_each_mode
def test_a_target_that_goes_away(large: Simulator, tmp_path: Path, mode: str) -> None:
    with running(large, tmp_path, **MODES[mode]) as tap:
        wait_until(lambda: tap.is_stuck() and is_busy(large))
        begin = monotonic()
        tap.stop_reading()
        code, lines = tap.end()
        assert monotonic() - begin < LONGEST
    assert code == 1
    assert "Output pipe closed: the target exited early." in the_error(lines)
    assert left_at_server(lines) == expected_at_server(large, POLLED, HANGING)


def test_a_target_that_was_gone_before_the_first_line(simulator: Simulator, tmp_path: Path) -> None:
    with running(simulator, tmp_path) as tap:
        tap.stop_reading()
        code, lines = tap.end()
    assert code == 1
    assert "Output pipe closed: the target exited early." in the_error(lines)
    assert simulator.requests == []
