"""Exports side by side: how many, in which order, how far ahead, and what becomes of a failure.

Fake exports show what the scheduler does alone, the simulator what becomes of it over real HTTP.
Ends of all kinds are in `test_clean_ends`.
"""

from __future__ import annotations

import io
import itertools
import json
import logging
import re
import signal
import threading
from collections import Counter
from concurrent.futures import Future
from contextlib import closing, contextmanager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from random import Random
from time import sleep
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import pytest

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.exceptions import (
    AccessDeniedError,
    CampusGroupsError,
    ExportFailedError,
    ExportsStoppedError,
    ServiceUnavailableError,
)
from tap_campusgroups.exports import scheduler
from tap_campusgroups.exports.export import Page
from tap_campusgroups.exports.scheduler import ExportJob, Scheduler
from tap_campusgroups.records.json_codec import Raw
from tap_campusgroups.streams import STREAMS
from tap_campusgroups.tap import TapCampusGroups
from tests.simulator import Dataset, FailQuery, FaultType, Hang, Phase, Simulator, Status
from tests.support.harness import (
    NEWEST,
    Output,
    settings_for,
    state_of,
    structured_logging,
    sync,
    wait_until,
)
from tests.support.processes import run

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from tap_campusgroups.exports.scheduler import Control
    from tests.conftest import FakeTime

T = TypeVar("T")

NAMES = sorted(stream.name for stream in STREAMS[ApiVersion.V1_0])
"""The streams in the order in which they are synced."""

ROWS = 5
END = "2025-07-01"
"""A bound that no run moves, so that two runs ask for the same window."""

SECONDS = 60.0
"""More than anything here takes, on a busy machine too."""


_left_by_others: WeakSet[threading.Thread] = WeakSet()


def _threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("tap-campusgroups")]


def workers() -> list[str]:
    """Name the threads of the tap that live, but for those of a test that failed before."""
    return [thread.name for thread in _threads() if thread not in _left_by_others]


@contextmanager
def background(run: Callable[[], T], *, let_go: Callable[[], object]) -> Iterator[Future[T]]:
    """Run something in a thread; whatever happens meanwhile, let go of it in the end."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(run())
        except BaseException as error:  # noqa: BLE001 - raised where the result is asked for
            future.set_exception(error)

    # Not of a pool, which would wait for ever for what is stuck.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield future
    finally:
        let_go()
        thread.join(SECONDS)
    assert not thread.is_alive()


@contextmanager
def supervised() -> Iterator[None]:
    """See to it that a test leaves no thread of the tap behind, and that it ends at all."""

    def give_up(*_: object) -> None:
        msg = "the main thread is stuck"
        raise TimeoutError(msg)

    _left_by_others.update(_threads())
    before = signal.signal(signal.SIGALRM, give_up)
    signal.setitimer(signal.ITIMER_REAL, 4 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    wait_until(lambda: workers() == [])


@pytest.fixture(autouse=True)
def _supervised() -> Iterator[None]:
    with supervised():
        yield


# Fake exports


class Ledger:
    """Counts what fake exports have fetched.

    Attributes:
        ahead: Bytes of pages that nobody has taken.
        peak: The most that were.
        fetched: Pages by stream.
    """

    def __init__(self) -> None:
        """Start with nothing."""
        self._lock = threading.Lock()
        self.ahead = 0
        self.peak = 0
        self.fetched: Counter[str] = Counter()

    def fetch(self, stream: str, size: int) -> None:
        """Count a page that a worker has."""
        with self._lock:
            self.ahead += size
            self.peak = max(self.peak, self.ahead)
            self.fetched[stream] += 1

    def take(self, size: int) -> None:
        """Count a page that the main thread is about to take."""
        with self._lock:
            self.ahead -= size


def fake(
    stream: str,
    sizes: Iterable[int],
    *,
    ledger: Ledger | None = None,
    before: Callable[[int], None] = lambda _number: None,
    error: Exception | None = None,
) -> ExportJob:
    """Make an export that the server accepts at once.

    Args:
        stream: Its stream.
        sizes: Of its pages, in bytes.
        ledger: Where its pages are counted.
        before: Called before each page with its number, from 1; that of the first one tells that
            the export has been submitted.
        error: What ends it after these pages; if not given, the last one is its last.
    """

    def fetch(control: Control) -> Generator[Page, None, None]:
        number = 0
        size: int | None
        left = iter(sizes)
        upcoming = next(left, None)
        control.accepted(f"query of {stream}")
        while (size := upcoming) is not None:
            upcoming = next(left, None)
            number += 1
            before(number)
            if ledger is not None:
                ledger.fetch(stream, size)
            text = Raw(f"{stream} {number}".encode())
            yield Page(text, size, is_last=upcoming is None and error is None)
        if error is not None:
            raise error

    return ExportJob(stream, fetch)


@contextmanager
def scheduled(
    *tasks: ExportJob,
    cap: int = 4,
    worker_context: Callable[[], AbstractContextManager[object]] = nullcontext,
) -> Iterator[Scheduler]:
    """Schedule exports, and end them."""
    made = Scheduler(
        tasks,
        max_concurrent=cap,
        worker_context=worker_context,
        logger=logging.getLogger("tap-campusgroups"),
    )
    with closing(made):
        yield made


def taken(pages: Iterable[Page]) -> list[str]:
    """Take pages; tell which they are."""
    return [bytes(page.results).decode() for page in pages]


def pages_of(stream: str, count: int) -> list[str]:
    """Name the pages of a fake export."""
    return [f"{stream} {number}" for number in range(1, count + 1)]


def in_time(run: Callable[[], T], made: Scheduler) -> T:
    """Run the main thread's side in another thread, which a scheduler that is stuck cannot hold."""
    with background(run, let_go=made.close) as running:
        return running.result(SECONDS)


