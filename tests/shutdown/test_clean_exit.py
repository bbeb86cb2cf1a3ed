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

from tap_campusgroups.exceptions import ExportFailedError, OutputError
from tap_campusgroups.exports import scheduler
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import FailQuery, JsonBody, Simulator, Status
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
from tests.support.harness import WAIT_LIMIT, catalog_of, settings_for, sync, wait_until
from tests.support.tap_process import abandoned

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@pytest.fixture(autouse=True)
def _supervised() -> Iterator[None]:
    with supervised():
        yield


@pytest.fixture
def simulator(monkeypatch: pytest.MonkeyPatch) -> Iterator[Simulator]:
    """A service under which all exports but the first wait, one for room in the buffer."""
    # The service would have to send 48 MiB to fill the real buffer.
    monkeypatch.setattr(scheduler, "MAX_BUFFERED_BYTES", 20_000)
    monkeypatch.setattr(scheduler, "PAGE_ESTIMATE", 1_000)
    with busy_service(5) as simulator:
        simulator.timing.queued_polls = {AHEAD: 2}  # until all exports are submitted
        yield simulator


def config_for(simulator: Simulator, **more: Any) -> dict[str, Any]:
    """Return settings with small pages and all exports at the same time."""
    small = {"page_size": 2, "max_concurrent_exports": MAX_CONCURRENT, "on_stream_error": "abort"}
    return settings_for(simulator, **{**small, **more})


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
        thread.join(timeout=WAIT_LIMIT)  # it ends when the tap closes its side
        assert not thread.is_alive()
    assert abandoned(caplog.text) == query_ids(simulator, *left)
    assert pages_ahead() < 50  # of 99


class CallingOutput(io.BytesIO):
    """A stdout that calls a function before each write."""

    def __init__(self, call: Callable[[bytes], None]) -> None:
        super().__init__()
        self._call = call

    def write(self, data: Any, /) -> int:
        """Call the function with the data, and write it."""
        self._call(bytes(data))
        return super().write(data)


def sync_calling(call: Callable[[bytes], None], config: dict[str, Any], *streams: str) -> None:
    """Run the tap with a function that is called before each write."""
    tap = TapCampusGroups(config=config, catalog=catalog_of(streams))
    with redirect_stdout(io.TextIOWrapper(CallingOutput(call), encoding="utf-8")):
        tap.sync_all()


IN_A_PAGE = b'{"type":"RECORD","stream":"%s"' % FIRST.encode()
BETWEEN_STREAMS = b'{"type":"SCHEMA","stream":"%s"' % POLLED.encode()


@pytest.mark.parametrize(
    ("error", "message", "reason"),
    [
        (BrokenPipeError, IN_A_PAGE, "Output pipe closed"),
        (TypeError, IN_A_PAGE, "Cannot write the output: TypeError"),
        (OSError, BETWEEN_STREAMS, "Cannot write the output: OSError"),
    ],
)
def test_output_that_fails_leaves_nothing(
    simulator: Simulator,
    caplog: pytest.LogCaptureFixture,
    error: type[Exception],
    message: bytes,
    reason: str,
) -> None:
    with nothing_left(simulator, caplog, POLLED, HANGING) as wait_until_busy:

        def fail(data: bytes) -> None:
            if data.startswith(message):
                wait_until_busy()
                raise error

        with pytest.raises(OutputError, match=reason):
            sync_calling(fail, config_for(simulator), *STREAMS)


def test_failed_export_leaves_nothing(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")  # for `has_begun`
    config = config_for(simulator)
    with (
        nothing_left(simulator, caplog, HANGING) as wait_until_busy,
        background(lambda: sync(config, *STREAMS), release=simulator.close) as run,
    ):
        wait_until(lambda: has_begun(POLLED, caplog.text))
        wait_until_busy()
        simulator.inject(JsonBody({"message": "hello"}).on(POLLED, "poll"))
        output = run.result(WAIT_LIMIT)
        assert isinstance(output.error, ExportFailedError)
        assert f"Stream '{POLLED}': " in str(output.error)
        assert {name: len(rows) for name, rows in output.records.items()} == {FIRST: 5}


def test_dry_run_that_the_sdk_stops_leaves_nothing(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """The SDK stops to read records at its limit."""
    tap = TapCampusGroups(config=config_for(simulator), catalog=catalog_of([AHEAD]))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        tap.run_sync_dry_run(dry_run_record_limit=1, streams=[tap.streams[AHEAD]])
    wait_until(lambda: workers() == [])
    assert abandoned(caplog.text) == {}


@pytest.mark.usefixtures("impatient")
def test_failed_export_is_not_logged_as_abandoned(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    """Even if its resubmission was not accepted yet."""
    simulator.clear_faults()
    simulator.inject(FailQuery().on(HANGING))
    resubmission = Status(503).on(HANGING, "submit", after=1, times=None)
    simulator.inject(resubmission)

    def fail(data: bytes) -> None:
        if data.startswith(b'{"type":"RECORD"'):
            wait_until(lambda: resubmission.fired)
            raise RuntimeError

    with pytest.raises(OutputError):
        sync_calling(fail, config_for(simulator), FIRST, HANGING)
    assert abandoned(caplog.text) == {}
