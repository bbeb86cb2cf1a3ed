"""Signals at every write and at every request of a run: whole lines, true states, nothing left.

The runs are in this process, so that the moment of the signal is exact.
"""

from __future__ import annotations

import io
import os
import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stdout, suppress
from datetime import timedelta
from errno import ENOSPC
from functools import partial
from typing import TYPE_CHECKING, Any, cast
from unittest.mock import patch

import pytest

from tap_campusgroups.exceptions import OutputError
from tap_campusgroups.shutdown import SHUTDOWN, TerminationSignal
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, Simulator
from tests.support import messages
from tests.support.fake_target import FakeTarget
from tests.support.harness import (
    NEWEST,
    ROW_BY_ROW,
    STARTED,
    WAIT_LIMIT,
    limited_to,
    settings_for,
    wait_until,
)
from tests.support.notify import CallAtRequest
from tests.support.tap_process import EXIT_CODES

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


DAY = timedelta(days=1)
STREAMS = ("checkins", "rooms")


@pytest.fixture
def simulator() -> Iterator[Simulator]:
    """A service with a few rows of two streams."""
    rows = dict.fromkeys(STREAMS, 5)
    with Simulator(Dataset(rows, newest=NEWEST, span=1.9 * DAY)) as simulator:
        yield simulator


class Output(io.BytesIO):
    """A stdout in which a signal can arrive at a write.

    Attributes:
        writes: The data of each write.
    """

    def __init__(
        self, number: signal.Signals = signal.SIGTERM, at: int | None = None, moment: str = "during"
    ) -> None:
        """Choose the signal and the number of the write, if any: in its middle or at its end."""
        super().__init__()
        self._signal = number
        self._at = at
        self._moment = moment
        self.writes: list[bytes] = []

    def write(self, data: Any) -> int:
        """Write everything, with the signal in between."""
        text = bytes(data)
        self.writes += [text] if text else []
        before = len(text) // 2 if self._moment == "during" else len(text)
        super().write(text[:before])
        if text and len(self.writes) == self._at:
            signal.raise_signal(self._signal)
        super().write(text[before:])
        return len(text)


def run(
    simulator: Simulator,
    state: dict[str, Any],
    output: io.BytesIO | io.FileIO,
    handle_signals: Callable[[], object] = SHUTDOWN.handle_signals,
    **more: Any,
) -> TerminationSignal | None:
    """Run the tap and return the signal that ended it, if any."""
    config = settings_for(
        simulator,
        start_date=(STARTED - 2 * DAY).isoformat(),
        export_window_days=1,
        lookback_hours=6,
        page_size=2,
        **more,
    )
    milliseconds = int(STARTED.timestamp() * 1000)
    SHUTDOWN.signal = None
    handle_signals()
    with (
        redirect_stdout(io.TextIOWrapper(output, encoding="utf-8")) as text,
        patch.object(TapCampusGroups, "initialized_at", milliseconds),
        limited_to(STREAMS),
    ):
        ended = None
        try:
            TapCampusGroups(config=config, state=state).sync_all()
        except TerminationSignal as terminated:
            ended = terminated
        finally:
            text.flush()
            text.detach()
    return ended


def check_ended(
    simulator: Simulator, log: pytest.LogCaptureFixture, before: Collection[threading.Thread]
) -> None:
    """Check that a run left no thread and wrote one summary, if it had submitted an export."""
    for thread in set(threading.enumerate()) - set(before):
        if "campusgroups" in thread.name:
            thread.join(30)
            assert not thread.is_alive()
    summaries = sum(messages.SUMMARY in record.getMessage() for record in log.records)
    # A GET shows that an export was accepted. A POST may still be on its way.
    is_accepted = any(request.method == "GET" for request in simulator.requests)
    assert summaries == 1 if is_accepted else summaries <= 1


def check_output(simulator: Simulator, output: io.BytesIO, **more: Any) -> None:
    """Check lines and states of an output, and that the next run completes it."""
    target = FakeTarget(simulator)
    target.load(output.getvalue())
    # No RECORD follows the last STATE.
    last = {kind: output.getvalue().rfind(b'{"type":"%s"' % kind) for kind in (b"STATE", b"RECORD")}
    assert last[b"STATE"] >= last[b"RECORD"]
    rest = io.BytesIO()
    assert run(simulator, target.state, rest, **more) is None
    target.load(rest.getvalue())
    assert target.missing(STARTED) == set()


# At every write


def writes_of(simulator: Simulator, **more: Any) -> list[bytes]:
    """Return the writes of a complete run."""
    output = Output()
    assert run(simulator, {}, output, **more) is None
    assert len(output.writes) > 8
    return output.writes


def interrupt(
    simulator: Simulator, at: int, moment: str, log: pytest.LogCaptureFixture, **more: Any
) -> Output:
    """Run the tap with a signal during or after a write."""
    number = signal.SIGTERM if at % 2 else signal.SIGINT
    log.clear()
    simulator.reset_log()
    output = Output(number, at, moment)
    ended = run(simulator, {}, output, **more)
    assert ended is not None
    assert ended.code == EXIT_CODES[number]
    return output