@pytest.fixture
def small_buffer(monkeypatch: pytest.MonkeyPatch) -> int:
    """Let ten pages of 100 bytes be ahead."""
    monkeypatch.setattr(scheduler, "MAX_BUFFERED_BYTES", 1000)
    monkeypatch.setattr(scheduler, "PAGE_ESTIMATE", 100)
    return 1000


def test_pages_come_task_by_task_whichever_is_fetched_first() -> None:
    later_is_fetched = threading.Event()

    def tell(number: int) -> None:
        if number == 3:
            later_is_fetched.set()

    def listen(_number: int) -> None:
        assert later_is_fetched.wait(SECONDS)

    tasks = [fake("a", [1] * 3, before=listen), fake("b", [1] * 3, before=tell)]
    with scheduled(*tasks) as made:
        got = [text for task in tasks for text in taken(made.pages(task))]
    assert got == pages_of("a", 3) + pages_of("b", 3)


def test_after_the_last_task_the_workers_have_ended() -> None:
    tasks = [fake(name, [1, 1]) for name in "abc"]
    made = Scheduler(
        tasks,
        max_concurrent=3,
        worker_context=nullcontext,
        logger=logging.getLogger("tap-campusgroups"),
    )
    for task in tasks:
        assert made.expects(task)
        taken(made.pages(task))
        assert not made.expects(task)
    wait_until(lambda: workers() == [])


def test_what_nobody_takes_fills_the_buffer_and_no_more(small_buffer: int) -> None:
    ledger = Ledger()
    all_begin = threading.Barrier(3)

    def begin(number: int) -> None:
        if number == 1:
            all_begin.wait(SECONDS)

    tasks = [fake(name, itertools.repeat(100), ledger=ledger, before=begin) for name in "abc"]
    with scheduled(*tasks) as made:
        pages = made.pages(tasks[0])
        for _ in range(20):
            ledger.take(100)
            next(pages)
            wait_until(lambda: ledger.ahead >= small_buffer)
    assert ledger.peak <= small_buffer + 100
    assert ledger.fetched.total() <= 20 + small_buffer / 100 + 1
    assert min(ledger.fetched[name] for name in "abc") > 0


def test_first_pages_are_within_the_buffer_too(small_buffer: int) -> None:
    """Also those of exports that were submitted before any page was there."""
    ledger = Ledger()
    begun: list[int] = []
    gate = threading.Event()

    def hold(number: int) -> None:
        if number == 1:
            begun.append(number)
            assert gate.wait(SECONDS)

    tasks = [fake(str(number), [100] * 5, ledger=ledger, before=hold) for number in range(20)]

    def take() -> None:
        for task in tasks:
            for page in made.pages(task):
                ledger.take(page.size)

    with scheduled(*tasks, max_concurrent=20) as made, background(take, let_go=made.close) as taking:
        wait_until(lambda: len(begun) >= small_buffer / 100)
        gate.set()
        taking.result(SECONDS)
    assert ledger.fetched.total() == 100
    assert ledger.peak <= small_buffer + 200  # the turn's page, and the one that was just taken


def test_whose_turn_it_is_gets_on_whatever_the_others_have_fetched(small_buffer: int) -> None:
    ledger = Ledger()

    def let_others_first(number: int) -> None:
        if number == 2:
            wait_until(lambda: ledger.fetched["b"] + ledger.fetched["c"] >= 9)

    first, *_ = tasks = [
        fake("a", [100] + 9 * [600], ledger=ledger, before=let_others_first),
        fake("b", itertools.repeat(100), ledger=ledger),
        fake("c", itertools.repeat(100), ledger=ledger),
    ]

    def take() -> Iterator[Page]:
        pages = made.pages(first)
        for size in [100] + 9 * [600]:
            ledger.take(size)
            yield next(pages)
        yield from pages

    with scheduled(*tasks) as made:
        assert in_time(lambda: taken(take()), made) == pages_of("a", 10)
    assert ledger.peak <= small_buffer + 600


def test_a_page_may_be_larger_than_the_buffer(small_buffer: int) -> None:
    tasks = [fake(name, [5 * small_buffer] * 4) for name in "abc"]
    with scheduled(*tasks) as made:
        got = in_time(lambda: [text for task in tasks for text in taken(made.pages(task))], made)
    assert got == [text for name in "abc" for text in pages_of(name, 4)]


class Server:
    """Runs so many exports at once, and no more.

    Attributes:
        peak: The most that were.
        refusals: How often there were too many.
    """

    def __init__(self, limit: int) -> None:
        """Start with none."""
        self._lock = threading.Lock()
        self._limit = limit
        self._running = 0
        self.peak = 0
        self.refusals = 0

    def submit(self) -> bool:
        """Begin an export, if it may."""
        with self._lock:
            if self._running == self._limit:
                self.refusals += 1
                return False
            self._running += 1
            self.peak = max(self.peak, self._running)
            return True

    def end(self) -> None:
        """End an export."""
        with self._lock:
            self._running -= 1


