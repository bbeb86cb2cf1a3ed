"""Runs the exports of all selected streams side by side.

Workers run exports ahead of the stream that is being written and prefetch their pages into one
buffer. The main thread takes the pages job by job, in a fixed order, so the output does not depend
on the concurrency. Calls run one way: the main thread calls the `Scheduler`, a worker runs a job
with its `Slot`, and the slot changes the `Capacity` that all jobs share.

* At most `max_concurrent` exports are queued or running at the service. They start in job order. An
  export frees its place once it has run, before its other pages are fetched.
* The buffer holds prefetched pages and reservations for pages on their way, up to
  `MAX_BUFFERED_BYTES`. No job asks for a page without room for it; a page that turns out larger
  than its reservation is requested again when there is room. The current job may always start
  and fetch one page, so the run cannot deadlock.
* A failure is raised at the job's turn, after the pages before it. From the failure on, no later
  job of the same stream submits anything.
* Until the service has accepted an export, and with a limit of 1, no job starts before its turn.
"""

from __future__ import annotations

import sys
import time
import typing as t
from collections import Counter, deque
from contextlib import closing
from dataclasses import dataclass, field
from threading import Condition, Event, RLock, Thread

from tap_campusgroups.exceptions import ExportsStoppedError
from tap_campusgroups.exports.connection import Connection, start_thread
from tap_campusgroups.redaction import printable
from tap_campusgroups.shutdown import CHECK_INTERVAL, SHUTDOWN

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Generator, Iterable, Iterator

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.service_monitor import ServiceMonitor
    from tap_campusgroups.exports.window import Window

MAX_WORKERS: t.Final = 32  # exports whose pages are not all fetched
MAX_BUFFERED_BYTES: t.Final = 16 * 2**20  # prefetched pages of all streams
RESUME_BYTES: t.Final = MAX_BUFFERED_BYTES * 3 // 4  # of these, workers fetch again
PAGE_ESTIMATE: t.Final = 2**20  # bytes reserved for a first page, until the run sees a larger page
PROGRESS_INTERVAL: t.Final = 60.0  # seconds between two progress lines
TERMINAL_INTERVAL: t.Final = 10.0  # the same on a terminal, where somebody waits
RECOVERY_INTERVAL: t.Final = 120.0  # seconds without HTTP 429 after which the limit rises by one
STOP_TIMEOUT: t.Final = 1.0  # seconds that the workers have to end when the run ends


def wait(event: Event, seconds: float) -> bool:
    """Wait for an event for some seconds; tests replace this function."""
    return event.wait(seconds)


def progress_interval() -> float:
    """Return the seconds between two progress lines."""
    return TERMINAL_INTERVAL if sys.stderr.isatty() else PROGRESS_INTERVAL


def seconds_left(seconds: float, done: int, windows: int) -> int | None:
    """Guess how long a run still takes, as if all windows took the same time."""
    return round(seconds * (windows - done) / done) if done else None


@dataclass(eq=False)
class StreamExports:
    """The exports of one stream in a run: one job per window."""

    stream: str
    windows: Iterator[Window]  # ascending, made when their turn comes
    planned: int  # number of windows
    run: Callable[[Slot], Generator[Page, None, None]]  # all exports of a window, in a worker
    # Requests, retries, accepted exports and resubmissions; counted by workers.
    counts: Counter[str] = field(default_factory=Counter)
    # Counted by the main thread: rows received, records emitted, those of them that stream maps
    # dropped, windows wholly emitted.
    rows: int = 0
    emitted: int = 0
    dropped: int = 0
    windows_done: int = 0
    newest: str = ""  # `updatedOn` of the records, in canonical form
    # Of the scheduler: jobs so far, and those that the main thread has not finished.
    created: int = 0
    jobs: deque[Slot] = field(default_factory=deque)