@pytest.mark.slow
@pytest.mark.parametrize(
    ("moment", "more"),
    [("during", {}), ("after", {}), ("during", ROW_BY_ROW)],
    ids=["in a page", "after a page", "in a record"],
)
def test_signal_at_any_write_leaves_whole_lines_and_a_true_state(
    simulator: Simulator, moment: str, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for at, _ in enumerate(writes_of(simulator, **more), 1):
        threads = threading.enumerate()
        output = interrupt(simulator, at, moment, caplog, **more)
        check_ended(simulator, caplog, threads)
        check_output(simulator, output, **more)


# At every request


@pytest.mark.slow
@pytest.mark.parametrize("cap", [1, 4])
def test_signal_at_any_request_leaves_whole_lines_and_a_true_state(
    simulator: Simulator, cap: int, caplog: pytest.LogCaptureFixture
) -> None:
    main_thread = threading.main_thread().ident
    assert main_thread is not None
    assert run(simulator, {}, io.BytesIO()) is None
    requests = len(simulator.requests)
    assert requests > 8
    for at in range(requests):
        number = signal.SIGTERM if at % 2 else signal.SIGINT
        caplog.clear()
        simulator.reset_log()
        simulator.inject(
            CallAtRequest(partial(signal.pthread_kill, main_thread, number)).on(after=at)
        )
        output, threads = io.BytesIO(), threading.enumerate()
        ended = run(simulator, {}, output, max_concurrent_exports=cap)
        assert ended is not None
        assert ended.code == EXIT_CODES[number]
        simulator.clear_faults()
        check_ended(simulator, caplog, threads)
        check_output(simulator, output)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(ENOSPC, "Full"), TypeError()])
@pytest.mark.parametrize(("at", "more"), [(4, {}), (3, ROW_BY_ROW)])
def test_nothing_follows_a_line_in_which_a_write_failed(
    simulator: Simulator, at: int, more: dict[str, Any], error: BaseException
) -> None:
    """A STATE would continue the line. The handler of a program that uses the tap may raise."""

    def fail(*_: object) -> None:
        raise error

    signal.signal(signal.SIGINT, fail)
    output = Output(signal.SIGINT, at)
    with pytest.raises(OutputError if isinstance(error, Exception) else KeyboardInterrupt):
        run(simulator, {}, output, handle_signals=list, **more)
    cut = output.writes[-1]
    assert cut.startswith(b'{"type":"RECORD"')
    assert output.getvalue().endswith(cut[: len(cut) // 2])
    # Nothing of the run is left in the process.
    assert run(simulator, {}, io.BytesIO(), handle_signals=list, **more) is None


# Without a signal


class ShortOutput(io.BytesIO):
    """A stdout that accepts only part of each write, like a pipe when a signal arrives."""

    def write(self, data: Any) -> int:
        """Write at most 100 bytes."""
        return super().write(bytes(data)[:100])


def test_output_that_accepts_part_of_each_write_gets_everything(simulator: Simulator) -> None:
    """With PYTHONUNBUFFERED, `sys.stdout.buffer` is the file itself and may write less."""
    output = ShortOutput()
    assert run(simulator, {}, output) is None
    target = FakeTarget(simulator)
    target.load(output.getvalue())
    assert target.missing(STARTED) == set()


@pytest.mark.parametrize("more", [{}, ROW_BY_ROW])
@pytest.mark.parametrize("buffering", [0, -1])
def test_pipe_that_is_full_and_does_not_block_gets_everything(
    simulator: Simulator, buffering: int, more: dict[str, Any]
) -> None:
    """A parent such as Node.js makes the pipe non-blocking."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    with suppress(BlockingIOError):
        while True:
            os.write(writer, b"\n")

    def read() -> bytes:
        with open(reader, "rb", buffering=0) as pipe:  # noqa: PTH123 - no path
            wait_until(lambda: os.get_blocking(writer))
            start = pipe.read(100)
            os.set_blocking(writer, False)
            return (start + pipe.readall()).lstrip()

    with ThreadPoolExecutor(1) as pool:
        written = pool.submit(read)
        with cast("io.FileIO", open(writer, "wb", buffering=buffering)) as output:  # noqa: PTH123
            assert run(simulator, {}, output, **more) is None
        target = FakeTarget(simulator)
        target.load(written.result(WAIT_LIMIT))
    assert target.missing(STARTED) == set()


def test_output_for_text_gets_everything(simulator: Simulator) -> None:
    """A notebook's or a test runner's stdout has no `buffer`."""
    output = io.StringIO()
    with redirect_stdout(output), limited_to(STREAMS):
        TapCampusGroups(config=settings_for(simulator)).sync_all()
    target = FakeTarget(simulator)
    target.load(output.getvalue().encode())
    assert target.missing(STARTED) == set()