class Chance:
    """An export of chance: sizes of pages, waits, being refused, submitted again, failing.

    Attributes:
        pages: Names of its pages.
        fails: Whether it fails after them.
        task: The export.
    """

    def __init__(self, stream: str, server: Server, random: Random) -> None:
        """Roll the dice."""
        self._stream = stream
        self._server = server
        self._sizes = [random.choice((1, 50, 100, 400, 2500)) for _ in range(random.randint(1, 6))]
        self._waits = [random.choice((0.0, 0.0, 0.0003, 0.001)) for _ in self._sizes]
        self._again = {number for number in range(2, 6) if random.random() < 0.1}
        self._failing_queries = random.choice((0, 0, 0, 1, 2))
        self.pages = pages_of(stream, len(self._sizes))
        self.fails = random.random() < 0.1
        self.task = ExportJob(stream, self._fetch)

    def _submit(self, control: Control) -> None:
        control.acquire_slot()
        while not self._server.submit():
            if not control.reduce_concurrency():
                control.pause(0.001)
        control.accepted(self._stream)

    def _fetch(self, control: Control) -> Generator[Page, None, None]:
        for number, (size, seconds) in enumerate(zip(self._sizes, self._waits, strict=True), 1):
            is_submitted = number == 1 or number in self._again
            if is_submitted:
                self._submit(control)
                for _ in range(self._failing_queries):
                    self._server.end()
                    control.ended()
                    self._submit(control)
            control.pause(seconds)
            if is_submitted:
                self._server.end()
            text = Raw(f"{self._stream} {number}".encode())
            is_last = number == len(self._sizes) and not self.fails
            yield Page(text, size, is_last=is_last)
        if self.fails:
            raise ValueError(self._stream)


def take_all(made: Scheduler, *, slowly: bool) -> list[str]:
    """Take all pages; after a failure go on, without the next task if its number is odd."""
    got: list[str] = []
    skipped: list[ExportJob] = []
    for task in made.tasks:
        if task in skipped:
            continue
        try:
            for page in made.pages(task):
                got += taken([page])
                if slowly:
                    sleep(0.0005)
        except ValueError as error:
            got.append(f"{error} fails")
            place = made.tasks.index(task) + 1
            skipped = [task, *(one for one in made.tasks[place : place + 1] if place % 2)]
            made.drop(skipped)
    return got


def test_no_schedule_locks_up_nor_loses_a_page(small_buffer: int) -> None:
    """Of many at random, with a server that refuses, and a main thread that may be slow."""
    assert small_buffer
    for seed in range(150):
        random = Random(seed)  # noqa: S311 - no secret hangs on it
        cap = random.randint(1, 8)
        server = Server(random.randint(1, 8))
        exports = [Chance(str(number), server, random) for number in range(random.randint(1, 9))]
        slowly = random.random() < 0.3
        expected: list[str] = []
        numbers = iter(range(len(exports)))
        for number in numbers:
            expected += exports[number].pages
            if exports[number].fails:
                expected.append(f"{number} fails")
                if number % 2 == 0:
                    next(numbers, None)
        with scheduled(*(export.task for export in exports), max_concurrent=cap) as made:
            got = in_time(partial(take_all, made, slowly=slowly), made)
        assert workers() == [], seed
        assert got == expected, seed
        assert server.peak <= cap, seed
        assert server.refusals <= cap, seed


def test_a_bug_in_a_worker_reaches_the_main_thread_after_the_pages_before_it() -> None:
    tasks = [fake("a", [1] * 2), fake("b", [1] * 2, error=KeyError("x")), fake("c", [1] * 2)]
    got: list[str] = []
    with scheduled(*tasks) as made:
        pages = (page for task in tasks for page in made.pages(task))
        with pytest.raises(KeyError) as raised:
            got.extend(bytes(page.results).decode() for page in pages)
    assert got == pages_of("a", 2) + pages_of("b", 2)
    assert raised.value.__notes__ == ["In the export of stream 'b'."]


def test_a_worker_that_cannot_begin_tells_the_main_thread() -> None:
    def broken() -> AbstractContextManager[object]:
        msg = "no session"
        raise OSError(msg)

    task = fake("a", [1])
    with scheduled(task, worker_context=broken) as made, pytest.raises(OSError, match="no session"):
        in_time(lambda: list(made.pages(task)), made)


def is_told(caplog: pytest.LogCaptureFixture, words: str) -> bool:
    """Say whether some words are in the log."""
    return words in caplog.text


