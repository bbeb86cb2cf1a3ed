"""Runs the exports of all selected streams side by side.

Workers run exports ahead of the stream that is being written and prefetch their pages into one
buffer. The main thread takes the pages job by job, in a fixed order, so the output does not depend
on the concurrency.

* At most `max_concurrent` exports are queued or running at the service. They start in job order. An
  export frees its slot once it has run, before its other pages are fetched. HTTP 429 on a
  submission lowers the limit for the rest of the run.
* The buffer holds prefetched pages and reservations for pages on their way, up to
  `MAX_BUFFERED_BYTES`. No job starts without room for its first page. The current job may always
  start and fetch one page, so the run cannot deadlock.
* A failure is raised at the job's turn, after the pages before it.
* Until the service has accepted an export, and with a limit of 1, no job starts before its turn.
"""

from __future__ import annotations

import enum
import time
import typing as t
from collections import Counter, deque
from contextlib import AbstractContextManager, closing, suppress
from dataclasses import dataclass, field
from threading import Condition, Event, Thread

from tap_campusgroups.exceptions import ExportsStoppedError
from tap_campusgroups.exports.transport import worker_session
from tap_campusgroups.shutdown import CHECK_INTERVAL, SHUTDOWN

if t.TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection, Generator, Iterator, Sequence

    from tap_campusgroups.exports.export import Page
    from tap_campusgroups.exports.service_monitor import ServiceMonitor
    from tap_campusgroups.exports.window import Window

MAX_WORKERS: t.Final = 32  # exports whose pages are not all fetched
MAX_BUFFERED_BYTES: t.Final = 48 * 2**20  # prefetched pages of all streams
PAGE_ESTIMATE: t.Final = 2**20  # bytes reserved for a first page, until the run sees a larger page
PROGRESS_INTERVAL: t.Final = 60.0  # seconds between two progress lines
STOP_TIMEOUT: t.Final = 1.0  # seconds that the workers have to end when the run ends


def wait(event: Event, seconds: float) -> bool:
    """Wait for an event for some seconds; tests replace this function."""
    return event.wait(seconds)


class JobStatus(enum.Enum):
    """Status of a job."""

    PENDING = enum.auto()
    ACTIVE = enum.auto()  # queued or running at the service
    FETCHING = enum.auto()  # has run
    DONE = enum.auto()


@dataclass(eq=False)
class ExportJob:
    """The export of one window of a stream.

    Attributes:
        fetch: Runs the export in a worker and yields its pages.
        received: Rows that the main thread has taken.
        emitted: Records emitted of these.
        written: RECORD messages of these by stream map alias, without repetitions.
        newest: The newest `updatedOn` of the records, in canonical form; empty without one.
        is_complete: Whether the main thread has taken all pages.
        counts: Accepted exports, resubmissions and retries.
        status: The scheduler owns this and all below.
        reserved: Bytes reserved in the buffer for the page on its way.
        number: Position in the order of the jobs.
        is_dropped: Whether its pages are no longer needed.
    """

    stream: str
    window: Window
    fetch: Callable[[Scheduler, ExportJob], Generator[Page, None, None]]
    received: int = 0
    emitted: int = 0
    written: Counter[str] = field(default_factory=Counter)
    newest: str = ""
    is_complete: bool = False
    counts: Counter[str] = field(default_factory=Counter)
    status: JobStatus = JobStatus.PENDING
    query_id: str | None = None
    pages: deque[Page] = field(default_factory=deque)
    reserved: int = 0
    number: int = 0
    error: BaseException | None = None
    is_dropped: bool = False


