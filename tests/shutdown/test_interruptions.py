"""Runs that a signal ends at any moment: the next one resumes from the last state it wrote.

In the environment, INTERRUPTIONS=1000 makes the test of a backfill that is interrupted again and
again interrupt real runs that many times instead of some 24, INTERRUPTIONS_SEED chooses another
seed, and INTERRUPTIONS_BUSY=2 keeps two processors busy meanwhile.
"""

from __future__ import annotations

import fcntl
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import partial
from random import Random
from typing import IO, TYPE_CHECKING, Any, Self
from unittest.mock import patch

import pytest

from tap_campusgroups.records.writer import PageWriter
from tap_campusgroups.shutdown import SHUTDOWN, TerminationSignal
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, EmptyPage, FailQuery, FaultType, Hang, Phase, Simulator, Status
from tests.state.test_late_rows import canonical
from tests.support.harness import NEWEST, STARTED, catalog_of, settings_for

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator
    from pathlib import Path

    from tests.simulator.request_context import RequestContext
    from tests.simulator.responses import Response

SECONDS_TO_END = 5.0
"""How long a run may take to end after a signal."""

DAY = timedelta(days=1)
PIPE = 4096
"""Bytes of a pipe so small that the tap is never far ahead of its reader."""

RECORD_BY_RECORD = {"flattening_enabled": True, "flattening_max_depth": 1}
"""With these settings, records take the SDK's road, one by one, in place of whole pages."""

CODES = {signal.SIGTERM: 143, signal.SIGINT: 130, signal.SIGKILL: -signal.SIGKILL}
STREAMS = ("checkins", "rooms", "tags")


class Ledger:
    """What a target has read of some streams, over all runs, and whether each state was true.

    Attributes:
        state: The last state.
        records: How many records came.
    """

    def __init__(self, simulator: Simulator) -> None:
        """Begin with nothing."""
        self._dataset = simulator.dataset
        self._seen: set[tuple[str, int, str]] = set()
        self.state: dict[str, Any] = {}
        self.records = 0

    def read(self, line: bytes) -> None:
        """Take in a whole line; a state must have all up to its bookmarks before it."""
        message = json.loads(line)
        if message["type"] == "RECORD":
            record = message["record"]
            self.records += 1
            self._seen.add((message["stream"], record["id"], record["updatedOn"]))
        elif message["type"] == "STATE":
            state = message["value"]
            for stream in self._dataset.streams:
                before, bookmark = _bookmark(self.state, stream), _bookmark(state, stream)
                assert bookmark >= before
                assert self.missing(stream, bookmark) == set()
            self.state = state

    def missing(self, stream: str, until: str) -> set[tuple[str, int, str]]:
        """Pick the rows of a stream up to an instant that have not come."""
        rows = {(stream, row["id"], _updated(row)) for row in self._dataset[stream]}
        return {row for row in rows - self._seen if row[2] <= until}

    def all_missing(self, until: datetime) -> set[tuple[str, int, str]]:
        """Pick the rows of all streams up to an instant that have not come."""
        missing = (self.missing(stream, canonical(until)) for stream in self._dataset.streams)
        return set().union(*missing)


def check_lines(simulator: Simulator, output: bytes) -> Ledger:
    """Make sure that an output has whole lines and true states."""
    assert output[-1:] in {b"\n", b""}
    ledger = Ledger(simulator)
    for line in output.splitlines():
        ledger.read(line)
    return ledger


def _bookmark(state: dict[str, Any], stream: str) -> str:
    value: str = state.get("bookmarks", {}).get(stream, {}).get("replication_key_value", "")
    return value


def _updated(row: dict[str, Any]) -> str:
    instant = datetime.fromisoformat(row["updatedOn"])
    return canonical(instant.astimezone(UTC) if instant.tzinfo else instant.replace(tzinfo=UTC))


# In this process: at every line that is written, and at every request