class Gates:
    """Exports that stay at the server until they are let go of.

    Attributes:
        begun: Numbers of those that were submitted, in their order.
        refuse: Lets the server refuse an export, by its number.
        tasks: The exports.
    """

    def __init__(self, count: int, *, refused: Sequence[int] = ()) -> None:
        """Plan some exports, of which the server may refuse some at first."""
        self.begun: list[int] = []
        self.refuse = {number: threading.Event() for number in refused}
        self._events = [threading.Event() for _ in range(count)]
        self.tasks = [
            ExportJob(str(number), partial(self._fetch, number)) for number in range(count)
        ]

    def _fetch(self, number: int, control: Control) -> Generator[Page, None, None]:
        if number in self.refuse:
            assert self.refuse[number].wait(SECONDS)
            assert control.reduce_concurrency()
        self.begun.append(number)
        control.accepted(str(number))
        assert self._events[number].wait(SECONDS)
        yield Page(Raw(b""), 1, is_last=True)

    def let_go(self, *numbers: int) -> None:
        """Let exports have run."""
        for number in numbers:
            self._events[number].set()

    def have_begun(self, count: int) -> bool:
        """Say whether so many were submitted."""
        return len(self.begun) == count

    def take(self, made: Scheduler) -> int:
        """Take all pages; return how many."""
        return sum(len(list(made.pages(task))) for task in self.tasks)


def test_exports_begin_in_order_one_for_each_that_has_run() -> None:
    gates = Gates(6)
    with (
        scheduled(*gates.tasks, max_concurrent=2) as made,
        background(lambda: gates.take(made), let_go=made.close) as taking,
    ):
        wait_until(partial(gates.have_begun, 2))
        gates.begun.sort()  # these two at the same time
        for number in (1, 0, 3, 2):
            gates.let_go(number)
            wait_until(partial(gates.have_begun, len(gates.begun) + 1))
            assert gates.begun == sorted(gates.begun)
        gates.let_go(4, 5)
        assert taking.result(SECONDS) == 6


def test_exports_that_were_refused_come_before_later_ones_in_their_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    for _ in range(10):
        caplog.clear()
        gates = Gates(7, refused=(2, 3))
        with (
            scheduled(*gates.tasks, max_concurrent=4) as made,
            background(partial(gates.take, made), let_go=made.close) as taking,
        ):
            for number, left in ((3, 3), (2, 2)):
                wait_until(partial(gates.have_begun, 2))
                gates.refuse[number].set()
                wait_until(partial(is_told, caplog, f"takes no more than {left} exports at once"))
            assert sorted(gates.begun) == [0, 1]
            gates.let_go(1)
            wait_until(partial(gates.have_begun, 3))
            gates.let_go(0)
            wait_until(partial(gates.have_begun, 4))
            assert gates.begun[2:] == [2, 3]
            gates.let_go(*range(7))
            assert taking.result(SECONDS) == 7


def test_an_export_that_is_dropped_while_it_waits_for_a_place_is_not_submitted(
    caplog: pytest.LogCaptureFixture,
) -> None:
    gates = Gates(5, refused=(1,))
    with scheduled(*gates.tasks, max_concurrent=3) as made:
        dropped = gates.tasks.pop(1)
        with background(lambda: gates.take(made), let_go=made.close) as taking:
            wait_until(partial(gates.have_begun, 2))
            gates.refuse[1].set()
            wait_until(partial(is_told, caplog, "takes no more than 2 exports at once"))
            made.drop([dropped])
            gates.let_go(*range(5))
            assert taking.result(SECONDS) == 4
    assert sorted(gates.begun) == [0, 2, 3, 4]


def test_what_is_dropped_while_it_is_fetched_ends_with_its_page() -> None:
    is_dropped, has_ended = threading.Event(), threading.Event()

    def fetch(control: Control) -> Generator[Page, None, None]:
        try:
            control.accepted("b")
            yield Page(Raw(b"b 1"), 1, is_last=False)
            assert is_dropped.wait(SECONDS)
            while True:
                yield Page(Raw(b"b 2"), 1, is_last=False)
        finally:
            has_ended.set()

    first, second, third = tasks = [fake("a", [1]), ExportJob("b", fetch), fake("c", [1])]
    with scheduled(*tasks) as made:
        assert taken(made.pages(first)) == ["a 1"]
        wait_until(lambda: second.pages)
        made.drop([second])
        is_dropped.set()
        assert has_ended.wait(SECONDS)
        assert taken(made.pages(third)) == ["c 1"]
        assert not second.pages


@pytest.mark.usefixtures("small_buffer")
def test_what_is_dropped_makes_room_and_does_not_start() -> None:
    ledger = Ledger()

    def wait_for(stream: str, own: int) -> Callable[[int], None]:
        def wait(number: int) -> None:
            if number == own:
                wait_until(lambda: ledger.fetched[stream])

        return wait

    tasks = [
        fake("a", [100], ledger=ledger, before=wait_for("b", 1), error=ValueError("broken")),
        fake("b", [600] + 9 * [100], ledger=ledger),
        # As large a page would have no room beside that one.
        fake("c", 9 * [100], ledger=ledger),
        fake("d", 9 * [100], ledger=ledger, before=wait_for("e", 2)),
        fake("e", 9 * [100], ledger=ledger),
    ]

    def take() -> list[str]:
        got: list[str] = []
        with pytest.raises(ValueError, match="broken"):
            got.extend(bytes(page.results).decode() for page in made.pages(tasks[0]))
        made.drop(tasks[:3])
        return got + [text for task in tasks[3:] for text in taken(made.pages(task))]

    with scheduled(*tasks, max_concurrent=2) as made:
        assert in_time(take, made) == ["a 1", *pages_of("d", 9), *pages_of("e", 9)]
    assert ledger.fetched["b"] <= 2
    assert ledger.fetched["c"] == 0


