"""Exports in tests: responses, fake jobs, a supervised scheduler, a service with a frozen clock."""

from __future__ import annotations

import logging
import signal
import threading
from collections import Counter
from concurrent.futures import Future
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakSet

import msgspec

from tap_campusgroups.config import ApiVersion
from tap_campusgroups.exports.export import Page
from tap_campusgroups.exports.response import ParsedResponse, classify
from tap_campusgroups.exports.scheduler import Scheduler, Slot, StreamExports
from tap_campusgroups.exports.service_monitor import ServiceMonitor
from tap_campusgroups.exports.window import Window
from tap_campusgroups.records.json_codec import Raw
from tap_campusgroups.streams import STREAMS
from tests.simulator import Dataset, Simulator
from tests.support.harness import NEWEST, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

    from tests.support.harness import Output

T = TypeVar("T")

NAMES = sorted(STREAMS[ApiVersion.V1_0])
"""The streams in the order of their sync."""

ROWS = 5
"""Rows per stream of `frozen_simulator`."""

SECONDS = 60.0
"""Limit of every wait, in seconds; it only ends tests that would hang."""

WINDOW = Window(datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 2, 1, tzinfo=UTC))
"""A window where its bounds do not matter."""

LOGGER = logging.getLogger("tap-campusgroups")


def parsed(status: int, body: bytes | object, method: str = "GET") -> ParsedResponse:
    """Return a response as the tap reads it; a body that is not bytes is encoded as JSON."""
    content = body if isinstance(body, bytes) else msgspec.json.encode(body)
    return classify(method, status, content)


# Threads

_leaked: WeakSet[threading.Thread] = WeakSet()


def _tap_threads() -> list[threading.Thread]:
    return [one for one in threading.enumerate() if one.name.startswith("tap-campusgroups")]


def workers() -> list[str]:
    """Return the names of the tap's running threads, except those that an earlier test leaked."""
    return [thread.name for thread in _tap_threads() if thread not in _leaked]


@contextmanager
def background(run: Callable[[], T], *, release: Callable[[], object]) -> Iterator[Future[T]]:
    """Run a function in a thread; at the end, release it and wait for it."""
    future: Future[T] = Future()

    def work() -> None:
        try:
            future.set_result(run())
        except BaseException as error:  # noqa: BLE001 - raised by `future.result`
            future.set_exception(error)

    # Not a thread of a pool: a pool would wait for a stuck thread without end.
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        yield future
    finally:
        release()
        thread.join(SECONDS)
    assert not thread.is_alive()


@contextmanager
def supervised() -> Iterator[None]:
    """Check that no thread of the tap is left; interrupt the main thread if it is stuck."""

    def interrupt(*_: object) -> None:
        msg = "the main thread is stuck"
        raise TimeoutError(msg)

    _leaked.update(_tap_threads())
    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 4 * SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    wait_until(lambda: workers() == [])


# Fake jobs


class BufferProbe:
    """Counts the pages that fake jobs have fetched.

    Attributes:
        buffered: Bytes of pages that have not been taken.
        peak: Maximum of `buffered`.
        fetched: Number of pages per stream.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.buffered = 0
        self.peak = 0
        self.fetched: Counter[str] = Counter()

    def fetch(self, stream: str, size: int) -> None:
        """Count a page that a worker has fetched."""
        with self._lock:
            self.buffered += size
            self.peak = max(self.peak, self.buffered)
            self.fetched[stream] += 1

    def take(self, size: int) -> None:
        """Count a page that the main thread is about to take."""
        with self._lock:
            self.buffered -= size


def text_page(stream: str, number: int, size: int = 1, *, is_last: bool = False) -> Page:
    """Create a page whose text is the stream and the number of the page."""
    return Page(Raw(f"{stream} {number}".encode()), size, is_last=is_last)


def texts(pages: Iterable[Page]) -> list[str]:
    """Take pages and return their texts."""
    return [bytes(page.results).decode() for page in pages]


def pages(scheduler: Scheduler, exports: StreamExports) -> Iterator[Page]:
    """Yield the pages of all windows of a stream."""
    for _, window_pages in scheduler.windows(exports):
        yield from window_pages


def page_texts(stream: str, count: int) -> list[str]:
    """Return the texts of a fake job's pages."""
    return [f"{stream} {number}" for number in range(1, count + 1)]


def fake_job(
    stream: str,
    sizes: Iterable[int],
    *,
    probe: BufferProbe | None = None,
    before: Callable[[int], None] = lambda _number: None,
    error: Exception | None = None,
) -> StreamExports:
    """Create the exports of a stream with one window, whose export is accepted at once.

    Args:
        stream: Name of the stream.
        sizes: Sizes of the pages, in bytes.
        probe: Counts the pages.
        before: Called before each page with its number, from 1, and so after the submission.
        error: Raised after the pages.
    """

    def run(slot: Slot) -> Generator[Page, None, None]:
        slot.accept(f"query of {stream}", is_resubmission=False)
        left = enumerate(sizes, 1)
        following = next(left, None)
        while (current := following) is not None:
            following = next(left, None)
            number, size = current
            slot.reserve()
            before(number)
            if probe is not None:
                probe.fetch(stream, size)
            yield text_page(stream, number, size, is_last=following is None and error is None)
        if error is not None:
            raise error

    return StreamExports(stream, iter([WINDOW]), 1, run)


@contextmanager
def scheduled(*exports: StreamExports, max_concurrent: int = 4) -> Iterator[Scheduler]:
    """Create a scheduler of some streams, and close it at the end."""
    scheduler = Scheduler(
        exports,
        max_concurrent=max_concurrent,
        monitor=ServiceMonitor(datetime.now(UTC), LOGGER),
        logger=LOGGER,
    )
    with closing(scheduler):
        yield scheduler


def take_all(scheduler: Scheduler, exports: Iterable[StreamExports]) -> list[str]:
    """Take the pages of all streams and return their texts."""
    return [text for one in exports for text in texts(pages(scheduler, one))]


def with_timeout(run: Callable[[], T], scheduler: Scheduler) -> T:
    """Run the main thread's part in another thread, so that a stuck scheduler fails the test."""
    with background(run, release=scheduler.close) as running:
        return running.result(SECONDS)


# Over HTTP


class SimulatorClock:
    """A clock of the simulator that stands still.

    Attributes:
        now: Seconds.
    """

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        """Return the time, in seconds."""
        return self.now

    def finish_exports(self) -> None:
        """End the execution of every export, also of later ones."""
        self.now = float("inf")


def frozen_simulator(clock: SimulatorClock, **options: Any) -> Simulator:
    """Start a service whose exports run until `clock.finish_exports` is called."""
    return Simulator(Dataset(ROWS, newest=NEWEST), clock=clock, running_seconds=1, **options)


def submitted(simulator: Simulator, status: int = 200) -> list[str]:
    """Return the streams of the POSTs that got a status, in the order of the requests."""
    return [r.stream or "" for r in simulator.requests if (r.method, r.status) == ("POST", status)]


def assert_complete(output: Output, streams: Sequence[str] = NAMES) -> None:
    """Check that a run emitted all rows of some streams, in this order, and no others."""
    assert output.error is None
    counts = {stream: len(records) for stream, records in output.records.items()}
    assert counts == dict.fromkeys(streams, ROWS)
    assert list(counts) == list(streams)