class Capacity:
    """What all jobs of a run share: places at the service, and room in the buffer.

    One lock guards this and all slots. Workers wait for `changed`, the main thread waits for
    `page_ready`.
    """

    def __init__(
        self, max_concurrent: int, monitor: ServiceMonitor, logger: logging.Logger
    ) -> None:
        self.monitor = monitor
        self.logger = logger
        self.changed = Condition(lock := RLock())
        self.page_ready = Condition(lock)
        self.max_concurrent = self.limit = max_concurrent  # `limit` is lower after HTTP 429
        self.limited_at = 0.0
        self.abandoned = 0  # exports that still run at the service; within the limit
        self.active: set[Slot] = set()  # with a place at the service
        self.waiting: set[Slot] = set()  # for a place, by a worker
        self.buffered_bytes = 0
        self.max_page = PAGE_ESTIMATE
        self.current_job: Slot | None = None  # whose pages the main thread takes

    @property
    def free_places(self) -> int:
        """Exports that may be submitted now; the first is always allowed."""
        return max(self.limit - self.abandoned, 1) - len(self.active)

    def has_room(self, size: int) -> bool:
        """Return whether the buffer has room for a page."""
        return self.buffered_bytes + size <= MAX_BUFFERED_BYTES

    def may_start(self, job: Slot) -> bool:
        """Return whether a pending job may take a place."""
        may_run_ahead = self.monitor.has_accepted_job and self.max_concurrent > 1
        is_due = job is self.current_job or (may_run_ahead and self.has_room(self.max_page))
        return is_due and self.free_places > len(self.waiting)

    def set_limit(self, limit: int, reason: str) -> None:
        """Change the limit; a later rise comes after `RECOVERY_INTERVAL` at the earliest."""
        self.limited_at = time.monotonic()
        if limit != self.limit:
            self.limit = limit
            text = "Concurrency changed: max_concurrent_exports=%d reason=%s"
            self.logger.info(text, limit, reason)


@dataclass(eq=False, repr=False)
class Slot:
    """A job, as its worker sees it: the place of one window at the service and in the buffer.

    Every method that waits or submits raises `ExportsStoppedError` once the job is over: the run is
    ending, its stream was dropped, or an earlier window of its stream has failed.
    """

    exports: StreamExports
    window: Window
    number: int  # position in the order of the jobs
    capacity: Capacity
    connection: Connection = field(init=False)  # of the worker that runs the job
    query_id: str | None = None  # of the latest export that the service has accepted
    pages: deque[Page] = field(default_factory=deque)  # in the buffer
    error: BaseException | None = None  # that the job raised in its worker
    over: Event = field(default_factory=Event)  # set once the job must not continue
    is_done: bool = False  # its worker has finished
    _reserved: int = 0
    _page_size: int = 0

    @property
    def stream(self) -> str:
        """Name of the stream."""
        return self.exports.stream

    def check(self) -> None:
        """Raise `ExportsStoppedError` if the job is over."""
        if self.over.is_set():
            raise ExportsStoppedError

    def pause(self, seconds: float) -> None:
        """Wait some seconds, without room in the buffer."""
        self._reserve(0)
        if wait(self.over, seconds):
            raise ExportsStoppedError

    def reserve(self) -> None:
        """Wait until the buffer has room for another page (backpressure)."""
        shared = self.capacity
        with shared.changed:
            self.check()
            if self._reserved:
                return
            size = self._page_size or shared.max_page
            while not (shared.has_room(size) or self._must_proceed):
                self._wait()
            self._reserve(size)

    def has_room(self, size: int) -> bool:
        """Return whether a page on its way may have a size; reserve more room if it is large.

        The thread of a connection calls this. If there is no room, the page is requested again
        when there is room for one of twice the size.
        """
        shared = self.capacity
        with shared.changed:
            if size <= self._reserved:
                return True
            if self.over.is_set() or self.is_done:  # only the thread of the connection is left
                return False
            shared.max_page = max(shared.max_page, size)
            if shared.has_room(size - self._reserved) or self._must_proceed:
                self._reserve(size)
                return True
            self._page_size = 2 * size
            return False

    def count(self, name: str) -> None:
        """Count an event in the figures of the stream."""
        with self.capacity.changed:
            self.exports.counts[name] += 1

    def acquire(self) -> None:
        """Wait until the job may have an export at the service, unless it has one."""
        shared = self.capacity
        with shared.changed:
            self.check()
            if self.has_place:
                return
            shared.waiting.add(self)
            shared.changed.notify_all()
            try:
                while shared.free_places <= 0 or self.number > min(
                    job.number for job in shared.waiting
                ):
                    self._wait()
            finally:
                shared.waiting.discard(self)
            self.activate()

    def accept(self, query_id: str, *, is_resubmission: bool) -> bool:
        """Record that the service has accepted the export; return whether its queryId is new."""
        with self.capacity.changed:
            is_new = self.capacity.monitor.accept(query_id)
            self.exports.counts.update(exports=1, resubmissions=int(is_resubmission))
            self.query_id = query_id if is_new else None
            self.capacity.changed.notify_all()
            return is_new

    def release(self) -> None:
        """Give up the place at the service; some time after HTTP 429, the limit rises again."""
        shared = self.capacity
        with shared.changed:
            shared.active.discard(self)
            if time.monotonic() - shared.limited_at >= RECOVERY_INTERVAL:
                limit = min(shared.limit + 1, shared.max_concurrent)
                shared.set_limit(limit, "time without HTTP 429")
            shared.changed.notify_all()

    def abandon(self) -> bool:
        """Leave the export running, where it keeps its place; return false if that is the last."""
        shared = self.capacity
        with shared.changed:
            self.check()
            if shared.limit - shared.abandoned <= 1:
                return False
            shared.abandoned += 1
            self.log_left_running()
            self.release()
            return True

    def yield_to_others(self) -> bool:
        """Lower the limit to the exports at the service, and wait until one of them ends.

        Return false at once if the run has no other export there.
        """
        shared = self.capacity
        with shared.changed:
            self.check()
            accepted = sum(job is not self and job.query_id is not None for job in shared.active)
            if not accepted:
                return False
            shared.set_limit(min(shared.limit, accepted + shared.abandoned), "HTTP 429")
            self.release()
            self.acquire()  # with the lock: a later job must not take the place
            return True

    # Called by the scheduler

    def activate(self) -> None:
        """Give the job a place at the service; called with the lock held."""
        self.query_id = None
        self.capacity.active.add(self)

    def store(self, page: Page) -> None:
        """Buffer a page in the room that was reserved for it."""
        shared = self.capacity
        with shared.changed:
            if self.has_place:
                self.release()
            self.check()
            self.pages.append(page)
            shared.max_page = max(shared.max_page, page.size)
            shared.buffered_bytes += page.size - self._reserved
            self._page_size, self._reserved = page.size, 0
            shared.page_ready.notify_all()

    def take(self) -> Page | None:
        """Take a page out of the buffer, if there is one; called with the lock held."""
        if not self.pages:
            return None
        page = self.pages.popleft()
        self.capacity.buffered_bytes -= page.size
        # Not at every page: each wakes all workers that wait for room.
        if not self.pages or self.capacity.buffered_bytes <= RESUME_BYTES:
            self.capacity.changed.notify_all()
        return page

    def finish(self) -> None:
        """Record that the worker has finished the job, with or without an error."""
        with self.capacity.changed:
            self.is_done = True
            self.release()
            self._reserve(0)
            self.capacity.page_ready.notify_all()

    def end(self) -> None:
        """Declare the job over and discard its pages; called with the lock held."""
        self.over.set()
        while self.take() is not None:
            pass
        self.capacity.changed.notify_all()

    @property
    def has_place(self) -> bool:
        """Whether the job has a place at the service."""
        return self in self.capacity.active

    @property
    def _must_proceed(self) -> bool:
        """Whether the main thread waits for a page of the job, or for the place that it has."""
        shared = self.capacity
        is_awaited = self is shared.current_job and not self.pages
        return is_awaited or (self.has_place and shared.current_job in shared.waiting)

    def log_left_running(self) -> None:
        """Log that the export stays at the service, if it was accepted."""
        if self.query_id is not None:
            text = "Export abandoned: stream=%s query_id=%s"
            self.capacity.logger.info(text, self.stream, printable(self.query_id))

    def _reserve(self, size: int) -> None:
        with self.capacity.changed:
            self.capacity.buffered_bytes += size - self._reserved
            if size < self._reserved:
                self.capacity.changed.notify_all()
            self._reserved = size

    def _wait(self) -> None:
        self.capacity.changed.wait()
        self.check()