def test_with_one_at_a_time_an_export_starts_when_its_turn_comes() -> None:
    asked: set[str] = set()
    early: list[str] = []

    def export(stream: str) -> ExportJob:
        def look(_number: int) -> None:
            if stream not in asked or len(workers()) > 2:  # one reports
                early.append(stream)

        return fake(stream, [1] * 3, before=look)

    tasks = [export(name) for name in "abc"]
    with scheduled(*tasks, max_concurrent=1) as made:
        for task in tasks:
            asked.add(task.stream)
            assert taken(made.pages(task)) == pages_of(task.stream, 3)
    assert early == []


def test_there_are_only_so_many_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scheduler, "MAX_WORKERS", 2)
    most = [0]

    def look(_number: int) -> None:
        most[0] = max(most[0], len(workers()) - 1)  # one reports

    tasks = [fake(str(number), [1] * 3, before=look) for number in range(8)]
    with scheduled(*tasks, max_concurrent=8) as made:
        got = in_time(lambda: [text for task in tasks for text in taken(made.pages(task))], made)
    assert got == [text for number in range(8) for text in pages_of(str(number), 3)]
    assert most == [2]


def test_a_pause_ends_when_the_run_does() -> None:
    pausing, ended = threading.Event(), threading.Event()

    def fetch(control: Control) -> Generator[Page, None, None]:
        yield Page(Raw(b"a 1"), 1, is_last=False)
        pausing.set()
        try:
            control.pause(600)
        except ExportsStoppedError:
            ended.set()
            raise

    task, later = ExportJob("a", fetch), fake("b", [1])
    with scheduled(task, later) as made:
        next(made.pages(task))
        assert made.expects(later)
        assert pausing.wait(SECONDS)
    assert ended.wait(SECONDS)
    assert not made.expects(later)
    with pytest.raises(ExportsStoppedError):
        list(made.pages(task))