class Output(io.BytesIO):
    """An output in which a signal comes when half of a write is out.

    Attributes:
        writes: What was written so far, one by one.
    """

    def __init__(self, number: signal.Signals, at: int | None) -> None:
        """Name the signal and the write."""
        super().__init__()
        self._signal = number
        self._at = at
        self.writes: list[bytes] = []

    def write(self, data: Any) -> int:
        """Write all, with or without the signal in between."""
        text = bytes(data)
        if text:
            self.writes.append(text)
        if text and len(self.writes) == self._at:
            super().write(text[: len(text) // 2])
            signal.raise_signal(self._signal)
            return super().write(text[len(text) // 2 :]) + len(text) // 2
        return super().write(text)


def run_here(
    simulator: Simulator, state: dict[str, Any], output: io.BytesIO, **more: Any
) -> TerminationSignal | None:
    """Run the tap in this process; return the signal that ended it."""
    config = settings_for(
        simulator,
        start_date=(STARTED - 3 * DAY).isoformat(),
        export_window_days=1,
        lookback_hours=6,
        page_size=2,
        **more,
    )
    milliseconds = int(STARTED.timestamp() * 1000)
    SHUTDOWN.signal = None
    with (
        redirect_stdout(io.TextIOWrapper(output, encoding="utf-8")) as text,
        patch.object(TapCampusGroups, "initialized_at", milliseconds),
    ):
        ended = None
        try:
            TapCampusGroups(config=config, state=state, catalog=catalog_of(STREAMS[:2])).sync_all()
        except TerminationSignal as terminated:
            ended = terminated
        finally:
            text.flush()
            text.detach()
    return ended


@pytest.fixture
def small() -> Iterator[Simulator]:
    """The service, with a few rows of two streams in the range of the runs in this process."""
    rows = dict.fromkeys(STREAMS[:2], 7)
    with Simulator(Dataset(rows, newest=NEWEST, span=2.9 * DAY)) as simulator:
        yield simulator


def check_ended(
    simulator: Simulator, log: pytest.LogCaptureFixture, before: Collection[threading.Thread]
) -> None:
    """Make sure that a run left nothing behind and was summed up, if it had got going."""
    for thread in set(threading.enumerate()) - set(before):
        if "campusgroups" in thread.name:
            thread.join(30)
            assert not thread.is_alive()
    summaries = sum("Summary: " in record.getMessage() for record in log.records)
    # Whether it had got going, the service does not know before it is asked for the first export.
    asked = any(request.method == "GET" for request in simulator.requests)
    assert summaries == 1 if asked else summaries <= 1


def check_output(simulator: Simulator, output: io.BytesIO, **more: Any) -> None:
    """Make sure that an output has whole lines and true states, and that a run completes it."""
    ledger = check_lines(simulator, output.getvalue())
    rest = io.BytesIO()
    assert run_here(simulator, ledger.state, rest, **more) is None
    for line in rest.getvalue().splitlines():
        ledger.read(line)
    assert ledger.all_missing(STARTED) == set()


@contextmanager
def signal_around_write(at: int, number: signal.Signals, moment: str) -> Iterator[None]:
    """Let a signal come before or after something is written, but not while it is."""
    original, count = vars(PageWriter)["_write"], iter(range(1, 10_000))

    def write(writer: PageWriter, data: bytes, **options: Any) -> None:
        is_it = len(data) > 0 and next(count) == at
        if is_it and moment == "before":
            signal.raise_signal(number)
        original(writer, data, **options)
        if is_it and moment == "after":
            signal.raise_signal(number)

    with patch.object(PageWriter, "_write", write):
        yield


def writes_of_a_run(simulator: Simulator, **more: Any) -> list[bytes]:
    """List what a run writes at once that nobody breaks off."""
    output = Output(signal.SIGTERM, None)
    assert run_here(simulator, {}, output, **more) is None
    assert len(output.writes) > 12
    return output.writes


def is_schema(text: bytes) -> bool:
    """Tell whether a line is a SCHEMA."""
    return text.startswith(b'{"type":"SCHEMA"')


def break_off(
    simulator: Simulator, at: int, moment: str, log: pytest.LogCaptureFixture, **more: Any
) -> Output:
    """Run the tap until a signal before, while or after something is written."""
    number = signal.SIGTERM if at % 2 else signal.SIGINT
    log.clear()
    simulator.reset_log()
    output = Output(number, at if moment == "while" else None)
    with signal_around_write(at, number, moment):
        ended = run_here(simulator, {}, output, **more)
    assert ended is not None
    assert ended.code == CODES[number]
    return output


@pytest.mark.parametrize(
    ("moment", "more"),
    [("before", {}), ("while", {}), ("while", RECORD_BY_RECORD)],
    ids=["before a page", "in a page", "in a record"],
)
def test_a_signal_at_any_line_leaves_whole_lines_and_a_true_state(
    small: Simulator, moment: str, more: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    for at, text in enumerate(writes_of_a_run(small, **more), 1):
        threads = threading.enumerate()
        output = break_off(small, at, moment, caplog, **more)
        if not is_schema(text):  # a test of its own
            check_ended(small, caplog, threads)
        check_output(small, output, **more)


@pytest.mark.parametrize("moment", ["before", "while", "after"])
def test_a_signal_between_two_streams_ends_the_workers_and_is_summed_up(
    small: Simulator, moment: str, caplog: pytest.LogCaptureFixture
) -> None:
    writes = writes_of_a_run(small)
    first, second = [at for at, text in enumerate(writes, 1) if is_schema(text)]
    for at in (first, second):
        threads = threading.enumerate()
        break_off(small, at, moment, caplog)
        check_ended(small, caplog, threads)


class AtRequest(FaultType):
    """Does something at a request, which is answered all the same."""

    def __init__(self, do: Callable[[], object]) -> None:
        """Name what is done."""
        self._do = do

    def respond(self, context: RequestContext) -> Response:
        """Do it."""
        self._do()
        return context.execute()


@pytest.mark.parametrize("cap", [1, 4])
def test_a_signal_at_any_request_leaves_whole_lines_and_a_true_state(
    small: Simulator, cap: int, caplog: pytest.LogCaptureFixture
) -> None:
    here = threading.main_thread().ident
    assert here is not None
    whole = io.BytesIO()
    assert run_here(small, {}, whole) is None
    requests = len(small.requests)
    assert requests > 12
    for at in range(requests):
        number = signal.SIGTERM if at % 2 else signal.SIGINT
        caplog.clear()
        small.reset_log()
        small.inject(AtRequest(partial(signal.pthread_kill, here, number)).on(after=at))
        output, threads = io.BytesIO(), threading.enumerate()
        ended = run_here(small, {}, output, max_concurrent_exports=cap)
        assert ended is not None
        assert ended.code == CODES[number]
        small.clear_faults()
        check_ended(small, caplog, threads)
        check_output(small, output)


class ShortOutput(io.BytesIO):
    """An output that takes a bit of what it is given, as a pipe does that a signal breaks off."""

    def write(self, data: Any) -> int:
        """Take at most 100 bytes."""
        return super().write(bytes(data)[:100])


def test_an_output_that_takes_less_than_it_is_given_gets_everything(small: Simulator) -> None:
    """With PYTHONUNBUFFERED, `sys.stdout.buffer` is the file itself: the rest must be written."""
    output = ShortOutput()
    assert run_here(small, {}, output) is None
    assert check_lines(small, output.getvalue()).all_missing(STARTED) == set()


# Processes


class Process:
    """The tap as a process of its own, whose output somebody reads.

    Attributes:
        stdout: Its output.
    """

    def __init__(
        self,
        home: Path,
        config: dict[str, Any],
        *,
        pipe: int = -1,
        unbuffered: str = "",
        on_log_line: Callable[[Process, str], object] = lambda _process, _line: None,
    ) -> None:
        """Start it; `state.json` in its home is its state, if there is one.

        Args:
            home: Folder for its files.
            config: Its settings.
            pipe: Bytes that it may be ahead of its reader.
            unbuffered: PYTHONUNBUFFERED.
            on_log_line: Called with each line that it logs, as soon as it is there.
        """
        for name, content in (("config", config), ("catalog", catalog_of(STREAMS))):
            (home / f"{name}.json").write_text(json.dumps(content))
        state = home / "state.json"
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tap_campusgroups"),
                *("--config", home / "config.json", "--catalog", home / "catalog.json"),
                *(("--state", state) if state.exists() else ()),
            ],
            env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            pipesize=pipe,
        )
        assert self._process.stdout is not None
        self.stdout = self._process.stdout
        self._signalled = 0.0
        self._lines: list[str] = []
        self._on_log_line = on_log_line
        self._reader = threading.Thread(target=self._read_log)
        self._reader.start()

    def _read_log(self) -> None:
        assert self._process.stderr is not None
        with self._process.stderr as log:
            for line in log:
                self._lines.append(line.decode())
                self._on_log_line(self, self._lines[-1])

    def __enter__(self) -> Self:
        """Return the process, which runs already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave nothing of it behind, whatever happened."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        self.stdout.close()

    def send(self, number: signal.Signals) -> None:
        """Send a signal."""
        self._signalled = self._signalled or time.monotonic()
        self._process.send_signal(number)

    def stop_and_continue(self) -> None:
        """Stop the process for a moment."""
        self._process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, self._process.pid, os.WSTOPPED)
        self._process.send_signal(signal.SIGCONT)

    @property
    def is_signalled(self) -> bool:
        """Whether a signal was sent."""
        return self._signalled > 0

    def wait(self) -> int:
        """Wait for the end; return the exit code.

        Raises:
            TimeoutExpired: If it does not end in time after a signal.
        """
        code = self._process.wait(timeout=SECONDS_TO_END if self.is_signalled else 60)
        if self.is_signalled:
            assert time.monotonic() - self._signalled < SECONDS_TO_END, self.log
        self._reader.join()
        return code

    def rest(self) -> bytes:
        """Read to the end of the output."""
        watch = threading.Timer(60, self._process.kill)
        watch.start()
        try:
            return self.stdout.read()
        finally:
            watch.cancel()
            watch.join()

    @property
    def log(self) -> str:
        """What it logged so far."""
        return "".join(self._lines)

    def left_queries(self) -> list[str]:
        """Find the queryIds that the log says are left, on lines of information."""
        pattern = r"\| INFO .*its export is left at the server, queryId (\S+)$"
        return re.findall(pattern, self.log, re.MULTILINE)


# Interrupted again and again


def kind_of_line(line: str) -> str:
    """Reduce a log line to what it has in common with others of its kind."""
    return re.sub(r"'[^']*'|\b[0-9a-f-]{36}\b|[\d.,:TZ]*\d[\d.,:TZ]*|[a-z_]+_[a-z]+", "*", line)


@dataclass
class Aim:
    """A signal soon after a log line of some kind.

    Attributes:
        kind: The kind; the first line of all if none is known yet.
        skip: How many lines of the kind come before it.
        delay: Seconds after the line.
        number: The signal.
        known: The kinds that any run has logged.
    """

    kind: str | None
    skip: int
    delay: float
    number: signal.Signals
    known: set[str]
    is_fired: bool = False

    def __call__(self, process: Process, line: str) -> None:
        """Look at a line."""
        kind = kind_of_line(line)
        self.known.add(kind)
        if self.is_fired or self.kind not in {kind, None}:
            return
        self.skip -= 1
        if self.skip < 0:
            self.is_fired = True
            time.sleep(self.delay)
            process.send(self.number)


@dataclass
class Backfill:
    """A backfill of three streams that is interrupted until a run completes by itself.

    Attributes:
        home: Folder for its files.
        seed: What all chance depends on.
        unbuffered: PYTHONUNBUFFERED.
        interruptions: How many runs were interrupted.
        rounds: How many runs there were.
        kinds: The kinds of lines that any run has logged.
        ends: How runs ended, by exit code and whether they had logged anything.
    """

    home: Path
    seed: str
    unbuffered: str
    interruptions: int = 0
    rounds: int = 0
    kinds: set[str] = field(default_factory=set)
    ends: Counter[tuple[int, bool]] = field(default_factory=Counter)
    _random: Random = field(init=False)

    def __post_init__(self) -> None:
        """Seed chance."""
        self._random = Random(self.seed)  # noqa: S311 - not for secrets

    def run(self) -> None:
        """Run it to its end, and make sure that every row has come."""
        random = self._random
        newest = datetime.now(UTC) - timedelta(hours=1)
        counts = {stream: random.randint(20, 50) for stream in STREAMS}
        with Simulator(Dataset(counts, seed=self.rounds, newest=newest, span=7 * DAY)) as simulator:
            ledger = Ledger(simulator)
            config = settings_for(
                simulator,
                start_date=(newest - 8 * DAY).isoformat(),
                export_window_days=random.choice((1, 2)),
                lookback_hours=random.choice((0, 6, 30)),
                page_size=random.choice((1, 5, 20)),
                max_concurrent_exports=random.choice((1, 4)),
                **random.choice(({}, RECORD_BY_RECORD)),
            )
            (self.home / "state.json").unlink(missing_ok=True)
            furthest = 30
            for _ in range(60):
                before = ledger.state
                started = datetime.now(UTC).replace(microsecond=0)
                if self._round(simulator, ledger, config, furthest):
                    assert ledger.all_missing(started) == set()
                    return
                if ledger.state == before:
                    furthest += furthest // 3
                else:
                    (self.home / "state.json").write_text(json.dumps(ledger.state))
                self._change_something(simulator)
            pytest.fail("no run has come to its end")

    def _round(
        self, simulator: Simulator, ledger: Ledger, config: dict[str, Any], furthest: int
    ) -> bool:
        """Run it once; return whether it completed."""
        random = self._random
        self.rounds += 1
        number = random.choice((signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGKILL))
        way = random.choice(("line", "request", "time", "log", "log"))
        at = random.randint(1, furthest)
        reads_on = number is not signal.SIGKILL or random.random() < 0.5
        simulator.clear_faults()
        for fault in random.sample((FailQuery(), EmptyPage()), random.randint(0, 2)):
            simulator.inject(fault.on(None, "later_page", after=random.randint(0, 20)))
        # The process asks the service long after it has been started.
        processes: list[Process] = []
        if way == "request":
            simulator.inject(AtRequest(lambda: processes[0].send(number)).on(after=at))
        aim = Aim(
            random.choice([None, *sorted(self.kinds)]) if way == "log" else "no such line",
            random.choice((0, 0, 1, 2, 5)),
            random.uniform(0.0, 0.005),
            number,
            self.kinds,
        )
        with Process(
            self.home, config, pipe=PIPE, unbuffered=self.unbuffered, on_log_line=aim
        ) as process:
            processes.append(process)
            timer = threading.Timer(random.uniform(0.0, 0.9), process.send, [number])
            if way == "time":
                timer.start()
            lines = 0
            try:
                for line in process.stdout:
                    if number is signal.SIGKILL and not line.endswith(b"\n"):
                        break
                    # A signal that the tap can act on does not cut a line.
                    assert line.endswith(b"\n")
                    ledger.read(line)
                    lines += 1
                    if way == "line" and lines == at:
                        process.send(number)
                        if not reads_on:
                            break  # the target died, too
                code = process.wait()
            finally:
                timer.cancel()
                if way == "time":
                    timer.join()
            log = process.log
        self.ends[code, bool(log)] += 1
        return self._is_complete(code, log, number, is_signalled=process.is_signalled)

    def _is_complete(
        self, code: int, log: str, number: signal.Signals, *, is_signalled: bool
    ) -> bool:
        """Check how a run ended; return whether it completed."""
        assert "Exception ignored" not in log, log
        assert log.count("Summary: ") <= 1, log
        if code == 0:
            return True
        assert is_signalled, log
        self.interruptions += 1
        if code == -signal.SIGKILL:
            return False
        if code == CODES[number] and "Traceback" not in log:
            assert f"Stopped by {number.name}." in log.splitlines()[-1], log
            return False
        # Before the first log line: our imports end by the signal itself. Before our first line of
        # code, SIGINT ends Python's own start with a traceback, as that of any Python program.
        assert " | INFO " not in log, log
        assert not re.search(r'tap_campusgroups/__main__\.py", line \d+, in main', log), log
        assert code == -number or (code == 1 and "KeyboardInterrupt" in log), (code, log)
        return False

    def _change_something(self, simulator: Simulator) -> None:
        """Let the service have a new row, a changed one, or neither."""
        stream = self._random.choice(STREAMS)
        rows = simulator.dataset[stream]
        now = canonical(datetime.now(UTC))
        match self._random.randrange(3):
            case 0:
                rows.append(simulator.dataset.row(stream, len(rows) + 1) | {"updatedOn": now})
            case 1:
                self._random.choice(rows)["updatedOn"] = now


@pytest.fixture
def _busy() -> Iterator[None]:
    """Keep as many processors busy as INTERRUPTIONS_BUSY says."""
    count = int(os.environ.get("INTERRUPTIONS_BUSY", "0"))
    burners = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(count)]
    yield
    for burner in burners:
        burner.kill()
        burner.wait()


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.usefixtures("_busy")
def test_backfill_interrupted_again_and_again_has_every_row(
    tmp_path: Path, unbuffered: str, record_property: Callable[[str, object], None]
) -> None:
    wanted = int(os.environ.get("INTERRUPTIONS", "24")) / 4
    seed = os.environ.get("INTERRUPTIONS_SEED", "1")

    def work(worker: int) -> Backfill:
        home = tmp_path / str(worker)
        home.mkdir()
        backfill = Backfill(home, f"{seed}:{worker}:{unbuffered}", unbuffered)
        while backfill.interruptions < wanted:
            backfill.run()
        return backfill

    with ThreadPoolExecutor(2) as pool:
        backfills = list(pool.map(work, range(2)))
    interruptions = sum(backfill.interruptions for backfill in backfills)
    record_property("interruptions", interruptions)
    ends = sum((backfill.ends for backfill in backfills), Counter())
    print(f"{interruptions} interruptions; exit codes: {dict(ends)}")  # noqa: T201 - with pytest -s
    assert interruptions >= 2 * wanted


# While something is waited for


class Waiting:
    """Tells when so many exports have been asked for in vain."""

    def __init__(self, simulator: Simulator, exports: int) -> None:
        """Watch a service, whose exports must be waiting."""
        self._simulator = simulator
        self._exports = exports
        self._here = threading.Event()
        simulator.inject(AtRequest(self._look).on(None, "poll", times=None))

    @property
    def queries(self) -> set[str]:
        """The queryIds that somebody has asked for."""
        asked = (
            one.query.get("queryId") for one in self._simulator.requests if one.phase == "poll"
        )
        return {query for query in asked if query}

    def _look(self) -> None:
        # The request at hand is not recorded yet; the next poll of the same export sees it.
        if len(self.queries) >= self._exports:
            self._here.set()

    def wait(self) -> None:
        """Wait until they have."""
        assert self._here.wait(30)


ENDED_BY = [signal.SIGTERM, signal.SIGINT]


@pytest.fixture
def service() -> Iterator[Simulator]:
    """The service, with rows of three streams in a week."""
    newest = datetime.now(UTC) - timedelta(hours=1)
    with Simulator(Dataset(dict.fromkeys(STREAMS, 40), newest=newest, span=7 * DAY)) as simulator:
        yield simulator


@pytest.fixture
def backfill(service: Simulator) -> dict[str, Any]:
    """Settings of a backfill of that week."""
    start = (service.dataset.newest - 8 * DAY).replace(hour=0, minute=0, second=0, microsecond=0)
    return settings_for(service, start_date=start.isoformat(), export_window_days=1, page_size=5)


@pytest.mark.parametrize("number", ENDED_BY, ids=lambda number: number.name)
def test_a_signal_while_exports_wait_ends_the_run_and_tells_what_is_left(
    service: Simulator, backfill: dict[str, Any], tmp_path: Path, number: signal.Signals
) -> None:
    class Slow(FaultType):
        """Every export but this one runs for ever; the others are submitted after its answer."""

        def respond(self, context: RequestContext) -> Response:
            answer = context.execute()
            service.timing.running_seconds = 1e9
            return answer

    service.inject(Slow().on("checkins", "submit"))
    # Those of the second day and of the days after it, as many as the cap allows.
    waiting = Waiting(service, 4)
    with Process(tmp_path, backfill) as process:
        waiting.wait()
        ledger = Ledger(service)
        while not _bookmark(ledger.state, "checkins"):
            ledger.read(process.stdout.readline())
        process.send(number)
        rest, code = process.rest(), process.wait()
        log, left = process.log, process.left_queries()
    assert code == CODES[number]
    assert sorted(left) == sorted(waiting.queries)
    assert not rest  # it waits
    # The last finished window is in the state; it is in the past, so its end is the least.
    assert _bookmark(ledger.state, "checkins") == canonical(
        datetime.fromisoformat(backfill["start_date"]) + DAY
    )
    assert log.count("Summary: ") == 1
    assert f"Stopped by {number.name}. The next run resumes" in log.splitlines()[-1]
    assert "Traceback" not in log


@pytest.mark.parametrize(
    ("kind", "phase"),
    [
        (Hang(), "submit"),
        (Hang(), "first_page"),
        (Hang(), "later_page"),
        (Status(503, headers={"Retry-After": "600"}), "later_page"),
        (Status(429, headers={"Retry-After": "600"}), "submit"),
    ],
    ids=repr,
)
def test_a_signal_ends_a_run_that_waits_for_an_answer_or_for_another_try(
    service: Simulator, backfill: dict[str, Any], tmp_path: Path, kind: FaultType, phase: Phase
) -> None:
    here = threading.Event()

    class Told(FaultType):
        def respond(self, context: RequestContext) -> Response:
            here.set()
            return kind.respond(context)

    service.inject(Told().on("checkins", phase, after=3, times=None))
    config = backfill | {"max_concurrent_exports": 1, "page_size": 2}
    with Process(tmp_path, config) as process:
        assert here.wait(30)
        process.send(signal.SIGTERM)
        rest, code = process.rest(), process.wait()
        log = process.log
    assert code == 143
    check_lines(service, rest)
    assert log.count("Summary: ") == 1


def test_second_signal_changes_nothing(
    service: Simulator, backfill: dict[str, Any], tmp_path: Path
) -> None:
    """As after Ctrl-C under Meltano, which passes on what the terminal has sent already."""
    service.timing.running_seconds = 1e9
    waiting = Waiting(service, 1)
    with Process(tmp_path, backfill) as process:
        waiting.wait()
        process.send(signal.SIGINT)
        process.send(signal.SIGTERM)
        rest, code = process.rest(), process.wait()
    assert code == 130
    check_lines(service, rest)
    assert "SIGTERM" not in process.log


# A target that does not read


def wait_until_full(pipe: IO[bytes]) -> None:
    """Wait until nothing more goes into a pipe, which nobody else can tell."""
    deadline = time.monotonic() + 30
    held = -1
    while (now := _buffered_bytes(pipe)) != held or not now:
        assert time.monotonic() < deadline
        held = now
        time.sleep(0.1)


def _buffered_bytes(pipe: IO[bytes]) -> int:
    held: int = struct.unpack("i", fcntl.ioctl(pipe, termios.FIONREAD, b"\0" * 4))[0]
    return held


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
def test_a_signal_ends_a_run_whose_target_does_not_read(
    backfill: dict[str, Any], tmp_path: Path, unbuffered: str
) -> None:
    with Process(tmp_path, backfill, pipe=PIPE, unbuffered=unbuffered) as process:
        wait_until_full(process.stdout)
        process.send(signal.SIGTERM)
        assert process.wait() == 143
    assert "Stopped by SIGTERM." in process.log.splitlines()[-1]


@pytest.mark.parametrize("unbuffered", ["", "1"], ids=["buffered", "unbuffered"])
@pytest.mark.parametrize("number", [signal.SIGSTOP, signal.SIGTERM], ids=lambda number: number.name)
def test_a_signal_in_the_midst_of_a_page_does_not_cut_a_line(
    service: Simulator,
    backfill: dict[str, Any],
    tmp_path: Path,
    unbuffered: str,
    number: signal.Signals,
) -> None:
    """SIGSTOP and SIGCONT are Ctrl-Z and `fg`, or what a container's pause does."""
    config = backfill | {"page_size": 40, "export_window_days": 30}
    with Process(tmp_path, config, pipe=PIPE, unbuffered=unbuffered) as process:
        wait_until_full(process.stdout)
        if number is signal.SIGSTOP:
            process.stop_and_continue()
        else:
            process.send(number)
        rest = process.rest()
        code = process.wait()
    ledger = check_lines(service, rest)
    if number is signal.SIGSTOP:
        assert code == 0
        assert ledger.all_missing(service.dataset.newest) == set()
    else:
        assert code == 143