class Scheduler:
    """Runs jobs ahead of the main thread, which calls all methods."""

    def __init__(
        self,
        streams: Iterable[StreamExports],
        *,
        max_concurrent: int,
        monitor: ServiceMonitor,
        logger: logging.Logger,
    ) -> None:
        """Plan the jobs in the order in which they will be taken; none starts before that."""
        self._streams = tuple(streams)
        self._capacity = Capacity(max_concurrent, monitor, logger)
        self._changed = self._capacity.changed
        self._logger = logger
        self._stop = Event()
        # The lock of `_changed` guards all below.
        self._queue = deque(self._streams)  # that have windows without a job
        self._current: StreamExports | None = None
        self._next: Slot | None = None  # the next job to start
        self._count = 0
        self._threads: list[Thread] = []
        self._idle = 0  # workers without a job
        self._failure: BaseException | None = None

    def windows(self, exports: StreamExports) -> Iterator[tuple[Window, Iterator[Page]]]:
        """Yield the windows of the next stream with their pages; the caller takes all pages.

        After its pages, a window raises what its job raised in its worker. After `close`, this
        raises `ExportsStoppedError`.
        """
        while (job := self._advance(exports)) is not None:
            yield job.window, self._pages(job)

    def _advance(self, exports: StreamExports) -> Slot | None:
        with self._changed:
            if self._stop.is_set():
                raise ExportsStoppedError
            if exports is not self._current:
                self._current = exports
                for earlier in self._streams[: self._streams.index(exports)]:
                    self.drop(earlier)  # the main thread may have left it early
            elif exports.jobs:
                exports.jobs.popleft()
            if not exports.jobs:
                self._head()
            job = exports.jobs[0] if exports.jobs else None
            self._capacity.current_job = job
            if not self._threads:
                SHUTDOWN.log_abandoned = self._log_abandoned
                self._start(self._log_progress, "tap-campusgroups-progress")
            self._start_worker()
            self._changed.notify_all()
            return job

    def _pages(self, job: Slot) -> Iterator[Page]:
        while True:
            with self._changed:
                SHUTDOWN.check()
                while (page := job.take()) is None:
                    if error := self._failure or job.error:
                        raise error
                    job.check()
                    if job.is_done:
                        return
                    self._capacity.page_ready.wait(CHECK_INTERVAL)
                    SHUTDOWN.check()
            yield page

    def drop(self, exports: StreamExports, *, after: int = 0) -> None:
        """End the jobs of a stream after a number, also those without a window yet."""
        with self._changed:
            exports.windows = iter(())
            for job in exports.jobs:
                if job.number > after:
                    job.end()

    def close(self) -> None:
        """End the workers and log abandoned exports; may be called again.

        A worker that still waits for a response after `STOP_TIMEOUT` ends with its request.
        """
        with self._changed:
            if self._stop.is_set():
                return
            self._stop.set()
            for exports in self._streams:
                self.drop(exports)
            self._changed.notify_all()
        deadline = time.monotonic() + STOP_TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._log_abandoned()
        SHUTDOWN.log_abandoned = None
        if running := sum(thread.is_alive() for thread in self._threads):
            self._logger.warning("Requests abandoned: %d still running at shutdown", running)

    def _log_abandoned(self) -> None:
        # Without the lock: the watchdog calls this if the main thread is stuck.
        for job in sorted(self._capacity.active.copy(), key=lambda job: job.number):
            job.log_left_running()

    # Workers

    def _start(self, run: Callable[[], None], name: str) -> None:
        self._threads.append(start_thread(Thread(target=run, name=name)))

    def _start_worker(self) -> None:
        """Start a worker if jobs are left and no worker is idle; one more thread logs progress."""
        if not self._idle and len(self._threads) <= MAX_WORKERS and self._head() is not None:
            self._start(self._work, f"tap-campusgroups-worker-{len(self._threads)}")
            self._idle += 1

    def _work(self) -> None:
        connection = Connection()
        try:
            while (job := self._next_job()) is not None:
                job.connection = connection
                self._run(job)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            with self._changed:
                self._failure = error
                self._capacity.page_ready.notify_all()
        finally:
            connection.close()

    def _next_job(self) -> Slot | None:
        """Wait for a job that may start; called by an idle worker."""
        with self._changed:
            while (job := self._head()) is not None and not self._capacity.may_start(job):
                self._changed.wait()
            if job is not None:
                self._idle -= 1
                self._next = None
                job.activate()
                self._start_worker()
            return job

    def _run(self, job: Slot) -> None:
        try:
            with closing(job.exports.run(job)) as pages:
                for page in pages:
                    job.store(page)
        except ExportsStoppedError:
            if job.has_place:
                job.log_left_running()
        except BaseException as caught:  # noqa: BLE001 - raised again in the main thread
            caught.add_note(f"In the export of stream '{job.stream}'.")
            job.error = caught
        with self._changed:
            if job.error is not None:
                self.drop(job.exports, after=job.number)
            job.finish()
            self._idle += 1

    # With the lock held

    def _head(self) -> Slot | None:
        """Return the next job to start, if any is left."""
        while self._next is None or self._next.over.is_set():
            self._next = None
            if not self._queue:
                break
            exports = self._queue[0]
            if (window := next(exports.windows, None)) is None:
                self._queue.popleft()
                continue
            exports.created += 1
            self._count += 1
            self._next = Slot(exports, window, self._count, self._capacity)
            exports.jobs.append(self._next)
        return self._next

    def _log_progress(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(progress_interval()):
            with self._changed:
                current = self._capacity.current_job
                pending = sum(one.planned - one.created for one in self._queue)
                pending += self._next is not None
                running = len(self._threads) - 1 - self._idle
                windows = sum(one.planned for one in self._streams)
                done = windows - pending - running
                seconds = time.monotonic() - began
                jobs = [job for one in self._streams for job in one.jobs]
                figures = {
                    "stream": current.stream if current else None,
                    "windows_done": done,
                    "windows": windows,
                    "rows": sum(one.rows for one in self._streams),
                    "seconds": round(seconds),
                    "seconds_left": seconds_left(seconds, done, windows),
                    "exports_active": len(self._capacity.active),
                    "prefetched_bytes": sum(page.size for job in jobs for page in job.pages),
                }
            text = " ".join(f"{name}={value}" for name, value in figures.items())
            self._logger.info("Sync progress: %s", text, extra=figures)
