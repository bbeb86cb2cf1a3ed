"""Processes that end while their exports wait: by a signal, or because the target is gone."""

from __future__ import annotations

import json
import signal
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest

from tests.support import messages
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
from tests.support.exports import background
from tests.support.harness import ROW_BY_ROW, WAIT_LIMIT, catalog_of, settings_for, wait_until
from tests.support.notify import CallAtRequest
from tests.support.tap_process import EXIT_CODES, TapProcess, each_signal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tests.simulator import Simulator

# Without `AHEAD`: the buffer of a process is too large to fill.
CATALOG_STREAMS = [stream for stream in STREAMS if stream != AHEAD]
CATALOG = catalog_of(CATALOG_STREAMS)
LARGE = 400
"""Rows of a page that is larger than a pipe."""


def start(
    simulator: Simulator,
    folder: Path,
    *,
    unbuffered: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> TapProcess:
    """Start a tap that submits all exports at the same time."""
    config = settings_for(simulator, max_concurrent_exports=MAX_CONCURRENT, **(settings or {}))
    return TapProcess(folder, config, catalog=CATALOG, unbuffered=unbuffered)


WAYS_TO_WRITE: dict[str, dict[str, Any]] = {
    "pages": {},
    "unbuffered": {"unbuffered": True},
    "records": {"settings": ROW_BY_ROW},
}
"""How the process writes: whole pages, whole pages without a buffer, or record by record."""


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A service whose first stream is small."""
    with busy_service(5) as simulator:
        yield simulator


@pytest.fixture
def large() -> Iterator[Simulator]:
    """A service whose first stream has one page that is larger than a pipe."""
    with busy_service(LARGE) as simulator:
        yield simulator


@each_signal
def test_signal_while_all_exports_wait_ends_with_the_last_state(
    simulator: Simulator, tmp_path: Path, number: signal.Signals
) -> None:
    with start(simulator, tmp_path) as tap, background(tap.rest, release=simulator.close) as output:
        wait_until(lambda: is_busy(simulator) and has_begun(POLLED, tap.log))
        tap.send(number)
        tap.send(signal.SIGTERM)  # Ctrl-C under Meltano is two signals
        assert tap.wait() == EXIT_CODES[number]
        written = [json.loads(line) for line in output.result(WAIT_LIMIT).splitlines()]
    assert messages.stopped_by(number.name) in tap.error()
    assert tap.abandoned() == query_ids(simulator, POLLED, HANGING)
    assert tap.log.count(messages.SUMMARY) == 1
    assert sum(message["type"] == "RECORD" for message in written) == 5
    states = [message["value"]["bookmarks"] for message in written if message["type"] == "STATE"]
    assert [name for name, one in states[-1].items() if "replication_key_value" in one] == [FIRST]


def test_hang_up_that_is_ignored_does_not_end_the_run(simulator: Simulator, tmp_path: Path) -> None:
    """`nohup` starts a process that ignores SIGHUP."""
    taps: list[TapProcess] = []
    simulator.clear_faults()
    simulator.timing.running_seconds = {}
    # The process sends its first request long after its start.
    hang_up = CallAtRequest(lambda: taps[0].send(signal.SIGHUP, must_end=False))
    hang_up_sent = simulator.inject(hang_up.on(POLLED, "first_page"))
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        taps.append(start(simulator, tmp_path))
    finally:
        signal.signal(signal.SIGHUP, before)
    with taps[0] as tap:
        written = tap.rest()
        assert tap.wait() == 0
    assert hang_up_sent.fired
    assert written.count(b'"type":"RECORD"') == 5 * len(CATALOG_STREAMS)


@pytest.mark.parametrize("way", ["pages", "unbuffered"])
def test_pause_in_a_page_does_not_cut_a_line(large: Simulator, tmp_path: Path, way: str) -> None:
    """SIGSTOP and SIGCONT: Ctrl-Z and `fg`, or a container that is paused."""
    large.clear_faults()
    large.timing.running_seconds = {}
    with start(large, tmp_path, **WAYS_TO_WRITE[way]) as tap:
        tap.wait_until_blocked()
        tap.pause_and_resume()
        written = [json.loads(line)["type"] for line in tap.rest().splitlines()]
        assert tap.wait() == 0
    assert written.count("RECORD") == LARGE + 5 * (len(CATALOG_STREAMS) - 1)


@pytest.mark.parametrize("way", ["pages", "unbuffered"])
def test_signal_while_the_target_is_slow_ends_with_whole_lines(
    large: Simulator, tmp_path: Path, way: str
) -> None:
    with start(large, tmp_path, **WAYS_TO_WRITE[way]) as tap:
        tap.wait_until_blocked()
        wait_until(lambda: is_busy(large))
        tap.send(signal.SIGTERM)
        written = tap.rest()
        assert tap.wait() == 143
    assert messages.stopped_by("SIGTERM") in tap.error()
    assert written.endswith(b"\n")
    first, *records, last = (json.loads(line)["type"] for line in written.splitlines())
    assert (first, last) == ("SCHEMA", "STATE")
    assert set(records) == {"RECORD"}
    assert len(records) < LARGE


def test_signal_while_the_target_does_not_read_ends_the_process(tmp_path: Path) -> None:
    """All ways to write at the same time: the watchdog ends each process after some seconds."""
    with ExitStack() as stack:
        taps = []
        for way, options in WAYS_TO_WRITE.items():
            simulator = stack.enter_context(busy_service(LARGE))
            (folder := tmp_path / way).mkdir()
            taps.append((simulator, stack.enter_context(start(simulator, folder, **options))))
        for _, tap in taps:
            tap.wait_until_blocked()
        wait_until(lambda: all(is_busy(simulator) for simulator, _ in taps))
        for _, tap in taps:
            tap.send(signal.SIGTERM)
        for simulator, tap in taps:
            assert tap.wait() == 143
            assert messages.stopped_by("SIGTERM") in tap.error()
            assert tap.abandoned() == query_ids(simulator, POLLED, HANGING)
            *lines, _ = tap.rest().split(b"\n")
            assert {json.loads(line)["type"] for line in lines} == {"SCHEMA", "RECORD"}


@pytest.mark.parametrize("way", ["pages", "records"])
def test_target_that_exits_ends_the_process_with_an_error(
    large: Simulator, tmp_path: Path, way: str
) -> None:
    with start(large, tmp_path, **WAYS_TO_WRITE[way]) as tap:
        tap.wait_until_blocked()
        wait_until(lambda: is_busy(large))
        tap.close_output()
        assert tap.wait() == 1
    assert messages.OUTPUT_CLOSED in tap.error()
    assert tap.abandoned() == query_ids(large, POLLED, HANGING)


def test_target_that_exits_before_the_first_line_ends_the_process_with_an_error(
    simulator: Simulator, tmp_path: Path
) -> None:
    with start(simulator, tmp_path) as tap:
        tap.close_output()
        assert tap.wait() == 1
    assert messages.OUTPUT_CLOSED in tap.error()
    assert simulator.requests == []