def test_a_worker_that_does_not_end_is_told_of_and_left_alone(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(scheduler, "SECONDS_TO_STOP", 0.05)
    begun, free = threading.Event(), threading.Event()

    def hang(number: int) -> None:
        if number == 2:
            begun.set()
            free.wait(SECONDS)

    task = fake("a", [1, 1], before=hang)
    with scheduled(task) as made:
        next(made.pages(task))
        assert begun.wait(SECONDS)
        made.close()
        assert "1 requests were still running at shutdown and were abandoned" in caplog.text
        assert len(workers()) == 1
        free.set()
        wait_until(lambda: workers() == [])


# Over HTTP


class Clock:
    """The simulator's time, which stands still.

    Attributes:
        now: In seconds.
    """

    def __init__(self) -> None:
        """Start somewhere."""
        self.now = 0.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now

    def run_all(self) -> None:
        """Let every export have run, also those to come."""
        self.now = float("inf")


@pytest.fixture
def clock() -> Clock:
    """Time for a simulator."""
    return Clock()


def frozen(clock: Clock, **options: Any) -> Simulator:
    """Start a service whose exports run until the clock says otherwise."""
    return Simulator(Dataset(ROWS, newest=NEWEST), clock=clock, running_seconds=1, **options)


def submitted(simulator: Simulator, status: int | None = 200) -> list[str]:
    """List the streams whose exports were submitted with an answer, in the order of requests."""
    return [r.stream or "" for r in simulator.requests if (r.method, r.status) == ("POST", status)]


def assert_whole(output: Output, streams: Sequence[str] = NAMES) -> None:
    """See to it that every row of some streams arrived, and no other."""
    assert output.error is None
    counts = {stream: len(records) for stream, records in output.records.items()}
    assert counts == dict.fromkeys(streams, ROWS)
    assert list(counts) == list(streams)


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize("cap", [1, 4, 23])
def test_as_many_exports_as_may_be_wait_at_the_server(clock: Clock, cap: int) -> None:
    def polled() -> int:
        counts = Counter(r.stream for r in simulator.requests if r.status == 202)
        return sum(count > 3 for count in counts.values())

    with (
        frozen(clock) as simulator,
        background(
            lambda: sync(settings_for(simulator, page_size=2, max_concurrent_exports=cap)),
            let_go=clock.run_all,
        ) as running,
    ):
        wait_until(lambda: polled() == cap)
        assert sorted(submitted(simulator)) == NAMES[:cap]
        assert simulator.active == cap
        clock.run_all()
        assert_whole(running.result(SECONDS))
        assert simulator.peak_active == cap


@pytest.mark.usefixtures("impatient")
def test_an_export_in_the_place_of_another_counts_like_any(clock: Clock) -> None:
    with frozen(clock) as simulator:
        failing = [simulator.inject(FailQuery().on(stream, "poll")) for stream in NAMES[:2]]
        config = settings_for(simulator, max_concurrent_exports=2)
        with background(lambda: sync(config), let_go=clock.run_all) as running:
            wait_until(lambda: all(fault.fired for fault in failing) and simulator.active == 2)
            clock.run_all()
            assert_whole(running.result(SECONDS))
        assert simulator.peak_active == 2
        assert len(submitted(simulator)) == len(NAMES) + 4  # in bisect


@pytest.mark.usefixtures("impatient")
def test_an_export_leaves_the_server_when_it_has_run() -> None:
    with Simulator(Dataset(ROWS, newest=NEWEST), queued_polls=1, running_polls=2) as simulator:
        for stream in NAMES[:2]:
            simulator.inject(Hang().on(stream, "later_page"))
        with background(
            lambda: sync(settings_for(simulator, page_size=2, max_concurrent_exports=2)),
            let_go=simulator.release,
        ) as running:
            wait_until(lambda: len(submitted(simulator)) == len(NAMES))
            wait_until(lambda: simulator.hanging == 2)
            simulator.release()
            assert_whole(running.result(SECONDS))
        assert simulator.peak_active == 2


@pytest.mark.usefixtures("impatient")
def test_one_at_a_time_asks_what_a_plain_tap_asks(simulator: Simulator) -> None:
    simulator.timing.running_polls = {"events": 1}
    assert_whole(sync(settings_for(simulator, page_size=2, max_concurrent_exports=1)))
    asked = [(request.stream, request.phase) for request in simulator.requests]
    assert asked == [
        (stream, phase)
        for stream in NAMES
        for phase in ("submit", "poll", "first_page", "later_page", "later_page")
        if phase != "poll" or stream == "events"
    ]
    assert simulator.peak_active == 1


def test_only_selected_streams_are_submitted(simulator: Simulator) -> None:
    chosen = ["badges", "events", "tags", "users"]
    assert_whole(sync(settings_for(simulator), *chosen), chosen)
    assert sorted(submitted(simulator)) == chosen


def test_a_stream_without_anything_to_read_is_not_submitted(simulator: Simulator) -> None:
    later = "2025-06-01T12:30:00Z"
    state = state_of(badges=later, work_experiences=later)
    config = settings_for(simulator, end_date="2025-06-01T12:15:00Z", lookback_hours=0)
    output = sync(config, state=state)
    others = [name for name in NAMES if name not in state["bookmarks"]]
    assert_whole(output, others)
    assert sorted(submitted(simulator)) == others


def test_a_tap_can_sync_again(simulator: Simulator) -> None:
    tap = TapCampusGroups(config=settings_for(simulator))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        tap.sync_all()
        tap.sync_all()
    assert sorted(submitted(simulator)) == sorted(2 * NAMES)


def test_a_stream_that_is_synced_by_itself_is_submitted_alone(simulator: Simulator) -> None:
    tap = TapCampusGroups(config=settings_for(simulator, max_concurrent_exports=23))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        tap.streams["events"].sync()
    assert workers() == []
    assert submitted(simulator) == ["events"]


def test_discovery_submits_nothing(simulator: Simulator, tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(settings_for(simulator)))
    done = run("--discover", "--config", path)
    assert done.returncode == 0
    assert len(json.loads(done.stdout)["streams"]) == len(NAMES)
    assert simulator.requests == []


@pytest.mark.usefixtures("impatient")
def test_a_connection_test_submits_nothing_ahead(simulator: Simulator) -> None:
    simulator.timing.running_polls = 1
    tap = TapCampusGroups(config=settings_for(simulator, page_size=2))
    with redirect_stdout(io.TextIOWrapper(io.BytesIO(), encoding="utf-8")):
        assert tap.run_connection_test()
    assert submitted(simulator) == NAMES
    assert [
        stream for stream, _ in itertools.groupby(r.stream for r in simulator.requests)
    ] == NAMES
    assert simulator.peak_active == 1


@pytest.mark.usefixtures("impatient")
def test_a_server_that_wants_fewer_exports_gets_fewer(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with (
        frozen(clock, max_active=3) as simulator,
        background(
            lambda: sync(settings_for(simulator, page_size=2, max_concurrent_exports=8)),
            let_go=clock.run_all,
        ) as running,
    ):
        wait_until(partial(is_told, caplog, "takes no more than 3 exports"))
        refused = submitted(simulator, 429)
        assert len(refused) in range(1, 6)
        assert sorted(submitted(simulator) + refused) == NAMES[: 3 + len(refused)]
        clock.run_all()
        assert_whole(running.result(SECONDS))
        assert submitted(simulator, 429) == refused
        assert len(submitted(simulator)) == len(NAMES)
        assert simulator.peak_active == 3
    assert [r for r in caplog.records if r.levelno > logging.INFO] == []


def test_too_many_requests_without_another_export_is_tried_again_as_usual(
    simulator: Simulator, fake_time: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    simulator.inject(
        Status(429, headers={"Retry-After": "7"}).on(NAMES[0], "submit", times=2),
    )
    assert_whole(sync(settings_for(simulator)))
    assert fake_time.slept == [7, 7]
    assert submitted(simulator, 429) == [NAMES[0]] * 2
    assert "takes no more" not in caplog.text
    assert len([r for r in caplog.records if r.levelno == logging.WARNING]) == 2


@pytest.mark.usefixtures("fake_time")
def test_too_many_requests_without_another_export_is_an_error_in_the_end(
    simulator: Simulator,
) -> None:
    simulator.inject(Status(429).on(times=None))
    config = settings_for(simulator, max_concurrent_exports=23, on_stream_error="abort")
    output = sync(config)
    assert isinstance(output.error, ServiceUnavailableError)
    assert "gave up after 8 tries" in str(output.error)
    assert submitted(simulator, 429) == [NAMES[0]] * 8


@pytest.mark.usefixtures("impatient")
def test_waiting_for_room_is_no_try(clock: Clock, caplog: pytest.LogCaptureFixture) -> None:
    """A refused export waits for the others; then all of its eight tries are left."""
    first, second = NAMES[:2]
    with frozen(clock) as simulator:
        simulator.inject(Status(429).on(second, "submit", times=8))
        with background(
            lambda: sync(settings_for(simulator, max_concurrent_exports=2), first, second),
            let_go=clock.run_all,
        ) as running:
            wait_until(partial(is_told, caplog, "takes no more than 1 exports"))
            assert submitted(simulator, 429) == [second]
            clock.run_all()
            assert_whole(running.result(SECONDS), [first, second])
        assert submitted(simulator, 429) == [second] * 8
    assert caplog.text.count("of 8 in") == 7


@pytest.mark.usefixtures("impatient")
def test_too_many_requests_in_a_poll_does_not_lower_the_cap(
    clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    with frozen(clock) as simulator:
        refused = simulator.inject(Status(429).on(NAMES[1], "poll"))
        with background(lambda: sync(settings_for(simulator)), let_go=clock.run_all) as running:
            wait_until(lambda: refused.fired and simulator.active == 4)
            wait_until(partial(is_told, caplog, "try 2 of 8"))
            clock.run_all()
            assert_whole(running.result(SECONDS))
    assert "takes no more" not in caplog.text


@pytest.mark.parametrize("cap", [1, 4])
def test_a_stream_that_fails_asks_for_no_later_window(simulator: Simulator, cap: int) -> None:
    bad, *good = NAMES[:4]
    simulator.inject(Status(400).on(bad, "submit"))
    config = settings_for(
        simulator,
        start_date="2025-01-01",
        end_date=END,
        export_window_days=100,
        max_concurrent_exports=cap,
    )
    with background(lambda: sync(config, bad, *good), let_go=simulator.close) as running:
        output = running.result(SECONDS)
    assert str(output.error).startswith(f"Stream '{bad}': ")
    assert sorted(submitted(simulator)) == sorted(2 * good)


@pytest.mark.parametrize("cap", [1, 4, 23])
def test_a_wrong_secret_costs_one_request(simulator: Simulator, cap: int) -> None:
    simulator.inject(Hang().on(NAMES[0]))
    config = settings_for(simulator, api_secret="wrong", max_concurrent_exports=cap)  # noqa: S106
    with background(lambda: sync(config), let_go=simulator.release) as running:
        wait_until(lambda: simulator.hanging == 1)
        simulator.release()
        assert isinstance(running.result(SECONDS).error, AccessDeniedError)
    assert len(simulator.requests) == 1


FAULTS: dict[str, tuple[FaultType, Phase | None, int | None] | None] = {
    "none": None,
    "a query that fails once": (FailQuery(), None, 1),
    "a query that fails": (FailQuery(), None, None),
    "a page that is lost": (Status(404), "later_page", None),
}
BAD = "groups"


def written(config: dict[str, Any]) -> tuple[bytes, str]:
    """Run the tap; return what it wrote, without `time_extracted`, and its error."""
    stdout = io.BytesIO()
    ended = ""
    with redirect_stdout(io.TextIOWrapper(stdout, encoding="utf-8")) as text:
        try:
            TapCampusGroups(config=config).sync_all()
        except CampusGroupsError as error:
            ended = str(error)
        text.flush()
        return re.sub(rb',"time_extracted":"[^"]+"', b"", stdout.getvalue()), ended


@pytest.mark.usefixtures("impatient")
@pytest.mark.parametrize(
    ("fault", "on_stream_error"),
    [(fault, "continue") for fault in FAULTS] + [("a query that fails", "abort")],
)
def test_the_same_output_whatever_the_concurrency(fault: str, on_stream_error: str) -> None:
    outputs = []
    for cap in (1, 4, 23):
        # What comes first takes longest.
        polls = {name: 8 - number for number, name in enumerate(NAMES[:8])}
        with Simulator(Dataset(ROWS, newest=NEWEST), running_polls=polls) as simulator:
            if (found := FAULTS[fault]) is not None:
                kind, phase, times = found
                simulator.inject(kind.on(BAD, phase, times=times))
            config = settings_for(
                simulator,
                end_date=END,
                page_size=2,
                max_concurrent_exports=cap,
                on_stream_error=on_stream_error,
            )
            outputs.append(written(config))
    assert outputs[0] == outputs[1] == outputs[2]
    lines, error = outputs[0]
    messages = [json.loads(line) for line in lines.splitlines()]
    rows = Counter(message["stream"] for message in messages if message["type"] == "RECORD")
    whole = [name for name in NAMES if rows[name] == ROWS]
    states = [message["value"]["bookmarks"] for message in messages if message["type"] == "STATE"]
    moved = [name for name, entry in states[-1].items() if "replication_key_value" in entry]
    if fault in {"none", "a query that fails once"}:
        assert error == ""
        assert whole == moved == NAMES
    else:
        assert error.startswith(f"Stream '{BAD}': ")
        place = NAMES.index(BAD)
        after = NAMES[place + 1 :] if on_stream_error == "continue" else []
        assert whole == moved == NAMES[:place] + after
        assert set(rows) - set(whole) <= {BAD}


def test_a_failure_waits_for_its_turn(simulator: Simulator) -> None:
    simulator.inject(FailQuery().on("badges", times=None))
    simulator.inject(Hang().on(NAMES[0], "later_page"))
    config = settings_for(
        simulator, page_size=2, max_concurrent_exports=23, on_stream_error="abort"
    )
    with background(lambda: sync(config), let_go=simulator.release) as running:
        wait_until(lambda: submitted(simulator).count("badges") == 3)
        wait_until(lambda: simulator.hanging == 1)
        assert not running.done()
        simulator.release()
        output = running.result(SECONDS)
    assert isinstance(output.error, ExportFailedError)
    assert str(output.error).startswith("Stream 'badges': ")
    assert output.error.__notes__ == ["In the export of stream 'badges'."]
    assert {name: len(rows) for name, rows in output.records.items()} == dict.fromkeys(
        NAMES[: NAMES.index("badges")], ROWS
    )


# Progress


class Awaited(logging.Handler):
    """Waits for a record in the log.

    Attributes:
        come: Set when it is there.
        record: The record.
    """

    def __init__(self, wanted: Callable[[logging.LogRecord], bool]) -> None:
        """Tell which record."""
        super().__init__()
        self._wanted = wanted
        self.come = threading.Event()
        self.record: logging.LogRecord | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Look at a record."""
        if not self.come.is_set() and self._wanted(record):
            self.record = record
            self.come.set()


def figures(record: logging.LogRecord) -> dict[str, Any]:
    """Return what a record has for structured logs."""
    names = {"rows", "seconds", "rows_per_second", "bytes_ahead"}
    return {
        name: value
        for name, value in vars(record).items()
        if name in names or name.startswith("exports_")
    }


def progress(records: Iterable[logging.LogRecord]) -> list[logging.LogRecord]:
    """Pick the lines about the run."""
    return [record for record in records if "rows/s" in record.getMessage()]


def test_each_stream_ends_with_a_line(
    simulator: Simulator, caplog: pytest.LogCaptureFixture
) -> None:
    sync(settings_for(simulator, page_size=2, max_concurrent_exports=1))
    lines = progress(caplog.records)
    assert len(lines) == len(NAMES)
    for number, (stream, record) in enumerate(zip(NAMES, lines, strict=True)):
        waiting, done = len(NAMES) - number - 1, number + 1
        found = figures(record)
        seconds, speed = found.pop("seconds"), found.pop("rows_per_second")
        assert 0 <= seconds < SECONDS
        assert speed >= ROWS / SECONDS
        assert found == {
            "rows": ROWS,
            "exports_waiting": waiting,
            "exports_running": {},
            "exports_read": 0,
            "exports_done": done,
            "bytes_ahead": 0,
        }
        assert record.levelno == logging.INFO
        assert re.fullmatch(
            rf"Stream '{stream}': 5 rows in [\d.]+ s, [\d,]+ rows/s; exports: {waiting} wait, "
            rf"0 run, 0 are read, {done} are done; 0 MiB ahead",
            record.getMessage(),
        )


@pytest.mark.usefixtures("impatient")
def test_a_run_that_waits_says_so_again_and_again(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scheduler, "PROGRESS_INTERVAL", 0.01)
    first, second = NAMES[:2]

    def both_run(record: logging.LogRecord) -> bool:
        return set(getattr(record, "exports_running", ())) == {first, second}

    awaited = Awaited(both_run)
    again = Awaited(
        lambda record: both_run(record) and awaited.come.is_set() and record is not awaited.record
    )
    log = logging.getLogger("tap-campusgroups")
    with frozen(clock) as simulator:
        simulator.inject(Hang().on(first, "poll"))

        def let_go() -> None:
            clock.run_all()
            simulator.release()

        config = settings_for(simulator, max_concurrent_exports=2)
        with background(lambda: sync(config), let_go=let_go) as running:
            for handler in (awaited, again):
                log.addHandler(handler)
            try:
                assert awaited.come.wait(SECONDS)
                assert again.come.wait(SECONDS)
            finally:
                for handler in (awaited, again):
                    log.removeHandler(handler)
            let_go()
            assert_whole(running.result(SECONDS))
    for record in (awaited.record, again.record):
        assert record is not None
        assert figures(record) | {"seconds": 0} == {
            "rows": 0,
            "seconds": 0,
            "rows_per_second": 0,
            "exports_waiting": len(NAMES) - 2,
            "exports_running": {first: 0, second: 0},
            "exports_read": 0,
            "exports_done": 0,
            "bytes_ahead": 0,
        }
        assert record.getMessage().startswith(f"Stream '{first}': 0 rows so far in ")
        assert f"21 wait, 2 run ({first} 0 s, {second} 0 s), 0 are read" in record.getMessage()


def test_figures_in_structured_logs(simulator: Simulator, tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps(settings_for(simulator)))
    done = run("--config", config, SINGER_SDK_LOG_CONFIG=structured_logging(tmp_path))
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    told = [line for line in lines if "rows_per_second" in line["extra"]]
    assert [line["message"].partition(":")[0] for line in told] == [f"Stream '{n}'" for n in NAMES]
    assert {line["extra"]["rows"] for line in told} == {ROWS}
    assert told[-1]["extra"]["exports_done"] == len(NAMES)
    assert told[-1]["extra"]["exports_running"] == {}