class Scheduler:
    """Runs jobs ahead of the main thread."""

    def __init__(
        self,
        jobs: Sequence[ExportJob],
        *,
        max_concurrent: int,
        monitor: ServiceMonitor,
        logger: logging.Logger,
        worker_context: Callable[[], AbstractContextManager[object]] = worker_session,
    ) -> None:
        """Plan the jobs in the order in which `pages` will be called; none starts before that."""
        self.jobs = tuple(jobs)
        for number, job in enumerate(jobs):
            job.number = number
        self._pending = deque(jobs)
        self._max_concurrent = max_concurrent
        self._is_sequential = max_concurrent == 1
        self._monitor = monitor
        self._worker_context = worker_context
        self._logger = logger
        self._stop = Event()
        self._changed = Condition()
        # The lock of `_changed` guards all below.
        self._threads: list[Thread] = []
        self._idle = 0
        self._active: set[ExportJob] = set()
        self._waiting_for_slot: set[ExportJob] = set()
        self._buffered_bytes = 0
        self._max_page = PAGE_ESTIMATE
        self._current_job: ExportJob | None = None
        self._failure: BaseException | None = None

    # Called by the main thread

    def pages(self, job: ExportJob) -> Iterator[Page]:
        """Yield the pages of the next job, then raise what the job raised in its worker.

        The workers end after the last job; after `close`, this raises `ExportsStoppedError`.
        """
        with self._changed:
            if self._current_job is None:
                self._start(self._log_progress, "progress")
                SHUTDOWN.log_abandoned = self._log_abandoned
            self._current_job = job
            self._notify()
        while (page := self._take(job)) is not None:
            yield page
        if job is self.jobs[-1]:
            self.close()

    def _take(self, job: ExportJob) -> Page | None:
        with self._changed:
            SHUTDOWN.check()
            while not job.pages:
                if self._failure is not None:
                    raise self._failure
                if job.status is JobStatus.DONE:
                    if job.error is not None:
                        raise job.error
                    return None
                self._wait_for_change(CHECK_INTERVAL)
                SHUTDOWN.check()
            page = job.pages.popleft()
            self._buffered_bytes -= page.size
            self._changed.notify_all()
            return page

    def drop(self, jobs: Collection[ExportJob]) -> None:
        """Discard jobs of the current stream; those that are pending never start."""
        with self._changed:
            for job in jobs:
                job.is_dropped = True
                self._buffered_bytes -= sum(page.size for page in job.pages)
                job.pages.clear()
            self._pending = deque(job for job in self._pending if not job.is_dropped)
            self._notify()

    def close(self) -> None:
        """End the workers and log abandoned exports; may be called again.

        A worker that still waits for a response after `STOP_TIMEOUT` ends with its request.
        """
        with self._changed:
            if self._stop.is_set():
                return
            self._stop.set()
            self._pending.clear()
            self._changed.notify_all()
        deadline = time.monotonic() + STOP_TIMEOUT
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._log_abandoned()
        SHUTDOWN.log_abandoned = None
        if running := sum(thread.is_alive() for thread in self._threads):
            self._logger.warning("Requests abandoned: %d still running at shutdown", running)
        for job in self.jobs:
            job.pages.clear()

    def _log_abandoned(self) -> None:
        # Without the lock: the watchdog calls this if the main thread is stuck.
        for job in self.jobs:
            if job.status is JobStatus.ACTIVE and job.query_id is not None:
                self._log_left_running(job)

    def _log_left_running(self, job: ExportJob) -> None:
        self._logger.info("Export abandoned: stream=%s query_id=%s", job.stream, job.query_id)

    # Called by a job, in its worker; waiting raises ExportsStoppedError if the run ends meanwhile

    def acquire_slot(self, job: ExportJob) -> None:
        """Wait until the job may have an export at the service, unless it has one."""
        with self._changed:
            if job.status is JobStatus.ACTIVE:
                return
            # The part after a complete one needs room in the buffer, as a new job does.
            while not job.reserved and not self._has_room and not self._must_proceed(job):
                self._wait_for_change()
                if job.is_dropped:
                    raise ExportsStoppedError
            self._waiting_for_slot.add(job)
            try:
                while len(self._active) >= self._max_concurrent or any(
                    other.number < job.number for other in self._waiting_for_slot
                ):
                    self._wait_for_change()
                    if job.is_dropped:
                        raise ExportsStoppedError
            finally:
                self._waiting_for_slot.remove(job)
            self._activate(job)

    def pause(self, seconds: float) -> None:
        """Wait some seconds."""
        if wait(self._stop, seconds):
            raise ExportsStoppedError

    def accept(self, job: ExportJob, query_id: str) -> bool:
        """Record that the service has accepted the export; return whether its queryId is new."""
        with self._changed:
            is_new = self._monitor.accept(query_id)
            job.counts["exports"] += 1
            job.query_id = query_id if is_new else None
            self._notify()
            return is_new

    def release_slot(self, job: ExportJob, status: JobStatus = JobStatus.PENDING) -> None:
        """Record that the job's export is no longer queued or running at the service."""
        with self._changed:
            self._active.discard(job)
            job.status = status
            if status is JobStatus.PENDING:
                job.query_id = None
            self._notify()

    def abandon_running(self, job: ExportJob) -> bool:
        """Leave the export running, which lowers the limit by one; return false if that is 1."""
        with self._changed:
            if self._max_concurrent == 1:
                return False
            self._max_concurrent -= 1
            self._log_left_running(job)
            self.release_slot(job)
            return True

    def reduce_concurrency(self, job: ExportJob) -> bool:
        """Lower the limit after an HTTP 429 on a submission, and wait until another export ends.

        Return false at once if the run has no other export at the service.
        """
        with self._changed:
            if len(self._active) == 1:
                return False
            self.release_slot(job)
            self._max_concurrent = min(self._max_concurrent, len(self._active))
            text = "Concurrency reduced for this run: max_concurrent_exports=%d reason=HTTP 429"
            self._logger.info(text, self._max_concurrent)
            self.acquire_slot(job)  # with the lock: a later job must not take the slot
            return True

    # Workers

    def _start(self, run: Callable[[], None], name: str) -> None:
        thread = Thread(target=run, name=f"tap-campusgroups-{name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _work(self) -> None:
        try:
            with self._worker_context(), suppress(ExportsStoppedError):
                while (job := self._next_job()) is not None:
                    self._run(job)
        except BaseException as error:  # noqa: BLE001 - raised again in the main thread
            with self._changed:
                self._failure = error
                self._changed.notify_all()

    def _next_job(self) -> ExportJob | None:
        with self._changed:
            while self._pending:
                if self._may_start(self._pending[0]):
                    job = self._pending.popleft()
                    self._activate(job)
                    return job
                self._idle += 1
                self._wait_for_change()
                self._idle -= 1
            return None

    def _run(self, job: ExportJob) -> None:
        try:
            with closing(job.fetch(self, job)) as pages:
                for page in pages:
                    self._store(job, page)
        except ExportsStoppedError:
            if not job.is_dropped:
                raise
        except BaseException as caught:  # noqa: BLE001 - raised again in the main thread
            caught.add_note(f"In the export of stream '{job.stream}'.")
            job.error = caught
        with self._changed:
            self.release_slot(job, JobStatus.DONE)
            self._reserve(job, 0)

    def _store(self, job: ExportJob, page: Page) -> None:
        """Buffer a page, then wait until the next one may be fetched (backpressure)."""
        with self._changed:
            if job.status is not JobStatus.FETCHING:
                self.release_slot(job, JobStatus.FETCHING)
            if job.is_dropped:
                raise ExportsStoppedError
            job.pages.append(page)
            self._buffered_bytes += page.size
            self._max_page = max(self._max_page, page.size)
            self._reserve(job, 0)
            if page.is_last:
                return
            while self._buffered_bytes + page.size > MAX_BUFFERED_BYTES and not (
                self._must_proceed(job)
            ):
                self._wait_for_change()
            self._reserve(job, page.size)

    # With the lock held

    def _may_start(self, job: ExportJob) -> bool:
        if len(self._active) + len(self._waiting_for_slot) >= self._max_concurrent:
            return False
        if job is self._current_job:
            return True
        return self._has_room and self._monitor.has_accepted_job and not self._is_sequential

    @property
    def _has_room(self) -> bool:
        return self._buffered_bytes + self._max_page <= MAX_BUFFERED_BYTES

    def _must_proceed(self, job: ExportJob) -> bool:
        """Return whether the main thread waits for a page of the job."""
        return job is self._current_job and not job.pages

    def _activate(self, job: ExportJob) -> None:
        self._active.add(job)
        job.status = JobStatus.ACTIVE
        self._reserve(job, self._max_page)
        self._notify()

    def _notify(self) -> None:
        """Wake all threads, and start a worker if a job can start and no worker is idle."""
        self._changed.notify_all()
        if (
            self._pending
            and not self._idle
            and len(self._threads) <= MAX_WORKERS  # one more thread logs progress
            and self._may_start(self._pending[0])
            and not self._stop.is_set()
        ):
            self._start(self._work, f"worker-{len(self._threads)}")

    def _wait_for_change(self, timeout: float | None = None) -> None:
        if not self._stop.is_set():
            self._changed.wait(timeout)
        if self._stop.is_set():
            raise ExportsStoppedError

    def _reserve(self, job: ExportJob, size: int) -> None:
        self._buffered_bytes += size - job.reserved
        job.reserved = size
        self._changed.notify_all()

    def _log_progress(self) -> None:
        began = time.monotonic()
        while not self._stop.wait(PROGRESS_INTERVAL):
            with self._changed:
                status = Counter(
                    JobStatus.DONE if job.is_dropped else job.status for job in self.jobs
                )
                figures = {
                    "stream": self._current_job.stream if self._current_job else None,
                    "rows": sum(job.received for job in self.jobs),
                    "seconds": round(time.monotonic() - began),
                    "jobs_pending": status[JobStatus.PENDING],
                    "jobs_active": status[JobStatus.ACTIVE],
                    "jobs_done": status[JobStatus.DONE],
                    "prefetched_bytes": sum(page.size for job in self.jobs for page in job.pages),
                }
            text = " ".join(f"{name}={value}" for name, value in figures.items())
            self._logger.info("Sync progress: %s", text, extra=figures)
