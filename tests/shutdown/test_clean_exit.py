"""Runs that an error ends while their exports wait: no thread and no connection is left.

The runs are in this process, where threads and connections can be seen.
"""

from __future__ import annotations

import gc
import io
import threading
from contextlib import contextmanager, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest

from tap_campusgroups.exceptions import ExportFailedError, OutputError, UnexpectedError
from tap_campusgroups.exports import retry, scheduler
from tap_campusgroups.exports.export import PollPolicy
from tap_campusgroups.exports.transport import current_session, worker_session
from tap_campusgroups.sync import SyncRun
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import FailQuery, Hang, JsonBody, Simulator, Status
from tests.support.busy_service import (
    AHEAD,
    FIRST,
    HANGING,
    MAX_CONCURRENT,
    POLLED,
    STREAMS,
    busy_service,
    has_begun,
    is_busy,
    query_ids,
)
from tests.support.exports import background, supervised, workers
from tests.support.harness import (
    MAX_RETRY_DELAY,
    ROW_BY_ROW,
    catalog_of,
    settings_for,
    sync,
    wait_until,
)
from tests.support.tap_process import abandoned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tap_campusgroups.client import CampusGroupsStream


@pytest.fixture(autouse=True)
def _supervised() -> Iterator[None]:
    with supervised():
        yield


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A service under which all exports but the first wait."""
    with busy_service(5) as simulator:
        yield simulator


@pytest.fixture
def _small_buffer(simulator: Simulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make room for a few pages of two rows, so that `AHEAD` waits for room in the buffer."""
    monkeypatch.setattr(scheduler, "MAX_BUFFERED_BYTES", 20_000)
    monkeypatch.setattr(scheduler, "PAGE_ESTIMATE", 1_000)
    monkeypatch.setattr(scheduler, "STOP_TIMEOUT", 0.2)  # one of the requests hangs
    monkeypatch.setattr(PollPolicy, "FIRST_INTERVAL", 0.1)
    simulator.timing.queued_polls = {AHEAD: 2}  # until all exports are submitted


def config_for(simulator: Simulator, **more: Any) -> dict[str, Any]:
    """Return settings with small pages and all exports at the same time."""
    return settings_for(simulator, page_size=2, max_concurrent_exports=MAX_CONCURRENT, **more)


def connections() -> list[threading.Thread]:
    """Return the simulator's threads of open connections."""
    return [thread for thread in threading.enumerate() if thread.name == "simulator-connection"]


@contextmanager
def nothing_left(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, *left: str
) -> Iterator[Callable[[], None]]:
    """Check that a run ends and leaves nothing but logged exports of some streams.

    Yields:
        A function to call before the run ends: it waits until all exports wait.
    """

    def pages_ahead() -> int:
        return sum(r.stream == AHEAD and r.phase == "later_page" for r in simulator.requests)

    def wait_until_busy() -> None:
        wait_until(lambda: is_busy(simulator) and pages_ahead() > 3)
        assert len(workers()) > 5

    yield wait_until_busy
    simulator.release()  # a worker ends with its request
    wait_until(lambda: workers() == [])
    gc.collect()  # an error and its traceback hold each other and the last response
    for thread in connections():
        thread.join(timeout=MAX_RETRY_DELAY)  # it ends when the tap closes its side
        assert not thread.is_alive()
    assert abandoned(caplog.text) == query_ids(simulator, *left)
    assert pages_ahead() < 50  # of 99


class CallingOutput(io.BytesIO):
    """A stdout that calls a function before each write."""

    def __init__(self, call: Callable[[bytes], None]) -> None:
        """Keep the function."""
        super().__init__()
        self._call = call

    def write(self, data: Any, /) -> int:
        """Call the function with the data, and write it."""
        self._call(bytes(data))
        return super().write(data)


@pytest.mark.usefixtures("_small_buffer")
@pytest.mark.parametrize("error", [RuntimeError, BrokenPipeError, OSError])
@pytest.mark.parametrize(
    "message",
    [
        b'{"type":"RECORD","stream":"%s"' % FIRST.encode(),
        b'{"type":"SCHEMA","stream":"%s"' % POLLED.encode(),
    ],
    ids=["in a page", "between two streams"],
)
def test_error_in_the_main_thread_leaves_nothing(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
    message: bytes,
) -> None:
    config = config_for(simulator, on_stream_error="abort")
    tap = TapCampusGroups(config=config, catalog=catalog_of(STREAMS))
    # A bug during the sync of a stream is that stream's failure.
    expected = OutputError if issubclass(error, OSError) else (error, UnexpectedError)
    with nothing_left(simulator, caplog, POLLED, HANGING) as wait_until_busy:

        def fail(data: bytes) -> None:
            if data.startswith(message):
                wait_until_busy()
                raise error

        with (
            redirect_stdout(io.TextIOWrapper(CallingOutput(fail), encoding="utf-8")),
            pytest.raises(expected),
        ):
            tap.sync_all()


@pytest.mark.usefixtures("_small_buffer")
def test_failed_export_leaves_nothing(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_for(simulator, on_stream_error="abort")
    with (
        nothing_left(simulator, caplog, HANGING) as wait_until_busy,
        background(lambda: sync(config, *STREAMS), release=simulator.close) as run,
    ):
        wait_until(lambda: has_begun(POLLED, caplog.text))
        wait_until_busy()
        simulator.inject(JsonBody({"message": "hello"}).on(POLLED, "poll"))
        output = run.result(MAX_RETRY_DELAY)
        assert isinstance(output.error, ExportFailedError)
        assert f"Stream '{POLLED}': " in str(output.error)
        assert {name: len(rows) for name, rows in output.records.items()} == {FIRST: 5}


def stream_of(tap: TapCampusGroups, name: str) -> CampusGroupsStream:
    """Return a selected stream of a tap."""
    (found,) = (one for one in tap._selected_streams() if one.name == name)  # noqa: SLF001
    return found


@pytest.mark.usefixtures("_small_buffer")
def test_records_that_the_sdk_stops_reading_leave_nothing(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    config = config_for(simulator, **ROW_BY_ROW)
    tap = TapCampusGroups(config=config, catalog=catalog_of(STREAMS))
    with (
        nothing_left(simulator, caplog, POLLED, HANGING) as wait_until_busy,
        redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")),
        SyncRun(tap._selected_streams(), tap.logger),  # noqa: SLF001 - as in `sync_all`
    ):
        records = stream_of(tap, FIRST)._sync_records(None)  # noqa: SLF001 - as in the SDK
        next(records)
        wait_until_busy()
        records.close()


def test_records_of_a_single_stream_that_the_sdk_stops_reading_leave_no_worker(
    simulator: Simulator,
) -> None:
    """A stream that is synced on its own, without `sync_all`."""
    simulator.inject(Hang().on(FIRST, "later_page"))
    config = settings_for(simulator, page_size=2, **ROW_BY_ROW)
    tap = TapCampusGroups(config=config, catalog=catalog_of([FIRST]))
    records = stream_of(tap, FIRST)._sync_records(None)  # noqa: SLF001 - as in the SDK
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        next(records)
        wait_until(lambda: simulator.hanging == 1)
        records.close()
    simulator.release()
    wait_until(lambda: workers() == [])


def test_session_of_a_worker_closes_its_connections(simulator: Simulator) -> None:
    """Even if something still refers to it, for example an error with the last response."""
    with worker_session():
        session = current_session()
        assert session.get(simulator.url).content
        (connection,) = connections()
    connection.join(timeout=MAX_RETRY_DELAY)
    assert not connection.is_alive()


def test_failed_export_is_not_logged_as_abandoned(
    simulator: Simulator, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if its resubmission was not accepted yet."""
    monkeypatch.setattr(retry, "RESUBMISSION_DELAY", 0.01)
    simulator.clear_faults()
    simulator.inject(FailQuery().on(HANGING))
    resubmission = Status(503, headers={"Retry-After": "600"}).on(HANGING, "submit", after=1)
    simulator.inject(resubmission)

    def fail(data: bytes) -> None:
        if data.startswith(b'{"type":"RECORD"'):
            wait_until(lambda: resubmission.fired)
            raise RuntimeError

    config = settings_for(simulator, on_stream_error="abort")
    tap = TapCampusGroups(config=config, catalog=catalog_of([FIRST, HANGING]))
    with (
        redirect_stdout(io.TextIOWrapper(CallingOutput(fail), encoding="utf-8")),
        pytest.raises(UnexpectedError),
    ):
        tap.sync_all()
    assert abandoned(caplog.text) == {}
